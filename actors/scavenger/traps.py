"""Where stops and liquidations are expected: the trap object and the calculators over closed bars.

Guarantees: pure functions; None when the rule does not hold or there are too few bars, each rule with its own minimum;
confidence is 0-100 everywhere. Bars are closed bars, so nothing looks ahead; `price`, when given, is the live price that
decides which side of a level the market is on. Source: reference/phases.md §2.4. Never: state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.indicators import Bar, Structure, exact, sma, stddev, structure, swing_levels

PROFILE_BARS = 50
PROFILE_BINS = 50
PROFILE_TOP = 3
DAILY_BARS = 48
BOLLINGER_BARS = 92
BOLLINGER_PERIOD = 20
BOLLINGER_HISTORY = 72
STRUCTURE_BARS = 50


class TrapType(StrEnum):
    """The rules that make traps."""

    LIQUIDATION = "LIQUIDATION"
    DAILY_LEVEL = "DAILY_LEVEL"
    BOLLINGER = "BOLLINGER"
    BREAKOUT = "BREAKOUT"
    BREAKDOWN = "BREAKDOWN"
    PULLBACK = "PULLBACK"
    OI_WIPEOUT = "OI_WIPEOUT"
    FUNDING_SQUEEZE = "FUNDING_SQUEEZE"
    ULTIMATE_BULGARIA = "ULTIMATE_BULGARIA"


class Direction(StrEnum):
    """Which way a trap trades when it springs."""

    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        """+1 for LONG, -1 for SHORT."""
        return 1 if self is Direction.LONG else -1


@dataclass(frozen=True, slots=True)
class Trap:
    """A price at which others are forced to trade. `cascade` is the expected move as a fraction."""

    trap_type: TrapType
    symbol: str
    direction: Direction
    trigger: float
    confidence: float
    leverage: float
    cascade: float
    target: float | None = None
    stop: float | None = None
    interval_s: int = 3600


def liquidation(symbol: str, bars: Sequence[Bar], config: ScavengerConfig, price: float | None = None) -> Trap | None:
    """The stronger of the nearest-ranked volume nodes above and below the market; needs 50 bars."""
    if len(bars) < PROFILE_BARS:
        return None
    close = bars[-1].close if price is None else price
    low, high = min(bar.low for bar in bars), max(bar.high for bar in bars)
    bins = PROFILE_BINS if high > low else 1
    step = (high - low) / bins
    profile = [0.0] * bins
    for bar in bars:
        place = min(int((bar.close - low) / step), bins - 1) if step > 0 else 0
        profile[place] += bar.volume
    ranked = sorted((place for place in range(bins) if profile[place] > 0), key=lambda place: -profile[place])
    nodes = [(low + (place + 0.5) * step, profile[place]) for place in ranked[:PROFILE_TOP]]
    above = next(((at, volume) for at, volume in nodes if at > close), None)
    below = next(((at, volume) for at, volume in nodes if at < close), None)
    if above is not None and (below is None or above[1] >= below[1]):
        direction, trigger = Direction.LONG, above[0] * 1.002
    elif below is not None:
        direction, trigger = Direction.SHORT, below[0] * 0.998
    else:
        return None
    return Trap(TrapType.LIQUIDATION, symbol, direction, trigger, config.liquidation_confidence, 20.0, 0.05)


def daily_level(symbol: str, bars: Sequence[Bar], config: ScavengerConfig, price: float | None = None) -> Trap | None:
    """The previous day's high or low within 2 % of the market; needs 48 hourly bars, days are [-48, -24)."""
    if len(bars) < DAILY_BARS:
        return None
    close = bars[-1].close if price is None else price
    day = bars[-48:-24]
    high, low = max(bar.high for bar in day), min(bar.low for bar in day)
    to_high, to_low = abs(close - high) / close, abs(close - low) / close
    if to_high < 0.02 and to_high < to_low:
        direction, trigger = Direction.LONG, high * 1.001
    elif to_low < 0.02:
        direction, trigger = Direction.SHORT, low * 0.999
    else:
        return None
    return Trap(TrapType.DAILY_LEVEL, symbol, direction, trigger, config.daily_level_confidence, 12.0, 0.03)


def bollinger(symbol: str, bars: Sequence[Bar], config: ScavengerConfig, price: float | None = None) -> Trap | None:
    """A squeeze: the band is as narrow as the narrowest tenth of its last 72 values; needs 92 bars."""
    if len(bars) < BOLLINGER_BARS:
        return None
    closes = [bar.close for bar in bars]
    start = len(closes) - BOLLINGER_BARS
    history = sorted(
        _width(closes[start + index : start + index + BOLLINGER_PERIOD]) for index in range(BOLLINGER_HISTORY)
    )
    middle, spread = sma(closes, BOLLINGER_PERIOD), 2 * stddev(closes, BOLLINGER_PERIOD)
    if middle <= 0 or 2 * spread / middle > history[math.floor(BOLLINGER_HISTORY * 0.1)]:
        return None
    close = closes[-1] if price is None else price
    if close > middle:
        direction, trigger = Direction.LONG, (middle + spread) * 1.001
    else:
        direction, trigger = Direction.SHORT, (middle - spread) * 0.999
    return Trap(TrapType.BOLLINGER, symbol, direction, trigger, config.bollinger_confidence, 15.0, 0.04)


def _width(closes: Sequence[float]) -> float:
    middle = sma(closes, BOLLINGER_PERIOD)
    return 4 * stddev(closes, BOLLINGER_PERIOD) / middle if middle > 0 else 0.0


def structure_traps(symbol: str, bars: Sequence[Bar], config: ScavengerConfig) -> list[Trap]:
    """BREAKOUT and BREAKDOWN of a range, PULLBACK of a trend; needs 50 hourly bars.

    Support is the highest confirmed swing low under the close, resistance the lowest swing high above it.
    """
    if len(bars) < STRUCTURE_BARS:
        return []
    window = bars[-STRUCTURE_BARS:]
    found = structure(window, STRUCTURE_BARS, config.adx_trend)
    if found is Structure.RANGE:
        high, low = max(bar.high for bar in window), min(bar.low for bar in window)
        confidence = config.breakout_confidence
        return [
            Trap(TrapType.BREAKOUT, symbol, Direction.LONG, high, confidence, 5.0, 0.02),
            Trap(TrapType.BREAKDOWN, symbol, Direction.SHORT, low, confidence, 5.0, 0.02),
        ]
    highs, lows = swing_levels(window)
    close = window[-1].close
    if found is Structure.TREND_UP:
        direction, level = Direction.LONG, max((low for low in lows if low < close), default=None)
    else:
        direction, level = Direction.SHORT, min((high for high in highs if high > close), default=None)
    if level is None:
        return []
    return [Trap(TrapType.PULLBACK, symbol, direction, level, config.pullback_confidence, 3.0, 0.015)]


def near(price: float, trigger: float) -> bool:
    """Whether a price is within 0.1 % of a trigger, bounds included."""
    low, high = band(trigger)
    return low <= price <= high


def band(trigger: float) -> tuple[float, float]:
    """The prices within 0.1 % of a trigger.

    Computed in decimals and rounded once: a price equal to the bound as text is equal to it as a float.
    """
    level = exact(trigger)
    return float(level * exact(0.999)), float(level * exact(1.001))


def holds(direction: Direction, trigger: float, last_price: float) -> bool:
    """Whether the price stayed beyond its trigger (0.05 % tolerance); if not, the burst was a wick."""
    level, price = exact(trigger), exact(last_price)
    if direction is Direction.LONG:
        return price >= level * exact(0.9995)
    return price <= level * exact(1.0005)
