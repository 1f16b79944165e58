"""The ledger made again from the journal's whole history, in a schema of its own, and held against the one in use.

Guarantees: what is made comes from journal rows alone, through the same code that booked them live; the comparison is one
snapshot of the database and exact, to the last decimal; a row that the ledger has booked after the history was cut is
judged only where it can be. Never: a change of the ledger in use (`book_history` on its own pool is for an empty one).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

import asyncpg

from actors.execution.books import Books
from actors.execution.journal import JournalMirror, news_of
from actors.execution.news import Adoption, FundingNews, News, OrderNews, WalletNews, plan
from titan.journal.format import AnyRow
from titan.model import Fill
from titan.store import MIGRATIONS, Migrator, connect, database_errors, load_migrations

ROWS = 500
SHOWN = 50
_NEVER = 2**62
_CREDITS = frozenset({"pnl", "capital"})


@dataclass(frozen=True, slots=True)
class Unequal:
    """One row that differs; an empty text is a side without it."""

    table: str
    key: str
    ledger: str
    journal: str


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison looked at: the journal row up to which, rows a table, totals by currency, and what differs."""

    upto_seq: int
    rows: dict[str, int] = field(default_factory=dict)
    totals: dict[str, Decimal] = field(default_factory=dict)
    unequal: tuple[Unequal, ...] = ()


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    source: str
    key: str
    columns: str
    # Rows that later journal rows may have moved on are left out by this key; empty for rows that never change.
    moving: str = ""

    def of(self, schema: str) -> str:
        """What to select from, in a schema."""
        return self.source.format(schema=f'"{schema}"')


_TABLES = (
    _Table(
        "fills",
        "{schema}.fills",
        "fill_id",
        "venue_trade_id, venue, account, client_order_id, venue_order_id, intent_id, signal_id, role, phase, symbol, side, "
        "price, quantity, fee, fee_currency, maker, realized_pnl, t_exchange_ms, t_ingress_ms, journal_seq, term",
    ),
    _Table(
        "order_events",
        "{schema}.order_events",
        "concat_ws(':', term, journal_seq, client_order_id)",
        "venue, account, venue_order_id, state, filled_quantity, average_price, code, detail, ts_ms, venue_ts_ms",
    ),
    _Table(
        "adoptions",
        "{schema}.adoptions",
        "concat_ws(':', term, journal_seq)",
        "venue, account, symbol, quantity, average_price, previous_quantity, reason, ts_ms",
    ),
    _Table(
        "ledger_transactions",
        "(SELECT t.correlation_id, t.event_type, t.description, t.posted_ms, "
        "string_agg(concat_ws(' ', a.name, a.currency, a.type, e.direction, e.amount), '; ' ORDER BY e.line) AS entries "
        "FROM {schema}.ledger_transactions t LEFT JOIN {schema}.ledger_entries e USING (tx_id) "
        "LEFT JOIN {schema}.ledger_accounts a USING (account_id) GROUP BY t.tx_id) AS posted",
        "correlation_id",
        "event_type, description, posted_ms, entries",
    ),
    _Table(
        "orders",
        "{schema}.orders",
        "client_order_id",
        "venue, account, venue_order_id, intent_id, signal_id, child, role, phase, symbol, side, order_type, quantity, "
        "price, trigger_price, reduce_only, state, filled_quantity, average_price, code, detail, term, journal_seq, "
        "updated_ms, venue_ts_ms",
        "client_order_id",
    ),
    _Table(
        "positions",
        "{schema}.positions",
        "concat_ws(':', venue, account, symbol)",
        "quantity, average_price, realized_pnl, fees, funding, last_seq, updated_ms, trip_phase, trip_opened_ms, "
        "trip_entry_quantity, trip_entry_value, trip_exit_quantity, trip_exit_value, trip_pnl, trip_fees",
        "symbol",
    ),
    _Table(
        "round_trips",
        "{schema}.round_trips",
        "closing_fill_id",
        "venue, account, symbol, phase, side, quantity, entry_price, exit_price, realized_pnl, fees, opened_ms, closed_ms",
        "symbol",
    ),
)


async def book_history(pool: asyncpg.Pool, venue: str, account: str, rows: Iterable[AnyRow]) -> int:
    """Books journal rows from the first on; what is booked already is passed over. Gives the last row's sequence.

    Raises Transient while the database is away, ValueError for a row that makes no sense.
    """
    books, mirror = Books(pool), JournalMirror(venue, account)
    source = iter(rows)
    while part := list(islice(source, ROWS)):
        news = mirror.take(part)
        await books.write(plan(news, cursor=mirror.seq))
        # The comparison's side of the mirror is of no use here.
        mirror.forget(_NEVER, _NEVER)
    return mirror.seq


