"""The real journal file in a world, for the few seeds that shall pay for a disk.

Guarantees: the same rows and terms as `MemoryJournal`, through `titan.journal.Journal`: its lock, its chain, its recovery.
A power loss takes nothing here: what a disk keeps of it is the disk's own affair. Never: kept in memory between two lives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from simulation.journal import DiskFull, JournalHeld, MemoryJournal, Watch
from titan.journal import Journal, Row, StoredRow


class FileJournal(MemoryJournal):
    """One SQLite journal, opened by one simulated router at a time."""

    def __init__(self, path: Path, watch: Watch) -> None:
        super().__init__(watch)
        self._path = path
        self._file: Journal | None = None

    def open(self, holder: object, *, after_term: int = 0) -> int:
        """Opens the file: lock, check of every row, the next term."""
        if self._file is not None:
            raise JournalHeld("another process holds the journal")
        self._file = Journal.open(self._path, after_term=after_term)
        self._holder = holder
        self.term = self._file.term
        return self.term

    def append(self, holder: object, rows: Sequence[Row]) -> list[StoredRow]:
        """Writes to the file."""
        if self._holder is not holder or self._file is None:
            raise JournalHeld("this process does not hold the journal")
        if self.full:
            raise DiskFull("no space left on the simulated device")
        self._file.append(rows)
        stored = list(self._file.rows(rows[0].seq - 1))
        for each in stored:
            self._watch(each)
        self._rows.extend(stored)
        return stored

    def rows(self, after_seq: int = 0) -> Iterator[StoredRow]:
        """Rows as the file has them while it is open."""
        return super().rows(after_seq) if self._file is None else self._file.rows(after_seq)

    def release(self, holder: object) -> None:
        """The process is gone, and its lock with it."""
        if self._holder is holder and self._file is not None:
            self._file.close()
            self._file = None
        super().release(holder)

    def lose_power(self, keep: int) -> int:
        """Nothing is lost."""
        del keep
        return 0

    def verify(self) -> str:
        """The chain as the file has it."""
        return super().verify() if self._file is None else self._file.verify().error
