"""The books in PostgreSQL: writes a batch in one transaction, or nothing of it.

Guarantees: a fill is booked once, by its id, whoever else writes; an older order event never overwrites a newer state;
positions and round trips follow from the fills in journal order, and a late fill makes them anew; a batch that returns
is committed. Never: a passing error of the database that is not a Transient, or a read for a person (titan.store.queries).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import asyncpg

from actors.execution import rows
from actors.execution.holdings import Holding, Instrument, RoundTrip, Step, book, is_late, order_of, rebuild
from actors.execution.ledger import (
    Account,
    Transaction,
    adoption_transaction,
    fill_transaction,
    funding_transaction,
    plus,
    wallet_transaction,
)
from actors.execution.news import Adoption, Batch, FundingNews
from titan.model import Fill
from titan.money import ZERO
from titan.store import database_errors

WRITER_LOCK = 0x7469_7461_6E62
CURSOR = "journal_seq"

_Accounts = dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Written:
    """What a committed batch changed. `claims` are fills whose journalled PnL is not what the position makes."""

    fills: tuple[Fill, ...] = ()
    holdings: tuple[Holding, ...] = ()
    round_trips: tuple[RoundTrip, ...] = ()
    late: tuple[Instrument, ...] = ()
    claims: tuple[tuple[str, str], ...] = ()
    funding_paid: Decimal = ZERO
    wallet_moved: bool = False
    rows: int = 0


class Books:
    """Writes on a pool. Any number of processes may; an advisory lock puts their transactions in a row."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._accounts: dict[tuple[str, str], int] = {}

    async def write(self, batch: Batch) -> Written:
        """Commits a batch. Raises Transient while the database is away, ValueError for a number it can't hold."""
        heard: list[Step] = [*batch.fills, *batch.adoptions]
        postings = {_posting_key(step): _posting(step) for step in heard}
        with database_errors("take the books' rows"):
            async with self._pool.acquire() as connection:
                fresh: _Accounts = {}
                async with connection.transaction():
                    await connection.execute("SELECT pg_advisory_xact_lock($1)", WRITER_LOCK)
                    await _insert_orders(connection, batch)
                    await _insert_audit(connection, batch)
                    written = await self._book(connection, batch, postings, fresh)
                    if batch.cursor:
                        await connection.execute(
                            "INSERT INTO books_state (key, value) VALUES ($1, $2) "
                            "ON CONFLICT (key) DO UPDATE SET value = greatest(books_state.value, excluded.value)",
                            CURSOR,
                            batch.cursor,
                        )
                self._accounts.update(fresh)
                return written

    async def cursor(self) -> int:
        """The journal row up to which everything is booked. Raises Transient."""
        with database_errors("be read"):
            value = await self._pool.fetchval("SELECT value FROM books_state WHERE key = $1", CURSOR)
            return int(value or 0)

    async def holdings(self) -> list[Holding]:
        """Every position in the books. Raises Transient."""
        with database_errors("be read"):
            return [rows.holding(row) for row in await self._pool.fetch("SELECT * FROM positions")]

    async def _book(
        self, connection: asyncpg.Connection, batch: Batch, postings: dict[str, Transaction], fresh: _Accounts
    ) -> Written:
        steps = await _insert_steps(connection, batch)
        paid = await self._post(connection, [_funding(each) for each in batch.funding], fresh)
        moved = await self._post(connection, [wallet_transaction(each) for each in batch.wallets], fresh)
        await self._post(connection, [postings[_posting_key(step)] for step in steps], fresh)
        by_instrument: dict[Instrument, list[Step]] = {}
        for step in steps:
            by_instrument.setdefault(Instrument.of(step), []).append(step)
        for each in batch.funding:
            if _funding_key(each) in paid:
                by_instrument.setdefault(_place(each), [])
        holdings: list[Holding] = []
        trips: list[RoundTrip] = []
        late: list[Instrument] = []
        claims: list[tuple[str, str]] = []
        for instrument, news in by_instrument.items():
            holding = await _holding(connection, instrument)
            if any(is_late(holding, step) for step in news):
                late.append(instrument)
                holding, made = rebuild(instrument, await _steps_of(connection, instrument), holding.funding)
                await _forget_trips(connection, instrument)
                trips.extend(made)
            else:
                for step in news:
                    booked = book(holding, step)
                    holding = booked.holding
                    if booked.round_trip is not None:
                        trips.append(booked.round_trip)
                    if booked.claim_is_off and isinstance(step, Fill):
                        claims.append((step.fill_id, str(booked.claim_error)))
            cost = sum(
                (each.paid for each in batch.funding if _funding_key(each) in paid and _place(each) == instrument), ZERO
            )
            holdings.append(replace(holding, funding=plus(holding.funding, cost)))
        await rows.insert(connection, rows.POSITIONS, map(rows.position_values, holdings))
        await rows.insert(connection, rows.ROUND_TRIPS, map(rows.round_trip_values, trips))
        fills = tuple(step for step in steps if isinstance(step, Fill))
        spent = sum((each.paid for each in batch.funding if _funding_key(each) in paid), ZERO)
        return Written(fills, tuple(holdings), tuple(trips), tuple(late), tuple(claims), spent, bool(moved), batch.rows)

    async def _post(
        self, connection: asyncpg.Connection, transactions: Sequence[Transaction], fresh: _Accounts
    ) -> set[str]:
        """Inserts transactions and their lines; gives the correlation ids that are new. `fresh` takes accounts opened."""
        if not transactions:
            return set()
        inserted = await rows.insert(
            connection,
            rows.LEDGER_TRANSACTIONS,
            ((t.correlation_id, t.event_type, t.description, t.posted_ms) for t in transactions),
            returning="correlation_id, tx_id",
        )
        ids = {row["correlation_id"]: row["tx_id"] for row in inserted}
        new = [transaction for transaction in transactions if transaction.correlation_id in ids]
        accounts = {entry.account for transaction in new for entry in transaction.entries}
        await self._open_accounts(connection, accounts, fresh)
        lines = []
        for transaction in new:
            for number, entry in enumerate(transaction.entries):
                key = (entry.account.name, entry.account.currency)
                account_id = fresh[key] if key in fresh else self._accounts[key]
                lines.append((ids[transaction.correlation_id], number, account_id, entry.direction, entry.amount))
        await rows.insert(connection, rows.LEDGER_ENTRIES, lines)
        return set(ids)

    async def _open_accounts(
        self, connection: asyncpg.Connection, accounts: Iterable[Account], fresh: _Accounts
    ) -> None:
        missing = [
            account
            for account in accounts
            if (account.name, account.currency) not in self._accounts and (account.name, account.currency) not in fresh
        ]
        if not missing:
            return
        await rows.insert(connection, rows.LEDGER_ACCOUNTS, ((a.name, a.type.value, a.currency) for a in missing))
        found = await connection.fetch(
            "SELECT a.account_id, a.name, a.currency FROM ledger_accounts a "
            "JOIN unnest($1::text[], $2::text[]) AS wanted (name, currency) USING (name, currency)",
            [account.name for account in missing],
            [account.currency for account in missing],
        )
        fresh.update({(row["name"], row["currency"]): row["account_id"] for row in found})