@asynccontextmanager
async def scratch(dsn: str, name: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on an empty, migrated schema of its own in the same database; it is dropped afterwards. Raises Transient."""
    with database_errors("make a scratch schema"):
        owner = await connect(dsn, application="titan-rebuild", max_size=1)
        try:
            await owner.execute(f'CREATE SCHEMA "{name}"')
            try:
                pool = await connect(dsn, application="titan-rebuild", max_size=2, search_path=name)
                try:
                    await Migrator(pool, load_migrations(MIGRATIONS)).run()
                    yield pool
                finally:
                    await pool.close()
            finally:
                await owner.execute(f'DROP SCHEMA "{name}" CASCADE')
        finally:
            await owner.close()


async def check(dsn: str, venue: str, account: str, rows: Iterator[AnyRow], name: str = "titan_rebuild") -> Compared:
    """Books the rows that the ledger has into a scratch schema, and compares. `rows` is the journal's whole history.

    Raises Transient while the database is away, ValueError when the ledger is ahead of the journal.
    """
    live = await connect(dsn, application="titan-rebuild", max_size=1)
    try:
        upto = await Books(live).cursor()
        schema = await live.fetchval("SELECT current_schema()")
        async with scratch(dsn, name) as made:
            last = await book_history(made, venue, account, _until(rows, upto))
            if last < upto:
                raise ValueError(f"the ledger has journal rows up to {upto}, the journal ends at row {last}")
            later = _Later(venue, account)
            with database_errors("be compared"):
                async with made.acquire() as connection, connection.transaction(isolation="repeatable_read"):
                    # The snapshot first: whatever it has booked is in the journal by then.
                    counted = {each.name: await _count(connection, name, each) for each in _TABLES}
                    later.take(rows)
                    unequal = [
                        found for each in _TABLES for found in await _differences(connection, schema, name, each, later)
                    ]
                    totals = await _totals(connection, name, venue, account)
        return Compared(upto, counted, totals, tuple(unequal))
    finally:
        await live.close()


class _Later:
    """What the rows after the cut speak of."""

    def __init__(self, venue: str, account: str) -> None:
        self._venue, self._account = venue, account
        self.keys: set[str] = set()
        self.orders: set[str] = set()
        self.symbols: set[str] = set()

    def take(self, rows: Iterable[AnyRow]) -> None:
        """Notes the rest of the history."""
        for row in rows:
            self.keys.add(f"wallet:{row.term}:{row.seq}")
            news = news_of(row)
            if news is not None:
                self._note(news, row)

    def _note(self, news: News, row: AnyRow) -> None:
        match news:
            case OrderNews():
                self.orders.add(news.order.client_order_id)
                self.keys.add(f"{row.term}:{row.seq}:{news.order.client_order_id}")
            case Fill():
                self.symbols.add(news.symbol)
                self.keys |= {news.fill_id, f"fill:{news.fill_id}"}
            case FundingNews():
                self.symbols.add(news.symbol)
                self.keys.add(f"funding:{news.venue}:{news.account}:{news.payment_id}")
            case Adoption():
                self.symbols.add(news.symbol)
                self.keys |= {f"{row.term}:{row.seq}", f"adoption:{row.term}:{row.seq}"}
            case WalletNews() | _:
                pass


def _until(rows: Iterator[AnyRow], upto: int) -> Iterator[AnyRow]:
    if upto <= 0:
        return
    for row in rows:
        yield row
        if row.seq >= upto:
            return


async def _count(connection: asyncpg.Connection, schema: str, table: _Table) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table.of(schema)}"))


async def _differences(
    connection: asyncpg.Connection, live: str, made: str, table: _Table, later: _Later
) -> list[Unequal]:
    texts = ", ".join(f"coalesce({name.strip()}::text, '-')" for name in table.columns.split(","))
    sides = [
        f"SELECT {table.key} AS key, {table.moving or table.key} AS moving, concat_ws(' | ', {texts}) AS says "
        f"FROM {table.of(schema)}"
        for schema in (live, made)
    ]
    left_out = {"": later.keys, "client_order_id": later.orders, "symbol": later.symbols}[table.moving]
    found = await connection.fetch(
        f"SELECT coalesce(l.key, m.key) AS key, l.says AS ledger, m.says AS journal "
        f"FROM ({sides[0]}) AS l FULL JOIN ({sides[1]}) AS m ON l.key = m.key "
        f"WHERE l.says IS DISTINCT FROM m.says AND coalesce(l.moving, m.moving) <> ALL ($1::text[]) "
        f"ORDER BY 1 LIMIT {SHOWN}",
        sorted(left_out),
    )
    return [Unequal(table.name, row["key"], row["ledger"] or "", row["journal"] or "") for row in found]


async def _totals(connection: asyncpg.Connection, schema: str, venue: str, account: str) -> dict[str, Decimal]:
    """What the journal alone makes: the wallet, and what fees, funding and realised profit came to, by currency."""
    rows = await connection.fetch(
        "SELECT split_part(a.name, ':', 1) AS kind, a.currency, -sum(e.direction * e.amount) AS held "
        f'FROM "{schema}".ledger_entries e JOIN "{schema}".ledger_accounts a USING (account_id) '
        "WHERE split_part(a.name, ':', 2) = $1 AND split_part(a.name, ':', 3) = $2 "
        "AND split_part(a.name, ':', 1) IN ('cash', 'fees', 'funding', 'pnl', 'capital') GROUP BY 1, 2 ORDER BY 1, 2",
        venue,
        account,
    )
    # Income and capital are credits: what came in is shown above zero.
    return {
        f"{row['kind']} {row['currency']}": -row["held"] if row["kind"] in _CREDITS else row["held"] for row in rows
    }
