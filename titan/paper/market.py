"""What the public sees of one symbol: 24-hour statistics, minute bars, candles of longer intervals.

Guarantees: pure; times are market milliseconds; bars are built from every trade once. Never: matching or sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from titan.paper.feeds.base import Bar
from titan.paper.orders import ZERO

MINUTE_MS = 60_000
DAY_MINUTES = 1440
KEPT_MINUTES = 4 * DAY_MINUTES


@dataclass(slots=True)
class Candle:
    """A bar under construction; `turnover` is in quote money."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal

    def add(self, price: Decimal, qty: Decimal) -> None:
        """Takes one trade in."""
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.volume += qty
        self.turnover += price * qty

    def merge(self, later: Candle) -> None:
        """Takes a later bar in."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.turnover += later.turnover


def candle_of(bar: Bar) -> Candle:
    """A closed bar of a feed; turnover is estimated from its typical price."""
    typical = (bar.high + bar.low + bar.close) / 3
    return Candle(bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume, typical * bar.volume)


def aggregate(candles: Iterable[Candle], interval_ms: int) -> list[Candle]:
    """Bars of a longer interval, oldest first, from shorter ones in time order."""
    out: list[Candle] = []
    for candle in candles:
        start = candle.start_ms - candle.start_ms % interval_ms
        if out and out[-1].start_ms == start:
            out[-1].merge(candle)
        else:
            out.append(
                Candle(start, candle.open, candle.high, candle.low, candle.close, candle.volume, candle.turnover)
            )
    return out


@dataclass(frozen=True, slots=True)
class DayStats:
    """The last 24 hours of market time."""

    high: Decimal
    low: Decimal
    volume: Decimal
    turnover: Decimal
    price_24h_ago: Decimal
    price_1h_ago: Decimal


class SymbolBoard:
    """Minute bars and day statistics of one symbol."""

    def __init__(self, history: Sequence[Bar], live_from_ms: int) -> None:
        """`history` are closed minute bars before `live_from_ms`, oldest first."""
        self.live_from_ms = live_from_ms - live_from_ms % MINUTE_MS
        self.minutes: deque[Candle] = deque((candle_of(bar) for bar in history), maxlen=KEPT_MINUTES)
        self.last = self.minutes[-1].close if self.minutes else ZERO
        self.tick_up = True
        self._base: DayStats | None = None
        self._base_minute = -1

    def trade(self, ts_ms: int, price: Decimal, qty: Decimal) -> None:
        """Takes one public trade in; one older than the current minute counts into the current minute."""
        minute = ts_ms - ts_ms % MINUTE_MS
        if self.minutes and self.minutes[-1].start_ms >= minute:
            self.minutes[-1].add(price, qty)
        else:
            self.minutes.append(Candle(minute, price, price, price, price, qty, price * qty))
        if price != self.last:
            self.tick_up = price > self.last
            self.last = price

    def day(self, now_ms: int) -> DayStats:
        """Statistics at `now_ms`; the closed part is summed once a minute."""
        minute = now_ms - now_ms % MINUTE_MS
        if self._base is None or self._base_minute != minute:
            self._base = self._closed_part(minute)
            self._base_minute = minute
        base = self._base
        current = self.minutes[-1] if self.minutes else None
        if current is None or current.start_ms < minute:
            return base
        return DayStats(
            max(base.high, current.high),
            min(base.low, current.low) if base.low else current.low,
            base.volume + current.volume,
            base.turnover + current.turnover,
            base.price_24h_ago or current.open,
            base.price_1h_ago or current.open,
        )

    def _closed_part(self, minute: int) -> DayStats:
        since = minute - DAY_MINUTES * MINUTE_MS
        closed = [c for c in self.minutes if since <= c.start_ms < minute]
        if not closed:
            return DayStats(self.last, self.last, ZERO, ZERO, self.last, self.last)
        hour_ago = minute - 60 * MINUTE_MS
        return DayStats(
            max(c.high for c in closed),
            min(c.low for c in closed),
            sum((c.volume for c in closed), ZERO),
            sum((c.turnover for c in closed), ZERO),
            closed[0].open,
            next((c.open for c in closed if c.start_ms >= hour_ago), closed[-1].close),
        )

    def current(self, interval_ms: int) -> Candle | None:
        """The bar of `interval_ms` now under construction; None before the first trade."""
        if not self.minutes:
            return None
        start = self.minutes[-1].start_ms
        return self.candle_at(interval_ms, start - start % interval_ms)

    def candle_at(self, interval_ms: int, start_ms: int) -> Candle | None:
        """The bar of `interval_ms` that opens at `start_ms`; None when nothing traded in it."""
        part: list[Candle] = []
        for candle in reversed(self.minutes):
            if candle.start_ms < start_ms:
                break
            if candle.start_ms < start_ms + interval_ms:
                part.append(candle)
        return aggregate(reversed(part), interval_ms)[0] if part else None
