"""Traps that spring from open interest, funding, crashes and basis rather than from levels of bars.

Guarantees: pure functions of the samples handed in; None when the rule does not hold. Thresholds that a rule states as
strict are compared in decimals. The basis rule only reports: one leg of an arbitrage is never traded by this phase.
Source: reference/phases.md §2.4. Never: state, venues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.indicators import Bar, Bbo, exact, order_flow_imbalance
from actors.scavenger.traps import Direction, Trap, TrapType

OI_HISTORY_MS = 600_000
OI_MIN_AGE_MS = 300_000
CRASH_CLOSES = 5
FUNDING_BARS = 20
BBO_SAMPLES = 5
BBO_STEP_MS = 200


@dataclass(frozen=True, slots=True)
class OiSample:
    """Open interest in base units at an exchange time."""

    ts_ms: int
    open_interest: float


@dataclass(frozen=True, slots=True)
class BasisGap:
    """A perpetual below its spot: the prices a two-leg trade would use."""

    basis: float
    trigger: float
    target: float
    stop: float


def oi_before(samples: Sequence[OiSample], now_ms: int) -> float | None:
    """The newest open interest that is at least five minutes old."""
    for sample in reversed(samples):
        if sample.ts_ms <= now_ms - OI_MIN_AGE_MS:
            return sample.open_interest
    return None


def oi_wipeout(
    symbol: str,
    oi_then: float | None,
    oi_now: float,
    closes_1m: Sequence[float],
    price: float,
    cvd_60s: float,
    config: ScavengerConfig,
) -> Trap | None:
    """Longs were wiped out and buyers are back: LONG at the price, half of the drop as target. Needs 5 one-minute closes."""
    if oi_then is None or oi_then <= 0 or len(closes_1m) < CRASH_CLOSES or price <= 0:
        return None
    first = closes_1m[-CRASH_CLOSES]
    fallen = exact(first) - exact(price)
    if exact(oi_then) - exact(oi_now) <= exact(config.oi_drop) * exact(oi_then):
        return None
    if fallen <= exact(config.oi_price_drop) * exact(first) or cvd_60s <= 0:
        return None
    return Trap(
        TrapType.OI_WIPEOUT,
        symbol,
        Direction.LONG,
        price,
        95.0,
        20.0,
        0.05,
        target=price + 0.5 * (first - price),
        stop=price * 0.98,
        interval_s=60,
    )


def funding_squeeze(
    symbol: str,
    funding: float | None,
    bars_5m: Sequence[Bar],
    cvd_300s: float,
    cvd_300s_previous: float,
    config: ScavengerConfig,
) -> Trap | None:
    """Shorts pay, lows rise and buying grows: LONG above the close. Needs 3 five-minute bars, uses up to 10."""
    if funding is None or funding > config.funding_squeeze or len(bars_5m) < 3:
        return None
    lows = [bar.low for bar in bars_5m[-3:]]
    if not (lows[0] < lows[1] < lows[2]) or cvd_300s <= cvd_300s_previous:
        return None
    return Trap(
        TrapType.FUNDING_SQUEEZE,
        symbol,
        Direction.LONG,
        bars_5m[-1].close * 1.001,
        90.0,
        15.0,
        0.1,
        target=max(bar.high for bar in bars_5m[-10:]) * 1.02,
        stop=lows[-1] * 0.995,
        interval_s=300,
    )


def basis_gap(spot: float, perp: float, volume_24h: float, config: ScavengerConfig) -> BasisGap | None:
    """A perpetual more than the threshold below its spot at enough volume."""
    if spot <= 0 or volume_24h < config.basis_min_volume:
        return None
    if exact(spot) - exact(perp) <= exact(config.basis_threshold) * exact(spot):
        return None
    return BasisGap((spot - perp) / spot, perp * 1.001, spot * 0.999, perp * 0.995)


def drop(closes_1m: Sequence[float], price: float) -> float:
    """Fall from the first of the last five one-minute closes to the price, as a fraction; 0 with fewer."""
    if len(closes_1m) < CRASH_CLOSES:
        return 0.0
    first = closes_1m[-CRASH_CLOSES]
    return (first - price) / first if first > 0 else 0.0


def crash_threshold(config: ScavengerConfig, alpha: float | None, clustered: bool) -> float:
    """How far a symbol must fall alone: tighter with thin tails, wider with fat ones and in volatility clusters."""
    base = config.crash_threshold
    if alpha is not None and alpha < 2:
        base = 0.05
    elif alpha is not None and alpha > 3:
        base = 0.025
    return base * 1.2 if clustered else base


def lonely_crash(
    wipeout: Trap | None,
    symbol_drop: float,
    btc_drop: float,
    threshold: float,
    bbo: Sequence[Bbo],
    config: ScavengerConfig,
) -> Trap | None:
    """A symbol that fell alone, was wiped out, and is being bid again: the wipe-out trap with more confidence.

    `bbo` are quotes 200 ms apart; the mean of their order-flow imbalances must be positive, with five of them.
    """
    if wipeout is None or symbol_drop <= threshold or btc_drop >= config.btc_flat_threshold:
        return None
    if len(bbo) < BBO_SAMPLES:
        return None
    flow = order_flow_imbalance(bbo[-BBO_SAMPLES:])
    if sum(flow) / len(flow) <= 0:
        return None
    return replace(wipeout, trap_type=TrapType.ULTIMATE_BULGARIA, confidence=98.0)
