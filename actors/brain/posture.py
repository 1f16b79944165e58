"""One posture out of everything that asks for caution: health, truth, breaker, ladder, operator, market.

Guarantees: the gravest voice decides; every reason is kept for people. Never: an override without an end.
Source: reference/brain.md sections 2.4 (risk state), 2.5, 2.7; operations.md section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from actors.brain.breaker import Trip
from actors.brain.governance import HALF, Defcon, Mode, defcon_of, worst
from actors.brain.quality import MIN_SCORE
from actors.brain.regime import Regime

TRUTH_DEFENSIVE = 50


class RiskLevel(StrEnum):
    """The system's risk state, as everybody is told."""

    NORMAL = "NORMAL"
    CAUTIOUS = "CAUTIOUS"
    DEFENSIVE = "DEFENSIVE"
    EMERGENCY = "EMERGENCY"


class TruthState(StrEnum):
    """How far the books may be trusted."""

    HIGH = "HIGH"
    DEGRADED = "DEGRADED"
    LOW = "LOW"


def truth_state(confidence: int) -> TruthState:
    """The state of a confidence in percent."""
    if confidence >= 80:
        return TruthState.HIGH
    return TruthState.DEGRADED if confidence >= TRUTH_DEFENSIVE else TruthState.LOW


@dataclass(frozen=True, slots=True)
class PostureInput:
    """What the posture is made from. Drawdown in percent, latency in wall ms, rates and scores as fractions."""

    drawdown_pct: float
    latency_ms: float
    error_rate: float
    truth: int
    quality: float
    regime: Regime
    trip: Trip
    trip_reason: str
    operator: Mode
    ladder: Mode
    survival: bool
    surprise_lowers: bool
    surprise_defends: bool


@dataclass(frozen=True, slots=True)
class Posture:
    """The resulting level of alarm, risk state and factor on sizes, and why."""

    defcon: Defcon
    level: RiskLevel
    size_factor: Decimal
    reasons: tuple[str, ...]


def posture_of(given: PostureInput) -> Posture:
    """The posture that the inputs imply."""
    health = defcon_of(given.drawdown_pct, given.latency_ms, given.error_rate)
    levels = [health]
    reasons: list[str] = []
    if health is not Defcon.NORMAL:
        reasons.append(
            f"health {health.value}: drawdown {given.drawdown_pct:.2f}%, latency {given.latency_ms:.0f} ms, "
            f"errors {given.error_rate:.1%}"
        )
    for source, mode in (("operator", given.operator), ("daily loss ladder", given.ladder)):
        if mode is Mode.NORMAL:
            continue
        reasons.append(f"{source}: {mode.value}")
        if mode is not Mode.CAUTIOUS:
            levels.append(Defcon(mode.value))
    defensive = {
        f"truth confidence {given.truth}% < {TRUTH_DEFENSIVE}%": given.truth < TRUTH_DEFENSIVE,
        f"execution quality {given.quality:.2f} < {MIN_SCORE}": given.quality < MIN_SCORE,
        "survival mode": given.survival,
        "returns are surprising": given.surprise_defends,
    }
    for reason, holds in defensive.items():
        if holds:
            reasons.append(reason)
            levels.append(Defcon.DEFENSIVE)
    defcon = worst(*levels)
    halved = Mode.CAUTIOUS in (given.operator, given.ladder) or given.surprise_lowers
    return Posture(
        defcon, _level(given, defcon, reasons, halved=halved), HALF if halved else Decimal(1), tuple(reasons)
    )


def _level(given: PostureInput, defcon: Defcon, reasons: list[str], *, halved: bool) -> RiskLevel:
    if given.regime is Regime.CRASH:
        reasons.append("regime CRASH")
    if given.trip is not Trip.CLOSED:
        reasons.append(f"circuit breaker {given.trip.value}: {given.trip_reason}")
    if defcon is Defcon.EMERGENCY or given.regime is Regime.CRASH or given.trip is Trip.HARD:
        return RiskLevel.EMERGENCY
    if defcon is Defcon.DEFENSIVE or given.trip is Trip.SOFT:
        return RiskLevel.DEFENSIVE
    return RiskLevel.CAUTIOUS if defcon is Defcon.CAUTION or halved else RiskLevel.NORMAL
