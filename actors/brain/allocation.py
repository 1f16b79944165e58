"""How equity is shared between the phases, and how much leverage an account of that size may take.

Guarantees: weights are in [0, 1] and sum to 1, or are all zero in a crash; the region an account has entered is
remembered, so equity that hovers at a threshold does not switch phases on and off. Never: a limit of the risk policy.
Source: reference/brain.md section 2.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from actors.brain.regime import Regime
from titan.model import Phase

HYSTERESIS = 0.9
EXPLORE = 0.7


@dataclass(frozen=True, slots=True)
class Weights:
    """Shares of equity: scavenger, hunter, sentinel."""

    scavenger: float
    hunter: float
    sentinel: float

    def of(self, phase: Phase) -> float:
        """The share of a phase; manual trades may use all of it."""
        match phase:
            case Phase.SCAVENGER:
                return self.scavenger
            case Phase.HUNTER:
                return self.hunter
            case Phase.SENTINEL:
                return self.sentinel
            case Phase.MANUAL:
                return 1.0


NOTHING = Weights(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Equity in USD from which the hunter starts, has its full share, and the sentinel starts."""

    start_hunter: float = 1500.0
    full_hunter: float = 5000.0
    start_sentinel: float = 25_000.0


class Tier(StrEnum):
    """Size class of an account."""

    MICRO = "MICRO"
    SMALL = "SMALL"
    MEDIUM = "MEDIUM"
    LARGE = "LARGE"
    INSTITUTIONAL = "INSTITUTIONAL"


_TIERS: tuple[tuple[Decimal, Tier, Decimal], ...] = (
    (Decimal(1500), Tier.MICRO, Decimal(20)),
    (Decimal(5000), Tier.SMALL, Decimal(10)),
    (Decimal(25_000), Tier.MEDIUM, Decimal(5)),
    (Decimal(50_000), Tier.LARGE, Decimal(3)),
)


def tier_of(equity: Decimal) -> tuple[Tier, Decimal]:
    """The size class of an account and its leverage cap, before the policy's cap."""
    for below, tier, cap in _TIERS:
        if equity < below:
            return tier, cap
    return Tier.INSTITUTIONAL, Decimal(2)


@dataclass(frozen=True, slots=True)
class Regions:
    """Which regions of the curve the account has entered; the memory of the hysteresis."""

    hunter: bool = False
    sentinel: bool = False

    def after(self, equity: float, at: Thresholds) -> Regions:
        """The regions once equity is seen. Entered at the threshold, left strictly below 0.9 of it."""
        return Regions(
            hunter=equity >= at.start_hunter * (HYSTERESIS if self.hunter else 1.0),
            sentinel=equity >= at.start_sentinel * (HYSTERESIS if self.sentinel else 1.0),
        )


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def base_weights(equity: float, regions: Regions, at: Thresholds) -> Weights:
    """The shares at an equity inside the given regions, before regime and performance."""
    equity = max(0.0, equity)
    if regions.sentinel:
        sentinel = 0.5 * _sigmoid(0.0002 * (equity - (at.start_sentinel + 12_500.0)))
        return _normalised(0.2, 0.8 - sentinel, sentinel)
    if not regions.hunter:
        return Weights(1.0, 0.0, 0.0)
    if equity >= at.full_hunter:
        return Weights(0.2, 0.8, 0.0)
    share = 0.8 * _sigmoid(0.003 * (equity - (at.start_hunter + at.full_hunter) / 2.0))
    return _normalised(1.0 - share, share, 0.0)


def _normalised(scavenger: float, hunter: float, sentinel: float) -> Weights:
    total = scavenger + hunter + sentinel
    if abs(total - 1.0) <= 1e-9:
        return Weights(scavenger, hunter, sentinel)
    return Weights(scavenger / total, hunter / total, sentinel / total)


def for_regime(weights: Weights, regime: Regime) -> Weights:
    """The shares once the regime is known: a crash takes all away, a breakout favours the hunter, a range the sentinel."""
    if regime is Regime.CRASH:
        return NOTHING
    if regime is Regime.VOLATILE_BREAKOUT and 0.0 < weights.hunter < 1.0:
        hunter = min(0.9, 1.2 * weights.hunter)
        rest = (1.0 - hunter) / (1.0 - weights.hunter)
        return Weights(weights.scavenger * rest, hunter, weights.sentinel * rest)
    if regime is Regime.MEAN_REVERSION and 0.0 < weights.sentinel < 1.0:
        sentinel = min(0.8, 1.2 * weights.sentinel)
        rest = (1.0 - sentinel) / (1.0 - weights.sentinel)
        return Weights(weights.scavenger * rest, weights.hunter * rest, sentinel)
    return weights


def adaptive(weights: Weights, sharpes: tuple[float, float, float], explore: float = EXPLORE) -> Weights:
    """The shares moved towards the phases that earned: `explore` of the base, the rest a softmax of positive Sharpes.

    A phase whose base share is zero stays locked: it is masked before the softmax.
    """
    base = (weights.scavenger, weights.hunter, weights.sentinel)
    if weights.scavenger >= 1.0 or sum(base) == 0.0:
        return weights
    raised = tuple(
        math.exp(max(0.0, sharpe)) if share > 0.0 else 0.0 for share, sharpe in zip(base, sharpes, strict=True)
    )
    total = sum(raised)
    mixed = tuple(explore * share + (1.0 - explore) * up / total for share, up in zip(base, raised, strict=True))
    return _normalised(*mixed)


class Allocation:
    """The allocation of one account through time."""

    def __init__(self, thresholds: Thresholds, regions: Regions | None = None) -> None:
        self.thresholds = thresholds
        self.regions = regions or Regions()

    def update(self, equity: Decimal) -> Weights:
        """Takes note of an equity in USD and returns the base shares at it."""
        value = max(0.0, float(equity))
        self.regions = self.regions.after(value, self.thresholds)
        return base_weights(value, self.regions, self.thresholds)
