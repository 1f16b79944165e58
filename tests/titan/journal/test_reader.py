"""A journal's file read and checked from outside: in use, at rest, torn, flipped, of another format."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.titan.journal.files import acknowledged, copied, edit, flip, row, writer, written
from titan.journal import Journal, JournalCorrupt, JournalFailed, StoredRow, backup, last_rows, read_rows, verify_file

FLIPS = 300
CUTS = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "titan_execution.db"


def test_a_whole_journal_is_said_to_be_whole(path: Path) -> None:
    verdict = verify_file(written(path, 7))
    assert (verdict.error, verdict.first_seq, verdict.last_seq, verdict.rows, verdict.term) == ("", 1, 7, 7, 1)


def test_a_journal_is_checked_while_a_router_writes_it(path: Path) -> None:
    with writer(path) as process:
        for wanted in (50, 400, 900):
            before = acknowledged(process, wanted)
            verdict = verify_file(path)
            assert verdict.error == ""
            assert verdict.last_seq >= before


def test_the_row_and_the_reason_of_a_fault_are_named(path: Path) -> None:
    written(path, 6)
    edit(path, "UPDATE journal SET ts_ms = ts_ms + 1 WHERE seq = 4")
    assert verify_file(path).error == "row 4 (order) does not match its hash"
    assert verify_file(path).last_seq == 3
    edit(path, "DELETE FROM journal WHERE seq = 2")
    assert verify_file(path).error == "row 3 follows row 1: rows are missing"


def test_a_tail_that_was_cut_is_found_by_the_mark_beside_the_file(path: Path) -> None:
    written(path, 6)
    edit(path, "DELETE FROM journal WHERE seq > 4")
    assert verify_file(path).error == "the file ends at row 4, 6 were written"


def test_a_column_of_another_type_is_found(path: Path) -> None:
    written(path, 4)
    edit(path, "UPDATE journal SET payload = 'text' WHERE seq = 2")
    assert verify_file(path).error == "row 2 has a column of a wrong type"
    with pytest.raises(JournalCorrupt, match="row 2"):
        Journal.open(path)


@pytest.mark.parametrize(("change", "said"), [("DELETE FROM meta", "older"), ("UPDATE meta SET value = 9", "newer")])
def test_a_journal_of_another_format_is_refused_and_says_so(path: Path, change: str, said: str) -> None:
    written(path, 3)
    edit(path, f"{change} WHERE key = 'format'")
    assert said in verify_file(path).error
    with pytest.raises(JournalCorrupt, match=said):
        Journal.open(path)


def test_a_missing_file_can_not_be_checked(tmp_path: Path) -> None:
    with pytest.raises(JournalFailed, match="no such file"):
        verify_file(tmp_path / "none.db")


def test_the_last_rows_come_oldest_first(path: Path) -> None:
    written(path, 9)
    assert [each.seq for each in last_rows(path, 3)] == [7, 8, 9]
    assert [each.seq for each in last_rows(path, 100)] == list(range(1, 10))


def _readable(path: Path) -> list[StoredRow] | None:
    try:
        return read_rows(path, 0)
    except (JournalCorrupt, JournalFailed):
        return None


def test_any_flipped_bit_of_the_file_is_found_or_touches_no_row(path: Path, tmp_path: Path) -> None:
    written(path, 60, "some text of an order")
    copy = backup(path, tmp_path / "copy.db").path
    rows, whole = read_rows(copy, 0), copy.read_bytes()
    chance = random.Random(20)
    found = 0
    for _ in range(FLIPS):
        copy.write_bytes(whole)
        flip(copy, chance.randrange(len(whole)), chance.randrange(8))
        try:
            error = verify_file(copy).error
        except JournalFailed as failure:
            error = str(failure)
        assert error or _readable(copy) == rows
        found += bool(error)
    assert found > FLIPS / 8


def test_a_copy_cut_anywhere_is_opened_with_its_loss_told_or_refused(path: Path, tmp_path: Path) -> None:
    journal = Journal.open(path)
    for seq in range(1, 61):
        journal.append([row(seq, "x" * 200)])
    torn = copied(path, tmp_path / "torn")
    journal.close()
    log = torn.with_name(f"{torn.name}-wal")
    whole, base = log.read_bytes(), torn.read_bytes()
    mark = torn.with_suffix(".tail").read_bytes()
    chance = random.Random(21)
    told = 0
    for _ in range(CUTS):
        torn.write_bytes(base)
        log.write_bytes(whole[: chance.randrange(len(whole))])
        torn.with_suffix(".tail").write_bytes(mark)
        again = Journal.open(torn)
        assert again.opened.lost_rows == 60 - again.last_seq
        assert again.verify().error == ""
        told += again.opened.lost_rows > 0
        again.close()
        for left in (log, torn.with_name(f"{torn.name}-shm")):
            left.unlink(missing_ok=True)
    assert told > CUTS / 2


def test_a_flipped_bit_in_the_log_loses_no_row_silently(path: Path, tmp_path: Path) -> None:
    journal = Journal.open(path)
    for seq in range(1, 61):
        journal.append([row(seq, "x" * 200)])
    torn = copied(path, tmp_path / "torn")
    rows = list(journal.rows())
    journal.close()
    log = torn.with_name(f"{torn.name}-wal")
    whole, base, mark = log.read_bytes(), torn.read_bytes(), torn.with_suffix(".tail").read_bytes()
    chance = random.Random(22)
    for _ in range(CUTS):
        torn.write_bytes(base)
        log.write_bytes(whole)
        torn.with_suffix(".tail").write_bytes(mark)
        flip(log, chance.randrange(len(whole)), chance.randrange(8))
        try:
            error = verify_file(torn).error
        except JournalFailed as failure:
            error = str(failure)
        assert error or _readable(torn) == rows
        for left in (log, torn.with_name(f"{torn.name}-shm")):
            left.unlink(missing_ok=True)
