"""What a supervisor must still know when it comes back: the history of its tree and whether it was up.

Guarantees: the file is replaced in one step; one that can't be read costs the counters, never the children. Times in it are
of the boot's monotonic clock. Never: a wait.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from supervisors.child import ChildHistory, SupervisorHistory
from supervisors.events import RestartKind
from titan.files import write_private

STORE_FILE = "supervision.json"


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything that outlives a root. `session` names the Ray session whose children it knew."""

    session: str = ""
    up: bool = False
    tree: dict[str, SupervisorHistory] = field(default_factory=dict)

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Memory:
        """The inverse of `encode`. Raises ValueError for anything else."""
        try:
            found = json.loads(raw)
            tree = {name: _supervisor(entry) for name, entry in found["tree"].items()}
            return cls(str(found["session"]), bool(found["up"]), tree)
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
        self._last = b""

    def load(self) -> Memory:
        """The last memory, or an empty one."""
        with contextlib.suppress(OSError, ValueError):
            return Memory.decode(self._path.read_bytes())
        return Memory()

    def save(self, memory: Memory) -> bytes | None:
        """Writes it when it has changed; the bytes written."""
        raw = memory.encode()
        if raw == self._last:
            return None
        write_private(self._path, raw)
        self._last = raw
        return raw
