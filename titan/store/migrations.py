"""Migrations: numbered SQL files, applied once each, in order, forward only.

Guarantees: a file that was applied can't change unnoticed (SHA-256); versions have no gap; each file runs in a
transaction of its own together with its row in `_titan_migrations`; two processes never run at once (advisory lock).
Never: a way back, or a guess about what a missing file did.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from titan.errors import ConfigError
from titan.store.pool import database_errors

MIGRATIONS = Path(__file__).resolve().parents[2] / "ops" / "migrations"
"""Titan's own schema."""
LOCK_KEY = 0x7469_7461_6E6D
_FILE_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_TABLE = """
CREATE TABLE IF NOT EXISTS _titan_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `sha256` is over its text with Unix line ends."""

    version: int
    name: str
    sql: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of `_titan_migrations`."""

    version: int
    name: str
    sha256: str


def load_migrations(directory: Path) -> tuple[Migration, ...]:
    """The files of a directory in order. Raises ConfigError for a bad name, a gap, a duplicate or an empty directory."""
    found: dict[int, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.match(path.name)
        if match is None:
            raise ConfigError(f"{path.name} is no name for a migration; name it like 0001_orders_and_fills.sql")
        version, name = int(match[1]), match[2]
        if version in found:
            raise ConfigError(
                f"two migrations have version {version:04}: {found[version].name} and {name}; renumber one"
            )
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        found[version] = Migration(version, name, text, hashlib.sha256(text.encode()).hexdigest())
    if not found:
        raise ConfigError(f"no migrations in {directory}; it should hold files like 0001_orders_and_fills.sql")
    for expected, version in enumerate(sorted(found), start=1):
        if version != expected:
            raise ConfigError(f"migration {expected:04} is missing in {directory}, the next file is {version:04}")
    return tuple(found[version] for version in sorted(found))


def pending(migrations: Sequence[Migration], applied: Sequence[Applied]) -> tuple[Migration, ...]:
    """What is still to be applied. Raises ConfigError when the database and the files tell different stories."""
    by_version = {migration.version: migration for migration in migrations}
    for expected, row in enumerate(sorted(applied, key=lambda row: row.version), start=1):
        if row.version != expected:
            raise ConfigError(
                f"the database lacks migration {expected:04} but has {row.version:04}_{row.name}: restore it from a backup"
            )
        file = by_version.get(row.version)
        if file is None:
            raise ConfigError(
                f"the database has migration {row.version:04}_{row.name}, which this version of Titan does not know: "
                "use the version that applied it"
            )
        if file.sha256 != row.sha256:
            raise ConfigError(
                f"migration {row.version:04}_{file.name} was changed after it was applied "
                f"(applied {row.sha256[:12]}, file {file.sha256[:12]}): restore the file and put the change into a new one"
            )
    return tuple(migration for migration in migrations if migration.version > len(applied))


class Migrator:
    """Brings a database up to date."""

    def __init__(self, pool: asyncpg.Pool, migrations: Sequence[Migration]) -> None:
        self._pool = pool
        self._migrations = tuple(migrations)

    async def run(self) -> tuple[Migration, ...]:
        """Applies what is pending and returns it. Raises ConfigError, or Transient while the server is away."""
        done: list[Migration] = []
        with database_errors("be migrated"):
            async with self._pool.acquire() as connection:
                await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
                try:
                    await connection.execute(_TABLE)
                    for migration in pending(self._migrations, await _applied(connection)):
                        async with connection.transaction():
                            await connection.execute(migration.sql)
                            await connection.execute(
                                "INSERT INTO _titan_migrations (version, name, sha256) VALUES ($1, $2, $3)",
                                migration.version,
                                migration.name,
                                migration.sha256,
                            )
                        done.append(migration)
                finally:
                    if not connection.is_closed():
                        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
        return tuple(done)

    async def missing(self) -> tuple[Migration, ...]:
        """What `run` would apply. Raises ConfigError, or Transient while the server is away."""
        with database_errors("be asked for its migrations"):
            async with self._pool.acquire() as connection:
                if await connection.fetchval("SELECT to_regclass('_titan_migrations')") is None:
                    return self._migrations
                return pending(self._migrations, await _applied(connection))


async def _applied(connection: asyncpg.Connection) -> list[Applied]:
    rows = await connection.fetch("SELECT version, name, sha256 FROM _titan_migrations ORDER BY version")
    return [Applied(row["version"], row["name"], row["sha256"]) for row in rows]
