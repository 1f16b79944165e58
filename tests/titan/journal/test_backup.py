"""Copies of a journal that is being written, and what is refused to be called a copy."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from tests.titan.journal.files import acknowledged, edit, row, writer, written
from titan.journal import Journal, JournalCorrupt, JournalFailed, backup, read_rows, verify_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "titan_execution.db"


def test_a_backup_is_one_file_with_every_row_and_can_be_opened_as_a_journal(path: Path, tmp_path: Path) -> None:
    written(path, 30)
    target = tmp_path / "backups" / "copy.db"
    done = backup(path, target)
    assert (done.path, done.last_seq, done.term) == (target, 30, 1)
    assert done.size_bytes == target.stat().st_size
    assert done.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    assert sorted(each.name for each in target.parent.iterdir()) == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert read_rows(target, 0) == read_rows(path, 0)
    restored = Journal.open(target)
    assert (restored.last_seq, restored.term) == (30, 2)
    restored.append([row(31)])
    restored.close()


def test_backups_of_a_journal_under_a_writer_are_whole_and_hold_up_nobody(path: Path, tmp_path: Path) -> None:
    with writer(path, "fold") as process:
        for number in range(5):
            before = acknowledged(process, 400 * (number + 1))
            done = backup(path, tmp_path / f"{number}.db")
            assert done.last_seq >= before
            assert verify_file(done.path).error == ""
            acknowledged(process, done.last_seq + 1)
    assert verify_file(path).error == ""


def test_a_backup_of_what_a_killed_writer_left_has_every_acknowledged_row(path: Path, tmp_path: Path) -> None:
    with writer(path) as process:
        last = acknowledged(process, 300)
    assert backup(path, tmp_path / "copy.db").last_seq >= last


def test_a_damaged_journal_is_not_backed_up_and_the_old_backup_stays(path: Path, tmp_path: Path) -> None:
    written(path, 5)
    target = tmp_path / "copy.db"
    backup(path, target)
    before = target.read_bytes()
    edit(path, "UPDATE journal SET payload = ? WHERE seq = 3", b"{}")
    with pytest.raises(JournalCorrupt, match=r"row 3 \(order\)"):
        backup(path, target)
    assert target.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "journal"]


def test_what_is_not_there_or_no_journal_is_one_clear_error(path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalFailed, match="there is no such file"):
        backup(path, tmp_path / "copy.db")
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises((JournalFailed, JournalCorrupt), match="titan_execution"):
        backup(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_journal_is_not_backed_up_onto_itself(path: Path) -> None:
    written(path, 1)
    with pytest.raises(JournalFailed, match="onto itself"):
        backup(path, path)
    assert verify_file(path).last_seq == 1


def test_a_target_that_cannot_be_written_is_one_clear_error(path: Path, tmp_path: Path) -> None:
    written(path, 1)
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(JournalFailed, match="can't be backed up to"):
        backup(path, tmp_path / "file" / "copy.db")
