"""Running measures of one symbol's tape: CVD, velocity, bursts, and which venue leads.

Guarantees: time is exchange time handed in with the data; memory is bounded however fast the tape is. Windows include
both bounds. One `Cvd` serves detection and detectors alike. Never: a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from actors.scavenger.indicators import pearson, returns

CVD_HISTORY_MS = 600_000
CVD_STEP_MS = 100
VELOCITY_WINDOW_MS = 5_000
VELOCITY_KEEP_MS = 10_000
ACCELERATION_MARGIN = 1.1
LEAD_STEP_MS = 100
LEAD_KEEP_MS = 10_000
LEAD_HOLD_STEPS = 5
LEAD_MIN_POINTS = 10


class Cvd:
    """Cumulative volume delta in base units over ten minutes, kept in steps of 100 ms.

    The step bounds memory to 6,000 points at any trade rate; a window's edge is exact to one step.
    """

    def __init__(self, step_ms: int = CVD_STEP_MS, history_ms: int = CVD_HISTORY_MS) -> None:
        self._step_ms = step_ms
        self._history_ms = history_ms
        self._times: list[int] = []
        self._sums: list[float] = []
        self._base = 0.0

    def add(self, ts_ms: int, delta: float) -> None:
        """Adds signed base quantity (taker buys positive) at an exchange time; late trades join the newest step."""
        step = ts_ms - ts_ms % self._step_ms
        if self._times and step <= self._times[-1]:
            self._sums[-1] += delta
            return
        self._sums.append((self._sums[-1] if self._sums else self._base) + delta)
        self._times.append(step)
        if len(self._times) % 512 == 0:
            self._trim(ts_ms)

    def _trim(self, ts_ms: int) -> None:
        drop = bisect_left(self._times, ts_ms - self._history_ms)
        if drop:
            self._base = self._sums[drop - 1]
            del self._times[:drop], self._sums[:drop]

    def over(self, window_ms: int, now_ms: int, offset_ms: int = 0) -> float:
        """Sum of deltas in [now - offset - window, now - offset]."""
        end = now_ms - offset_ms
        first = bisect_left(self._times, (end - window_ms) - (end - window_ms) % self._step_ms)
        last = bisect_right(self._times, end)
        if first >= last:
            return 0.0
        return self._sums[last - 1] - (self._sums[first - 1] if first else self._base)


def velocity(points: Sequence[tuple[int, float]], window_ms: int = VELOCITY_WINDOW_MS) -> float:
    """abs(p_new/p_old - 1) per second over the last `window_ms` of exchange time; 0 with fewer than two points."""
    if len(points) < 2:
        return 0.0
    newest_ms, newest = points[-1]
    for ts_ms, price in points:
        if ts_ms >= newest_ms - window_ms:
            seconds = (newest_ms - ts_ms) / 1000
            return abs(newest / price - 1) / seconds if seconds > 0 and price > 0 else 0.0
    return 0.0


def accelerates(newest: float, before: float) -> bool:
    """Whether a velocity exceeds the one before by more than a tenth; less is noise of the window's old end."""
    return newest > before * ACCELERATION_MARGIN


class VelocityTracker:
    """Price points of the last ten seconds, at most one every `spacing_ms`."""

    def __init__(self, spacing_ms: int = 100) -> None:
        self._spacing_ms = spacing_ms
        self._points: deque[tuple[int, float]] = deque()

    def add(self, ts_ms: int, price: float) -> None:
        """Records a price; points closer than the spacing replace the newest one."""
        points = self._points
        if len(points) > 1 and ts_ms - points[-2][0] < self._spacing_ms:
            points[-1] = (ts_ms, price)
            return
        points.append((ts_ms, price))
        while points[0][0] < ts_ms - VELOCITY_KEEP_MS:
            points.popleft()

    def now(self) -> float:
        """Fraction of price per second, at the newest point."""
        return velocity(self._points)


