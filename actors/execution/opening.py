"""Opens the books: connection, schema, what was known, and the parts that work on them.

Guarantees: what is returned is complete and up to date with the migrations; a failure leaves no connection open.
Never: a wait (the caller tries again on Transient), or a change of the books beyond migrations and the opening time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

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
from titan.errors import Transient
from titan.ledger_access import LedgerLogin
from titan.store import MIGRATIONS, Migration, Migrator, connect, load_migrations
from titan.tracing import Tracer

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


async def open_books(login: LedgerLogin, account: Account, clock: Clock, links: Links) -> OpenBooks:
    """Opens the ledger of an account. Raises Transient while PostgreSQL is away, ConfigError for a foreign schema."""
    pool = await connect(login, application="titan-execution", max_size=CONNECTIONS)
    try:
        applied = await _migrated(pool)
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


async def _migrated(pool: asyncpg.Pool) -> tuple[Migration, ...]:
    """Brings the schema up to date where this login owns it; else that is the guardian's. Raises Transient until it is."""
    migrator = Migrator(pool, load_migrations(MIGRATIONS))
    if await pool.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        return await migrator.run()
    missing = await migrator.missing()
    if missing:
        raise Transient(
            f"the ledger lacks migration {missing[0].version:04}_{missing[0].name}: the guardian applies it"
        )
    return ()
