"""The level of alarm: what the system's own health allows to be opened.

Guarantees: levels are judged from the worst down; whatever a person or a guard overrides ends by itself.
Never: a say over what lowers risk. Source: reference/brain.md sections 2.5 and 2.7 (ladder).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from titan.model import Phase


class Defcon(StrEnum):
    """Levels of alarm, mildest first."""

    NORMAL = "NORMAL"
    CAUTION = "CAUTION"
    DEFENSIVE = "DEFENSIVE"
    EMERGENCY = "EMERGENCY"

    @property
    def rank(self) -> int:
        """0 for NORMAL up to 3 for EMERGENCY."""
        return _RANK[self]

    @property
    def leverage_factor(self) -> Decimal:
        """What remains of the leverage cap."""
        return _LEVERAGE[self]


_RANK = {level: index for index, level in enumerate(Defcon)}
_LEVERAGE = {
    Defcon.NORMAL: Decimal(1),
    Defcon.CAUTION: Decimal("0.8"),
    Defcon.DEFENSIVE: Decimal("0.5"),
    Defcon.EMERGENCY: Decimal(0),
}


def worst(*levels: Defcon) -> Defcon:
    """The gravest of several levels."""
    return max(levels, key=lambda level: _RANK[level])


def defcon_of(drawdown_pct: float, latency_ms: float, error_rate: float) -> Defcon:
    """The level that drawdown (percent), latency (ms) and the error rate of five minutes (fraction) imply."""
    if drawdown_pct >= 15.0 or error_rate > 0.20:
        return Defcon.EMERGENCY
    if drawdown_pct >= 10.0 or latency_ms > 1000.0 or error_rate > 0.05:
        return Defcon.DEFENSIVE
    if drawdown_pct >= 5.0 or latency_ms > 300.0:
        return Defcon.CAUTION
    return Defcon.NORMAL


def may_open(level: Defcon, phase: Phase, *, lowers_delta: bool) -> bool:
    """Whether a phase may open at a level. In DEFENSIVE only a sentinel's signal that lowers the global delta may."""
    match level:
        case Defcon.NORMAL:
            return True
        case Defcon.CAUTION:
            return phase is not Phase.HUNTER
        case Defcon.DEFENSIVE:
            return phase is Phase.SENTINEL and lowers_delta
        case Defcon.EMERGENCY:
            return False


class Mode(StrEnum):
    """What an operator, or the ladder of daily loss, asks for."""

    NORMAL = "NORMAL"
    CAUTIOUS = "CAUTIOUS"
    DEFENSIVE = "DEFENSIVE"
    EMERGENCY = "EMERGENCY"

    @property
    def rank(self) -> int:
        """0 for NORMAL up to 3 for EMERGENCY."""
        return _MODE_RANK[self]


_MODE_RANK = {mode: index for index, mode in enumerate(Mode)}
HALF = Decimal("0.5")


def ladder_step(daily_pnl: Decimal, limit: Decimal) -> Mode:
    """The step of the daily-loss ladder: half size above 50 % of the limit, reduce-only above 75 %, all off at 100 %.

    `limit` is the policy's maximum daily loss (zero or negative USD).
    """
    if daily_pnl >= 0 or limit == 0:
        return Mode.EMERGENCY if limit == 0 and daily_pnl < 0 else Mode.NORMAL
    used = daily_pnl / limit
    if used >= 1:
        return Mode.EMERGENCY
    if used > Decimal("0.75"):
        return Mode.DEFENSIVE
    return Mode.CAUTIOUS if used > HALF else Mode.NORMAL


@dataclass(frozen=True, slots=True)
class Ladder:
    """The daily-loss ladder: within a day it only goes down; a new day or an operator's reset starts it afresh."""

    day: int = 0
    step: Mode = Mode.NORMAL

    def after(self, day: int, daily_pnl: Decimal, limit: Decimal) -> Ladder:
        """The ladder once a day's PnL is known. `day` counts UTC days of market time."""
        now = ladder_step(daily_pnl, limit)
        if day != self.day:
            return Ladder(day, now)
        return self if now.rank <= self.step.rank else Ladder(day, now)
