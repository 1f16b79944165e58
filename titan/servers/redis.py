"""Redis or Valkey: disposable caches. Losing it never stops trading.

Guarantees: loopback only, its own port, a password, at most 64 MB, appended to disk every second. Never: truth of any kind.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

from titan.files import write_private
from titan.servers.alive import redis_answers
from titan.servers.binaries import Kind, find_binary
from titan.servers.layout import Layout
from titan.servers.ports import LOOPBACK, PortBook
from titan.servers.probe import ask
from titan.servers.spec import ServerSpec, bare_env


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis or Valkey server to run; the URL carries the password."""

    spec: ServerSpec
    url: str


def build(layout: Layout, book: PortBook, *, port: int | None = None) -> RedisServer:
    """The Redis server of a home. Errors: `MissingServer`, `PortTaken`."""
    binary = find_binary(Kind.REDIS)
    chosen = book.claim("redis", port)
    password, _ = layout.secret("redis_password")
    data_dir = layout.data / "redis"
    data_dir.mkdir(exist_ok=True)
    conf = layout.run / "redis.conf"
    write_private(
        conf,
        "\n".join(
            [
                f"bind {LOOPBACK}",
                f"port {chosen}",
                "protected-mode yes",
                f"requirepass {password}",
                f"dir {json.dumps(str(data_dir))}",
                "appendonly yes",
                "appendfsync everysec",
                'save ""',
                "maxmemory 64mb",
                "maxmemory-policy allkeys-lru",
                "daemonize no",
                "loglevel notice",
                # The command line must stay as it was: leftovers are recognised by it.
                "set-proc-title no",
                "",
            ]
        ),
    )

    async def ready() -> bool:
        # While it loads the append-only file it answers -LOADING.
        return b"+PONG" in await ask(chosen, f"AUTH {password}\r\nPING\r\n".encode(), b"+PONG", limit=64)

    spec = ServerSpec(
        name=Kind.REDIS.value,
        argv=(str(binary.path), str(conf)),
        env=bare_env(),
        cwd=data_dir,
        data_dir=data_dir,
        log_file=layout.log_file("redis"),
        run_dir=layout.run,
        ready=ready,
        alive=partial(redis_answers, chosen, password),
        ports=(chosen,),
    )
    return RedisServer(spec, f"redis://:{password}@{LOOPBACK}:{chosen}/0")
