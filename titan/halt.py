"""The persistent HARD HALT: a file that outlives every process.

Guarantees: while it stands, a router that starts under this home is HALTED; only an operator's `resume` removes it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


def halt_path(home: Path) -> Path:
    """Where the halt of a home is recorded."""
    return home / "HARD_HALT"


def write_halt(home: Path, reason: str) -> Path:
    """Records a halt, durable before it returns."""
    path = halt_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        json.dump({"reason": reason, "ts_ms": time.time_ns() // 1_000_000}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    return path


def read_halt(home: Path) -> str | None:
    """The reason of a standing halt, None when there is none. An unreadable record counts as a halt."""
    try:
        record = halt_path(home).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return str(json.loads(record)["reason"])
    except (ValueError, KeyError, TypeError):
        return "unreadable halt record"


def clear_halt(home: Path) -> bool:
    """Removes the record; whether there was one."""
    try:
        halt_path(home).unlink()
    except FileNotFoundError:
        return False
    return True
