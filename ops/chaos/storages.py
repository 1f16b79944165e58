"""Faults of storage: the books away, the journal's disk full, its tail torn, a bit of it flipped.

Guarantees: the journal is changed only while no router has it open; what a test takes out of it is excused in the
invariants, nothing else. Never: a flipped bit in the journal that is in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ops.chaos.arena import Arena
from ops.chaos.eyes import Sight
from ops.chaos.fault import Injected, Skip
from ops.chaos.hooked import HOLD, order
from ops.chaos.story import said
from ops.chaos.system import gone
from titan.journal import JournalCorrupt, JournalFailed, StoredRow, read_rows, verify_file

FULL_S = 4.0
TORN_ROWS = 3
LOCK_WITHIN_S = 3.0
CHUNK = 1 << 20


async def disk_full(arena: Arena) -> Injected:
    """The journal's disk is filled for a while, under trade."""
    if not arena.system.own_journal_disk:
        raise Skip("the journal has no disk of its own: that needs root and mount")
    ballast = arena.system.home / "journal" / "ballast"
    try:
        await asyncio.to_thread(_fill, ballast)
        await arena.signals(FULL_S)
    finally:
        ballast.unlink(missing_ok=True)
    return Injected(time.monotonic())


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        for size in (CHUNK, 4096, 1):
            with contextlib.suppress(OSError):
                while stream.write(b"\0" * size):
                    pass
        try:
            os.posix_fallocate(stream.fileno(), stream.tell(), 1)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


async def torn_tail(arena: Arena) -> Injected:
    """The router dies, and the last rows that it wrote are gone when the next one starts."""
    runtime = arena.eyes.runtime
    router = await arena.actor("router")
    term = (await arena.eyes.look()).term
    held = order(arena.system.home, "router", HOLD)
    try:
        phase = await arena.moment()
        arena.strike(router.pid, signal.SIGKILL)
        await gone(router.pid, 5.0)
        lost = await asyncio.to_thread(_tear, arena, runtime.journal_path)
    finally:
        held.unlink(missing_ok=True)
    since = time.monotonic()

    def back(sight: Sight) -> bool:
        return sight.active and sight.term > term

    return Injected(since, back, note=f"{phase}; {lost} rows torn off")


def _tear(arena: Arena, path: Path) -> int:
    arena.look_forward()
    rows = arena.memory.rows
    lost = _tearable(rows)
    if not lost:
        raise Skip("no row may be torn off: the journal is too young")
    with _alone(path), contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=5.0)) as database:
        database.execute("DELETE FROM journal WHERE seq >= ?", (lost[0].seq,))
    # What the test itself took out needs no approval in the journal, and is no forgotten row.
    begun = [row for row in lost if said(row, "event") == "NEW"]
    arena.memory.excused |= {said(row, name) for row in begun for name in ("client_order_id", "signal_id")}
    del rows[-len(lost) :]
    return len(lost)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """The journal's own lock, so that no router opens it meanwhile. Raises Skip when one has."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # The threads of a process may die a moment after its first one.
                if time.monotonic() > deadline:
                    raise Skip("another router took the journal over at once") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _tearable(rows: list[StoredRow]) -> list[StoredRow]:
    lost = rows[-TORN_ROWS:]
    return [] if any(row.kind not in ("order", "fill") for row in lost) or len(rows) <= 2 * TORN_ROWS else lost


async def flipped_bit(arena: Arena) -> Injected:
    """A copy of the journal has one bit flipped: the check must find it, in every one of several places."""
    missed = await asyncio.to_thread(_flip, arena, arena.eyes.runtime.journal_path)
    return Injected(time.monotonic(), broken=lambda _: missed)


def _flip(arena: Arena, path: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="titan-flip-") as folder:
        copy = Path(folder) / "journal.db"
        with (
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        if verify_file(copy).error:
            return f"an untouched copy is said to be damaged: {verify_file(copy).error}"
        rows = read_rows(copy, 0)
        for row in arena.draw.sample(rows, min(5, len(rows))):
            spoilt = Path(folder) / "spoilt.db"
            shutil.copy(copy, spoilt)
            data = bytearray(spoilt.read_bytes())
            at = data.find(row.payload)
            if at < 0:
                continue  # a long payload lies in pieces
            data[at + arena.draw.randrange(len(row.payload))] ^= 1 << arena.draw.randrange(8)
            spoilt.write_bytes(bytes(data))
            with contextlib.suppress(JournalFailed, JournalCorrupt):
                if not verify_file(spoilt).error:
                    return f"a bit flipped in row {row.seq} was not found"
    return ""
