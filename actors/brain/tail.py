"""What a heavy tail does to size and leverage: closed formulas over the tail index.

Guarantees: a heavier tail never allows a larger size. Never: state.
Source: reference/brain.md sections 2.3, 2.4 and 2.13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from actors.brain.regime import Cluster, Tail

DEFAULT_ALPHA = 3.0
OWN_SYMBOL_ALPHA = 2.0
SHOCK = 0.20
SAFE_LEVERAGE_CEILING = 10.0
SAFE_LEVERAGE_BUFFER = 0.3


def kelly_fraction(alpha: float) -> float:
    """The share of an allocation that one position may take under tail index `alpha`."""
    if alpha <= 1.5:
        return 0.1
    if alpha < 2.0:
        return 0.2
    if alpha <= 3.0:
        return 0.2 + 0.3 * (alpha - 2.0)
    return 0.5 if alpha <= 4.5 else 0.8


def aptr(notional_usd: float, alpha: float) -> float:
    """USD at risk of a 20 % shock scaled by the tail. `notional_usd` is already money: no price enters."""
    if alpha <= 1.5:
        multiplier = 10.0
    elif alpha <= 2.0:
        multiplier = 4.0
    else:
        multiplier = 1.5 if alpha <= 3.0 else 0.5
    return notional_usd * SHOCK * multiplier


def alpha_throttle(alpha: float) -> float:
    """The factor on a signal's size: 0.1 up to 1.5, 1 from 3.0, a line between."""
    if alpha <= 1.5:
        return 0.1
    return 1.0 if alpha >= 3.0 else 0.6 * alpha - 0.8


def safe_leverage(alpha: float, base: Decimal) -> Decimal:
    """The leverage that the tail leaves of `base`, at most 10, floored to two decimals."""
    leverage = float(base)
    if alpha < 2.0:
        leverage = min(leverage, 2.0)
    elif alpha < 2.5:
        leverage *= 1.0 - SAFE_LEVERAGE_BUFFER
    floored = math.floor(round(min(leverage, SAFE_LEVERAGE_CEILING) * 100.0, 9)) / 100.0
    return Decimal(str(floored))


def volatility_multiplier(tail: Tail | None) -> float:
    """The factor on size by the class of volatility, and a further half under tail index 2.2.

    Expanding volatility is class HIGH; with an exceedance at the critical level it is class EXTREME.
    """
    if tail is None:
        return 1.0
    factor = 1.0
    if tail.cluster is Cluster.EXPANDING:
        extreme = (tail.exceedance or 0.0) >= TailPolicy.exceedance_critical
        factor = 0.25 if extreme else 0.5
    if tail.alpha is not None and tail.alpha < 2.2:
        factor *= 0.5
    return factor


class TailMode(StrEnum):
    """What the tail policy may do: be shown, be logged with each decision, or bind."""

    SHADOW = "SHADOW"
    ADVISORY = "ADVISORY"
    ENFORCEMENT = "ENFORCEMENT"


class TailRisk(StrEnum):
    """How dangerous the tail policy finds an instrument."""

    NORMAL = "NORMAL"
    CAUTION = "CAUTION"
    DEFENSIVE = "DEFENSIVE"
    EMERGENCY = "EMERGENCY"


@dataclass(frozen=True, slots=True)
class TailPolicy:
    """Thresholds and base limits of the tail policy; notionals in USD."""

    alpha_warning: float = 2.5
    alpha_critical: float = 2.0
    min_confidence: float = 0.5
    exceedance_warning: float = 0.05
    cluster_multiplier: float = 0.5
    base_position: float = 500_000.0
    base_order: float = 100_000.0
    base_leverage: float = 3.0
    base_slice: float = 25_000.0
    exceedance_critical = 0.10


@dataclass(frozen=True, slots=True)
class ExecutionProfile:
    """How orders should be worked: slices in USD, cadence and times in ms, band in basis points."""

    max_slice_notional: int
    min_slice_notional: int
    cadence_ms: int
    maker_bias: float
    cancel_on_burst: bool
    cancel_timeout_ms: int
    price_band_bps: int
    tif: str
    tif_ttl_ms: int


@dataclass(frozen=True, slots=True)
class TailConstraints:
    """What the tail policy allows for one instrument."""

    risk: TailRisk
    max_position_notional: int
    max_order_notional: int
    max_leverage: float
    reduce_only: bool
    profile: ExecutionProfile
    reason_codes: tuple[str, ...]


_CALM = (2000, 0.5, False, 50, "GTC", 60_000)
_EXPANDING = (10_000, 1.0, True, 10, "IOC", 5000)


def tail_constraints(tail: Tail, policy: TailPolicy) -> TailConstraints:
    """The limits and the way of working orders that a tail implies."""
    alpha = DEFAULT_ALPHA if tail.alpha is None else tail.alpha
    exceedance = tail.exceedance or 0.0
    expanding = tail.cluster is Cluster.EXPANDING
    notional = leverage = 1.0
    codes: list[str] = []
    risk = TailRisk.DEFENSIVE if expanding else TailRisk.NORMAL
    if alpha < policy.alpha_critical:
        notional, leverage = notional * 0.25, leverage * 0.5
        codes.append("ALPHA_CRITICAL")
    elif alpha < policy.alpha_warning:
        notional, leverage = notional * 0.5, leverage * 0.75
        codes.append("ALPHA_WARNING")
    if tail.confidence < policy.min_confidence:
        notional, leverage = notional * 0.75, leverage * 0.75
        codes.append("LOW_CONFIDENCE")
    if exceedance >= policy.exceedance_critical:
        notional *= 0.25
        codes.append("EXCEEDANCE_CRITICAL")
    elif exceedance >= policy.exceedance_warning:
        notional *= 0.5
        codes.append("EXCEEDANCE_WARNING")
    if expanding:
        notional *= policy.cluster_multiplier
        codes.append("VOL_EXPANDING")
    if "ALPHA_CRITICAL" in codes or "EXCEEDANCE_CRITICAL" in codes:
        risk = TailRisk.EMERGENCY
    elif "ALPHA_WARNING" in codes or "EXCEEDANCE_WARNING" in codes:
        risk = TailRisk.CAUTION
    cadence, maker, burst, band, tif, ttl = _EXPANDING if expanding else _CALM
    return TailConstraints(
        risk=risk,
        max_position_notional=_half_up(policy.base_position * notional),
        max_order_notional=_half_up(policy.base_order * notional),
        max_leverage=_half_up(policy.base_leverage * leverage * 100.0) / 100.0,
        reduce_only=risk is TailRisk.EMERGENCY,
        profile=ExecutionProfile(
            _half_up(policy.base_slice * notional), 100, cadence, maker, burst, 5000, band, tif, ttl
        ),
        reason_codes=tuple(codes) or ("NOMINAL",),
    )


def _half_up(value: float) -> int:
    return math.floor(value + 0.5)
