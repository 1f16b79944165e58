"""A journal's rows and the hash that chains them.

Guarantees: values and one pure function, so that cores may use them. Never: a file.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

GENESIS = bytes(32)
_NUMBERS = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class Row:
    """What a core wants written. `payload` is canonical JSON; `ts_ms` is wall time."""

    seq: int
    kind: str
    payload: bytes
    ts_ms: int


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row as it stands in the file."""

    seq: int
    term: int
    kind: str
    payload: bytes
    hash: bytes
    ts_ms: int


def row_hash(previous: bytes, term: int, seq: int, kind: str, payload: bytes) -> bytes:
    """SHA-256 over previous hash, term, seq, kind and payload, each with a fixed or stated length."""
    name = kind.encode()
    return hashlib.sha256(b"".join((previous, _NUMBERS.pack(term, seq), bytes((len(name),)), name, payload))).digest()
