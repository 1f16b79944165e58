"""The router's journal: rows in an embedded SQLite file, each chained to the one before it by hash.

Guarantees: a row that `append` returned from survives the death of the process; the sequence has no gap; a flipped bit
is found by `verify`, which also runs at every open; rows lost from the tail (power loss, a restored copy) are cut and
reported, because the last sequence is kept in a second place; one process at a time holds the file. Never: an fsync on
the caller's thread (`sync`, `fold` and `compact` are for a thread of their own), a row rewritten or removed but for a
torn tail and for those that `compact` puts a snapshot in the place of.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from titan.errors import TitanError
from titan.journal.errors import JournalBusy, JournalCorrupt, JournalFailed
from titan.journal.reader import TAIL_BYTES, format_error, stored_rows, tail_mark, tail_seq
from titan.journal.rows import FORMAT, GENESIS, SNAPSHOT, Row, StoredRow, Verdict, check_rows, fault, row_hash, sealed

MAX_FOLLOW = 5_000
# At most about 16 MB of log: a write to the file leaves a page in it, and a second one when it begins a new page.
FOLD_WRITES = 2_000
LOG_BYTES_A_WRITE = 8_192

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    hash BLOB NOT NULL,
    ts_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_MARK_FORMAT = "INSERT OR IGNORE INTO meta SELECT 'format', ? WHERE NOT EXISTS (SELECT 1 FROM journal)"
_INSERT = "INSERT INTO journal (seq, term, kind, payload, hash, ts_ms) VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening found. `torn_rows` were cut; `lost_rows` were acknowledged once and are not in the file any more."""

    rows: int
    last_seq: int
    term: int
    torn_rows: int
    lost_rows: int


