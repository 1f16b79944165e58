"""The journal under torn tails, flipped bits, gaps, full disks and second writers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan.journal import Journal, JournalBusy, JournalCorrupt, JournalFailed, Row, read_rows, row_hash


def row(seq: int, text: str = "x", kind: str = "order") -> Row:
    return Row(seq, kind, f'{{"text":"{text}"}}'.encode(), 1_700_000_000_000 + seq)


def filled(path: Path, count: int) -> None:
    journal = Journal.open(path)
    for seq in range(1, count + 1):
        journal.append([row(seq)])
    journal.close()


def edit(path: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(path)
    database.execute(statement, values)
    database.commit()
    database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "titan_execution.db"


def test_rows_come_back_in_order_with_their_chain(path: Path) -> None:
    filled(path, 5)
    journal = Journal.open(path)
    found = list(journal.rows())
    assert [each.seq for each in found] == [1, 2, 3, 4, 5]
    assert found[1].hash == row_hash(found[0].hash, 1, 2, "order", found[1].payload, found[1].ts_ms)
    assert journal.verify().error == ""
    assert journal.verify().last_seq == 5
    journal.close()


def test_every_open_takes_the_next_term_even_when_nothing_was_written(path: Path) -> None:
    terms = []
    for _ in range(3):
        journal = Journal.open(path)
        terms.append(journal.term)
        journal.close()
    assert terms == [1, 2, 3]


def test_rows_carry_the_term_they_were_written_in(path: Path) -> None:
    filled(path, 1)
    journal = Journal.open(path)
    journal.append([row(2)])
    assert [each.term for each in journal.rows()] == [1, 2]
    journal.close()


def test_a_second_router_is_refused_and_told_who_holds_the_file(path: Path) -> None:
    journal = Journal.open(path)
    with pytest.raises(JournalBusy, match=str(os.getpid())):
        Journal.open(path)
    journal.close()
    Journal.open(path).close()


def test_a_row_out_of_sequence_is_refused(path: Path) -> None:
    journal = Journal.open(path)
    journal.append([row(1)])
    with pytest.raises(ValueError, match="row 3 does not follow 1"):
        journal.append([row(3)])
    journal.append([row(2)])
    journal.close()


def test_a_flipped_bit_is_found_and_the_row_named(path: Path) -> None:
    filled(path, 5)
    edit(path, "UPDATE journal SET payload = ? WHERE seq = 3", b'{"text":"y"}')
    with pytest.raises(JournalCorrupt, match=r"row 3 \(order\)"):
        Journal.open(path)


def test_a_flipped_bit_while_running_is_found_by_verify(path: Path) -> None:
    journal = Journal.open(path)
    for seq in range(1, 4):
        journal.append([row(seq)])
    edit(path, "UPDATE journal SET kind = 'fill' WHERE seq = 2")
    verdict = journal.verify()
    assert verdict.last_seq == 1
    assert "row 2 (fill)" in verdict.error
    journal.close()


def test_a_missing_row_is_found(path: Path) -> None:
    filled(path, 5)
    edit(path, "DELETE FROM journal WHERE seq = 3")
    with pytest.raises(JournalCorrupt, match="rows are missing"):
        Journal.open(path)


def test_nobody_else_can_read_it_or_what_lies_beside_it(path: Path) -> None:
    old = os.umask(0o022)
    try:
        journal = Journal.open(path)
        journal.append([row(1)])
        files = sorted(path.parent.glob(f"{path.stem}*"))
        assert {file.suffix for file in files} >= {".db", ".db-wal", ".tail"}
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        journal.close()
        path.chmod(0o644)
        Journal.open(path).close()
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(old)


def test_a_torn_last_row_is_cut_and_reported(path: Path) -> None:
    filled(path, 5)
    edit(path, "UPDATE journal SET payload = ? WHERE seq = 5", b'{"te')
    journal = Journal.open(path)
    assert journal.opened.torn_rows == 1
    assert journal.opened.lost_rows == 1
    assert journal.last_seq == 4
    journal.append([row(5, "again")])
    assert journal.verify().error == ""
    journal.close()


def test_rows_lost_from_the_tail_are_reported(path: Path) -> None:
    filled(path, 5)
    edit(path, "DELETE FROM journal WHERE seq > 3")
    journal = Journal.open(path)
    assert (journal.opened.torn_rows, journal.opened.lost_rows) == (0, 2)
    assert journal.last_seq == 3
    journal.close()
    again = Journal.open(path)
    assert again.opened.lost_rows == 0
    again.close()


def test_a_truncated_write_ahead_log_loses_only_its_tail_and_says_so(path: Path, tmp_path: Path) -> None:
    journal = Journal.open(path)
    for seq in range(1, 51):
        journal.append([row(seq, "x" * 500)])
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    for suffix in (".db", ".db-wal", ".tail"):
        source = path.with_name(path.stem + suffix)
        (copy.parent / source.name).write_bytes(source.read_bytes())
    journal.close()
    log = copy.with_name(copy.name + "-wal")
    log.write_bytes(log.read_bytes()[:-6000])
    torn = Journal.open(copy)
    assert 0 < torn.last_seq < 50
    assert torn.opened.lost_rows == 50 - torn.last_seq
    assert torn.verify().error == ""
    torn.close()


def test_a_file_that_is_no_journal_is_said_to_be_none(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(JournalCorrupt, match="restore a backup"):
        Journal.open(path)


def test_a_full_disk_is_a_failed_append_that_wrote_nothing(path: Path) -> None:
    journal = Journal.open(path)
    journal.append([row(1)])
    database = journal._database
    database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(JournalFailed, match="can't be written"):
        journal.append([row(2), row(3, "x" * 20_000)])
    assert journal.last_seq == 1
    database.execute("PRAGMA max_page_count = 1000000")
    journal.append([row(2), row(3, "x" * 20_000)])
    assert journal.verify().error == ""
    assert journal.last_seq == 3
    journal.close()


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where a directory should be")
    with pytest.raises(JournalFailed, match="can't be opened"):
        Journal.open(tmp_path / "journal" / "titan_execution.db")


def test_a_follower_reads_what_it_has_not_seen(path: Path) -> None:
    journal = Journal.open(path)
    for seq in range(1, 8):
        journal.append([row(seq)])
    assert [each.seq for each in journal.follow(0, 3)] == [1, 2, 3]
    assert [each.seq for each in journal.follow(3)] == [4, 5, 6, 7]
    assert journal.follow(7) == []
    assert [each.seq for each in read_rows(path, 5, 10)] == [6, 7]
    journal.close()


def test_reading_a_journal_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalFailed, match="can't be read"):
        read_rows(tmp_path / "none.db", 0, 1)


def test_how_far_the_bus_has_the_rows_survives(path: Path) -> None:
    journal = Journal.open(path)
    journal.append([row(1), row(2)])
    journal.mark_published(2)
    journal.mark_published(1)
    journal.close()
    again = Journal.open(path)
    assert again.published_seq == 2
    again.close()


def test_a_fold_moves_the_log_into_the_file_and_begins_it_anew(path: Path) -> None:
    journal = Journal.open(path)
    for seq in range(1, 101):
        journal.append([row(seq, "x" * 1000)])
    small = path.stat().st_size
    log = path.with_name(path.name + "-wal")
    grown = log.stat().st_size
    journal.fold()
    assert path.stat().st_size > small
    for seq in range(101, 201):
        journal.append([row(seq, "x" * 1000)])
    assert log.stat().st_size < grown * 1.5
    assert journal.verify().error == ""
    journal.close()


def test_a_log_wants_to_be_folded_when_it_has_grown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titan.journal.store.FOLD_WRITES", 3)
    journal = Journal.open(path)
    journal.fold()
    wanted = []
    for seq in range(1, 5):
        journal.append([row(seq)])
        wanted.append(journal.wants_fold)
    journal.fold()
    wanted.append(journal.wants_fold)
    assert wanted == [False, False, True, True, False]
    journal.close()


_SHORT_LIFE = """
import os, sys
from pathlib import Path
from titan.journal import Journal, Row
journal = Journal.open(Path(sys.argv[1]))
for _ in range(100):
    journal.append([Row(journal.last_seq + 1, "order", b"x" * 1000, 1)])
