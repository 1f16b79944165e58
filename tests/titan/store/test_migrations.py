"""Migrations against a real PostgreSQL server, and the rules that need none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from titan.errors import ConfigError, Transient
from titan.servers import free_port
from titan.store import Applied, Migration, Migrator, connect, load_migrations, pending

MIGRATIONS = Path(__file__).resolve().parents[3] / "ops" / "migrations"


@pytest.fixture
async def pool(pg_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(pg_dsn)
    yield opened
    await opened.close()


def _write(directory: Path, **files: str) -> Path:
    for name, sql in files.items():
        (directory / f"{name.removeprefix('m')}.sql").write_text(sql)
    return directory


async def test_a_fresh_database_gets_every_file_once(pool: asyncpg.Pool) -> None:
    migrations = load_migrations(MIGRATIONS)
    assert await Migrator(pool, migrations).missing() == migrations
    assert await Migrator(pool, migrations).run() == migrations
    assert await Migrator(pool, migrations).run() == ()
    assert await Migrator(pool, migrations).missing() == ()
    rows = await pool.fetch("SELECT version, name, sha256 FROM _titan_migrations ORDER BY version")
    assert [tuple(row) for row in rows] == [(m.version, m.name, m.sha256) for m in migrations]


async def test_two_processes_at_once_apply_each_file_once(pg_dsn: str) -> None:
    migrations = load_migrations(MIGRATIONS)
    pools = [await connect(pg_dsn) for _ in range(3)]
    try:
        done = await asyncio.gather(*(Migrator(pool, migrations).run() for pool in pools))
    finally:
        for pool in pools:
            await pool.close()
    assert sorted(len(applied) for applied in done) == [0, 0, len(migrations)]


async def test_a_file_that_fails_leaves_nothing_behind_and_the_next_run_goes_on(
    pool: asyncpg.Pool, tmp_path: Path
) -> None:
    _write(tmp_path, m0001_good="CREATE TABLE good (a int)", m0002_bad="CREATE TABLE half (a int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await Migrator(pool, load_migrations(tmp_path)).run()
    assert await pool.fetchval("SELECT to_regclass('good')") is not None
    assert await pool.fetchval("SELECT to_regclass('half')") is None
    _write(tmp_path, m0002_bad="CREATE TABLE half (a int)")
    assert [m.version for m in await Migrator(pool, load_migrations(tmp_path)).run()] == [2]


async def test_a_changed_applied_file_is_refused_before_anything_runs(pool: asyncpg.Pool, tmp_path: Path) -> None:
    await Migrator(pool, load_migrations(_write(tmp_path, m0001_first="CREATE TABLE first (a int)"))).run()
    _write(tmp_path, m0001_first="CREATE TABLE first (a bigint)", m0002_second="CREATE TABLE second (a int)")
    with pytest.raises(ConfigError, match="0001_first was changed after it was applied"):
        await Migrator(pool, load_migrations(tmp_path)).run()
    assert await pool.fetchval("SELECT to_regclass('second')") is None


def test_line_ends_of_another_system_do_not_change_a_checksum(tmp_path: Path) -> None:
    unix, other = tmp_path / "unix", tmp_path / "other"
    unix.mkdir()
    other.mkdir()
    (unix / "0001_a.sql").write_bytes(b"SELECT 1;\nSELECT 2;\n")
    (other / "0001_a.sql").write_bytes(b"SELECT 1;\r\nSELECT 2;\r\n")
    assert load_migrations(unix)[0].sha256 == load_migrations(other)[0].sha256


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"m0001_a": "", "m0003_b": ""}, "migration 0002 is missing"),
        ({"m0002_a": ""}, "migration 0001 is missing"),
        ({"m0001_a": "", "m0001_b": ""}, "two migrations have version 0001"),
        ({"mfirst": ""}, "no name for a migration"),
        ({}, "no migrations"),
    ],
)
def test_files_that_leave_doubt_are_refused(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_migrations(_write(tmp_path, **files))


_ONE, _TWO = Migration(1, "one", "", "aa"), Migration(2, "two", "", "bb")


@pytest.mark.parametrize(
    ("applied", "said"),
    [
        ([Applied(2, "two", "bb")], "lacks migration 0001 but has 0002_two"),
        (
            [Applied(1, "one", "aa"), Applied(2, "two", "bb"), Applied(3, "three", "cc")],
            "0003_three, which this version",
        ),
        ([Applied(1, "one", "zz")], "0001_one was changed"),
    ],
)
def test_a_database_with_another_story_is_refused(applied: list[Applied], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        pending([_ONE, _TWO], applied)


def test_what_is_not_applied_is_pending() -> None:
    assert pending([_ONE, _TWO], [Applied(1, "one", "aa")]) == (_TWO,)


async def test_an_absent_server_is_a_passing_error() -> None:
    with pytest.raises(Transient, match="can't be reached"):
        await connect(f"postgresql://titan:x@127.0.0.1:{free_port()}/titan")


async def test_a_read_only_pool_can_not_write(pg_dsn: str) -> None:
    pool = await connect(pg_dsn, read_only=True)
    try:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await pool.execute("CREATE TABLE forbidden (a int)")
    finally:
        await pool.close()