async def _holding(connection: asyncpg.Connection, instrument: Instrument) -> Holding:
    row = await connection.fetchrow(
        "SELECT * FROM positions WHERE venue = $1 AND account = $2 AND symbol = $3",
        instrument.venue,
        instrument.account,
        instrument.symbol,
    )
    return Holding(instrument) if row is None else rows.holding(row)


async def _steps_of(connection: asyncpg.Connection, instrument: Instrument) -> list[Step]:
    place = (instrument.venue, instrument.account, instrument.symbol)
    fills = await connection.fetch("SELECT * FROM fills WHERE (venue, account, symbol) = ($1, $2, $3)", *place)
    adopted = await connection.fetch("SELECT * FROM adoptions WHERE (venue, account, symbol) = ($1, $2, $3)", *place)
    return [*map(rows.fill, fills), *map(rows.adoption, adopted)]


async def _forget_trips(connection: asyncpg.Connection, instrument: Instrument) -> None:
    await connection.execute(
        "DELETE FROM round_trips WHERE (venue, account, symbol) = ($1, $2, $3)",
        instrument.venue,
        instrument.account,
        instrument.symbol,
    )


async def _insert_steps(connection: asyncpg.Connection, batch: Batch) -> list[Step]:
    """Inserts fills and adoptions; gives those that are new, in journal order."""
    fills = await rows.insert(connection, rows.FILLS, map(rows.fill_values, batch.fills), returning="fill_id")
    adopted = await rows.insert(
        connection, rows.ADOPTIONS, map(rows.adoption_values, batch.adoptions), returning="term, journal_seq"
    )
    new_fills = {row["fill_id"] for row in fills}
    new_adoptions = {(row["term"], row["journal_seq"]) for row in adopted}
    steps: list[Step] = [fill for fill in batch.fills if fill.fill_id in new_fills]
    steps += [each for each in batch.adoptions if (each.term, each.seq) in new_adoptions]
    return sorted(steps, key=order_of)


def _posting(step: Step) -> Transaction:
    return adoption_transaction(step) if isinstance(step, Adoption) else fill_transaction(step)


def _posting_key(step: Step) -> str:
    return f"adoption:{step.term}:{step.seq}" if isinstance(step, Adoption) else step.fill_id


def _funding(news: FundingNews) -> Transaction:
    return funding_transaction(news.venue, news.account, news.symbol, news.paid, news.payment_id, news.ts_ms)


def _place(news: FundingNews) -> Instrument:
    return Instrument(news.venue, news.account, news.symbol)


def _funding_key(news: FundingNews) -> str:
    return _funding(news).correlation_id


async def _insert_orders(connection: asyncpg.Connection, batch: Batch) -> None:
    await rows.insert(
        connection, rows.ORDERS, (rows.order_values(news, batch.first_seen_ms[news.key]) for news in batch.orders)
    )
    await rows.insert(connection, rows.ORDER_EVENTS, map(rows.order_event_values, batch.order_events))


async def _insert_audit(connection: asyncpg.Connection, batch: Batch) -> None:
    await rows.insert(connection, rows.DECISIONS, map(rows.decision_values, batch.decisions))
    await rows.insert(
        connection,
        rows.REJECTS,
        ((r.reject_id, r.intent_id, r.signal_id, r.symbol, r.code, r.detail, r.ts_ms) for r in batch.rejects),
    )
    await rows.insert(
        connection,
        rows.ALERTS,
        (
            (a.event_id, a.code, a.severity, a.source, a.message, json.dumps(dict(a.labels)), a.ts_ms)
            for a in batch.alerts
        ),
    )
    await rows.insert(
        connection,
        rows.AUDIT_EVENTS,
        ((a.event_id, a.kind, a.actor, a.summary, json.dumps(dict(a.detail)), a.ts_ms) for a in batch.audits),
    )
