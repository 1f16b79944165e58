"""A ledger with double entries in it, on a real PostgreSQL with its log archived."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path

import asyncpg

from ops.backup.place import Place
from titan.journal import Journal, Row
from titan.servers import Kind, embedded
from titan.settings import Settings, load_settings
from titan.store import Migrator, connect, load_migrations

MIGRATIONS = Path(__file__).resolve().parents[3] / "ops" / "migrations"
AMOUNT = Decimal("0.123456789012345678")
_OPEN = "INSERT INTO ledger_accounts (name, type, currency) VALUES ($1, 'asset', 'USDT') ON CONFLICT DO NOTHING"
_ACCOUNT = "SELECT account_id FROM ledger_accounts WHERE name = $1"


@contextmanager
def open_home() -> Iterator[Path]:
    """A home that PostgreSQL's own user can reach."""
    path = Path(tempfile.mkdtemp(prefix="titan-backup-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        for link in (path / "data").glob("postgres*") if (path / "data").exists() else ():
            if link.is_symlink():
                shutil.rmtree(link.resolve(), ignore_errors=True)
        shutil.rmtree(path, ignore_errors=True)


def settings(**names: str) -> Settings:
    """Settings of nothing but these names."""
    return load_settings(names, Path("/nonexistent/.env"))


def place_of(home: Path) -> Place:
    return Place.at(home / "backups")


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[asyncpg.Pool]:
    """The home's PostgreSQL, durable and archived, with Titan's schema."""
    async with embedded(home, {Kind.POSTGRES}) as addresses:
        pool = await connect(addresses.postgres_dsn)
        try:
            await Migrator(pool, load_migrations(MIGRATIONS)).run()
            yield pool
        finally:
            await pool.close()


async def post(pool: asyncpg.Pool, *numbers: int) -> None:
    """Books one transaction a number."""
    for number in numbers:
        async with pool.acquire() as connection, connection.transaction():
            await connection.executemany(_OPEN, [("cash",), ("capital",)])
            to, back = [await connection.fetchval(_ACCOUNT, name) for name in ("cash", "capital")]
            tx = await connection.fetchval(
                "INSERT INTO ledger_transactions (correlation_id, event_type, description, posted_ms) "
                "VALUES ($1, 'test', 'test', $2) RETURNING tx_id",
                f"tx-{number}",
                number,
            )
            await connection.execute(
                "INSERT INTO ledger_entries VALUES ($1, 1, $2, 1, $4), ($1, 2, $3, -1, $4)", tx, to, back, AMOUNT
            )


async def posted(pool: asyncpg.Pool) -> tuple[int, Decimal]:
    """Transactions and the exact sum of the cash account."""
    count = await pool.fetchval("SELECT count(*) FROM ledger_transactions")
    held = await pool.fetchval(
        "SELECT sum(e.direction * e.amount) FROM ledger_entries e JOIN ledger_accounts a USING (account_id) "
        "WHERE a.name = 'cash'"
    )
    return int(count), Decimal(held or 0)


def write_journal(home: Path, rows: int) -> Path:
    """A journal with so many rows, as a router leaves it."""
    path = home / "journal" / "titan_execution.db"
    journal = Journal.open(path)
    first = journal.last_seq + 1
    journal.append([Row(first + i, "note", b'{"n":1}', 1_000 + i) for i in range(rows)])
    journal.close()
    return path