@dataclass(slots=True)
class Burst:
    """Trades near a trap since the first of them; `volume_window_ms` later it counts or is forgotten."""

    started_ms: int
    trades: int = 0
    buy_qty: float = 0.0
    sell_qty: float = 0.0

    def add(self, trades: int, buy_qty: float = 0.0, sell_qty: float = 0.0) -> None:
        """Counts trades, each once."""
        self.trades += trades
        self.buy_qty += buy_qty
        self.sell_qty += sell_qty

    def verdict(self, ts_ms: int, window_ms: int, min_trades: int) -> bool | None:
        """None while the window is open, then whether the burst is big enough."""
        if ts_ms - self.started_ms < window_ms:
            return None
        return self.trades >= min_trades


class VolumeValidator:
    """Says whether at least `min_trades` came within a window; the first call only opens it, so it is never true."""

    def __init__(self, window_ms: int = 100, min_trades: int = 50) -> None:
        self._window_ms = window_ms
        self._min_trades = min_trades
        self._burst: Burst | None = None

    def check(self, ts_ms: int, trades: int) -> bool:
        """Counts `trades` at an exchange time; closes the window once it is old enough."""
        if self._burst is None:
            self._burst = Burst(ts_ms, trades)
            return False
        self._burst.add(trades)
        verdict = self._burst.verdict(ts_ms, self._window_ms, self._min_trades)
        if verdict is None:
            return False
        self._burst = None
        return verdict


class Leader(StrEnum):
    """Whose prices move first."""

    BINANCE = "BINANCE"
    BYBIT = "BYBIT"
    EQUAL = "EQUAL"


@dataclass(slots=True)
class LeadLag:
    """Prices of two venues in 100 ms steps; compares their RETURNS at lag -1, 0, +1 (levels correlate by accident)."""

    _prices: dict[Leader, dict[int, float]] = field(
        default_factory=lambda: {Leader.BINANCE: {}, Leader.BYBIT: {}},
    )

    def add(self, venue: Leader, ts_ms: int, price: float) -> None:
        """Records the last price of a step."""
        steps = self._prices[venue]
        step = ts_ms // LEAD_STEP_MS
        steps[step] = price
        if len(steps) > 2 * LEAD_KEEP_MS // LEAD_STEP_MS:
            oldest = step - LEAD_KEEP_MS // LEAD_STEP_MS
            self._prices[venue] = {key: value for key, value in steps.items() if key >= oldest}

    def correlations(self) -> tuple[float, float, float] | None:
        """Correlation of returns at lags -1, 0, +1 (+1: Binance first); None with fewer than ten common points."""
        binance, bybit = self._prices[Leader.BINANCE], self._prices[Leader.BYBIT]
        if not binance or not bybit:
            return None
        last = min(max(binance), max(bybit))
        first = max(min(binance), min(bybit), last - LEAD_KEEP_MS // LEAD_STEP_MS)
        pairs: list[tuple[float, float]] = []
        for step in range(first, last + 1):
            left, right = _held(binance, step), _held(bybit, step)
            if left is not None and right is not None:
                pairs.append((left, right))
        if len(pairs) < LEAD_MIN_POINTS:
            return None
        left_returns = returns([pair[0] for pair in pairs])
        right_returns = returns([pair[1] for pair in pairs])
        return (
            pearson(left_returns[1:], right_returns[:-1]),
            pearson(left_returns, right_returns),
            pearson(left_returns[:-1], right_returns[1:]),
        )

    def leader(self) -> Leader:
        """BINANCE until both venues are known; EQUAL when the same moment correlates best."""
        found = self.correlations()
        if found is None:
            return Leader.BINANCE
        behind, level, ahead = found
        if ahead > level and ahead > behind:
            return Leader.BINANCE
        if behind > level and behind > ahead:
            return Leader.BYBIT
        return Leader.EQUAL


def _held(steps: dict[int, float], step: int) -> float | None:
    for back in range(LEAD_HOLD_STEPS + 1):
        price = steps.get(step - back)
        if price is not None:
            return price
    return None
