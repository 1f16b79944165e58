"""Bars from trades.

Guarantees: a bar counts as whole only when the tape was watched from its first moment to its last without a gap; any
other bar is asked for at the venue instead of being guessed. Intervals without a trade become flat bars at the last
close, as exchanges report them. Time is exchange time. Never: clocks, I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

INTERVALS = (60, 300, 3600)
GRACE_MS = 500
"""How long after its end a bar waits for late trades when only tickers tell the time."""
KEPT_BARS = 1_000


@dataclass(frozen=True, slots=True)
class Bar:
    """One closed bar; prices in quote units, volume in base units."""

    open_ts_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(slots=True)
class _Forming:
    open_ts_ms: int
    whole: bool
    first: int = 0
    high: int = 0
    low: int = 0
    last: int = 0
    volume: int = 0
    trades: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing brought: whole bars, and whether bars are missing that the venue must be asked for."""

    bars: tuple[Bar, ...] = ()
    missing: bool = False


@dataclass(slots=True)
class CandleAggregator:
    """One symbol and interval. Prices and quantities are integers scaled by the symbol's scales."""

    interval_s: int
    price_scale: int
    qty_scale: int
    _forming: _Forming | None = field(default=None, init=False)
    _last_price: int | None = field(default=None, init=False)

    def add(self, ts_ms: int, price: int, qty: int) -> Closed:
        """Takes one trade; returns what it closed. A trade older than the forming bar is left to the venue's own bars."""
        closed = self._roll(ts_ms)
        forming = self._forming
        if forming is not None and ts_ms >= forming.open_ts_ms:
            if forming.trades == 0:
                forming.first = forming.high = forming.low = price
            elif price > forming.high:
                forming.high = price
            elif price < forming.low:
                forming.low = price
            forming.last = price
            forming.volume += qty
            forming.trades += 1
        self._last_price = price
        return closed

    def pass_time(self, ts_ms: int) -> Closed:
        """Closes bars that ended more than the grace before an exchange time."""
        return self._roll(ts_ms - GRACE_MS)

    def interrupt(self) -> None:
        """The tape had a gap: the forming bar is no longer whole."""
        if self._forming is not None:
            self._forming.whole = False

    def _roll(self, ts_ms: int) -> Closed:
        width = self.interval_s * 1000
        start = ts_ms - ts_ms % width
        forming = self._forming
        if forming is None:
            # The very first bar is whole only when its first moment was seen.
            self._forming = _Forming(start, whole=ts_ms == start)
            return Closed()
        if start <= forming.open_ts_ms:
            return Closed()
        bars: list[Bar] = []
        missing = False
        while forming.open_ts_ms < start:
            bar = self._bar(forming)
            if bar is None:
                missing = True
            else:
                bars.append(bar)
            forming = _Forming(forming.open_ts_ms + width, whole=True)
        self._forming = forming
        return Closed(tuple(bars), missing)

    def _bar(self, forming: _Forming) -> Bar | None:
        if not forming.whole or (forming.trades == 0 and self._last_price is None):
            return None
        if forming.trades == 0:
            flat = self._price(self._last_price or 0)
            return Bar(forming.open_ts_ms, flat, flat, flat, flat, Decimal(0))
        return Bar(
            forming.open_ts_ms,
            self._price(forming.first),
            self._price(forming.high),
            self._price(forming.low),
            self._price(forming.last),
            Decimal(forming.volume).scaleb(-self.qty_scale),
        )

    def _price(self, value: int) -> Decimal:
        return Decimal(value).scaleb(-self.price_scale)


class CandleStore:
    """Closed bars of one symbol and interval, oldest first; the venue's own bars win over ours."""

    def __init__(self) -> None:
        self._bars: dict[int, Bar] = {}
        self.loaded = False

    def merge(self, bars: Iterable[Bar]) -> list[Bar]:
        """Takes bars of the venue; returns those that are newer than every bar known before, oldest first."""
        newest = max(self._bars, default=-1)
        fresh: list[Bar] = []
        for bar in sorted(bars, key=lambda one: one.open_ts_ms):
            self._bars[bar.open_ts_ms] = bar
            if bar.open_ts_ms > newest:
                fresh.append(bar)
        self.loaded = True
        self._trim()
        return fresh

    def append(self, bar: Bar) -> bool:
        """Takes a bar of our own; False when the venue's is already there."""
        if bar.open_ts_ms in self._bars:
            return False
        self._bars[bar.open_ts_ms] = bar
        self._trim()
        return True

    def _trim(self) -> None:
        surplus = len(self._bars) - KEPT_BARS
        if surplus > 0:
            for open_ts_ms in sorted(self._bars)[:surplus]:
                del self._bars[open_ts_ms]

    def last(self, limit: int) -> Sequence[Bar]:
        """The newest `limit` bars, oldest first."""
        return [self._bars[open_ts_ms] for open_ts_ms in sorted(self._bars)[-limit:]] if limit > 0 else []
