"""How the phases have done: closed round trips of the last days, their Sharpe ratio, and what it does to size.

Guarantees: the factor on size stays within 0.5 and 1.2. Never: a judgement on fewer trades than the minimum.
Source: reference/brain.md section 2.10.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from titan.model import Phase

DAY_MS = 86_400_000
WINDOW_DAYS = 7
MIN_TRADES = 10
MALUS, BONUS = 0.5, 1.2
MALUS_BELOW, BONUS_ABOVE = 0.0, 2.0


class SharpeMode(StrEnum):
    """Over what the ratio is taken: returns of whole days, or (for comparison only) the PnL of each trade."""

    DAILY = "daily"
    PER_TRADE = "per_trade"


def sharpe(values: Sequence[float]) -> float:
    """Mean over sample standard deviation, times the root of 365; without spread +3, -3 or 0 by the mean's sign.

    Fewer than two values give 0.
    """
    count = len(values)
    if count < 2:
        return 0.0
    mean = sum(values) / count
    if all(left == right for left, right in pairwise(values)):
        return math.copysign(3.0, mean) if mean else 0.0
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    return mean / deviation * math.sqrt(365.0)


def modifier_of(ratio: float, *, enough_trades: bool) -> float:
    """The factor on size for a Sharpe ratio."""
    if not enough_trades:
        return 1.0
    if ratio < MALUS_BELOW:
        return MALUS
    return BONUS if ratio > BONUS_ABOVE else 1.0


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """One round trip: net PnL in USD, the account's equity at its end, and when (market time)."""

    phase: Phase
    pnl: float
    equity: float
    ts_ms: int


class Performance:
    """The closed round trips of the last seven market days, by phase."""

    def __init__(self, mode: SharpeMode = SharpeMode.DAILY, trades: Iterable[ClosedTrade] = ()) -> None:
        self.mode = mode
        self._trades: dict[Phase, deque[ClosedTrade]] = defaultdict(deque)
        self._cached: dict[Phase, tuple[int, float, float]] = {}
        for trade in trades:
            self.record(trade)

    def record(self, trade: ClosedTrade) -> None:
        """Takes note of a round trip."""
        self._trades[trade.phase].append(trade)
        self._cached.clear()

    def trades(self) -> list[ClosedTrade]:
        """All that is remembered, oldest first within a phase."""
        return [trade for phase in Phase for trade in self._trades.get(phase, ())]

    def sharpe_of(self, phase: Phase, market_ms: int) -> float:
        """The phase's ratio over the window that ends now."""
        return self._judged(phase, market_ms)[0]

    def modifier(self, phase: Phase, market_ms: int) -> float:
        """The factor on the phase's sizes."""
        return self._judged(phase, market_ms)[1]

    def _judged(self, phase: Phase, market_ms: int) -> tuple[float, float]:
        day = market_ms // DAY_MS
        cached = self._cached.get(phase)
        if cached is not None and cached[0] == day:
            return cached[1], cached[2]
        kept = self._trades[phase]
        while kept and kept[0].ts_ms < market_ms - WINDOW_DAYS * DAY_MS:
            kept.popleft()
        ratio = sharpe(self._series(kept))
        factor = modifier_of(ratio, enough_trades=len(kept) >= MIN_TRADES)
        self._cached[phase] = (day, ratio, factor)
        return ratio, factor

    def _series(self, trades: Iterable[ClosedTrade]) -> list[float]:
        if self.mode is SharpeMode.PER_TRADE:
            return [trade.pnl for trade in trades]
        daily: dict[int, float] = defaultdict(float)
        for trade in trades:
            if trade.equity > 0.0:
                daily[trade.ts_ms // DAY_MS] += trade.pnl / trade.equity
        return list(daily.values())
