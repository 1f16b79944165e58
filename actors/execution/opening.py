"""Opens the books: connection, schema, what was known, and the parts that work on them.

Guarantees: what is returned is complete and up to date with the migrations; a failure leaves no connection open.
Never: a wait (the caller tries again on Transient), or a change of the books beyond migrations and the opening time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from actors.execution.auditor import Auditor
from actors.execution.books import Books, Written
from actors.execution.core import Account, Remembered
from actors.execution.follower import Ask, JournalFollower
from actors.execution.records import Records
from actors.execution.scribe import Scribe
from actors.execution.spans import TracedWriter
from actors.execution.venue import VenueSource
from titan.clock import Clock
from titan.store import Migrator, connect, load_migrations
from titan.tracing import Tracer

MIGRATIONS = Path(__file__).resolve().parents[2] / "ops" / "migrations"
CONNECTIONS = 6


@dataclass(frozen=True, slots=True)
class OpenBooks:
    """Everything that needs the ledger. `applied` names the migrations that were run now."""

    pool: asyncpg.Pool
    records: Records
    scribe: Scribe
    follower: JournalFollower
    auditor: Auditor
    remembered: Remembered
    applied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Links:
    """What the parts ask of the actor."""

    ask_journal: Ask
    open_source: Callable[[], Awaitable[VenueSource]]
    on_written: Callable[[Written], None]
    on_store: Callable[[bool, str], None]
    tracer: Tracer | None = None


async def open_books(dsn: str, account: Account, clock: Clock, links: Links) -> OpenBooks:
    """Opens the ledger of an account. Raises Transient while PostgreSQL is away, ConfigError for a foreign schema."""
    pool = await connect(dsn, application="titan-execution", max_size=CONNECTIONS)
    try:
        applied = await Migrator(pool, load_migrations(MIGRATIONS)).run()
        books, records = Books(pool), Records(pool, account)
        writer = books if links.tracer is None else TracedWriter(books, links.tracer)
        scribe = Scribe(writer, links.on_written, links.on_store)
        booked_seq = await books.cursor()
        follower = JournalFollower(account.venue, account.name, links.ask_journal, scribe, booked_seq)
        opened_ms = await records.opened_ms(clock.now().market_ms)
        auditor = Auditor(account, links.open_source, follower, records, clock, opened_ms)
        return OpenBooks(
            pool,
            records,
            scribe,
            follower,
            auditor,
            await records.remembered(),
            tuple(f"{each.version:04}_{each.name}" for each in applied),
        )
    except BaseException:
        pool.terminate()
        raise
