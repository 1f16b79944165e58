"""The reading queries, on books that Execution's migrations made."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from titan.errors import Transient
from titan.store import Migrator, connect, load_migrations, queries

MIGRATIONS = Path(__file__).resolve().parents[3] / "ops" / "migrations"
DAY_MS = 86_400_000


@pytest.fixture
async def pool(pg_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    writer = await connect(pg_dsn)
    await Migrator(writer, load_migrations(MIGRATIONS)).run()
    await writer.execute(
        """
        INSERT INTO orders SELECT 'bybit', 'main', 'c' || n, 'v' || n, '', '', 0, 'ENTRY', '', 'BTC/USDT:USDT', 'BUY', 'LIMIT',
            1, 100.5, NULL, false, CASE WHEN n % 2 = 0 THEN 'FILLED' ELSE 'OPEN' END, 0, 0, '', '', 1, n, n, n, n
            FROM generate_series(1, 6) n;
        INSERT INTO fills SELECT 'bybit:main:t' || n, 't' || n, 'bybit', 'main', 'c' || n, 'v' || n, '', '', 'ENTRY', '',
            'BTC/USDT:USDT', 'BUY', 100.123456789012345678, 1, 0.1, 'USDT', false, 0, n * 86400000::bigint, n, n, 1
            FROM generate_series(0, 3) n;
        INSERT INTO positions VALUES
            ('bybit', 'main', 'BTC/USDT:USDT', 2, 100, 5.5, 0.4, 0.1, 3, 9, '', 0, 0, 0, 0, 0, 0, 0),
            ('bybit', 'main', 'ETH/USDT:USDT', 0, 0, -1, 0.6, 0, 3, 9, '', 0, 0, 0, 0, 0, 0, 0);
        INSERT INTO round_trips SELECT 'f' || n, 'bybit', 'main', 'BTC/USDT:USDT', '', 'BUY', 1, 1, 1, 1, 1, n, n
            FROM generate_series(1, 3) n;
        INSERT INTO brain_decisions SELECT 'd' || n, 's' || n, 'SCAVENGER', 'BTC/USDT:USDT', 'BUY', 'OPEN', n = 1,
            CASE WHEN n = 1 THEN 'APPROVED' ELSE 'LEVERAGE' END, '', 1, 1, 0, 0, 0, 0, 0, '', '', 0.5, n, now() + n * interval '1 s'
            FROM generate_series(1, 3) n;
        INSERT INTO equity_curve SELECT 'bybit', 'main', 'USDT', n, n, 1, 1, 2, 1, 2 FROM generate_series(1, 5) n;
        """
    )
    await writer.close()
    reader = await connect(pg_dsn, read_only=True)
    yield reader
    await reader.close()


async def test_orders_come_newest_first_and_live_ones_alone_when_asked(pool: asyncpg.Pool) -> None:
    assert [row.client_order_id for row in await queries.list_orders(pool, 2)] == ["c6", "c5"]
    assert [row.client_order_id for row in await queries.list_orders(pool, live_only=True)] == ["c5", "c3", "c1"]
    assert await queries.list_orders(pool, symbol="ETH/USDT:USDT") == []


async def test_trades_keep_every_digit_and_a_day_is_utc(pool: asyncpg.Pool) -> None:
    (only,) = await queries.list_trades(pool, date=dt.date(1970, 1, 2))
    assert [only.fill_id, only.price] == ["bybit:main:t1", Decimal("100.123456789012345678")]
    assert [row.t_exchange_ms for row in await queries.list_trades(pool, 2)] == [3 * DAY_MS, 2 * DAY_MS]
    assert await queries.list_trades(pool, date=dt.date(1970, 1, 2), symbol="ETH/USDT:USDT") == []


async def test_counters_sum_the_whole_of_the_books(pool: asyncpg.Pool) -> None:
    sums = await queries.counters(pool)
    assert [sums.orders, sums.fills, sums.round_trips, sums.rejects] == [6, 4, 3, 0]
    assert [sums.fees, sums.funding, sums.realized_pnl] == [1, Decimal("0.1"), Decimal("4.5")]
    assert sums.decisions == {"APPROVED": 1, "LEVERAGE": 2}


async def test_decisions_come_newest_first_and_equity_oldest_first(pool: asyncpg.Pool) -> None:
    assert [row.decision_id for row in await queries.list_decisions(pool, 2)] == ["d3", "d2"]
    assert [row.ts_ms for row in await queries.equity_curve(pool, 3)] == [3, 4, 5]


@pytest.mark.parametrize("limit", [0, 1001, -5])
async def test_a_limit_out_of_range_never_reaches_the_database(pool: asyncpg.Pool, limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit must be between 1 and 1000, got {limit}"):
        await queries.list_orders(pool, limit)


async def test_a_closed_pool_is_a_passing_error(pool: asyncpg.Pool) -> None:
    await pool.close()
    with pytest.raises(Transient):
        await queries.counters(pool)
