"""Tells one process from another that was given the same pid later.

Guarantees: a record names a process by pid, start time and command line; a process that differs in any of them is a stranger.
Never: a signal to a process that the record does not prove to be the one meant.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from titan.files import write_private


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process of this boot: its pid, its start (ticks since boot on Linux, milliseconds elsewhere), a hash of its arguments."""

    pid: int
    start: int
    argv_sha256: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The living process with that pid, or None; one that has exited but is not yet reaped is not living."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, _start(pid, process), argv_hash(process.cmdline()))
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return None

    def lives(self) -> bool:
        """Whether exactly this process still runs."""
        return ProcessId.of(self.pid) == self


def _start(pid: int, process: psutil.Process) -> int:
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        # Field 22 counts from boot and stands still when the wall clock is set; the name in field 2 may hold blanks.
        return int(stat.read_text().rpartition(")")[2].split()[19])
    return int(process.create_time() * 1000)


def argv_hash(argv: Sequence[str]) -> str:
    """A hash of a command line."""
    return hashlib.sha256("\0".join(argv).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """Which process is the server, and which process owns it."""

    server: ProcessId
    owner: ProcessId

    @classmethod
    def read(cls, path: Path) -> ServerRecord | None:
        """The record on disk; None when there is none or it can't be understood."""
        try:
            raw = json.loads(path.read_text())
            return cls(ProcessId(**raw["server"]), ProcessId(**raw["owner"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Replaces the record in one step."""
        write_private(path, json.dumps(asdict(self)) + "\n")


def own_id() -> ProcessId:
    """The calling process."""
    me = ProcessId.of(os.getpid())
    if me is None:
        raise ProcessLookupError("the system does not show this process to itself: is /proc mounted?")
    return me
