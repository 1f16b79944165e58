"""The router's journal: hash-chained rows (`rows`) in an embedded store (`store`), read, checked and copied online."""

from titan.journal.backup import BackedUp, backup
from titan.journal.errors import JournalBusy, JournalCorrupt, JournalFailed
from titan.journal.reader import last_rows, read_rows, verify_file
from titan.journal.rows import GENESIS, SNAPSHOT, Row, StoredRow, Verdict, check_rows, fault, row_hash
from titan.journal.store import Journal, Opened

__all__ = [
    "GENESIS",
    "SNAPSHOT",
    "BackedUp",
    "Journal",
    "JournalBusy",
    "JournalCorrupt",
    "JournalFailed",
    "Opened",
    "Row",
    "StoredRow",
    "Verdict",
    "backup",
    "check_rows",
    "fault",
    "last_rows",
    "read_rows",
    "row_hash",
    "verify_file",
]
