"""What the books stand on is measured: backups, disk, database, bus."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from actors.execution import storage
from actors.execution.storage import Storage
from titan.actor import Actor
from titan.backups import Status, write_status
from titan.errors import Transient
from titan.metrics import Metrics
from titan.store import Migrator, connect, load_migrations

MIGRATIONS = Path(__file__).resolve().parents[3] / "ops" / "migrations"


class Venue:
    name, account = "bybit", "main"


class Runtime:
    venue = Venue()

    def __init__(self, home: Path) -> None:
        self.home = home


class Shell:
    bus: Any = None

    def __init__(self, home: Path) -> None:
        self.runtime = Runtime(home)
        self.metrics = Metrics()


@dataclass
class Books:
    pool: asyncpg.Pool


def sample(shell: Shell, name: str, **labels: str) -> float | None:
    return shell.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    async def used(_: object) -> tuple[int, int]:
        return 25, 100

    monkeypatch.setattr(storage, "storage", used)
    return Shell(tmp_path)


async def test_everything_is_measured_on_a_real_ledger(shell: Shell, pg_dsn: str) -> None:
    pool = await connect(pg_dsn)
    await Migrator(pool, load_migrations(MIGRATIONS)).run()
    now_ms = time.time_ns() // 1_000_000
    write_status(shell.runtime.home, Status(journal_ms=now_ms - 60_000, dump_ms=now_ms - 7_200_000))
    await Storage(cast("Actor", shell), lambda: Books(pool)).measure(pool, now_ms)
    assert sample(shell, "titan_backup_age_seconds") == 60.0
    assert sample(shell, "titan_backup_kind_age_seconds", kind="dump") == 7200.0
    assert sample(shell, "titan_backup_kind_age_seconds", kind="base") == float("inf")
    assert 0 < (sample(shell, "titan_disk_free_percent") or 0) <= 100
    assert sample(shell, "titan_nats_storage_percent") == 25.0
    assert (sample(shell, "titan_database_size_bytes") or 0) > 1_000_000
    assert sample(shell, "titan_wal_archive_failing") == 0.0
    assert sample(shell, "titan_database_query_duration_ms_count", operation="balance") == 1
    assert sample(shell, "titan_initial_capital_usd") is None, "books that were never opened have no capital"
    await pool.execute(
        "INSERT INTO ledger_accounts (name, type, currency) VALUES ('capital:bybit:main','equity','USDT')"
    )
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO ledger_accounts (name, type, currency) VALUES ('cash:bybit:main','asset','USDT')"
        )
        await connection.execute(
            "INSERT INTO ledger_transactions (correlation_id, event_type, description, posted_ms) VALUES ('a','a','a',1)"
        )
        await connection.execute("INSERT INTO ledger_entries VALUES (1, 1, 1, 1, 250), (1, 2, 2, -1, 250)")
    await Storage(cast("Actor", shell), lambda: Books(pool)).measure(pool, now_ms)
    assert sample(shell, "titan_initial_capital_usd") == 250.0
    await pool.close()


async def test_what_is_away_keeps_its_last_value_and_hinders_nothing(
    shell: Shell, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await connect(pg_dsn)
    await Migrator(pool, load_migrations(MIGRATIONS)).run()
    watch = Storage(cast("Actor", shell), lambda: Books(pool))
    await watch.measure(pool, 1)
    size = sample(shell, "titan_database_size_bytes")

    async def away(_: object) -> tuple[int, int]:
        raise Transient("no bus")

    monkeypatch.setattr(storage, "storage", away)
    await pool.close()
    await watch.measure(pool, 1)
    assert sample(shell, "titan_nats_storage_percent") == 25.0
    assert sample(shell, "titan_database_size_bytes") == size
    assert sample(shell, "titan_backup_age_seconds") == float("inf")
