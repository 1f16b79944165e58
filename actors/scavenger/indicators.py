"""Statistics over bars and prices that the traps are made of.

Guarantees: pure functions of their arguments; too little data gives 0.0 (or None where 0 would be a value), never an
error. Sources: reference/phases.md §2.4; ADX after Wilder 1978. Never: clocks, I/O, prices of orders.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Bar:
    """One closed bar; prices in quote units, volume in base units."""

    open_ts_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Structure(StrEnum):
    """How the last close lies in its window."""

    RANGE = "RANGE"
    TREND_UP = "TREND_UP"
    TREND_DOWN = "TREND_DOWN"
    UNDEFINED = "UNDEFINED"


class Volatility(StrEnum):
    """Whether bars are wide for their price."""

    HIGH = "HIGH_VOL"
    LOW = "LOW_VOL"


def exact(value: float) -> Decimal:
    """The decimal a float was written as, for comparisons whose bound itself must hold."""
    return Decimal(repr(value))


def sma(values: Sequence[float], period: int) -> float:
    """Mean of the last `period` values; 0 with fewer."""
    if period <= 0 or len(values) < period:
        return 0.0
    return math.fsum(values[-period:]) / period


def stddev(values: Sequence[float], period: int) -> float:
    """Population standard deviation of the last `period` values; 0 with fewer."""
    if period <= 0 or len(values) < period:
        return 0.0
    window = values[-period:]
    mean = math.fsum(window) / period
    return math.sqrt(math.fsum((value - mean) ** 2 for value in window) / period)


def true_ranges(bars: Sequence[Bar]) -> list[float]:
    """True range of every bar after the first."""
    return [
        max(bar.high - bar.low, abs(bar.high - before.close), abs(bar.low - before.close))
        for before, bar in pairwise(bars)
    ]


def atr(bars: Sequence[Bar], period: int = 0) -> float:
    """Simple mean of the last `period` true ranges (0: all of them), in price units; 0 with fewer."""
    ranges = true_ranges(bars)
    if period:
        return sma(ranges, period)
    return math.fsum(ranges) / len(ranges) if ranges else 0.0


def volatility_regime(bars: Sequence[Bar]) -> Volatility:
    """HIGH_VOL when the mean true range exceeds 1 % of the first close of the window."""
    return Volatility.HIGH if bars and atr(bars) > bars[0].close * 0.01 else Volatility.LOW


@dataclass(frozen=True, slots=True)
class Directional:
    """Strength of a trend (0-100) and which way it goes; 0 and 0 when unknown."""

    adx: float
    sign: int


def adx(bars: Sequence[Bar], period: int = 14) -> Directional:
    """Wilder's ADX: smoothed TR, +DM and -DM, DX series, mean of the last `period` DX. Needs 2 * period bars."""
    if len(bars) < 2 * period:
        return Directional(0.0, 0)
    ranges = true_ranges(bars)
    plus: list[float] = []
    minus: list[float] = []
    for before, bar in pairwise(bars):
        up, down = bar.high - before.high, before.low - bar.low
        plus.append(up if up > down and up > 0 else 0.0)
        minus.append(down if down > up and down > 0 else 0.0)
    smooth = [math.fsum(column[:period]) for column in (ranges, plus, minus)]
    strengths: list[float] = []
    sign = 0
    for index in range(period - 1, len(ranges)):
        if index >= period:
            for place, column in enumerate((ranges, plus, minus)):
                smooth[place] += column[index] - smooth[place] / period
        total = smooth[1] + smooth[2]
        strengths.append(100 * abs(smooth[1] - smooth[2]) / total if smooth[0] > 0 and total > 0 else 0.0)
        sign = (smooth[1] > smooth[2]) - (smooth[1] < smooth[2])
    return Directional(sma(strengths, min(period, len(strengths))), sign)


def structure(bars: Sequence[Bar], window: int = 50, trend_adx: float = 25.0) -> Structure:
    """Where the last close lies in its window, and whether the market goes somewhere.

    RANGE when the close is 1 % inside both extremes. Pressed against an extreme it is a trend only if ADX says so; without
    a trend it is a range about to break, so its traps stay (the reference leaves TREND_* undefined).
    """
    if len(bars) < window:
        return Structure.UNDEFINED
    recent = bars[-window:]
    high, low = max(bar.high for bar in recent), min(bar.low for bar in recent)
    close = recent[-1].close
    trend = adx(recent)
    if trend.adx > trend_adx and close > 0.99 * high and trend.sign > 0:
        return Structure.TREND_UP
    if trend.adx > trend_adx and close < 1.01 * low and trend.sign < 0:
        return Structure.TREND_DOWN
    return Structure.RANGE


def swing_levels(bars: Sequence[Bar]) -> tuple[list[float], list[float]]:
    """Confirmed swing highs and lows (extremes over two bars each side), oldest first."""
    highs: list[float] = []
    lows: list[float] = []
    for index in range(2, len(bars) - 2):
        around = (bars[index - 2], bars[index - 1], bars[index + 1], bars[index + 2])
        if all(bars[index].high > bar.high for bar in around):
            highs.append(bars[index].high)
        if all(bars[index].low < bar.low for bar in around):
            lows.append(bars[index].low)
    return highs, lows


def pearson(left: Sequence[float], right: Sequence[float]) -> float:
    """Correlation of two equally long series; 0 when either does not vary."""
    count = len(left)
    if count < 2 or count != len(right):
        return 0.0
    mean_left, mean_right = math.fsum(left) / count, math.fsum(right) / count
    cross = math.fsum((a - mean_left) * (b - mean_right) for a, b in zip(left, right, strict=True))
    square_left = math.fsum((a - mean_left) ** 2 for a in left)
    square_right = math.fsum((b - mean_right) ** 2 for b in right)
    scale = math.sqrt(square_left * square_right)
    return cross / scale if scale > 0 else 0.0


def returns(prices: Sequence[float]) -> list[float]:
    """Simple returns between neighbours."""
    return [after / before - 1 for before, after in pairwise(prices) if before]


@dataclass(frozen=True, slots=True)
class Bbo:
    """Best bid and ask with their sizes."""

    bid: float
    bid_size: float
    ask: float
    ask_size: float


def order_flow_imbalance(updates: Iterable[Bbo]) -> list[float]:
    """Order-flow imbalance of every update (Cont, Kukanov, Stoikov 2014): bid part minus ask part; the first gives 0."""
    result: list[float] = []
    before: Bbo | None = None
    for now in updates:
        if before is None:
            result.append(0.0)
        else:
            bid = _part(now.bid - before.bid, now.bid_size, before.bid_size)
            ask = _part(before.ask - now.ask, now.ask_size, before.ask_size)
            result.append(bid - ask)
        before = now
    return result


def _part(improvement: float, size: float, size_before: float) -> float:
    if improvement > 0:
        return size
    if improvement < 0:
        return -size_before
    return size - size_before
