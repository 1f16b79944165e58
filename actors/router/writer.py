"""Writes the core's rows and hands them to the outbox; outlives a disk that is full.

Guarantees: rows reach the journal in sequence; rows that could not be written are kept and written first when it is
possible again; `healthy` is False as long as any row waits, and no opening may leave then. Rows are told of when `tell` is
called, after they are written and in their order; what was not told before a crash the next leader tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.router.outbox import Outbox
from titan.journal import Journal, JournalFailed, Row, StoredRow
from titan.journal.format import KINDS
from titan.metrics import Metrics

Changed = Callable[[bool, str], None]
Written = Callable[[Sequence[Row]], None]


def _nobody(rows: Sequence[Row]) -> None:
    """Nobody else wants to know what was written."""


class JournalWriter:
    """The only caller of `Journal.append`."""

    def __init__(
        self, journal: Journal, outbox: Outbox, metrics: Metrics, changed: Changed, written: Written = _nobody
    ) -> None:
        self._journal = journal
        self._told = written
        self._outbox = outbox
        self._rows = metrics.counter("titan_router_journal_rows_total")
        metrics.zero("titan_router_journal_rows_total", sorted(KINDS))
        self._rejections = metrics.counter("titan_execution_risk_rejections_total")
        self._changed = changed
        self._waiting: list[Row] = []
        self._untold: list[Row] = []

    @property
    def healthy(self) -> bool:
        """Whether everything asked for is in the journal."""
        return not self._waiting

    @property
    def waiting(self) -> int:
        """Rows that are not in the journal yet."""
        return len(self._waiting)

    def append(self, rows: Sequence[Row]) -> None:
        """Writes rows, or keeps them and says that the journal failed."""
        if self._waiting:
            self._waiting.extend(rows)
            return
        try:
            self._journal.append(rows)
        except JournalFailed as error:
            self._waiting.extend(rows)
            self._changed(False, str(error))
            return
        self._untold.extend(rows)

    def retry(self) -> None:
        """Tries again to write what waits."""
        if not self._waiting:
            return
        try:
            self._journal.append(self._waiting)
        except JournalFailed:
            return
        rows, self._waiting = self._waiting, []
        self._untold.extend(rows)
        self.tell()
        self._changed(True, "")

    def sync(self) -> None:
        """Makes every written row outlive a power loss. Blocks: call it on a thread. Raises JournalFailed."""
        self._journal.sync()

    @property
    def untold(self) -> bool:
        """Whether rows were written that nobody was told of."""
        return bool(self._untold)

    def tell(self) -> None:
        """Tells the outbox and the followers of what was written."""
        rows, self._untold = self._untold, []
        if not rows:
            return
        term = self._journal.term
        self._outbox.put(StoredRow(row.seq, term, row.kind, row.payload, b"", row.ts_ms) for row in rows)
        self._told(rows)
        for row in rows:
            self._rows.labels(row.kind).inc()
            if row.kind == "reject":
                self._rejections.inc()
