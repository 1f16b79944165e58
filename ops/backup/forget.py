"""Removes what the retention table lets go, and proves that it is gone.

Guarantees: the books (orders, fills, positions, double entries) are never touched, they are made anew from their first fill;
what is younger than its time stays; rows go in batches, so nobody waits long for a lock; without `apply` only counts. Times are
wall times. A table kept by month loses whole months, when their last moment is over. Never: a row of a table that is not in the list.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from titan.store import database_errors
from titan.store.partitions import PARTITIONED, drop_part, over

YEAR_DAYS = 365.25
BATCH = 5_000
LOG_DAYS = 90
LOG_NAME = re.compile(r".+\.(jsonl|log)(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """How long a table's rows are kept. `age` is SQL for a row's wall time in milliseconds; `key` names a row."""

    table: str
    days: float
    age: str
    key: str
    first: str = ""
    """A table whose rows hang on these, removed with them: its reference."""

    @property
    def rest(self) -> str:
        """Where rows go one by one: the table, or its part for what no month took."""
        return f"{self.table}_rest" if self.table in PARTITIONED else self.table


_BOOKED = "(extract(epoch FROM booked_at) * 1000)"
RULES: tuple[Rule, ...] = (
    Rule("order_events", 7 * YEAR_DAYS, "ts_ms", "term, journal_seq, client_order_id"),
    Rule("audit_events", 7 * YEAR_DAYS, "ts_ms", "event_id, ts_ms"),
    Rule("brain_decisions", 3 * YEAR_DAYS, _BOOKED, "decision_id"),
    Rule("rejects", 3 * YEAR_DAYS, "ts_ms", "reject_id"),
    Rule("alerts", 3 * YEAR_DAYS, "ts_ms", "event_id"),
    Rule("equity_curve", 3 * YEAR_DAYS, "ts_ms", "venue, account, currency, ts_ms"),
    Rule("truth_runs", 3 * YEAR_DAYS, "ts_ms", "truth_id", first="truth_differences"),
)
KEPT = (
    "orders", "fills", "positions", "adoptions", "round_trips", "ledger_accounts", "ledger_transactions", "ledger_entries",
    "books_state", "_titan_migrations",
)  # fmt: skip
"""Kept for good: at least seven years are asked for, and the books are made anew from the first of them."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went, or would go, of one table or of the logs."""

    what: str
    days: float
    rows: int


async def forget(connection: asyncpg.Connection, now: dt.datetime, *, apply: bool) -> list[Forgotten]:
    """Removes rows whose time is over, or counts them. A table that is not there has none.

    Raises Transient when a lock could not be had in time: what went stays gone, the rest waits for the next time.
    """
    done = []
    for rule in RULES:
        if await connection.fetchval("SELECT to_regclass($1)", rule.table) is None:
            continue
        limit_ms = int((now - dt.timedelta(days=rule.days)).timestamp() * 1000)
        rows = await (_remove if apply else _count)(connection, rule, limit_ms)
        done.append(Forgotten(rule.table, rule.days, rows))
    return done


async def _count(connection: asyncpg.Connection, rule: Rule, limit_ms: int) -> int:
    total = int(await connection.fetchval(f"SELECT count(*) FROM {rule.rest} WHERE {rule.age} < $1", limit_ms))
    for part in await _months(connection, rule, limit_ms):
        total += int(await connection.fetchval(f"SELECT count(*) FROM {part}"))
    return total


async def _months(connection: asyncpg.Connection, rule: Rule, limit_ms: int) -> list[str]:
    return await over(connection, rule.table, limit_ms) if rule.table in PARTITIONED else []


async def _remove(connection: asyncpg.Connection, rule: Rule, limit_ms: int) -> int:
    total = 0
    with database_errors("let a month go"):
        for part in await _months(connection, rule, limit_ms):
            total += await drop_part(connection, rule.table, part)
    chosen = f"SELECT {rule.key} FROM {rule.rest} WHERE {rule.age} < $1 LIMIT {BATCH}"
    while True:
        async with connection.transaction():
            if rule.first:
                await connection.execute(f"DELETE FROM {rule.first} WHERE ({rule.key}) IN ({chosen})", limit_ms)
            done = await connection.execute(f"DELETE FROM {rule.rest} WHERE ({rule.key}) IN ({chosen})", limit_ms)
        gone = int(done.rpartition(" ")[2])
        total += gone
        if gone < BATCH:
            return total


def forget_logs(folder: Path, now: dt.datetime, *, apply: bool) -> Forgotten:
    """Removes log files that nobody has written to for 90 days, or counts them."""
    old = list(_old_logs(folder, now))
    if apply:
        for path in old:
            path.unlink(missing_ok=True)
    return Forgotten("log files", LOG_DAYS, len(old))


def _old_logs(folder: Path, now: dt.datetime) -> Iterator[Path]:
    limit = (now - dt.timedelta(days=LOG_DAYS)).timestamp()
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.is_file() and LOG_NAME.fullmatch(path.name) and path.stat().st_mtime < limit:
            yield path
