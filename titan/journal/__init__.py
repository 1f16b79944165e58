"""The router's journal: hash-chained rows (`rows`) in an embedded store (`store`)."""

from titan.journal.rows import GENESIS, Row, StoredRow, row_hash
from titan.journal.store import (
    Journal,
    JournalBusy,
    JournalCorrupt,
    JournalFailed,
    Opened,
    Verdict,
    read_rows,
)

__all__ = [
    "GENESIS",
    "Journal",
    "JournalBusy",
    "JournalCorrupt",
    "JournalFailed",
    "Opened",
    "Row",
    "StoredRow",
    "Verdict",
    "read_rows",
    "row_hash",
]
