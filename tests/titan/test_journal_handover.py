"""The journal as a standby takes it over: a term above everybody's, and only the tail that it has not checked itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from titan.journal import Journal, JournalCorrupt, Row


def filled(path: Path, count: int) -> list[tuple[int, bytes]]:
    journal = Journal.open(path)
    marks = []
    for seq in range(1, count + 1):
        journal.append([Row(seq, "order", b'{"n":%d}' % seq, 1_700_000_000_000 + seq)])
        marks.append((seq, journal.head))
    journal.close()
    return marks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "titan_execution.db"


def test_the_term_follows_the_file_and_the_lease(path: Path) -> None:
    for after_term, expected in ((0, 1), (7, 8), (3, 9), (9, 10)):
        journal = Journal.open(path, after_term=after_term)
        assert journal.term == expected
        journal.close()


def test_only_rows_after_the_checked_one_are_read_again(path: Path) -> None:
    marks = filled(path, 5)
    journal = Journal.open(path, checked=marks[2])
    assert (journal.opened.rows, journal.last_seq, journal.head) == (2, 5, marks[4][1])
    journal.append([Row(6, "order", b"{}", 1)])
    assert journal.verify().error == ""
    journal.close()


def test_a_checked_row_that_is_not_in_the_file_makes_the_whole_file_be_read(path: Path) -> None:
    filled(path, 5)
    for wrong in ((3, bytes(32)), (9, bytes(32))):
        journal = Journal.open(path, checked=wrong)
        assert (journal.opened.rows, journal.last_seq) == (5, 5)
        journal.close()


def test_a_damaged_tail_is_found_also_when_the_rest_was_checked(path: Path) -> None:
    marks = filled(path, 5)
    database = sqlite3.connect(path)
    database.execute("UPDATE journal SET payload = ? WHERE seq = 4", (b"{}",))
    database.commit()
    database.close()
    with pytest.raises(JournalCorrupt, match="row 4"):
        Journal.open(path, checked=marks[2])