class Journal:
    """The open journal of one router. `open` takes the next term and writes nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection
        self._lock: int
        self._tail: mmap.mmap
        self.last_seq = 0
        self.term = 0
        # Whether the row that the opener had checked stands in the file.
        self.continues = False
        self._hash = GENESIS
        self._published = 0
        self._writes = 0
        self.opened: Opened

    @classmethod
    def open(cls, path: Path, *, after_term: int = 0, checked: tuple[int, bytes] | None = None) -> Journal:
        """Opens or creates the file, checks every row, cuts a torn tail and takes the next fencing term.

        The term is later than the file's and than `after_term`. `checked` is a row, by sequence number and hash, up to which
        the caller has checked the chain itself: when it stands in the file, only later rows are read.
        Raises JournalBusy, JournalCorrupt (with the row), or JournalFailed when it can't be written.
        """
        journal = cls(path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            journal._take_lock()
        except OSError as error:
            raise JournalFailed(f"the journal {path} can't be opened: {error}; free or mount its disk") from error
        try:
            journal._open_database()
            journal._recover(after_term, checked)
            journal._take_term()
        except OSError as error:
            journal.close()
            raise JournalFailed(f"the journal {path} can't be opened: {error}; free or mount its disk") from error
        except sqlite3.DatabaseError as error:
            journal.close()
            raise _classified(error, path) from error
        except BaseException:
            journal.close()
            raise
        return journal

    def append(self, rows: Sequence[Row]) -> None:
        """Writes rows in one transaction. Raises JournalFailed (nothing written), ValueError for a gap."""
        seq, previous, term = self.last_seq, self._hash, self.term
        values = []
        for row in rows:
            seq += 1
            if row.seq != seq:
                raise ValueError(f"journal row {row.seq} does not follow {seq - 1}")
            previous = row_hash(previous, term, seq, row.kind, row.payload, row.ts_ms)
            values.append((seq, term, row.kind, row.payload, previous, row.ts_ms))
        execute = self._database.execute
        try:
            if len(values) == 1:
                execute(_INSERT, values[0])
            else:
                execute("BEGIN IMMEDIATE")
                for value in values:
                    execute(_INSERT, value)
                execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                if self._database.in_transaction:
                    execute("ROLLBACK")
            raise JournalFailed(f"the journal {self.path} can't be written: {error}") from error
        self.last_seq, self._hash = seq, previous
        self._writes += 1
        self._tail[:TAIL_BYTES] = tail_mark(seq, previous)

    def rows(self, after_seq: int = 0, limit: int = -1) -> Iterator[StoredRow]:
        """Rows after `after_seq` in order; all without a limit. The first of a compacted journal is its snapshot."""
        return stored_rows(self._database, after_seq, limit)

    def follow(self, from_seq: int, limit: int = MAX_FOLLOW) -> list[StoredRow]:
        """At most `limit` rows after `from_seq`: what a standby or an audit asks for again and again."""
        return list(self.rows(from_seq, max(1, min(limit, MAX_FOLLOW))))

    def verify(self) -> Verdict:
        """Recomputes the whole chain from the file."""
        try:
            verdict = check_rows(self.rows())
        except JournalCorrupt as error:
            return Verdict(0, str(error))
        if not verdict.error and verdict.last_seq != self.last_seq:
            return Verdict(verdict.last_seq, f"the file ends at row {verdict.last_seq}, {self.last_seq} were written")
        return verdict

    @property
    def head(self) -> bytes:
        """The hash of the last row."""
        return self._hash

    def last_before(self, ts_ms: int) -> int:
        """The last row before the first one that was written at `ts_ms` of wall time or later; 0 without one."""
        found = self._database.execute(
            "SELECT seq FROM journal WHERE ts_ms >= ? ORDER BY seq LIMIT 1", (ts_ms,)
        ).fetchone()
        return self.last_seq if found is None else int(found[0]) - 1

    def compact(self, base_seq: int, content: bytes) -> int:
        """Puts a snapshot with `content` in the place of the rows up to `base_seq`; returns how many rows are gone.

        One transaction: a process killed in it leaves all rows. The rows after it keep their hashes, and their chain
        goes on from the snapshot. Raises JournalFailed (nothing changed), ValueError for a row that is not there.
        """
        base = next(self.rows(base_seq - 1, 1), None)
        if base is None or base.seq != base_seq or base.kind == SNAPSHOT:
            raise ValueError(f"row {base_seq} can't be a snapshot's: it is not in the journal or is one already")
        payload = sealed(base.term, base.seq, base.hash, base.ts_ms, content)
        execute = self._database.execute
        try:
            execute("BEGIN IMMEDIATE")
            gone = execute("DELETE FROM journal WHERE seq <= ?", (base_seq,)).rowcount
            execute(_INSERT, (base.seq, base.term, SNAPSHOT, payload, base.hash, base.ts_ms))
            execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                if self._database.in_transaction:
                    execute("ROLLBACK")
            raise JournalFailed(f"the journal {self.path} can't be compacted: {error}") from error
        self.fold()
        return gone - 1

    @property
    def published_seq(self) -> int:
        """The last row whose events are known to be on the bus."""
        return self._published

    def mark_published(self, seq: int) -> None:
        """Remembers how far the bus has the rows. Losing this only publishes some rows twice. Raises JournalFailed."""
        if seq <= self._published:
            return
        try:
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('published', ?)", (seq,))
        except sqlite3.Error as error:
            raise JournalFailed(f"the journal {self.path} can't be written: {error}") from error
        self._published = seq
        self._writes += 1

    def sync(self) -> None:
        """Makes everything appended so far survive a power loss. Blocks for an fdatasync: call it on a thread."""
        try:
            descriptor = os.open(self.path.with_name(self.path.name + "-wal"), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise JournalFailed(f"the journal {self.path} can't be synced: {error}") from error

    @property
    def wants_fold(self) -> bool:
        """Whether the write-ahead log has grown enough to be folded into the file."""
        return self._writes >= FOLD_WRITES

    def fold(self) -> None:
        """Folds the log into the file and begins it anew. Blocks for several fsyncs: call it on a thread.

        It uses a connection of its own and makes the first write of the new log itself, because that one is synced: the
        router's next append then is not.
        """
        self._writes = 0
        database = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        try:
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
            database.execute("INSERT OR REPLACE INTO meta VALUES ('folded', ?)", (self.last_seq,))
        except sqlite3.Error as error:
            raise JournalFailed(f"the journal {self.path} can't be folded: {error}") from error
        finally:
            database.close()

    def close(self) -> None:
        """Releases file, tail and lock."""
        for name in ("_database", "_tail"):
            held = getattr(self, name, None)
            if held is not None:
                held.close()
        if hasattr(self, "_lock"):
            os.close(self._lock)
            del self._lock

    def _take_lock(self) -> None:
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise JournalBusy(
                f"the journal {self.path} is held by process {holder}; there can be one router, stop that one first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._lock = descriptor

    def _open_database(self) -> None:
        tail = self.path.with_suffix(".tail")
        for path in (self.path, tail):
            # SQLite gives its own files beside the first the mode of that one.
            path.touch(mode=0o600)
            path.chmod(0o600)
        self._database = sqlite3.connect(self.path, isolation_level=None, timeout=2.0, check_same_thread=False)
        execute = self._database.execute
        execute("PRAGMA journal_mode = WAL")
        # NORMAL never fsyncs at commit; checkpoints, and the first write after one (which do), are left to `fold`.
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA wal_autocheckpoint = 0")
        execute("PRAGMA locking_mode = NORMAL")
        self._database.executescript(_SCHEMA)
        execute(_MARK_FORMAT, (FORMAT,))
        with tail.open("ab") as stream:
            if stream.tell() < TAIL_BYTES:
                # Real bytes, not a hole: writing into a mapped hole on a full disk kills the process.
                stream.write(bytes(TAIL_BYTES - stream.tell()))
        with tail.open("r+b") as stream:
            self._tail = mmap.mmap(stream.fileno(), TAIL_BYTES)

    def _recover(self, after_term: int, checked: tuple[int, bytes] | None) -> None:
        previous, last, count = GENESIS, 0, 0
        torn = 0
        if checked is not None and self._has(*checked):
            last, previous = checked
            self.continues = True
        foreign = format_error(self._database)
        if foreign:
            raise self._corrupt(foreign)
        newest = self._database.execute("SELECT max(seq) FROM journal").fetchone()[0] or 0
        for row in self.rows(last):
            error = fault(row, last, previous)
            if error:
                # Only the very last row can be a write that was cut short; anything earlier was whole once.
                if row.seq == newest and row.seq == last + 1:
                    torn = 1
                    break
                raise self._corrupt(error)
            previous, last, count = row.hash, row.seq, count + 1
            self.term = max(self.term, row.term)
        if torn:
            self._database.execute("DELETE FROM journal WHERE seq > ?", (last,))
        lost = max(0, tail_seq(bytes(self._tail[:TAIL_BYTES])) - last)
        self.last_seq, self._hash = last, previous
        self._tail[:TAIL_BYTES] = tail_mark(last, previous)
        stored = dict(self._database.execute("SELECT key, value FROM meta").fetchall())
        self._published = min(stored.get("published", 0), last)
        # What earlier processes left in the log counts too, or one that never lives long would let it grow for ever.
        log = self.path.with_name(self.path.name + "-wal")
        self._writes = log.stat().st_size // LOG_BYTES_A_WRITE if log.exists() else 0
        self.term = max(self.term, stored.get("term", 0), after_term)
        self.opened = Opened(count, last, self.term + 1, torn, lost)

    def _has(self, seq: int, digest: bytes) -> bool:
        found = self._database.execute("SELECT hash FROM journal WHERE seq = ?", (seq,)).fetchone()
        return found is not None and found[0] == digest

    def _corrupt(self, error: str) -> JournalCorrupt:
        return JournalCorrupt(
            f"the journal {self.path} is damaged: {error}; stop, restore a backup, the venue fills the rest"
        )

    def _take_term(self) -> None:
        self.term += 1
        self._database.execute("INSERT OR REPLACE INTO meta VALUES ('term', ?)", (self.term,))


def _classified(error: sqlite3.DatabaseError, path: Path) -> TitanError:
    if isinstance(error, sqlite3.OperationalError):
        return JournalFailed(f"the journal {path} can't be opened: {error}; free or mount its disk")
    return JournalCorrupt(f"the journal {path} is no whole SQLite file: {error}; stop and restore a backup")
