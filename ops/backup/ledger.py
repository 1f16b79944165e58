"""Reaches the ledger of a home: the one that runs, the one of the settings, or an embedded one started for the purpose.

Guarantees: a server that was started here is stopped at the end of the block. Never: a second server on a running one's
data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.backup.postgres import Server, Tools
from ops.cli.plan import external_dsn
from supervisors.state import read_state
from titan.errors import NotRunning
from titan.runtime import Runtime
from titan.servers import Kind, embedded
from titan.settings import Settings


@dataclass(frozen=True, slots=True)
class Ledger:
    """A reachable ledger, and the tools that fit its server."""

    server: Server
    tools: Tools
    major: int
    system_id: str


@asynccontextmanager
async def open_ledger(home: Path, settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger of a home. Raises Transient, MissingServer, ConfigError."""
    dsn = running_dsn(home) or (external_dsn(settings) if settings.profile == "live" else "")
    if dsn:
        yield await _known(Server.of(dsn))
        return
    async with embedded(home, {Kind.POSTGRES}) as addresses:
        yield await _known(Server.of(addresses.postgres_dsn))


def running_dsn(home: Path) -> str:
    """The ledger's address of the Titan that runs under a home; empty when none does."""
    state = read_state(home)
    if state is None or not state.alive:
        return ""
    try:
        return Runtime.load(home).postgres_dsn
    except NotRunning:
        return ""


async def _known(server: Server) -> Ledger:
    connection = await server.connect()
    try:
        major = int(await connection.fetchval("SELECT current_setting('server_version_num')::int / 10000"))
        system_id = str(await connection.fetchval("SELECT system_identifier FROM pg_control_system()"))
    finally:
        await connection.close()
    return Ledger(server, Tools.for_major(major), major, system_id)
