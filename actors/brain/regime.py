"""Which kind of market it is, judged by the tail of the benchmark's returns.

Guarantees: without usable tail metrics the regime is STABLE and its source says so. Never: a guess from missing data.
Source: reference/brain.md section 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NO_TAIL_METRICS = "no tail metrics"
MIN_FIT_CONFIDENCE = 0.5
_USABLE_HEALTH = frozenset({"ok", "stale"})


class Regime(StrEnum):
    """Kinds of market."""

    STABLE = "STABLE"
    MEAN_REVERSION = "MEAN_REVERSION"
    VOLATILE_BREAKOUT = "VOLATILE_BREAKOUT"
    CRASH = "CRASH"


class Cluster(StrEnum):
    """How volatility clusters."""

    STABLE = "stable"
    EXPANDING = "expanding"
    CONTRACTING = "contracting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Tail:
    """The tail of one instrument's returns. `alpha` is the tail index, `exceedance` a probability, or None."""

    alpha: float | None
    cluster: Cluster
    confidence: float = 1.0
    exceedance: float | None = None
    health: str = "ok"
    calc_ts_ms: int = 0

    @property
    def usable(self) -> bool:
        """Whether the fit may decide anything."""
        return self.health in _USABLE_HEALTH and self.confidence >= MIN_FIT_CONFIDENCE and self.alpha is not None


def regime_of(tail: Tail | None) -> tuple[Regime, str]:
    """The regime that a benchmark's tail implies, and where the answer comes from."""
    if tail is None or tail.alpha is None or not tail.usable:
        return Regime.STABLE, NO_TAIL_METRICS
    alpha, source = tail.alpha, f"tail metrics ({tail.health})"
    if alpha <= 1.5:
        return Regime.CRASH, source
    if tail.cluster is Cluster.EXPANDING and alpha < 2.5:
        return Regime.VOLATILE_BREAKOUT, source
    if alpha >= 3.0:
        return Regime.STABLE, source
    return Regime.MEAN_REVERSION, source
