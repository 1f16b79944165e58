"""What a bench answers: rows of percentiles with their unit, a target where there is one, and the machine they belong to.

Guarantees: a percentile is a measured value (nearest rank), never an interpolation; a row without samples can't be made.
Never: an assertion about time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Better = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure: `seconds` bounds each timed part, `repeat` counts samples where each costs much."""

    seconds: float = 10.0
    repeat: int = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Limits for p50 and p99, each perhaps absent: at most (`low` is better) or at least (`high` is better)."""

    p50: float | None = None
    p99: float | None = None
    better: Better = "low"


@dataclass(frozen=True, slots=True)
class Row:
    """One measure. For rates, where more is better, p99 is what 99 % of the samples reach and max the best one."""

    metric: str
    unit: str
    p50: float
    p99: float
    max: float
    n: int
    target: Target | None = None

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing without a limit."""
        if self.target is None or (self.target.p50 is None and self.target.p99 is None):
            return ""
        pairs = ((self.p50, self.target.p50), (self.p99, self.target.p99))
        sign = 1 if self.target.better == "low" else -1
        return "met" if all(limit is None or sign * (seen - limit) <= 0 for seen, limit in pairs) else "missed"

    @property
    def target_text(self) -> str:
        """The target in words, empty without one."""
        if self.target is None:
            return ""
        sign = "≤" if self.target.better == "low" else "≥"
        limits = (("p50", self.target.p50), ("p99", self.target.p99))
        return ", ".join(f"{name} {sign} {limit:,g}" for name, limit in limits if limit is not None)


@dataclass(frozen=True, slots=True)
class Report:
    """One bench's rows; `notes` are sentences for people."""

    name: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=())


def rank(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending samples."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def row(metric: str, unit: str, samples: Sequence[float], target: Target | None = None) -> Row:
    """A row over samples. Raises ValueError when there are none."""
    if not samples:
        raise ValueError(f"{metric}: nothing was measured")
    better: Better = "low" if target is None else target.better
    ordered = sorted(samples)
    p99 = rank(ordered, 0.99) if better == "low" else ordered[math.floor(0.01 * len(ordered))]
    return Row(metric, unit, rank(ordered, 0.5), p99, ordered[-1], len(ordered), target)


def microseconds(nanoseconds: Sequence[int]) -> list[float]:
    """Nanoseconds as microseconds."""
    return [value / 1000 for value in nanoseconds]
