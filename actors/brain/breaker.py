"""The circuit breaker: stops openings by itself and lets a person alone switch a hard trip off.

Guarantees: tripping twice is one trip; a hard trip is never weakened; a soft one ends after its cooldown or turns
hard. Never: a say over closes. Source: reference/brain.md section 2.7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from titan.money import text_of

LOSSES_TO_PAUSE = 3
LOSS_WINDOW_MS = 3_600_000
COOLDOWN_MS = 1_800_000


class Trip(StrEnum):
    """How the breaker stands."""

    CLOSED = "CLOSED"
    SOFT = "SOFT"
    HARD = "HARD"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What the breaker remembers. Times are market milliseconds; `baseline` is the equity at the last manual reset."""

    trip: Trip = Trip.CLOSED
    reason: str = ""
    tripped_ms: int = 0
    resumes_ms: int = 0
    losses_ms: tuple[int, ...] = field(default=())
    baseline: Decimal | None = None
    baseline_day: int = 0


class Breaker:
    """One account's breaker. Losing round trips pause it, drawdown and low equity stop it."""

    def __init__(self, max_daily_drawdown: Decimal, min_equity: Decimal, state: BreakerState | None = None) -> None:
        self.max_daily_drawdown = max_daily_drawdown
        self.min_equity = min_equity
        self.state = state or BreakerState()

    def active(self, market_ms: int) -> bool:
        """Whether openings are stopped at a market time."""
        return self.state.trip is Trip.HARD or (self.state.trip is Trip.SOFT and self._pausing(market_ms))

    def _pausing(self, market_ms: int) -> bool:
        # A replay started again finds a pause of its own future: that one is over too.
        return 0 < self.state.resumes_ms - market_ms <= COOLDOWN_MS

    def drawdown(self, equity: Decimal, start_of_day: Decimal, day: int) -> Decimal:
        """Today's loss as a fraction of the equity at the day's start, or at a manual reset later that day."""
        base = start_of_day
        if self.state.baseline is not None and self.state.baseline_day == day:
            base = self.state.baseline
        return (base - equity) / base if base > 0 else Decimal(0)

    def on_equity(self, equity: Decimal, start_of_day: Decimal, market_ms: int, day: int) -> bool:
        """Judges an equity in USD; True when this very call tripped the breaker hard."""
        if self.state.trip is Trip.HARD:
            return False
        drawdown = self.drawdown(equity, start_of_day, day)
        if drawdown >= self.max_daily_drawdown:
            reason = f"daily drawdown {drawdown * 100:.2f}% >= {self.max_daily_drawdown * 100:.2f}%"
        elif equity < self.min_equity:
            reason = f"equity {equity:.2f} < minimum {text_of(self.min_equity)}"
        else:
            return False
        self._set(Trip.HARD, reason, market_ms, resumes_ms=0)
        return True

    def on_round_trip(self, pnl: Decimal, market_ms: int) -> bool:
        """Judges a closed round trip; True when this very call paused openings. Break-even is no loss."""
        if pnl > 0:
            self._remember(())
            return False
        if pnl == 0:
            return False
        losses = (*(at for at in self.state.losses_ms if 0 <= market_ms - at <= LOSS_WINDOW_MS), market_ms)
        self._remember(losses)
        if len(losses) < LOSSES_TO_PAUSE or self.state.trip is Trip.HARD or self.active(market_ms):
            return False
        reason = f"{len(losses)} consecutive losing round trips within {LOSS_WINDOW_MS // 60_000} min"
        self._set(Trip.SOFT, reason, market_ms, resumes_ms=market_ms + COOLDOWN_MS)
        self._remember(())
        return True

    def on_time(self, market_ms: int) -> bool:
        """Ends a pause that is over; True when this very call ended it."""
        if self.state.trip is Trip.SOFT and not self._pausing(market_ms):
            self.state = BreakerState(
                losses_ms=self.state.losses_ms, baseline=self.state.baseline, baseline_day=self.state.baseline_day
            )
            return True
        return False

    def reset(self, equity: Decimal | None, day: int) -> bool:
        """Switches the breaker off on a person's word; today's drawdown is counted from `equity` on.

        True when there was something to switch off.
        """
        stood = self.state.trip is not Trip.CLOSED
        self.state = BreakerState(baseline=equity, baseline_day=day)
        return stood

    def _set(self, trip: Trip, reason: str, market_ms: int, resumes_ms: int) -> None:
        old = self.state
        self.state = BreakerState(trip, reason, market_ms, resumes_ms, old.losses_ms, old.baseline, old.baseline_day)

    def _remember(self, losses: tuple[int, ...]) -> None:
        old = self.state
        self.state = BreakerState(
            old.trip, old.reason, old.tripped_ms, old.resumes_ms, losses, old.baseline, old.baseline_day
        )
