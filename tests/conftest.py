"""Fixtures that every room may use: real embedded servers, each started on first use and once a session.

`nats_url`, `redis_url` and `pg_dsn` start only the server they need; `servers` starts all three. A test that kills a server
starts its own with `titan.servers.embedded` instead.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from titan.servers import Addresses, Kind, embedded


@pytest.fixture(scope="session")
def open_dir() -> Iterator[Path]:
    """A directory that other users may walk into: as root PostgreSQL runs as `nobody`, whom pytest's own directories keep out."""
    path = Path(tempfile.mkdtemp(prefix="titan-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _hold(home: Path, kind: Kind) -> Iterator[Addresses]:
    # Its own loop, never the current one: the loops of tests come and go.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(embedded(home, {kind}, durable=False)))
        runner.run(stack.aclose())


@pytest.fixture(scope="session")
def nats_server(open_dir: Path) -> Iterator[Addresses]:
    """A NATS server with JetStream; `nats_url`, `nats_user` and `nats_password` of the addresses are set."""
    yield from _hold(open_dir / "session", Kind.NATS)


@pytest.fixture(scope="session")
def postgres_server(open_dir: Path) -> Iterator[Addresses]:
    """A PostgreSQL server; `postgres_dsn` is its database `titan`, shared by the session."""
    yield from _hold(open_dir / "session", Kind.POSTGRES)


@pytest.fixture(scope="session")
def redis_server(open_dir: Path) -> Iterator[Addresses]:
    """A Redis or Valkey server; `redis_url` is set, password included."""
    yield from _hold(open_dir / "session", Kind.REDIS)


@pytest.fixture(scope="session")
def servers(nats_server: Addresses, postgres_server: Addresses, redis_server: Addresses) -> Addresses:
    """All three servers."""
    return replace(nats_server, postgres_dsn=postgres_server.postgres_dsn, redis_url=redis_server.redis_url)


@pytest.fixture
def nats_url(nats_server: Addresses) -> str:
    """The NATS address with user and password in it. Streams outlive the test: use names of your own."""
    return nats_server.nats_login_url


@pytest.fixture
def redis_url(redis_server: Addresses) -> str:
    """The Redis address. Keys outlive the test: use names of your own."""
    return redis_server.redis_url


@pytest.fixture
def pg_dsn(postgres_server: Addresses) -> Iterator[str]:
    """The DSN of an empty database of the test's own, dropped afterwards whoever is still connected."""
    name = f"test_{uuid4().hex}"
    base, _, _ = postgres_server.postgres_dsn.rpartition("/")
    _administer(postgres_server.postgres_dsn, f"CREATE DATABASE {name} TEMPLATE template0")
    yield f"{base}/{name}"
    _administer(postgres_server.postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(dsn: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(run())
