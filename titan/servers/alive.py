"""Whether a server that was Ready still answers in its own protocol, and what it complains of.

Guarantees: each question is a real exchange on a fresh connection, so that a process which only holds its sockets is found out;
an answer that says no (too many clients, still loading) is an answer. A silent server raises OSError or EOFError, or leaves the
caller waiting: the limit is the caller's. Never: a judgement.
"""

from __future__ import annotations

import json
import ssl

import asyncpg

from titan.servers.ports import LOOPBACK
from titan.servers.probe import ask

SHUTTING_DOWN = "shutting down"


async def nats_answers(port: int, user: str, password: str, tls: ssl.SSLContext | None = None) -> bool:
    """Logs in and waits for the PONG."""
    login = json.dumps({"user": user, "pass": password, "verbose": False, "pedantic": False, "name": "titan-guardian"})
    answer = await ask(port, f"CONNECT {login}\r\nPING\r\n".encode(), b"PONG\r\n", tls=tls)
    return b"PONG\r\n" in answer or b"-ERR" in answer


async def nats_trouble(monitor_port: int) -> str:
    """What the server's health page complains of, like a stream that could not be written; empty when all is well.

    A stream that met a full disk refuses writes for ever after, until the server is restarted, and only this page tells.
    """
    page = await ask(monitor_port, b"GET /healthz HTTP/1.0\r\n\r\n", b"}")
    head, _, body = page.partition(b"\r\n\r\n")
    if b" 200 " in head.split(b"\r\n", 1)[0]:
        return ""
    try:
        told = json.loads(body)
        return str(told.get("error") or told.get("status"))
    except (ValueError, AttributeError):
        return head.split(b"\r\n", 1)[0].decode(errors="replace")


async def redis_answers(port: int, password: str) -> bool:
    """Logs in and pings; any line is an answer."""
    return bool(await ask(port, f"AUTH {password}\r\nPING\r\n".encode(), b"\n", limit=64))


class PostgresProbe:
    """Asks one PostgreSQL, and remembers what it complained of when it was asked."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._complaint = ""

    async def answers(self) -> bool:
        """Connects as a client does, which makes the server fork, and asks for one row."""
        try:
            connection = await asyncpg.connect(self._dsn)
            try:
                row = await connection.fetchval("SELECT 1")
            finally:
                await connection.close()
        except asyncpg.CannotConnectNowError as error:
            # A smart shutdown lets nobody in and waits for those inside, who stay: it would never come to an end by itself.
            self._complaint = str(error) if SHUTTING_DOWN in str(error) else ""
            return True
        except asyncpg.PostgresError:
            row = 1
        self._complaint = ""
        return bool(row == 1)

    async def trouble(self) -> str:
        """What it complained of at the last question; empty when it let us in, or will by itself."""
        return self._complaint


async def http_answers(port: int, path: str) -> bool:
    """Gets a page; any status line is an answer."""
    return (await ask(port, f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\n\r\n".encode(), b"\r\n")).startswith(b"HTTP/")