os._exit(0)
"""


def test_a_log_that_short_lives_left_behind_wants_to_be_folded_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titan.journal.store.FOLD_WRITES", 150)
    for _ in range(3):
        subprocess.run([sys.executable, "-c", _SHORT_LIFE, str(path)], check=True)
    journal = Journal.open(path)
    assert journal.last_seq == 300
    wanted = [journal.wants_fold]
    journal.fold()
    wanted.append(journal.wants_fold)
    assert wanted == [True, False]
    journal.close()


def test_a_sync_needs_its_log(path: Path) -> None:
    journal = Journal.open(path)
    journal.append([row(1)])
    journal.sync()
    path.with_name(path.name + "-wal").rename(path.with_name("moved"))
    with pytest.raises(JournalFailed, match="can't be synced"):
        journal.sync()
    path.with_name("moved").rename(path.with_name(path.name + "-wal"))
    journal.close()


_WRITER = """
import os, sys
from pathlib import Path
from titan.journal import Journal, Row
journal = Journal.open(Path(sys.argv[1]))
for seq in range(1, 100_000):
    journal.append([Row(seq, "order", b"{}", 1)])
    os.write(1, b"%d\\n" % seq)
"""


def test_what_append_returned_from_survives_a_killed_process(path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 200:
            break
    writer.send_signal(signal.SIGKILL)
    acknowledged = 200
    for line in writer.stdout:
        if line.endswith(b"\n"):
            acknowledged = int(line)
    writer.stdout.close()
    writer.wait()
    journal = Journal.open(path)
    assert journal.last_seq >= acknowledged
    assert journal.opened.lost_rows == 0
    assert journal.verify().error == ""
    journal.close()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_single_change_of_a_stored_row_is_detected(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.db"
    filled(path, 6)
    seq = data.draw(st.integers(1, 5))
    column = data.draw(st.sampled_from(["payload", "hash", "term", "ts_ms"]))
    database = sqlite3.connect(path)
    held = database.execute(f"SELECT {column} FROM journal WHERE seq = ?", (seq,)).fetchone()[0]
    changed: int | bytes
    if isinstance(held, int):
        changed = held ^ 1 << data.draw(st.integers(0, 40))
    else:
        content = bytearray(held)
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changed = bytes(content)
    database.execute(f"UPDATE journal SET {column} = ? WHERE seq = ?", (changed, seq))
    database.commit()
    database.close()
    with pytest.raises(JournalCorrupt):
        Journal.open(path)
