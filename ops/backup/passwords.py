"""New passwords for the ledger's roles while everything runs.

Guarantees: the server and the files that services read change together, or the server keeps the old ones; a service in between
is refused once and comes back with the new one; sessions of the old passwords are ended. Never: the owner's password (the
script `ops/scripts/rotate_db_password.sh` changes that one), or a password on a command line.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import asyncpg

from titan.files import write_private
from titan.ledger_access import LOGINS, ROLES, secret_name
from titan.store import connect, database_errors, make_roles


async def rotate(dsn: str, folder: Path) -> tuple[list[str], int]:
    """Changes every role's password as the owner; the roles, and how many sessions were ended. Raises Transient."""
    fresh = {login: secrets.token_hex(24) for login in LOGINS}
    held: dict[str, str] = {}
    pool = await connect(dsn, application="titan-rotate", max_size=1)
    try:
        with database_errors("change its roles' passwords"):
            async with pool.acquire() as connection:
                async with connection.transaction():
                    roles = await make_roles(connection, fresh)
                    held = _write(folder, fresh)
                held = {}
                return list(roles), await _end_sessions(connection)
    finally:
        # Only when the server did not keep the new ones.
        _write(folder, held)
        await pool.close()


def _write(folder: Path, passwords: dict[str, str]) -> dict[str, str]:
    """Writes the files, all or none; what they held before."""
    held = {login: path.read_text().strip() for login in passwords if (path := folder / secret_name(login)).exists()}
    try:
        for login, password in passwords.items():
            write_private(folder / secret_name(login), password + "\n")
    except OSError:
        for login, password in held.items():
            write_private(folder / secret_name(login), password + "\n")
        raise
    return held


async def _end_sessions(connection: asyncpg.Connection) -> int:
    rows = await connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY($1)", [role.name for role in ROLES]
    )
    return len(rows)
