"""The journal's past: whole copies that are kept when it is compacted, and all rows ever written out of them.

Guarantees: nothing is compacted away before a checked copy of it is on disk; the history is one chain from row 1 over
every file, and says which rows are missing when it is not. Never: a copy removed (that is for a person).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from titan.journal.backup import BackedUp, backup
from titan.journal.errors import JournalCorrupt
from titan.journal.reader import read_rows
from titan.journal.rows import GENESIS, SNAPSHOT, StoredRow, fault

PAGE_ROWS = 5_000


def archive_directory(path: Path) -> Path:
    """Where the copies of the journal `path` are kept."""
    return path.parent / "archive"


def archive(path: Path, last_seq: int) -> BackedUp:
    """Keeps a copy of the journal as it stands. Raises JournalFailed, JournalCorrupt."""
    return backup(path, archive_directory(path) / f"{path.stem}-{last_seq:012d}.db")


def history(path: Path) -> Iterator[StoredRow]:
    """Every row that was ever written, from the first on, out of archive and journal; no snapshots.

    Raises JournalCorrupt where the chain breaks or rows are in no file, JournalFailed for a file that can't be read.
    """
    last, previous = 0, GENESIS
    for file in (*sorted(archive_directory(path).glob(f"{path.stem}-*.db")), path):
        for row in _rows_after(file, last):
            # A snapshot stands for rows that the copies have; one for rows that none has breaks the chain after it.
            if row.kind == SNAPSHOT:
                continue
            error = fault(row, last, previous)
            if error:
                raise JournalCorrupt(f"the history of {path} breaks in {file.name}: {error}; restore the missing copy")
            last, previous = row.seq, row.hash
            yield row


def _rows_after(file: Path, last: int) -> Iterator[StoredRow]:
    while page := read_rows(file, last, PAGE_ROWS):
        yield from page
        last = page[-1].seq
