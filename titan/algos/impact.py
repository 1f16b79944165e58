"""The gate on market impact: how a size may meet the market, from what it would move.

Square-root law: bps = 0.7 x sigma x sqrt(notional / ADV) x 10,000. Source: reference/execution.md section 1.9.
Guarantees: a larger size is never treated more freely than a smaller one. Never: a decision on anything but impact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

IMPACT = 0.7
DEFAULT_SIGMA = 0.03
DEFAULT_ADV_USD = 100e6


class Impact(StrEnum):
    """How a size may meet the market."""

    FREE = "FREE"
    POST_ONLY = "POST_ONLY"
    IOC = "IOC"
    REFUSE = "REFUSE"


def impact_bps(notional_usd: float, adv_usd: float | None = None, sigma: float | None = None) -> float:
    """Expected impact in bps of a notional, at a day's volume in USD and a daily volatility as a fraction (None: defaults).

    Raises ValueError for a volume or volatility that is not above zero, or a notional below zero.
    """
    adv = DEFAULT_ADV_USD if adv_usd is None else adv_usd
    daily = DEFAULT_SIGMA if sigma is None else sigma
    if not (notional_usd >= 0 and adv > 0 and daily > 0 and math.isfinite(notional_usd + adv + daily)):
        raise ValueError(f"impact of {notional_usd} USD at {adv} USD a day and volatility {daily} can't be computed")
    return IMPACT * daily * math.sqrt(notional_usd / adv) * 10_000.0


@dataclass(frozen=True, slots=True)
class ImpactGate:
    """The steps of the gate, in bps: below the first a size meets the market as it was asked to."""

    post_only_bps: float = 5.0
    ioc_bps: float = 20.0
    refuse_bps: float = 50.0

    def judge(self, bps: float) -> Impact:
        """How a size with this impact may meet the market."""
        if bps < self.post_only_bps:
            return Impact.FREE
        if bps < self.ioc_bps:
            return Impact.POST_ONLY
        return Impact.IOC if bps < self.refuse_bps else Impact.REFUSE
