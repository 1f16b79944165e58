"""The journal comes back whole: its archived history with it, and a term that no leader of before can work under."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors.router.lease import LEASE_MS, LONGEST_SEND_MS, Entry, Holder, Lease, Record, Standing
from ops.backup import take
from ops.backup.journal import TERM_MARGIN, place_archive, place_journal, unpack_journal
from ops.backup.manifest import Damaged, Kind
from ops.backup.place import Backup
from ops.backup.retention import prune
from tests.ops.backup.books import open_home, place_of, settings, write_journal
from titan.journal import Journal
from titan.journal.archive import archive, archive_directory, history


async def journal_backup(home: Path) -> list[Backup]:
    return await take.take(
        take.Wish(home, place_of(home), settings(), kinds=(Kind.JOURNAL,), verify=True), lambda _: None
    )


@pytest.fixture
def home() -> Iterator[Path]:
    with open_home() as path:
        yield path


def compact(path: Path, upto: int) -> None:
    """As the router does: nothing goes before a checked copy of it is kept."""
    journal = Journal.open(path)
    archive(path, journal.last_seq)
    journal.compact(upto, b"{}")
    journal.close()


async def test_what_was_compacted_away_is_in_the_backups_once_and_comes_back(home: Path) -> None:
    path = write_journal(home, 7)
    compact(path, 4)
    assert [each.manifest.kind for each in await journal_backup(home)] == [Kind.JOURNAL, Kind.ARCHIVE]
    write_journal(home, 5)
    assert [each.manifest.kind for each in await journal_backup(home)] == [Kind.JOURNAL]
    compact(path, 9)
    made = await journal_backup(home)
    assert [each.manifest.kind for each in made] == [Kind.JOURNAL, Kind.ARCHIVE]
    before = [(row.seq, row.hash) for row in history(path)]
    assert [seq for seq, _ in before] == list(range(1, 13))
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    with unpack_journal(made[0]) as plain:
        place_journal(plain, path, 0, "now")
    assert len(place_archive(place_of(home).all(Kind.ARCHIVE), path)) == 2
    assert [(row.seq, row.hash) for row in history(path)] == before
    assert place_archive(place_of(home).all(Kind.ARCHIVE), path) == []


async def test_a_torn_copy_is_refused_and_no_retention_takes_one(home: Path) -> None:
    path = write_journal(home, 7)
    compact(path, 4)
    copy = (await journal_backup(home))[1]
    shutil.rmtree(archive_directory(path))
    old = replace(copy.manifest, taken_ms=1)
    old.write(copy.path)
    assert prune(place_of(home), lambda _: home / "none", dt.datetime.now(dt.UTC)) == []
    copy.file.write_bytes(copy.file.read_bytes()[:-9])
    with pytest.raises(Damaged, match="torn"):
        place_archive(place_of(home).all(Kind.ARCHIVE), path)


def lease_of(pid: int) -> Lease:
    return Lease(Holder("here", "boot", pid, pid, "router"), eager=True)


@pytest.mark.parametrize("restarts", [1, 3, 3 * TERM_MARGIN])
async def test_after_a_restore_no_leader_of_before_can_send_however_often_it_had_restarted(
    home: Path, restarts: int
) -> None:
    path = write_journal(home, 3)
    (snapshot,) = await journal_backup(home)
    # The leader of before: its lease on the bus has a term that neither the snapshot nor the ledger knows.
    old, term = lease_of(1), snapshot.manifest.term + restarts
    old.saw(Entry(Record(term - 1, 9, lease_of(9).me), 1), 0)
    old.lead(term)
    old.granted(old.claiming(), 1, 0)
    assert old.may_raise(1)
    with unpack_journal(snapshot) as plain:
        place_journal(plain, path, 0, "now")
    fresh = lease_of(2)
    fresh.saw(old.entry, 1)
    journal = Journal.open(path, after_term=fresh.last_term)
    try:
        assert journal.term > old.term
        fresh.lead(journal.term)
    finally:
        journal.close()
    write = fresh.claiming()
    fresh.granted(write, 2, 2)
    old.saw(Entry(write.record, 2), 3)
    assert (old.standing(3), old.may_raise(3), old.may_lower(3)) == (Standing.FENCED, False, False)
    # Its term is far beyond the one it found, so it lets the last sends of whoever led in between run out.
    for now_ms in range(3, 3 + LEASE_MS + LONGEST_SEND_MS, 500):
        fresh.granted(fresh.claiming(), now_ms, now_ms)
    assert fresh.may_raise(3 + LEASE_MS + LONGEST_SEND_MS)
    late = lease_of(3)
    late.saw(fresh.entry, 4)
    with pytest.raises(ValueError, match="does not follow"):
        late.lead(old.term)
