"""How old the backups are: one small file under TITAN_HOME that whoever takes them writes and Execution reads.

Guarantees: a moment that nobody recorded is told as never, and never is older than any limit. Never: a look at the backups
themselves, which may lie on another machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from titan.files import private_dir, write_private

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Status:
    """Wall times of the content of the last good backups by kind, in milliseconds; 0 is never."""

    journal_ms: int = 0
    dump_ms: int = 0
    base_ms: int = 0
    drill_ms: int = 0

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)

    def ages_s(self, now_ms: int) -> dict[str, float]:
        """Age in seconds by kind; infinite where there is none."""
        return {
            name.removesuffix("_ms"): max(0.0, (now_ms - then) / 1000) if then else NEVER
            for name, then in self.as_dict().items()
        }


def status_path(home: Path) -> Path:
    """Where the status of a home stands."""
    return home / "run" / "backups.json"


def read_status(home: Path) -> Status:
    """The last status; one that can't be read says never."""
    try:
        raw = json.loads(status_path(home).read_text())
        return Status(**{name: int(raw.get(name, 0)) for name in Status().as_dict()})
    except (OSError, ValueError, AttributeError, TypeError):
        return Status()


def write_status(home: Path, status: Status) -> None:
    """Replaces the status in one step."""
    private_dir(status_path(home).parent)
    write_private(status_path(home), json.dumps(status.as_dict()) + "\n")
