"""The journal's way back: unpacked, its chain recomputed, and put in its place with a term above any it may have given out.

Guarantees: what stood there is set aside, never removed; logs of the old file do not stay beside the new one; the next
router's term is higher than any term the ledger knows. Never: a journal under a running router (its lock is held).
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ops.backup.manifest import BLOCK, Damaged
from ops.backup.place import Backup
from titan.errors import Rejected
from titan.files import private_dir
from titan.journal import SNAPSHOT, JournalCorrupt, JournalFailed, read_rows, verify_file
from titan.journal.archive import archive_directory

SIDECARS = ("-wal", "-shm", "-journal")
# The snapshot's term may have been followed by this many restarts that nothing else recorded.
TERM_MARGIN = 1_000


@contextmanager
def journal_lock(path: Path) -> Iterator[None]:
    """Holds the journal against routers. Raises Rejected while one runs."""
    private_dir(path.parent)
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Rejected("WRITERS_RUN", f"a router holds {path}: stop Titan first, with `titan down`") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unpack_journal(backup: Backup) -> Iterator[Path]:
    """The journal of a backup as a file, its chain checked, for the length of a block. Raises Damaged."""
    with tempfile.TemporaryDirectory(prefix="titan-journal-") as scratch:
        plain = Path(scratch) / "journal.db"
        try:
            with gzip.open(backup.file) as packed, plain.open("wb") as target:
                shutil.copyfileobj(packed, target, BLOCK)
            verdict = verify_file(plain)
        except (OSError, EOFError, zlib.error, JournalFailed, JournalCorrupt) as error:
            raise Damaged(f"{backup.file} can't be unpacked: {error}; this backup is not usable") from error
        if verdict.error:
            raise Damaged(f"{backup.file}: {verdict.error}; this backup is not usable")
        if verdict.last_seq != backup.manifest.last_seq:
            raise Damaged(f"{backup.file} ends at row {verdict.last_seq}, its manifest says {backup.manifest.last_seq}")
        yield plain


def usable(path: Path) -> str:
    """Why the journal at `path` can't be used; empty when it can."""
    if not path.exists():
        return "it is gone"
    try:
        return verify_file(path).error
    except (JournalFailed, JournalCorrupt) as error:
        return str(error)


def compacted_up_to(path: Path) -> int:
    """The row up to which a journal is one snapshot; 0 for one that begins with its first row. Raises JournalFailed."""
    first = read_rows(path, 0, 1)
    return first[0].seq if first and first[0].kind == SNAPSHOT else 0


def place_archive(backups: Iterable[Backup], path: Path) -> list[str]:
    """Puts back what was compacted out of the journal at `path` and is not beside it; their names. Blocks. Raises Damaged."""
    folder = private_dir(archive_directory(path))
    placed = []
    for backup in backups:
        target = folder / f"{backup.name}.db"
        if target.exists() and not usable(target):
            continue
        backup.check()
        with unpack_journal(backup) as plain:
            draft = target.with_suffix(".restored")
            shutil.copyfile(plain, draft)
            draft.chmod(0o600)
            draft.replace(target)
        placed.append(target.name)
    return placed


def place_journal(plain: Path, path: Path, ledger_term: int, stamp: str) -> Path | None:
    """Puts a checked journal where the router looks; where the old one was set aside, if there was one. Blocks."""
    aside: Path | None = None
    for suffix in ("", *SIDECARS):
        old = path.with_name(path.name + suffix)
        if old.exists():
            kept = path.with_name(f"{path.name}.before-{stamp}{suffix}")
            old.replace(kept)
            aside = aside or kept
    draft = path.with_suffix(".restored")
    shutil.copyfile(plain, draft)
    draft.chmod(0o600)
    with closing(sqlite3.connect(draft, isolation_level=None)) as database:
        held = database.execute("SELECT max(term) FROM journal").fetchone()[0] or 0
        known = dict(database.execute("SELECT key, value FROM meta").fetchall()).get("term", 0)
        database.execute(
            "INSERT OR REPLACE INTO meta VALUES ('term', ?)", (max(held, known, ledger_term) + TERM_MARGIN,)
        )
    for suffix in SIDECARS:
        with suppress(FileNotFoundError):
            draft.with_name(draft.name + suffix).unlink()
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(path)
    return aside
