"""Months are made ahead, take what came early, and go whole when their time is over; no row is lost or doubled."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ops.backup.forget import forget
from titan.store import MIGRATIONS, Migrator, connect, load_migrations
from titan.store.partitions import PARTITIONED, bounds_ms, make_parts, months, part_name
from titan.store.rights import unknown_tables

NOW = dt.datetime(2031, 11, 20, tzinfo=dt.UTC)
EVENT = "INSERT INTO order_events VALUES (1, $1, 'v', 'a', $2, '', 'NEW', 0, 0, '', '', $3, 0) ON CONFLICT DO NOTHING"
AUDIT = (
    "INSERT INTO audit_events (event_id, kind, actor, summary, detail, ts_ms) VALUES ($1, 'k', 'a', 's', '{}', $2) "
    "ON CONFLICT (event_id, ts_ms) DO NOTHING"
)


def ms(year: int, month: int, day: int) -> int:
    return int(dt.datetime(year, month, day, tzinfo=dt.UTC).timestamp() * 1000)


@pytest.fixture
async def pool(pg_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(pg_dsn)
    await Migrator(opened, load_migrations(MIGRATIONS)).run()
    yield opened
    await opened.close()


async def parts(pool: asyncpg.Pool, table: str) -> dict[str, int]:
    """Rows by part."""
    rows = await pool.fetch(f"SELECT tableoid::regclass::text AS part, count(*) AS n FROM {table} GROUP BY 1")
    return {row["part"].removeprefix(f"{table}_"): row["n"] for row in rows}


def test_months_go_over_the_end_of_the_year() -> None:
    assert [f"{month:%Y-%m}" for month in months(NOW)] == ["2031-11", "2031-12", "2032-01", "2032-02"]
    assert bounds_ms(dt.date(2031, 12, 1)) == (ms(2031, 12, 1), ms(2032, 1, 1))


async def test_rows_that_came_before_their_month_move_into_it_and_stay_unique(pool: asyncpg.Pool) -> None:
    for number, day in enumerate(((2031, 10, 31), (2031, 11, 1), (2031, 11, 30), (2032, 5, 1)), start=1):
        await pool.execute(EVENT, number, "o", ms(*day))
        await pool.execute(AUDIT, f"e{number}", ms(*day))
    assert await parts(pool, "order_events") == {"rest": 4}
    async with pool.acquire() as connection:
        made = await make_parts(connection, NOW)
        assert set(made) == {part_name(table, month) for table in PARTITIONED for month in months(NOW)}
        assert await make_parts(connection, NOW) == ()
        assert await unknown_tables(connection) == ()
    for number, day in enumerate(((2031, 10, 31), (2031, 11, 1), (2031, 11, 30), (2032, 5, 1)), start=1):
        assert await pool.execute(EVENT, number, "o", ms(*day)) == "INSERT 0 0"
        assert await pool.execute(AUDIT, f"e{number}", ms(*day)) == "INSERT 0 0"
    await pool.execute(EVENT, 9, "o", ms(2032, 1, 1))
    assert await parts(pool, "order_events") == {"rest": 2, "2031_11": 2, "2032_01": 1}
    assert await parts(pool, "audit_events") == {"rest": 2, "2031_11": 2}


async def test_a_month_goes_whole_when_its_last_moment_is_over_and_not_before(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await make_parts(connection, NOW)
        for number, day in enumerate(((2031, 11, 2), (2031, 11, 30), (2031, 12, 1)), start=1):
            await pool.execute(EVENT, number, "o", ms(*day))
        # Seven years after the middle of November its first rows are over; the legal minimum of the last is not.
        early = dt.datetime(2038, 11, 20, tzinfo=dt.UTC)
        assert {each.rows for each in await forget(connection, early, apply=True)} == {0}
        late = dt.datetime(2038, 12, 3, tzinfo=dt.UTC)
        counted = {each.what: each.rows for each in await forget(connection, late, apply=False)}
        assert counted["order_events"] == 2
        assert {each.what: each.rows for each in await forget(connection, late, apply=True)} == counted
        assert await connection.fetchval("SELECT to_regclass('order_events_2031_11')") is None
    assert await parts(pool, "order_events") == {"2031_12": 1}


async def test_who_writes_waits_for_no_month_that_can_not_be_made(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("titan.store.partitions.LOCK_TIMEOUT", "50ms")
    async with pool.acquire() as writer, pool.acquire() as maker:
        doing = writer.transaction()
        await doing.start()
        await writer.execute(EVENT, 1, "o", ms(2031, 11, 2))
        with pytest.raises(asyncpg.LockNotAvailableError):
            await make_parts(maker, NOW)
        await doing.commit()
        assert await make_parts(maker, NOW)
    assert await parts(pool, "order_events") == {"2031_11": 1}


async def test_no_row_is_lost_or_doubled_while_months_are_made_under_writes(pool: asyncpg.Pool) -> None:
    async def write(first: int) -> None:
        for number in range(first, first + 100):
            await pool.execute(EVENT, number, "o", ms(2031, 11, 1) + number * 40_000_000)

    async with pool.acquire() as connection:
        writing = asyncio.gather(write(0), write(50))
        await make_parts(connection, NOW)
        await writing
    assert await pool.fetchval("SELECT count(*) FROM order_events") == 150
    assert await pool.fetchval("SELECT count(DISTINCT journal_seq) FROM order_events") == 150


async def test_books_of_before_the_months_keep_every_row(pg_dsn: str) -> None:
    pool = await connect(pg_dsn)
    every = load_migrations(MIGRATIONS)
    await Migrator(pool, every[:5]).run()
    await pool.execute(EVENT, 1, "o", ms(2026, 11, 2))
    await pool.execute(AUDIT.replace(", ts_ms) DO", ") DO"), "e", ms(2026, 11, 2))
    await Migrator(pool, every).run()
    assert await parts(pool, "order_events") == {"rest": 1}
    assert await parts(pool, "audit_events") == {"rest": 1}
    assert await pool.execute(EVENT, 1, "o", ms(2026, 11, 2)) == "INSERT 0 0"
    await pool.close()
