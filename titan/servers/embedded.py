"""All embedded servers of a home for the length of a block: for tests and tools. The guardian owns them one by one instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from titan.servers import nats, postgres, redis
from titan.servers.binaries import Kind
from titan.servers.layout import Layout
from titan.servers.ports import PortBook
from titan.servers.process import ServerProcess
from titan.servers.spec import ServerSpec
from titan.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class Addresses:
    """How to reach the servers that run; what does not run has an empty string."""

    nats_url: str = ""
    nats_user: str = ""
    nats_password: str = ""
    postgres_dsn: str = ""
    redis_url: str = ""

    @property
    def nats_login_url(self) -> str:
        """The NATS address with user and password in it, for clients that take one string."""
        return self.nats_url.replace("://", f"://{self.nats_user}:{self.nats_password}@", 1)


@asynccontextmanager
async def embedded(
    home: Path | str, kinds: Collection[Kind] = tuple(Kind), *, durable: bool = True, nats_tls: TlsFiles | None = None
) -> AsyncIterator[Addresses]:
    """Starts the servers of `kinds` under `home`, gives their addresses, stops them at the end in reverse order.

    `durable=False` lets PostgreSQL skip fsync; `nats_tls` makes NATS speak TLS and nothing else.
    Errors: those of `ServerProcess.start` and of the builders; nothing is left running.
    """
    layout = Layout.of(home)
    book = PortBook(layout.run)
    addresses = Addresses()
    async with AsyncExitStack() as stack:

        async def run(spec: ServerSpec) -> None:
            process = await ServerProcess.start(spec)
            stack.push_async_callback(process.stop)

        if Kind.NATS in kinds:
            bus = nats.build(layout, book, tls=nats_tls)
            await run(bus.spec)
            addresses = replace(addresses, nats_url=bus.url, nats_user=bus.user, nats_password=bus.password)
        if Kind.POSTGRES in kinds:
            ledger = await asyncio.to_thread(postgres.build, layout, book, durable=durable)
            await run(ledger.spec)
            addresses = replace(addresses, postgres_dsn=ledger.dsn)
        if Kind.REDIS in kinds:
            cache = redis.build(layout, book)
            await run(cache.spec)
            addresses = replace(addresses, redis_url=cache.url)
        yield addresses
