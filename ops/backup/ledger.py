"""Reaches the ledger of a home: the one that runs, the one of the settings, or an embedded one started for the purpose.

Guarantees: a server that was started here is stopped at the end of the block; a backup works with its own role, which may
read everything and change nothing. Never: a second server on a running one's data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ops.backup.postgres import Server, Tools
from ops.cli.plan import external_dsn
from supervisors.state import read_state
from titan.errors import NotRunning
from titan.ledger_access import LOGINS, OWNER, role_of, secret_name, with_login
from titan.runtime import Runtime
from titan.servers import Kind, Layout, embedded
from titan.servers.postgres import OWNER_PASSWORD
from titan.settings import Settings
from titan.store import give_rights, make_roles


@dataclass(frozen=True, slots=True)
class Ledger:
    """A reachable ledger, and the tools that fit its server."""

    server: Server
    tools: Tools
    major: int
    system_id: str


@asynccontextmanager
async def open_ledger(home: Path, settings: Settings, login: str = OWNER) -> AsyncIterator[Ledger]:
    """The ledger of a home, as its owner or as one of its roles. Raises Transient, MissingServer, ConfigError."""
    dsn = running_dsn(home, settings) or (external_dsn(settings) if settings.profile == "live" else "")
    if dsn:
        yield await _known(Server.of(_as(login, dsn, home)))
        return
    async with embedded(home, {Kind.POSTGRES}) as addresses:
        await _with_roles(addresses.postgres_dsn, home)
        yield await _known(Server.of(_as(login, addresses.postgres_dsn, home)))


def running_dsn(home: Path, settings: Settings) -> str:
    """The ledger's address, with its owner's login, of the Titan that runs under a home; empty when none does."""
    state = read_state(home)
    if state is None or not state.alive:
        return ""
    try:
        return owner_dsn(Runtime.load(home), settings)
    except NotRunning:
        return ""


def owner_dsn(runtime: Runtime, settings: Settings) -> str:
    """The ledger's address of a run, with its owner's login."""
    if runtime.profile == "live":
        return external_dsn(settings)
    if urlsplit(runtime.postgres_dsn).username:
        return runtime.postgres_dsn
    return with_login(runtime.postgres_dsn, OWNER, Layout.of(runtime.home).secret(OWNER_PASSWORD)[0])


def _as(login: str, dsn: str, home: Path) -> str:
    """The same ledger for another login; a home that no Titan was started in has none but the owner's."""
    path = Layout.of(home).secrets / secret_name(login)
    return with_login(dsn, role_of(login).name, path.read_text().strip()) if login != OWNER and path.exists() else dsn


async def _with_roles(dsn: str, home: Path) -> None:
    """Makes the roles that a cluster lacks, or that a fresh database has given no rights."""
    layout = Layout.of(home)
    connection = await Server.of(dsn).connect()
    try:
        await make_roles(connection, {login: layout.secret(secret_name(login))[0] for login in LOGINS})
        await give_rights(connection)
    finally:
        await connection.close()


async def _known(server: Server) -> Ledger:
    connection = await server.connect()
    try:
        major = int(await connection.fetchval("SELECT current_setting('server_version_num')::int / 10000"))
        system_id = str(await connection.fetchval("SELECT system_identifier FROM pg_control_system()"))
    finally:
        await connection.close()
    return Ledger(server, Tools.for_major(major), major, system_id)
