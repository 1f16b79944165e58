"""Online backup of a journal: a whole, checked copy in one file, while the router goes on writing.

Guarantees: the copy is one snapshot of the file (never half of a transaction), its chain was recomputed from the copy
itself, and it is on disk before it takes the target's name; a failure leaves the target as it was. Never: a lock that
the router waits for (a reader of a write-ahead log holds up nobody), or a change of the source.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from titan.journal.errors import JournalCorrupt, JournalFailed
from titan.journal.reader import verify_file

_READ_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A finished copy: where, the last row and term in it, its size, and the SHA-256 of the file."""

    path: Path
    last_seq: int
    term: int
    size_bytes: int
    sha256: str


def backup(source: Path, target: Path) -> BackedUp:
    """Copies the journal `source` to `target`, which is replaced. Blocks: call it on a thread.

    Raises JournalFailed when either can't be read or written, JournalCorrupt when the copy's chain is broken.
    """
    if not source.is_file():
        raise JournalFailed(f"the journal {source} can't be backed up: there is no such file")
    if target.exists() and target.samefile(source):
        raise JournalFailed(f"the journal {source} can't be backed up onto itself; name another file")
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(source, partial)
        verdict = verify_file(partial)
        if verdict.error:
            raise JournalCorrupt(f"the journal {source} is damaged: {verdict.error}; no backup was made of it")
        size, digest = _sync_and_hash(partial)
        partial.replace(target)
        _sync_directory(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise JournalFailed(f"the journal {source} can't be backed up to {target}: {error}") from error
    finally:
        for name in (partial, *(partial.with_name(partial.name + end) for end in ("-wal", "-shm", "-journal"))):
            with suppress(OSError):
                name.unlink(missing_ok=True)
    return BackedUp(target, verdict.last_seq, verdict.term, size, digest)


def _copy(source: Path, partial: Path) -> None:
    partial.touch(mode=0o600)
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=_READ_TIMEOUT_S)) as database,
        closing(sqlite3.connect(partial, isolation_level=None)) as copy,
    ):
        # All pages in one step: one snapshot. In several steps every append of the router would begin the copy anew.
        database.backup(copy, pages=-1)
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")


def _sync_and_hash(path: Path) -> tuple[int, str]:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
        os.fsync(stream.fileno())
        return stream.tell(), digest.hexdigest()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
