"""Retention removes what is over on a real ledger, keeps the seven years, and never touches the books."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import asyncpg
import pytest

from ops.backup.forget import KEPT, RULES, YEAR_DAYS, forget, forget_logs
from tests.ops.backup.books import MIGRATIONS
from titan.store import Migrator, connect, load_migrations

NOW = dt.datetime(2033, 6, 1, tzinfo=dt.UTC)


def ago_ms(days: float) -> int:
    return int((NOW - dt.timedelta(days=days)).timestamp() * 1000)


async def fill(pool: asyncpg.Pool, days: float, name: str) -> None:
    """One row a table that is so many days old."""
    at, when = ago_ms(days), NOW - dt.timedelta(days=days)
    await pool.execute(
        "INSERT INTO order_events VALUES (1, $1, 'v', 'a', $2, '', 'NEW', 0, 0, '', '', $1, 0)", at, name
    )
    await pool.execute(
        "INSERT INTO audit_events (event_id, kind, actor, summary, detail, ts_ms) VALUES ($1, 'k', 'a', 's', '{}', $2)",
        name,
        at,
    )
    await pool.execute("INSERT INTO rejects VALUES ($1, '', '', 'X', 'C', '', $2)", name, at)
    await pool.execute("INSERT INTO alerts VALUES ($1, 'c', 's', 's', 'm', '{}', $2)", name, at)
    await pool.execute("INSERT INTO equity_curve VALUES ('v', 'a', 'USDT', $1, 0, 1, 0, 1, 1, 1)", at)
    await pool.execute("INSERT INTO truth_runs VALUES ($1, $2, 1, 't', 'v', 0, 0, 1, 100, true, '', '', '')", name, at)
    await pool.execute(
        "INSERT INTO brain_decisions (decision_id, signal_id, phase, symbol, side, action, approved, code, reason, "
        "requested_size_usd, authorized_size_usd, weight_scavenger, weight_hunter, weight_sentinel, current_leverage, "
        "projected_leverage, trap_type, policy_hash, decision_ms, ts_ms, booked_at) "
        "VALUES ($1, '', 'p', 'X', 'BUY', 'OPEN', true, '', '', 0, 0, 0, 0, 0, 0, 0, '', '', 0, 0, $2)",
        name,
        when,
    )


@pytest.mark.parametrize("apply", [False, True])
async def test_rows_go_when_their_time_is_over_and_not_a_day_before(pg_dsn: str, apply: bool) -> None:
    pool = await connect(pg_dsn)
    await Migrator(pool, load_migrations(MIGRATIONS)).run()
    for days in (3 * YEAR_DAYS - 1, 3 * YEAR_DAYS + 1, 7 * YEAR_DAYS - 1, 7 * YEAR_DAYS + 1):
        await fill(pool, days, f"{days:.0f}")
    async with pool.acquire() as connection:
        done = {each.what: each.rows for each in await forget(connection, NOW, apply=apply)}
        again = {each.what: each.rows for each in await forget(connection, NOW, apply=False)}
    expected = {rule.table: 1 if rule.days > 4 * YEAR_DAYS else 3 for rule in RULES}
    assert done == expected
    assert again == (dict.fromkeys(expected, 0) if apply else expected)
    for rule in RULES:
        left = await pool.fetchval(f"SELECT count(*) FROM {rule.table}")
        assert left == 4 - (expected[rule.table] if apply else 0)
    await pool.close()


async def test_every_table_has_a_rule_or_is_kept_for_good(pg_dsn: str) -> None:
    pool = await connect(pg_dsn)
    await Migrator(pool, load_migrations(MIGRATIONS)).run()
    rows = await pool.fetch(
        "SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    )
    named = {rule.table for rule in RULES} | {rule.first for rule in RULES if rule.first}
    assert {row["name"] for row in rows} - named - set(KEPT) == set()
    assert not named & set(KEPT)
    await pool.close()


def test_old_logs_go_and_the_rest_stays(tmp_path: Path) -> None:
    for name, days in (("brain.jsonl", 1), ("brain.jsonl.3", 91), ("nats.log", 91), ("notes.txt", 400)):
        path = tmp_path / name
        path.touch()
        at = (NOW - dt.timedelta(days=days)).timestamp()
        os.utime(path, (at, at))
    assert forget_logs(tmp_path, NOW, apply=False).rows == 2
    assert forget_logs(tmp_path, NOW, apply=True).rows == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brain.jsonl", "notes.txt"]
