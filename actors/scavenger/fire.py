"""The last questions before a sprung trap becomes a signal, and how its order should meet the book.

Guarantees: pure functions; the first veto in a fixed order is the answer, so its metric means something. The acceleration
veto spares BREAKOUT and BREAKDOWN, which live on acceleration. Source: reference/phases.md §2.6. Never: sizes (see sizing).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.flow import Burst, Leader
from actors.scavenger.indicators import Directional, Volatility
from actors.scavenger.traps import Direction, Trap, TrapType, near

HIGH_VOL_SCALE = 1.5
LOW_VOL_SCALE = 0.8
_ACCELERATION_EXEMPT = frozenset({TrapType.BREAKOUT, TrapType.BREAKDOWN})


class Outcome(StrEnum):
    """What became of a sprung trap. Everything but SUBMITTED and GHOST releases the trap."""

    SUBMITTED = "SUBMITTED"
    GHOST = "GHOST"
    WICK_REVERSION = "WICK_REVERSION"
    STALE_BURST = "STALE_BURST"
    PRICE_LEFT = "PRICE_LEFT"
    COOLDOWN = "COOLDOWN"
    CVD_VETO = "CVD_VETO"
    ACCELERATION_VETO = "ACCELERATION_VETO"
    ADX_VETO = "ADX_VETO"
    BLACKLISTED = "BLACKLISTED"
    DISABLED = "DISABLED"
    NO_BUDGET = "NO_BUDGET"
    ORDER_RATE = "ORDER_RATE"
    ALREADY_HELD = "ALREADY_HELD"
    SIZE_ZERO = "SIZE_ZERO"


class OrderStyle(StrEnum):
    """How an entry meets the book: at once, up to 0.2 % further, or at the price."""

    MARKET = "MARKET"
    LIMIT_AGGRESSIVE = "LIMIT_AGGRESSIVE"
    LIMIT_PASSIVE = "LIMIT_PASSIVE"


@dataclass(frozen=True, slots=True)
class Weather:
    """What the market of one symbol is like when a trap fires.

    `accelerates` compares the velocity at the confirmation with the one at the burst: a knife that still falls faster.
    """

    velocity: float
    accelerates: bool
    trend: Directional
    atr: float
    volatility: Volatility


def order_style(velocity: float, atr: float, volatility: Volatility, config: ScavengerConfig) -> OrderStyle:
    """Faster markets pay more to get in; thresholds widen by 1.5 in high and shrink by 0.8 in low volatility."""
    scale = 1.0
    if atr:
        scale = HIGH_VOL_SCALE if volatility is Volatility.HIGH else LOW_VOL_SCALE
    if velocity > config.extreme_velocity * scale:
        return OrderStyle.MARKET
    if velocity > config.moderate_velocity * scale:
        return OrderStyle.LIMIT_AGGRESSIVE
    return OrderStyle.LIMIT_PASSIVE


def entry_price(style: OrderStyle, direction: Direction, price: float, config: ScavengerConfig) -> float:
    """The limit price, or the price itself for a market order."""
    markup = {
        OrderStyle.MARKET: 0.0,
        OrderStyle.LIMIT_AGGRESSIVE: config.aggressive_markup,
        OrderStyle.LIMIT_PASSIVE: config.passive_markup,
    }[style]
    return price * (1 + direction.sign * markup)


def max_slippage_bps(leader: Leader, config: ScavengerConfig) -> int:
    """Less patience when the trading venue itself leads."""
    return config.max_slippage_bps_when_bybit_leads if leader is Leader.BYBIT else config.max_slippage_bps


def stop_and_target(trap: Trap, price: float, config: ScavengerConfig) -> tuple[float, float]:
    """The trap's own stop and target where they lie on the right side of the price, else the configured fractions."""
    sign = trap.direction.sign
    stop = price * (1 - sign * config.stop_fraction)
    target = price * (1 + sign * config.target_fraction)
    if trap.stop is not None and (price - trap.stop) * sign > 0:
        stop = trap.stop
    if trap.target is not None and (trap.target - price) * sign > 0:
        target = trap.target
    return stop, target


def market_veto(trap: Trap, burst: Burst, price: float, weather: Weather, config: ScavengerConfig) -> Outcome | None:
    """What the tape says against the trade, or None: price gone, flow against it, a falling knife, a trend against it."""
    if not near(price, trap.trigger):
        return Outcome.PRICE_LEFT
    sign = trap.direction.sign
    delta, volume = burst.buy_qty - burst.sell_qty, burst.buy_qty + burst.sell_qty
    if delta * sign <= 0 or volume <= 0 or abs(delta) / volume < config.min_flow_imbalance:
        return Outcome.CVD_VETO
    if weather.accelerates and trap.trap_type not in _ACCELERATION_EXEMPT:
        return Outcome.ACCELERATION_VETO
    if weather.trend.adx > config.adx_trend and weather.trend.sign * sign < 0:
        return Outcome.ADX_VETO
    return None
