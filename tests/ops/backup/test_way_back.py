"""Ledger and journal are destroyed on real servers, and come back to the last decimal; what can't be trusted is refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.backup import restore, take
from ops.backup.journal import compacted_up_to, unpack_journal
from ops.backup.manifest import Damaged, Kind
from ops.backup.place import Backup, Place
from ops.backup.restore import NotFound, Restored, Wanted, wal_folder
from ops.backup.scratch import NoWayBack, segments
from ops.cli.world import read_world
from tests.ops.backup.books import AMOUNT, open_home, place_of, post, posted, running, settings, write_journal
from titan.errors import ConfigError, Rejected
from titan.halt import clear_halt, read_halt
from titan.journal import Journal, verify_file
from titan.servers import Kind as ServerKind
from titan.servers import embedded
from titan.store import connect


def quiet(_: str) -> None:
    return


async def taken(home: Path, *kinds: Kind, label: str = "", verify: bool = False) -> list[Backup]:
    return await take.take(take.Wish(home, place_of(home), settings(), label, kinds or take.ALL, verify), quiet)


async def restored(home: Path, moment: str = restore.LATEST, *, journal: bool = False, dry: bool = False) -> Restored:
    return await restore.restore(Wanted(home, place_of(home), settings(), moment, journal, dry), quiet)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def home() -> Iterator[Path]:
    with open_home() as path:
        yield path


@pytest.fixture(scope="module")
def backed_up() -> Iterator[Path]:
    """A home with five transactions in a dump, a base backup and a journal of seven rows; its server is down."""
    with open_home() as path:

        async def prepare() -> None:
            async with running(path) as pool:
                await post(pool, *range(5))
            write_journal(path, 7)
            await taken(path, label="first", verify=True)

        asyncio.run(prepare())
        yield path


async def test_the_ledger_comes_back_to_the_second_before_a_destructive_statement(home: Path) -> None:
    async with running(home) as pool:
        await post(pool, *range(5))
    await taken(home, Kind.DUMP, Kind.BASE)
    async with running(home) as pool:
        await post(pool, 5, 6)
        good = now()
        await pool.execute("SELECT pg_sleep(0.2)")
        await pool.execute("ALTER TABLE ledger_entries DISABLE TRIGGER ALL")
        await pool.execute("DELETE FROM ledger_entries")
        await pool.execute("DROP TABLE truth_differences")
        await post(pool, 7)
    done = await restored(home, good.isoformat())
    assert done.contents.tables["ledger_entries"] == 14
    assert done.contents.balances == {"cash USDT": str(7 * AMOUNT), "capital USDT": str(-7 * AMOUNT)}
    async with running(home) as pool:
        assert await posted(pool) == (7, 7 * AMOUNT)
        kept = await pool.fetchval("SELECT count(*) FROM pg_database WHERE datname LIKE 'titan_before_%'")
    assert kept == 1


async def test_a_lost_cluster_comes_back_with_everything_its_log_had(home: Path) -> None:
    async with running(home) as pool:
        await post(pool, *range(3))
    write_journal(home, 4)
    await taken(home)
    async with running(home) as pool:
        await post(pool, 3, 4)
        last_commit = time.time()
        await pool.execute("SELECT pg_switch_wal()")
        # One more that the archive never sees: what a machine loses that dies within the archive's minute.
        await post(pool, 5)
    data = home / "data" / "postgres"
    shutil.rmtree(data.resolve())
    data.unlink(missing_ok=True)
    began = time.monotonic()
    done = await restored(home)
    rto = time.monotonic() - began
    async with running(home) as pool:
        count, held = await posted(pool)
    # A clean stop archives the running segment as well, so nothing at all is missing here.
    assert (count, held) == (6, 6 * AMOUNT)
    assert done.journal == "", "the router's journal is whole and newer: it stays"
    print(f"RTO {rto:.1f} s, RPO {0.0 if count == 6 else time.time() - last_commit:.1f} s, {count} transactions")
    assert read_halt(home), "nothing is opened before a person has compared the books"


async def test_a_whole_dump_is_found_by_its_name(backed_up: Path) -> None:
    name = place_of(backed_up).all(Kind.DUMP)[0].name
    done = await restored(backed_up, name, dry=True)
    assert done.source == f"dump {name}"
    assert done.contents.tables["ledger_transactions"] == 5
    assert done.set_aside == ()
    assert read_halt(backed_up) is None, "a dry run changes nothing"


async def test_a_backup_is_verified_by_restoring_it(backed_up: Path) -> None:
    place = place_of(backed_up)
    dump, base, journal = (place.all(kind)[0] for kind in (Kind.DUMP, Kind.BASE, Kind.JOURNAL))
    assert dump.manifest.verified_ms > 0
    assert dump.file.name.endswith("_first.sql")
    assert dump.file.read_text().startswith("--\n-- PostgreSQL database dump")
    today = place.dumps / f"titan_brain_{dump.name[:10]}.sql"
    assert today.resolve() == dump.file, "the name that runbooks type leads to the last dump of the day"
    assert journal.file.name == f"backup-{journal.name}.db.gz"
    assert (journal.manifest.last_seq, journal.manifest.term) == (7, 1)
    assert base.manifest.system_id


@pytest.mark.parametrize("cut", [1, 4096])
async def test_a_torn_dump_is_refused(backed_up: Path, home: Path, cut: int) -> None:
    place, source = place_of(home), place_of(backed_up)
    shutil.copytree(source.dumps, place.dumps, dirs_exist_ok=True, symlinks=True)
    dump = place.all(Kind.DUMP)[0]
    with dump.file.open("r+b") as stream:
        stream.truncate(dump.manifest.files[0].size - cut)
    with pytest.raises(Damaged, match="is torn"):
        await restored(home, dump.name)
    assert read_halt(home) is None


async def test_a_changed_dump_and_a_changed_manifest_are_refused(backed_up: Path, home: Path) -> None:
    place, source = place_of(home), place_of(backed_up)
    shutil.copytree(source.dumps, place.dumps, dirs_exist_ok=True, symlinks=True)
    dump = place.all(Kind.DUMP)[0]
    raw = dump.file.read_bytes()
    dump.file.write_bytes(raw.replace(b"0.123456789012345678", b"9.123456789012345678", 1))
    with pytest.raises(Damaged, match="checksum"):
        await restored(home, dump.name)
    dump.path.write_text(dump.path.read_text().replace('"label": "first"', '"label": "other"'))
    assert place.all(Kind.DUMP) == []
    assert "checksum does not fit" in place.damaged()[0]
    with pytest.raises(NotFound):
        await restored(home, restore.LATEST)


def archive_of(home: Path, place: Place) -> Path:
    return wal_folder(home, settings(), place.all(Kind.BASE)[0].manifest.system_id)


async def test_a_log_with_a_hole_or_a_torn_segment_is_refused(home: Path) -> None:
    async with running(home) as pool:
        await post(pool, 0)
    await taken(home, Kind.BASE)
    async with running(home) as pool:
        for number in range(1, 4):
            await post(pool, number)
            await pool.execute("SELECT pg_switch_wal()")
    archive = archive_of(home, place_of(home))
    await restored(home, dry=True)
    middle = segments(archive)[-2]
    whole = middle.read_bytes()
    middle.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged, match="torn"):
        await restored(home)
    middle.write_bytes(gzip.compress(gzip.decompress(whole)[:-8192]))
    with pytest.raises(Damaged, match="torn"):
        await restored(home)
    middle.unlink()
    with pytest.raises(Damaged, match="hole"):
        await restored(home)
    async with running(home) as pool:
        assert (await posted(pool))[0] == 4, "a refused restore leaves the ledger as it was"


async def test_a_moment_that_the_log_does_not_reach_is_refused(backed_up: Path) -> None:
    with pytest.raises(NoWayBack, match="ends before"):
        await restored(backed_up, (now() + dt.timedelta(hours=1)).isoformat())
    with pytest.raises(NotFound, match="nothing leads to"):
        await restored(backed_up, "2001-01-01T00:00:00")
    with pytest.raises(ConfigError, match="is no timestamp"):
        await restored(backed_up, "yesterday")


async def test_nothing_is_restored_while_somebody_works_on_the_books(home: Path) -> None:
    path = write_journal(home, 1)
    router = Journal.open(path)
    try:
        with pytest.raises(Rejected, match="a router holds"):
            await restored(home)
    finally:
        router.close()


async def test_a_client_of_the_ledger_stops_a_restore(backed_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with embedded(backed_up, {ServerKind.POSTGRES}) as addresses:
        pool = await connect(addresses.postgres_dsn, application="titan-execution")
        monkeypatch.setattr("ops.backup.ledger.running_dsn", lambda *_: addresses.postgres_dsn)
        with pytest.raises(Rejected, match="titan-execution still works on the ledger"):
            await restored(backed_up)
        await pool.close()


async def test_a_lost_journal_comes_back_with_a_ledger_that_knows_no_more_than_it(home: Path) -> None:
    async with running(home) as pool:
        await post(pool, *range(3))
        await pool.execute("INSERT INTO books_state VALUES ('journal_seq', 7)")
    path = write_journal(home, 7)
    await taken(home)
    write_journal(home, 5)
    async with running(home) as pool:
        await post(pool, 3, 4)
        await pool.execute("UPDATE books_state SET value = 12 WHERE key = 'journal_seq'")
    path.write_bytes(b"not a journal")
    (home / "world.json").write_text('{"feed": "synthetic:42", "ended": true}')
    done = await restored(home)
    world = read_world(home)
    assert world is not None
    assert not world.ended, "the next start goes on with what was restored"
    assert done.journal != ""
    assert verify_file(path).last_seq == 7
    assert any("titan_execution.db.before-" in each for each in done.set_aside)
    async with running(home) as pool:
        assert (await posted(pool))[0] == 3, "the ledger of the journal's own moment"
        assert await pool.fetchval("SELECT value FROM books_state WHERE key = 'journal_seq'") == 0
    reopened = Journal.open(path)
    try:
        assert reopened.term > 1_000, "above any term that may have been given out since"
    finally:
        reopened.close()
    assert clear_halt(home)


async def test_a_torn_journal_snapshot_is_refused(backed_up: Path, home: Path) -> None:
    source, place = place_of(backed_up), place_of(home)
    for path in source.root.glob("*"):
        if path.is_file():
            shutil.copy(path, place.root / path.name)
    backup = place.all(Kind.JOURNAL)[0]
    raw = backup.file.read_bytes()
    backup.file.write_bytes(raw[:-20])
    with pytest.raises(Damaged, match="torn"):
        await restored(home, restore.LATEST, journal=True)


def test_a_label_is_part_of_a_file_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        asyncio.run(taken(tmp_path, label="../etc"))


async def test_a_compacted_journal_is_read_on_from_its_snapshot(home: Path) -> None:
    path = write_journal(home, 7)
    journal = Journal.open(path)
    journal.compact(4, b"{}")
    journal.close()
    (backup,) = await taken(home, Kind.JOURNAL, verify=True)
    with unpack_journal(backup) as plain:
        assert compacted_up_to(plain) == 4
    assert backup.manifest.last_seq == 7
