"""What people and programs read of the books: orders, trades, decisions, equity, counters.

Guarantees: every answer is a typed value with exact decimals; limits are checked here; a read never waits for a writer.
Never: a write. Times are milliseconds: `ts_ms` of decisions and `t_exchange_ms` of trades are market time, others wall.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import asyncpg

from titan.store.pool import database_errors

MAX_LIMIT = 1000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order in its last known state."""

    venue: str
    account: str
    client_order_id: str
    venue_order_id: str
    intent_id: str
    signal_id: str
    role: str
    phase: str
    symbol: str
    side: str
    order_type: str
    quantity: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    reduce_only: bool
    state: str
    filled_quantity: Decimal
    average_price: Decimal
    code: str
    detail: str
    term: int
    journal_seq: int
    first_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A booked fill."""

    fill_id: str
    venue_trade_id: str
    venue: str
    account: str
    client_order_id: str
    intent_id: str
    signal_id: str
    role: str
    phase: str
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    realized_pnl: Decimal
    t_exchange_ms: int
    journal_seq: int


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """The brain's answer to a signal."""

    decision_id: str
    signal_id: str
    phase: str
    symbol: str
    side: str
    action: str
    approved: bool
    code: str
    reason: str
    requested_size_usd: Decimal
    authorized_size_usd: Decimal
    trap_type: str
    decision_ms: float
    ts_ms: int


@dataclass(frozen=True, slots=True)
class EquityRow:
    """One point of the equity curve."""

    venue: str
    account: str
    currency: str
    ts_ms: int
    market_ts_ms: int
    wallet: Decimal
    unrealized_pnl: Decimal
    equity: Decimal
    start_of_day: Decimal
    high_watermark: Decimal


@dataclass(frozen=True, slots=True)
class Counters:
    """Sums over the whole of the books. `pnl` is realised, before fees and funding; money is in settlement currency."""

    orders: int
    fills: int
    round_trips: int
    rejects: int
    fees: Decimal
    funding: Decimal
    realized_pnl: Decimal
    decisions: Mapping[str, int]


async def list_orders(
    pool: asyncpg.Pool, limit: int = 100, *, live_only: bool = False, symbol: str = ""
) -> list[OrderRow]:
    """The orders that changed last, newest first. Raises ValueError for a limit outside 1..1000, Transient."""
    where: list[str] = []
    values: list[Any] = [_limit(limit)]
    if live_only:
        where.append("state NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED')")
    if symbol:
        values.append(symbol)
        where.append(f"symbol = ${len(values)}")
    return [OrderRow(**row) for row in await _fetch(pool, OrderRow, "orders", where, "updated_ms DESC", values)]


async def list_trades(
    pool: asyncpg.Pool, limit: int = 100, *, date: dt.date | None = None, symbol: str = ""
) -> list[TradeRow]:
    """Fills by exchange time, newest first, of one UTC day when asked. Raises ValueError for the limit, Transient."""
    where: list[str] = []
    values: list[Any] = [_limit(limit)]
    if date is not None:
        start = int(dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC).timestamp()) * 1000
        values += [start, start + DAY_MS]
        where.append("t_exchange_ms >= $2 AND t_exchange_ms < $3")
    if symbol:
        values.append(symbol)
        where.append(f"symbol = ${len(values)}")
    order = "t_exchange_ms DESC, journal_seq DESC"
    return [TradeRow(**row) for row in await _fetch(pool, TradeRow, "fills", where, order, values)]


async def list_decisions(pool: asyncpg.Pool, limit: int = 100) -> list[DecisionRow]:
    """The brain's last decisions, newest first. Raises ValueError for the limit, Transient."""
    rows = await _fetch(pool, DecisionRow, "brain_decisions", [], "booked_at DESC, decision_id DESC", [_limit(limit)])
    return [DecisionRow(**row) for row in rows]


async def equity_curve(pool: asyncpg.Pool, limit: int = 500) -> list[EquityRow]:
    """The last points of the equity curve, oldest first. Raises ValueError for the limit, Transient."""
    rows = await _fetch(pool, EquityRow, "equity_curve", [], "ts_ms DESC", [_limit(limit)])
    return [EquityRow(**row) for row in reversed(rows)]


async def counters(pool: asyncpg.Pool) -> Counters:
    """Sums over the whole of the books. Raises Transient."""
    with database_errors("count"):
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            row = await connection.fetchrow(
                "SELECT (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM fills) AS fills, "
                "(SELECT count(*) FROM round_trips) AS round_trips, (SELECT count(*) FROM rejects) AS rejects, "
                "coalesce(sum(fees), 0) AS fees, coalesce(sum(funding), 0) AS funding, "
                "coalesce(sum(realized_pnl), 0) AS realized_pnl FROM positions"
            )
            decisions = await connection.fetch(
                "SELECT code, count(*) AS n FROM brain_decisions GROUP BY code ORDER BY code"
            )
    return Counters(**row, decisions={each["code"]: each["n"] for each in decisions})


def _limit(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit must be between 1 and {MAX_LIMIT}, got {limit}")
    return limit


async def _fetch(
    pool: asyncpg.Pool, kind: type, table: str, where: list[str], order: str, values: list[Any]
) -> list[Mapping[str, Any]]:
    """Rows with the fields of a dataclass; `values` begins with the limit."""
    columns = ", ".join(field.name for field in fields(kind))
    condition = f"WHERE {' AND '.join(where)} " if where else ""
    with database_errors("be read"):
        found: list[Mapping[str, Any]] = await pool.fetch(
            f"SELECT {columns} FROM {table} {condition}ORDER BY {order} LIMIT $1", *values
        )
    return found
