"""What a supervisor must still know when it comes back: the history of its tree and whether it was up.

Guarantees: the file is replaced in one step; one that can't be read costs the counters, never the children. Times in it are
of the boot's monotonic clock; one root a home holds the lock. Never: a wait without a limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from supervisors.child import ChildHistory, SupervisorHistory
from supervisors.events import RestartKind
from titan.errors import Fatal
from titan.files import write_private

STORE_FILE = "supervision.json"
LOCK_FILE = "root.lock"
# A root that was just killed holds its lock until the kernel has buried it.
LOCK_PATIENCE_S = 2.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything that outlives a root. `session` names the Ray session whose children it knew; of two memories the one with
    the higher `seq` is newer."""

    session: str = ""
    up: bool = False
    tree: dict[str, SupervisorHistory] = field(default_factory=dict)
    seq: int = 0

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Memory:
        """The inverse of `encode`. Raises ValueError for anything else."""
        try:
            found = json.loads(raw)
            tree = {name: _supervisor(entry) for name, entry in found["tree"].items()}
            return cls(str(found["session"]), bool(found["up"]), tree, int(found.get("seq", 0)))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a supervision memory: {error!r}") from error


def _supervisor(raw: dict[str, Any]) -> SupervisorHistory:
    children = {
        name: ChildHistory(**{**entry, "down_kind": RestartKind(entry["down_kind"])})
        for name, entry in raw["children"].items()
    }
    window = tuple((str(name), int(when)) for name, when in raw["window"])
    return SupervisorHistory(children, window, bool(raw["escalated"]))


class Store:
    """The memory of one home on disk."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / STORE_FILE
        self._last: Memory | None = None
        self._seq = 0

    def load(self) -> Memory:
        """The last memory, or an empty one."""
        with contextlib.suppress(OSError, ValueError):
            memory = Memory.decode(self._path.read_bytes())
            self.follow(memory)
            return memory
        return Memory()

    def follow(self, memory: Memory) -> None:
        """Numbers what is saved from now on after `memory`."""
        self._seq = max(self._seq, memory.seq)

    def number(self, memory: Memory) -> Memory | None:
        """The memory with its number when it says something new, else None."""
        memory = replace(memory, seq=0)
        if memory == self._last:
            return None
        self._last = memory
        self._seq += 1
        return replace(memory, seq=self._seq)

    def write(self, raw: bytes) -> None:
        """Replaces the file in one step. Raises OSError; the same memory counts as new again then."""
        try:
            write_private(self._path, raw)
        except OSError:
            self._last = None
            raise


class RootLock:
    """The right to be the root of a home, held until the process ends."""

    def __init__(self, run_dir: Path, patience_s: float = LOCK_PATIENCE_S) -> None:
        """Raises Fatal when another root lives: the one that came later withdraws."""
        self._fd = os.open(run_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(_POLL_S)
                    continue
                os.close(self._fd)
                raise Fatal(
                    f"another root supervisor of {run_dir.parent} lives: this one, the younger, withdraws"
                ) from None
            return

    def release(self) -> None:
        """Gives it back before the process ends."""
        os.close(self._fd)
