"""How much to ask for: quarter Kelly on a trap's confidence and its reward to risk.

Guarantees: never negative, never above the cap, rounded to cents; zero for input that makes no bet. Source:
reference/phases.md §2.6. Never: float money; the caller's floats are read as the decimals they were written as.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from actors.scavenger.indicators import exact
from titan.money import ONE, ZERO

CENT = Decimal("0.01")
QUARTER = Decimal("0.25")


def position_size(
    equity: Decimal, confidence: float, stop_fraction: float, target_fraction: float, cap_fraction: float
) -> Decimal:
    """USD for one entry: equity * max(0, f) / 4 with f = W - (1 - W) / R, capped at equity * cap_fraction."""
    if equity <= 0 or confidence <= 0 or stop_fraction <= 0 or target_fraction <= 0:
        return ZERO
    win = min(exact(confidence) / 100, ONE)
    kelly = win - (1 - win) * exact(stop_fraction) / exact(target_fraction)
    size = min(equity * max(kelly, ZERO) * QUARTER, equity * exact(cap_fraction))
    return max(size, ZERO).quantize(CENT, rounding=ROUND_HALF_UP)


def leveraged_notional(margin: Decimal, leverage: float) -> Decimal:
    """Notional that a margin carries."""
    return margin * exact(leverage) if leverage > 0 else ZERO
