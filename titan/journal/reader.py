"""Reads a journal's file through a connection of its own: for threads beside the writer's, and for files at rest.

Guarantees: opened read-only, so that a file in use, a backup or an archive can be read; content that can't be what was
written is JournalCorrupt with the row, whatever SQLite makes of it. Never: a lock that the writer waits for, a change.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from titan.journal.errors import JournalCorrupt, JournalFailed
from titan.journal.rows import FORMAT, StoredRow, Verdict, check_rows

SELECT = "SELECT seq, term, kind, payload, hash, ts_ms FROM journal"
_READ_TIMEOUT_S = 5.0
_TAIL = struct.Struct(">q32s8s")
TAIL_BYTES = _TAIL.size


def read_rows(path: Path, after_seq: int, limit: int = -1) -> list[StoredRow]:
    """At most `limit` rows after `after_seq`; all of them without a limit. Raises JournalFailed, JournalCorrupt."""
    with closing(_connect(path)) as database:
        return list(stored_rows(database, after_seq, limit))


def last_rows(path: Path, count: int) -> list[StoredRow]:
    """The last `count` rows, oldest first. Raises JournalFailed, JournalCorrupt."""
    with closing(_connect(path)) as database:
        statement = f"{SELECT} WHERE seq > (SELECT coalesce(max(seq), 0) FROM journal) - ? ORDER BY seq"
        return list(_converted(_executed(database, statement, (count,))))


def verify_file(path: Path) -> Verdict:
    """Recomputes the whole chain of a file and holds its end against the tail mark beside it, where there is one.

    Raises JournalFailed when the file can't be read at all.
    """
    # The mark is written after the row: read before the rows it is never ahead of a file that is being written.
    remembered = marked_seq(path)
    with closing(_connect(path)) as database:
        try:
            error = page_error(database) or format_error(database)
            verdict = Verdict(0, error) if error else check_rows(stored_rows(database))
        except JournalCorrupt as corrupt:
            return Verdict(0, str(corrupt))
    if not verdict.error and remembered > verdict.last_seq:
        lost = f"the file ends at row {verdict.last_seq}, {remembered} were written"
        return Verdict(verdict.last_seq, lost, verdict.first_seq, verdict.rows, verdict.term)
    return verdict


def stored_rows(database: sqlite3.Connection, after_seq: int = 0, limit: int = -1) -> Iterator[StoredRow]:
    """Rows after `after_seq` in order, as they stand. Raises JournalFailed, JournalCorrupt."""
    yield from _converted(_executed(database, f"{SELECT} WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit)))


def page_error(database: sqlite3.Connection) -> str:
    """What SQLite itself finds wrong with the file; empty when nothing is. Reads every page."""
    found = next(_executed(database, "PRAGMA quick_check(1)", ()))[0]
    return "" if found == "ok" else f"the file is damaged: {found}"


def format_error(database: sqlite3.Connection) -> str:
    """Why a file is no journal that this Titan can read; empty when it is one."""
    rows = next(_executed(database, "SELECT count(*) FROM (SELECT 1 FROM journal LIMIT 1)", ()))[0]
    known = next(_executed(database, "SELECT value FROM meta WHERE key = 'format'", ()), None)
    written = 1 if known is None else known[0]
    if rows and written != FORMAT:
        age = "a newer" if isinstance(written, int) and written > FORMAT else "an older"
        return f"it is of format {written} ({age} Titan wrote it), this one reads format {FORMAT}"
    return ""


def tail_mark(seq: int, digest: bytes) -> bytes:
    """The bytes of the second place that remembers how far the journal was written."""
    return _TAIL.pack(seq, digest, hashlib.sha256(seq.to_bytes(8, "big") + digest).digest()[:8])


def tail_seq(raw: bytes) -> int:
    """The row that a tail mark names; 0 for one that is damaged or empty."""
    if len(raw) < _TAIL.size:
        return 0
    seq, digest, check = _TAIL.unpack(raw[: _TAIL.size])
    whole = hashlib.sha256(seq.to_bytes(8, "big", signed=True) + digest).digest()[:8] == check
    return int(seq) if whole else 0


def marked_seq(path: Path) -> int:
    """How far the journal `path` was written by its tail mark; 0 without one."""
    try:
        return tail_seq(path.with_suffix(".tail").read_bytes())
    except OSError:
        return 0


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise JournalFailed(f"the journal {path} can't be read: there is no such file")
    try:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_READ_TIMEOUT_S)
    except sqlite3.Error as error:
        raise JournalFailed(f"the journal {path} can't be read: {error}") from error


def _executed(database: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> Iterator[tuple[object, ...]]:
    try:
        for found in database.execute(statement, values):  # noqa: UP028 - `yield from` would close a cursor of a closed file
            yield found
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.OperationalError as error:
        # A busy or vanished file; a schema that is not ours and text that is no UTF-8 come under the same class.
        if any(sign in str(error) for sign in ("no such", "decode", "malformed")):
            raise JournalCorrupt(f"it is no whole journal: {error}") from error
        raise JournalFailed(f"the journal can't be read: {error}") from error
    except sqlite3.DatabaseError as error:
        raise JournalCorrupt(f"it is no whole SQLite file: {error}") from error


def _converted(found: Iterator[tuple[object, ...]]) -> Iterator[StoredRow]:
    for values in found:
        seq, term, kind, payload, digest, ts_ms = values
        if not (
            isinstance(seq, int)
            and isinstance(term, int)
            and isinstance(kind, str)
            and isinstance(payload, bytes)
            and isinstance(digest, bytes)
            and isinstance(ts_ms, int)
            and term >= 0
            and len(kind.encode()) < 256
        ):
            raise JournalCorrupt(f"row {seq} has a column of a wrong type")
        yield StoredRow(seq, term, kind, payload, digest, ts_ms)
