"""The router's journal in memory: the real rows and their real hash chain, a lock, a fencing term, and a tail that tears.

Guarantees: rows survive the death of a process; a power loss takes what was not synced, and nothing else; a row that does
not follow, or whose hash does not, is found at the next open. Never: a file (`simulation.filing` has one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from titan.journal.rows import GENESIS, Row, StoredRow, row_hash


class DiskFull(Exception):
    """The journal can't be written now."""


class JournalHeld(Exception):
    """Another process holds the journal."""


Watch = Callable[[StoredRow], None]


class MemoryJournal:
    """One journal 'file'. `watch` sees every row as it is written."""

    def __init__(self, watch: Watch) -> None:
        self.full = False
        self.published = 0
        self.term = 0
        self._rows: list[StoredRow] = []
        self._ends: list[int] = []
        self._synced = 0
        self._holder: object | None = None
        self._watch = watch

    @property
    def last_seq(self) -> int:
        """The last row."""
        return len(self._rows)

    @property
    def head(self) -> bytes:
        """The hash of the last row."""
        return self._rows[-1].hash if self._rows else GENESIS

    def has(self, seq: int, digest: bytes) -> bool:
        """Whether row `seq` has this hash."""
        return 0 < seq <= len(self._rows) and self._rows[seq - 1].hash == digest

    def open(self, holder: object, *, after_term: int = 0) -> int:
        """Takes the lock and the next term. Raises JournalHeld, or ValueError for a damaged chain."""
        if self._holder is not None and self._holder is not holder:
            raise JournalHeld("another process holds the journal")
        error = self.verify()
        if error:
            raise ValueError(error)
        self._holder = holder
        self.published = min(self.published, self.last_seq)
        self.term = max(self.term, after_term) + 1
        return self.term

    def append(self, holder: object, rows: Sequence[Row]) -> list[StoredRow]:
        """Writes rows under the present term. Raises DiskFull (nothing written), ValueError for a gap."""
        if self._holder is not holder:
            raise JournalHeld("this process does not hold the journal")
        if self.full:
            raise DiskFull("no space left on the simulated device")
        previous = self._rows[-1].hash if self._rows else GENESIS
        stored = []
        for seq, row in enumerate(rows, self.last_seq + 1):
            if row.seq != seq:
                raise ValueError(f"journal row {row.seq} does not follow {seq - 1}")
            previous = row_hash(previous, self.term, seq, row.kind, row.payload, row.ts_ms)
            stored.append(StoredRow(seq, self.term, row.kind, row.payload, previous, row.ts_ms))
        self._rows.extend(stored)
        self._ends.append(len(self._rows))
        for each in stored:
            self._watch(each)
        return stored

    def release(self, holder: object) -> None:
        """The operating system takes the lock back."""
        if self._holder is holder:
            self._holder = None

    def return_to(self, holder: object, term: int) -> bool:
        """A holder whose machine had lost the storage is back; False when somebody opened the journal meanwhile."""
        if self._holder is None and self.term == term:
            self._holder = holder
        return self._holder is holder

    def rows(self, after_seq: int = 0) -> Iterator[StoredRow]:
        """Rows after `after_seq`."""
        return iter(self._rows[after_seq:])

    def sync(self) -> None:
        """Everything so far survives a power loss."""
        self._synced = self.last_seq

    def lose_power(self, keep: int) -> int:
        """Cuts the tail after the synced rows and about `keep` more; returns how many rows are gone.

        Rows that were appended together are one transaction: they are lost together.
        """
        kept = max((end for end in self._ends if end <= self._synced + keep), default=self._synced)
        kept = max(kept, self._synced)
        self._ends = [end for end in self._ends if end <= kept]
        lost = self.last_seq - kept
        del self._rows[kept:]
        return lost

    def verify(self) -> str:
        """Recomputes the chain; empty when it is whole."""
        return fault_in(self._rows)

    def flip_bit(self, index: int) -> None:
        """Damages a row in place: what `verify` must find."""
        row = self._rows[index]
        damaged = bytes((row.payload[0] ^ 1,)) + row.payload[1:]
        self._rows[index] = StoredRow(row.seq, row.term, row.kind, damaged, row.hash, row.ts_ms)


def fault_in(rows: Sequence[StoredRow]) -> str:
    """What is wrong with a chain from its first row; empty when nothing is."""
    previous = GENESIS
    for seq, row in enumerate(rows, 1):
        if row.seq != seq:
            return f"row {row.seq} stands at place {seq}: rows are missing"
        if row_hash(previous, row.term, row.seq, row.kind, row.payload, row.ts_ms) != row.hash:
            return f"row {row.seq} ({row.kind}) does not match its hash"
        previous = row.hash
    return ""
