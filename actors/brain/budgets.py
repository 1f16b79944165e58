"""What each phase may use until the next budget.

Guarantees: a phase without allocation, a crash, or the day's loss limit leaves nothing to open with.
Source: reference/brain.md section 2.11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from actors.brain.regime import Regime
from titan.codes import TradingState
from titan.money import ZERO, text_of

HALF_ABOVE_SLIPPAGE_BPS = 50.0
HALF_ABOVE_REJECTS = 0.10
URGENT_SLIPPAGE_BPS = 100.0
URGENT_REJECTS = 0.20
DRAWDOWN_SHARE = Decimal("0.02")
ORDER_RATE, THROTTLED_ORDER_RATE = 30, 5


class BudgetState(StrEnum):
    """What a phase may do."""

    ACTIVE = "ACTIVE"
    THROTTLED = "THROTTLED"
    CLOSE_ONLY = "CLOSE_ONLY"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True)
class PhaseBudget:
    """One phase's means. Money in USD, rate in orders per minute."""

    state: BudgetState
    max_notional: Decimal
    max_leverage: Decimal
    max_drawdown: Decimal
    max_order_rate: int
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetInput:
    """What a budget is made from."""

    equity: Decimal | None
    leverage_cap: Decimal
    weight: float
    slippage_bps: float
    reject_rate: float
    regime: Regime
    daily_pnl: Decimal
    max_daily_loss: Decimal
    trading_state: TradingState
    held: str

    @property
    def urgent(self) -> bool:
        """Whether the phases should hear of it at once."""
        return self.slippage_bps > URGENT_SLIPPAGE_BPS or self.reject_rate > URGENT_REJECTS


def budget_of(given: BudgetInput) -> PhaseBudget:
    """One phase's budget. `held` says why openings are held, empty when they are not."""
    if given.equity is None:
        return PhaseBudget(BudgetState.HALTED, ZERO, ZERO, ZERO, 0, "equity is not known yet")
    weight = Decimal(repr(given.weight))
    drawdown = (DRAWDOWN_SHARE * given.equity * weight).quantize(Decimal("0.01"))
    if given.weight <= 0.0 and given.regime is not Regime.CRASH:
        return PhaseBudget(BudgetState.HALTED, ZERO, given.leverage_cap, ZERO, 0, "Zero Allocation")
    closed = _closed(given)
    if closed:
        return PhaseBudget(BudgetState.CLOSE_ONLY, ZERO, given.leverage_cap, drawdown, THROTTLED_ORDER_RATE, closed)
    penalty, reasons = Decimal(1), []
    if given.slippage_bps > HALF_ABOVE_SLIPPAGE_BPS:
        penalty /= 2
        reasons.append(f"slippage {given.slippage_bps:.0f} bps > {HALF_ABOVE_SLIPPAGE_BPS:.0f} bps")
    if given.reject_rate > HALF_ABOVE_REJECTS:
        penalty /= 2
        reasons.append(f"rejects {given.reject_rate:.0%} > {HALF_ABOVE_REJECTS:.0%}")
    notional = Decimal(math.floor(given.equity * given.leverage_cap * weight * penalty))
    return PhaseBudget(
        BudgetState.THROTTLED if reasons else BudgetState.ACTIVE,
        max(ZERO, notional),
        given.leverage_cap,
        drawdown,
        THROTTLED_ORDER_RATE if reasons else ORDER_RATE,
        "; ".join(reasons) or "within limits",
    )


def _closed(given: BudgetInput) -> str:
    if given.regime is Regime.CRASH:
        return "regime CRASH"
    if given.daily_pnl <= given.max_daily_loss:
        return f"daily PnL {given.daily_pnl:.2f} is at or below the limit {text_of(given.max_daily_loss)}"
    if given.trading_state is not TradingState.ACTIVE:
        return f"trading state {given.trading_state.value}"
    return given.held
