"""From what a phase asks to what it may have: factors before the risk gate, caps after it.

Guarantees: a cap never raises a size; an allocation of zero is a size of zero; the result is whole cents, rounded
down. Source: reference/brain.md sections 2.1 step 6, 2.3, 2.10 and 2.13.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from actors.brain.allocation import tier_of
from actors.brain.gate import scaled_by
from actors.brain.governance import Defcon
from actors.brain.regime import Tail
from actors.brain.tail import DEFAULT_ALPHA, TailConstraints, kelly_fraction, safe_leverage, volatility_multiplier
from titan.money import ZERO
from titan.policy import RiskPolicy

CENT = Decimal("0.01")
_NOISE = Decimal("0.000000001")


def leverage_cap(
    equity: Decimal, policy: RiskPolicy, defcon: Defcon, tail: Tail | None, constraints: TailConstraints | None
) -> Decimal:
    """The leverage that may be used: the least of tier and policy, lowered by alarm and tail."""
    cap = min(tier_of(equity)[1], policy.max_account_leverage) * defcon.leverage_factor
    if tail is not None and tail.alpha is not None:
        # Under a small cap the formula's lowest band allows more than the band above it: the lesser of the two binds.
        cap = min(safe_leverage(tail.alpha, cap), safe_leverage(max(tail.alpha, 2.0), cap))
    if constraints is not None:
        cap = min(cap, Decimal(str(constraints.max_leverage)))
    return cap


def wanted_size(requested: Decimal, modifier: float, posture: Decimal, tail: Tail | None) -> Decimal:
    """The size that goes into the gate: performance, posture and class of volatility are already in it."""
    return scaled_by(requested * posture, modifier * volatility_multiplier(tail))


def authorized_size(
    allowed: Decimal,
    equity: Decimal,
    weight: float,
    tail: Tail | None,
    constraints: TailConstraints | None,
    *,
    kelly: bool,
) -> Decimal:
    """The gate's size under the allocation, the Kelly bound when it is on, and binding tail constraints."""
    cap = max(ZERO, equity) * Decimal(repr(weight))
    if kelly:
        alpha = DEFAULT_ALPHA if tail is None or tail.alpha is None else tail.alpha
        cap *= Decimal(repr(kelly_fraction(alpha)))
    size = min(allowed, cap)
    if constraints is not None:
        size = min(size, Decimal(constraints.max_order_notional))
    return (size + _NOISE).quantize(CENT, rounding=ROUND_DOWN) if size > 0 else ZERO
