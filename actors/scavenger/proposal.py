"""A confirmed trap as a signal: size, stop, target, order type and everything that explains them.

Guarantees: size, trap type, order type, velocity and slippage limit all travel with the signal; prices lie on the decimal
grid of the tape. The signal's volatility is ATR(14) of one-minute bars in price units, because its stop stands against
minutes of noise: the brain compares it with the distance of the stop. Never: decides whether to trade.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.events import BudgetUpdate
from actors.scavenger.fire import OrderStyle, Weather, entry_price, max_slippage_bps, order_style, stop_and_target
from actors.scavenger.flow import Burst, Leader
from actors.scavenger.indicators import exact
from actors.scavenger.sizing import position_size
from actors.scavenger.symbol import SymbolState
from actors.scavenger.traps import Direction, Trap
from titan.clock import Now
from titan.ids import SignalId
from titan.model import Action, OrderType, Phase, Side, Signal
from titan.money import ZERO, text_of

ZONE = 0.001
CLOSE_SLIPPAGE_BPS = 100
_SIDES = {Direction.LONG: Side.BUY, Direction.SHORT: Side.SELL}


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a confirmed trap brings along. `price` is the last trade; times are market time."""

    signal_id: SignalId
    trap: Trap
    burst: Burst
    price: float
    price_scale: int
    weather: Weather
    leader: Leader
    budget: BudgetUpdate
    minute_atr: float
    macro_cvd: float
    t_signal_ms: int
    t_exchange_ms: int


def build_signal(proposal: Proposal, config: ScavengerConfig) -> Signal | None:
    """The signal, or None when the bet is worth nothing."""
    trap, price, weather = proposal.trap, proposal.price, proposal.weather
    style = order_style(weather.velocity, weather.atr, weather.volatility, config)
    entry = entry_price(style, trap.direction, price, config)
    stop, target = stop_and_target(trap, price, config)
    equity = proposal.budget.max_notional * exact(config.risk_multiplier)
    size = position_size(
        equity, trap.confidence, abs(price - stop) / price, abs(target - price) / price, config.max_position_fraction
    )
    if size <= 0:
        return None
    budget_leverage = proposal.budget.max_leverage
    leverage = min(trap.leverage, config.max_leverage, budget_leverage if budget_leverage > 0 else trap.leverage)
    burst, scale = proposal.burst, proposal.price_scale
    return Signal(
        signal_id=proposal.signal_id,
        phase=Phase.SCAVENGER,
        action=Action.OPEN,
        venue="auto",
        symbol=trap.symbol,
        side=_SIDES[trap.direction],
        requested_size=size,
        entry_price=_on_grid(entry, scale),
        stop_price=_on_grid(stop, scale),
        target_price=_on_grid(target, scale),
        confidence=trap.confidence,
        leverage=leverage,
        volatility=proposal.minute_atr,
        trap_type=trap.trap_type.value,
        order_type=OrderType.MARKET if style is OrderStyle.MARKET else OrderType.LIMIT,
        max_slippage_bps=max_slippage_bps(proposal.leader, config),
        t_signal_ms=proposal.t_signal_ms,
        t_exchange_ms=proposal.t_exchange_ms,
        ttl_ms=config.ttl_ms,
        metadata={
            "signal_type": "SETUP_CONFIRMATION",
            "order_style": style.value,
            "velocity": f"{weather.velocity:.8f}",
            "last_price": text_of(_on_grid(price, scale)),
            "entry_zone_min": text_of(_on_grid(price * (1 - ZONE), scale)),
            "entry_zone_max": text_of(_on_grid(price * (1 + ZONE), scale)),
            "trigger": text_of(_on_grid(trap.trigger, scale)),
            "bars": f"{trap.interval_s}s",
            "burst_trades": str(burst.trades),
            "micro_cvd": f"{burst.buy_qty - burst.sell_qty:.8f}",
            "cvd_60s": f"{proposal.macro_cvd:.8f}",
            "adx": f"{weather.trend.adx:.2f}",
            "volatility_regime": weather.volatility.value,
            "leader": proposal.leader.value,
        },
    )


def build_close(signal_id: SignalId, state: SymbolState, now: Now, ttl_ms: int) -> Signal:
    """The proposal to close all that is held of a symbol, at the market; a size of zero means all of it."""
    return Signal(
        signal_id=signal_id,
        phase=Phase.SCAVENGER,
        action=Action.CLOSE,
        venue="auto",
        symbol=state.symbol,
        side=Side.SELL if state.holdings.quantity > 0 else Side.BUY,
        requested_size=ZERO,
        entry_price=None if state.last_price is None else _on_grid(state.last_price, state.price_scale),
        stop_price=None,
        target_price=None,
        confidence=100.0,
        leverage=1.0,
        volatility=0.0,
        trap_type=state.holdings.trap_type,
        order_type=OrderType.MARKET,
        max_slippage_bps=CLOSE_SLIPPAGE_BPS,
        t_signal_ms=now.market_ms,
        t_exchange_ms=state.last_ms,
        ttl_ms=ttl_ms,
        metadata={"signal_type": "TIME_STOP"},
    )


def _on_grid(value: float, scale: int) -> Decimal:
    return exact(value).quantize(Decimal(1).scaleb(-scale))
