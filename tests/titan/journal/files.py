"""Journals on disk for tests: written, killed, copied with what stands beside them, edited."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from titan.journal import Journal, Row

_WRITER = """
import os, sys
from pathlib import Path
from titan.journal import Journal, Row
journal = Journal.open(Path(sys.argv[1]))
seq = journal.last_seq
while True:
    count = 1 + seq % 4
    journal.append([Row(seq + step + 1, "order", b'{"n":"%d"}' % (seq + step + 1), 1) for step in range(count)])
    seq += count
    if journal.wants_fold and "fold" in sys.argv:
        journal.fold()
    os.write(1, b"%d\\n" % seq)
"""


def row(seq: int, text: str = "x", kind: str = "order") -> Row:
    """A row with some text."""
    return Row(seq, kind, f'{{"text":"{text}"}}'.encode(), 1_700_000_000_000 + seq)


def written(path: Path, count: int, text: str = "x") -> Path:
    """A closed journal of `count` rows."""
    journal = Journal.open(path)
    for seq in range(journal.last_seq + 1, journal.last_seq + 1 + count):
        journal.append([row(seq, text)])
    journal.close()
    return path


def edit(path: Path, statement: str, *values: object) -> None:
    """Changes a file behind the journal's back."""
    database = sqlite3.connect(path)
    database.execute(statement, values)
    database.commit()
    database.close()


@contextmanager
def writer(path: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes without end, and says each sequence that it was acknowledged; killed at the end."""
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path), *options], stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        process.stdout.close()
        process.wait()


def acknowledged(process: subprocess.Popen[bytes], at_least: int) -> int:
    """Waits until the writer was acknowledged so many rows; gives how many."""
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= at_least:
            return int(line)
    raise AssertionError(f"the writer ended by itself with {process.wait()}")


def copied(path: Path, directory: Path) -> Path:
    """The file with its log and tail mark, byte by byte as they stand."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in (path.name, f"{path.name}-wal", path.with_suffix(".tail").name):
        source = path.with_name(name)
        if source.exists():
            (directory / name).write_bytes(source.read_bytes())
    return directory / path.name


def flip(path: Path, byte: int, bit: int) -> None:
    """Flips one bit."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        held = os.pread(descriptor, 1, byte)[0]
        os.pwrite(descriptor, bytes((held ^ 1 << bit,)), byte)
    finally:
        os.close(descriptor)
