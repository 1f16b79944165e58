"""Whether a trade can earn more than it costs. Both checks are optional and off by default.

Source: reference/brain.md section 2.4 (guard 12, trade gate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FEE = 0.0005
MIN_SPREAD = 0.0002
DEFAULT_SIGMA = 0.03
IMPACT = 0.7
DEPTH_USD = 1e8
EDGE_OVER_FRICTION = 1.05
COST_MARGIN = 1.5


@dataclass(frozen=True, slots=True)
class CostVeto:
    """How many times the expected profit must cover the costs; the fee in basis points."""

    min_expectancy_ratio: float = 2.0
    base_fee_bps: float = 6.0


def expectancy(probability: float, entry: float, target: float, stop: float) -> float:
    """Expected profit of one unit in price terms."""
    return probability * abs(target - entry) - (1.0 - probability) * abs(entry - stop)


def trade_cost(entry: float, base_fee_bps: float) -> float:
    """Cost of one unit in price terms."""
    return entry * base_fee_bps / 10_000.0 * COST_MARGIN


@dataclass(frozen=True, slots=True)
class Friction:
    """Costs of a trade as fractions of its notional."""

    fee: float
    spread: float
    slippage: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.fee + self.spread + self.slippage

    def accepts(self, edge: float) -> bool:
        """Whether an edge (fraction) beats the friction by five percent."""
        return edge > EDGE_OVER_FRICTION * self.total


def friction(size_usd: float, sigma: float | None) -> Friction:
    """The friction of a size at a daily volatility (fraction, None for the default)."""
    sigma = DEFAULT_SIGMA if sigma is None else sigma
    return Friction(FEE, max(MIN_SPREAD, 0.1 * sigma), IMPACT * sigma * math.sqrt(size_usd / DEPTH_USD))
