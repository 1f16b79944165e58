"""What a drill did, step by step, signed with the home's key.

Guarantees: a report that was changed afterwards is shown as such; a step that failed fails the drill. Never: a secret in it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import titan
from titan.errors import TitanError
from titan.files import private_dir, write_private
from titan.runtime import HmacKey


class DrillFailed(TitanError):
    """A step of a drill did not go as it must; the report says which."""


@dataclass(slots=True)
class Step:
    """One step: what was expected, whether it came, after how long, and what was seen."""

    expected: str
    passed: bool = False
    seconds: float = 0.0
    seen: str = ""


@dataclass(slots=True)
class Report:
    """One drill."""

    drill: str
    started: str
    profile: str = "paper"
    version: str = titan.__version__
    steps: list[Step] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    passed: bool = False
    seconds: float = 0.0

    @contextmanager
    def step(self, expected: str) -> Iterator[Step]:
        """Times a step; its failure is in the report before it goes on its way. Raises DrillFailed."""
        step = Step(expected)
        self.steps.append(step)
        began = time.monotonic()
        try:
            yield step
        except (TitanError, OSError) as error:
            step.seen = str(error)
            raise DrillFailed(f"{self.drill}: {expected}: {error}") from error
        else:
            step.passed = True
        finally:
            step.seconds = round(time.monotonic() - began, 3)

    def end(self, began: float) -> None:
        """The verdict: every step passed, and there was one."""
        self.seconds = round(time.monotonic() - began, 3)
        self.passed = bool(self.steps) and all(step.passed for step in self.steps)


@dataclass(frozen=True, slots=True)
class Kept:
    """A report as it lies in its folder. `genuine` says whether its signature fits."""

    path: Path
    report: dict[str, object]
    genuine: bool


def folder_of(home: Path) -> Path:
    """Where a home's reports lie."""
    return private_dir(home / "drills")


def keep(report: Report, home: Path, key: HmacKey) -> Path:
    """Writes the signed report; where it is."""
    body = asdict(report)
    name = f"{report.started.replace(':', '-').split('.')[0].split('+')[0]}-{report.drill}.json"
    path = folder_of(home) / name
    write_private(path, json.dumps({**body, "key_id": key.key_id, "signature": _sign(body, key)}, indent=1) + "\n")
    return path


def kept(home: Path, keys: tuple[HmacKey, ...]) -> list[Kept]:
    """Every report of a home, oldest first."""
    found = []
    by_id = {key.key_id: key for key in keys}
    for path in sorted(folder_of(home).glob("*.json")):
        try:
            raw = json.loads(path.read_text())
            signature, key = raw.pop("signature"), by_id.get(raw.pop("key_id"))
            genuine = key is not None and hmac.compare_digest(signature, _sign(raw, key))
        except (ValueError, KeyError, TypeError, AttributeError):
            found.append(Kept(path, {}, False))
            continue
        found.append(Kept(path, raw, genuine))
    return found


def _sign(body: dict[str, object], key: HmacKey) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key.secret.encode(), b"titan-drill:" + text, hashlib.sha256).hexdigest()


def now_text() -> str:
    """This moment for a report."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
