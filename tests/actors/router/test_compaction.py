"""A journal that was compacted: the same state, the same chain, every row in the archive, whoever was killed."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from actors.router import books, compaction
from actors.router.compaction import compact_if_due, encoded, snapshot_of
from actors.router.state import RouterState
from tests.actors.router.story import CONFIG, Story
from titan.journal import SNAPSHOT, Journal, JournalCorrupt, Row, StoredRow, read_rows, verify_file
from titan.journal.archive import archive_directory, history
from titan.journal.format import parse

DAY_MS = 86_400_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "titan_execution.db"


def begun(path: Path, story: Story, count: int = 400) -> Journal:
    journal = Journal.open(path)
    journal.append(story.more(count))
    journal.mark_published(journal.last_seq)
    return journal


def replayed(journal: Journal) -> RouterState:
    state = RouterState()
    books.replay(state, CONFIG, journal.rows())
    return state


def shrunk(journal: Journal, story: Story, keep_ms: int = 2 * DAY_MS) -> compaction.Compacted:
    done = compact_if_due(journal, CONFIG, story.ts_ms, keep_ms, min_rows=10)
    assert done is not None
    return done


@pytest.mark.parametrize("seed", range(12))
def test_a_compacted_journal_replays_to_the_same_state_and_goes_on(seed: int, path: Path) -> None:
    story = Story(seed)
    journal = begun(path, story)
    before = list(journal.rows())
    done = shrunk(journal, story)
    assert done.refused == ""
    assert done.rows == done.base_seq - 1
    first, *rest = journal.rows()
    assert (first.kind, first.seq, first.hash) == (SNAPSHOT, done.base_seq, before[done.base_seq - 1].hash)
    assert rest == before[done.base_seq :]
    assert snapshot_of(replayed(journal), CONFIG) == snapshot_of(story.state, CONFIG)
    journal.append(story.more(50))
    assert journal.verify().error == ""
    assert snapshot_of(replayed(journal), CONFIG) == snapshot_of(story.state, CONFIG)
    journal.close()
    again = Journal.open(path)
    assert (again.opened.torn_rows, again.opened.lost_rows, again.last_seq) == (0, 0, story.seq)
    again.close()


def test_every_id_of_the_time_that_is_kept_is_still_known(path: Path) -> None:
    story = Story(3)
    journal = begun(path, story)
    done = shrunk(journal, story)
    recent = RouterState()
    books.replay(recent, CONFIG, journal.rows(done.base_seq))
    state = replayed(journal)
    assert recent.intents <= state.intents
    assert recent.fills <= state.fills
    assert recent.fills
    journal.close()


def test_a_journal_is_compacted_again_and_its_history_is_whole(path: Path) -> None:
    story = Story(4)
    journal = begun(path, story)
    everything = list(journal.rows())
    shrunk(journal, story)
    for _ in range(2):
        story.ts_ms += 3 * DAY_MS
        added = story.more(120)
        journal.append(added)
        journal.mark_published(journal.last_seq)
        everything += list(journal.rows(added[0].seq - 1))
        shrunk(journal, story)
    assert [each.kind for each in journal.rows()].count(SNAPSHOT) == 1
    assert len(list(archive_directory(path).iterdir())) == 3
    assert list(history(path)) == everything
    assert snapshot_of(replayed(journal), CONFIG) == snapshot_of(story.state, CONFIG)
    journal.close()


def test_a_history_whose_copy_is_missing_names_the_rows(path: Path) -> None:
    story = Story(5)
    journal = begun(path, story)
    done = shrunk(journal, story)
    next(archive_directory(path).iterdir()).unlink()
    with pytest.raises(JournalCorrupt, match=f"row {done.base_seq + 1} follows row 0: rows are missing"):
        list(history(path))
    journal.close()


def test_nothing_is_compacted_before_it_is_due_or_announced(path: Path) -> None:
    story = Story(6)
    journal = begun(path, story)
    rows = list(journal.rows())
    assert compact_if_due(journal, CONFIG, story.ts_ms) is None
    assert compact_if_due(journal, CONFIG, story.ts_ms, 2 * DAY_MS, min_rows=10_000) is None
    journal.close()
    silent = Journal.open(path.with_name("silent.db"))
    silent.append([Row(each.seq, each.kind, each.payload, each.ts_ms) for each in rows])
    assert compact_if_due(silent, CONFIG, story.ts_ms, 2 * DAY_MS, min_rows=10) is None
    assert not archive_directory(path).exists()
    silent.close()


def test_a_snapshot_that_would_give_another_state_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = compaction.encoded
    monkeypatch.setattr(compaction, "encoded", lambda made: honest(replace(made, cursor_ms=made.cursor_ms + 10**12)))
    story = Story(7)
    journal = begun(path, story)
    rows = list(journal.rows())
    done = shrunk(journal, story)
    assert "cursor_ms" in done.refused
    assert list(journal.rows()) == rows
    journal.close()


def test_without_room_for_the_copy_nothing_is_compacted_and_the_journal_stays(path: Path) -> None:
    story = Story(7)
    journal = begun(path, story)
    rows = list(journal.rows())
    archive_directory(path).write_text("a file where a directory should be")
    assert "can't be backed up" in shrunk(journal, story).refused
    assert list(journal.rows()) == rows
    journal.close()


def test_a_snapshot_comes_back_as_it_was_written() -> None:
    story = Story(8)
    story.more(300)
    made = snapshot_of(story.state, CONFIG)
    assert parse(StoredRow(9, 1, SNAPSHOT, bytes(32) + encoded(made), b"", 1)) == made


@pytest.mark.parametrize("column", ["payload", "hash", "term", "ts_ms"])
def test_a_flipped_bit_in_a_snapshot_is_found(path: Path, column: str) -> None:
    story = Story(9)
    journal = begun(path, story)
    done = shrunk(journal, story)
    journal.close()
    database = sqlite3.connect(path)
    held = database.execute(f"SELECT {column} FROM journal WHERE seq = ?", (done.base_seq,)).fetchone()[0]
    changed = held ^ 4 if isinstance(held, int) else held[:-1] + bytes((held[-1] ^ 1,))
    database.execute(f"UPDATE journal SET {column} = ? WHERE seq = ?", (changed, done.base_seq))
    database.commit()
    database.close()
    assert verify_file(path).error == f"row {done.base_seq} (snapshot) does not match its seal"
    with pytest.raises(JournalCorrupt, match="does not match its seal"):
        Journal.open(path)


_COMPACTOR = """
import os, sys
from pathlib import Path
from actors.router.compaction import compact_if_due
from tests.actors.router.story import CONFIG
from titan.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
os.write(1, b"x")
compact_if_due(journal, CONFIG, int(sys.argv[2]), 86_400_000, 10)
os.write(1, b"y")
"""


def test_a_router_killed_while_it_compacts_has_lost_nothing(tmp_path: Path) -> None:
    chance = random.Random(1)
    story = Story(10)
    source = begun(tmp_path / "source.db", story, 1500)
    everything = list(source.rows())
    source.close()
    whole = (tmp_path / "source.db").read_bytes()
    for number in range(8):
        path = tmp_path / str(number) / "titan_execution.db"
        path.parent.mkdir()
        path.write_bytes(whole)
        process = subprocess.Popen(
            [sys.executable, "-c", _COMPACTOR, str(path), str(story.ts_ms)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.read(1) == b"x"
        # Not a wait for anything: the moment of the death is what varies.
        time.sleep(chance.random() * 0.35)
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()
        journal = Journal.open(path)
        assert journal.verify().error == ""
        assert snapshot_of(replayed(journal), CONFIG) == snapshot_of(story.state, CONFIG)
        assert list(history(path)) == everything
        journal.close()


def test_a_reader_that_asks_from_before_the_snapshot_gets_it_first(path: Path) -> None:
    story = Story(11)
    journal = begun(path, story)
    done = shrunk(journal, story)
    assert [each.seq for each in journal.follow(0, 2)] == [done.base_seq, done.base_seq + 1]
    assert read_rows(path, 7, 1)[0].kind == SNAPSHOT
    assert read_rows(path, done.base_seq, 1)[0].seq == done.base_seq + 1
    journal.close()
