"""Monthly parts of the tables that grow without end: made ahead of their month, dropped when their time is over.

Guarantees: a row always has a place (the part `_rest` takes what no month does), no row is lost or doubled while a month is made;
a month is dropped only when its last moment is over; nobody waits long for a lock. Times are wall milliseconds, months UTC.
Never: fills or double entries, which are kept for good.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import asyncpg

PARTITIONED = ("order_events", "equity_curve", "audit_events")
AHEAD = 3
LOCK_TIMEOUT = "3s"
_PARTS = "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass ORDER BY 1"


def months(now: dt.datetime, ahead: int = AHEAD) -> Iterator[dt.date]:
    """The first day of this month and of the next ones."""
    year, month = now.year, now.month
    for _ in range(ahead + 1):
        yield dt.date(year, month, 1)
        year, month = _next(year, month)


def part_name(table: str, month: dt.date) -> str:
    """Like order_events_2026_01."""
    return f"{table}_{month:%Y_%m}"


def bounds_ms(month: dt.date) -> tuple[int, int]:
    """The month's first millisecond and that of the next one."""
    return _ms(month), _ms(dt.date(*_next(month.year, month.month), 1))


async def make_parts(connection: asyncpg.Connection, now: dt.datetime) -> tuple[str, ...]:
    """Makes the parts of this and the next months that lack; their names. Raises asyncpg.LockNotAvailableError, to try again."""
    made = []
    for table in PARTITIONED:
        there = {row["name"] for row in await connection.fetch(_PARTS, table)}
        for month in months(now):
            name = part_name(table, month)
            if name not in there:
                await _make(connection, table, name, *bounds_ms(month))
                made.append(name)
    return tuple(made)


async def _make(connection: asyncpg.Connection, table: str, name: str, first: int, end: int) -> None:
    """Rows of the month that came before its part move into it."""
    span = f"ts_ms >= {first} AND ts_ms < {end}"
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        # The whole, not the rest alone: a row that was already sent to the rest would find itself refused there afterwards.
        await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
        await connection.execute(
            f"WITH moved AS (DELETE FROM {table}_rest WHERE {span} RETURNING *) INSERT INTO {name} SELECT * FROM moved"
        )
        await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})")


async def over(connection: asyncpg.Connection, table: str, limit_ms: int) -> list[str]:
    """The parts of a table whose last moment is before `limit_ms`, oldest first."""
    found = []
    for row in await connection.fetch(_PARTS, table):
        suffix = row["name"].removeprefix(f"{table}_")
        if suffix != "rest" and bounds_ms(dt.date.fromisoformat(f"{suffix.replace('_', '-')}-01"))[1] <= limit_ms:
            found.append(row["name"])
    return found


async def drop_part(connection: asyncpg.Connection, table: str, name: str) -> int:
    """Detaches a part and drops it; how many rows it had. Raises asyncpg.LockNotAvailableError."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
        rows = int(await connection.fetchval(f"SELECT count(*) FROM {name}"))
        await connection.execute(f"DROP TABLE {name}")
    return rows


def _next(year: int, month: int) -> tuple[int, int]:
    return (year + month // 12, month % 12 + 1)


def _ms(day: dt.date) -> int:
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()) * 1000
