"""A journal's rows, the hash that chains them, and the check of a chain.

Guarantees: values and pure functions, so that cores may use them; every column of a row is under its hash; a file that
was compacted begins with one `snapshot` row, which keeps the hash of the row it stands for, so that the chain goes on,
and carries a seal over itself. Never: a file.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from titan.values import value

GENESIS = bytes(32)
SNAPSHOT = "snapshot"
# Raised when hash or payloads change in a way that an older reader would misread.
FORMAT = 2
SEAL_BYTES = 32
_NUMBERS = struct.Struct(">QQq")


@value
class Row:
    """What a core wants written. `payload` is canonical JSON; `ts_ms` is wall time."""

    seq: int
    kind: str
    payload: bytes
    ts_ms: int


@value
class StoredRow:
    """A row as it stands in the file."""

    seq: int
    term: int
    kind: str
    payload: bytes
    hash: bytes
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a check: `error` is empty when the chain is whole from `first_seq` to `last_seq`."""

    last_seq: int
    error: str = ""
    first_seq: int = 0
    rows: int = 0
    term: int = 0


def row_hash(previous: bytes, term: int, seq: int, kind: str, payload: bytes, ts_ms: int) -> bytes:
    """SHA-256 over previous hash, term, seq, ts_ms, kind and payload, each with a fixed or stated length."""
    name = kind.encode()
    return hashlib.sha256(
        b"".join((previous, _NUMBERS.pack(term, seq, ts_ms), bytes((len(name),)), name, payload))
    ).digest()


def sealed(term: int, seq: int, digest: bytes, ts_ms: int, content: bytes) -> bytes:
    """A snapshot row's payload: its seal, then its content. `digest` is the hash of the row that it stands for."""
    return row_hash(digest, term, seq, SNAPSHOT, content, ts_ms) + content


def content_of(row: StoredRow) -> bytes:
    """What a row says: its payload, for a snapshot without the seal."""
    return row.payload[SEAL_BYTES:] if row.kind == SNAPSHOT else row.payload


def fault(row: StoredRow, last: int, previous: bytes) -> str:
    """Why a row can't stand after row `last` with hash `previous`; empty when it can."""
    if row.kind == SNAPSHOT:
        if last >= row.seq:
            return f"row {row.seq} is a snapshot behind row {last}"
        if row.payload != sealed(row.term, row.seq, row.hash, row.ts_ms, row.payload[SEAL_BYTES:]):
            return f"row {row.seq} ({row.kind}) does not match its seal"
        return ""
    if row.seq != last + 1:
        return f"row {row.seq} follows row {last}: rows are missing"
    if row_hash(previous, row.term, row.seq, row.kind, row.payload, row.ts_ms) != row.hash:
        return f"row {row.seq} ({row.kind}) does not match its hash"
    return ""


def check_rows(rows: Iterable[StoredRow]) -> Verdict:
    """Recomputes a chain from its first row; stops at the first fault."""
    first, last, count, term, previous = 0, 0, 0, 0, GENESIS
    for row in rows:
        error = fault(row, last, previous)
        if not error and count and row.kind == SNAPSHOT:
            error = f"row {row.seq} is a snapshot after row {last}: rows are missing"
        if error:
            return Verdict(last, error, first, count, term)
        first = first or row.seq
        last, previous, count, term = row.seq, row.hash, count + 1, max(term, row.term)
    return Verdict(last, "", first, count, term)
