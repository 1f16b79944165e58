"""Intents that are worked by several orders, for the tests of the desk that works them."""

from __future__ import annotations

from typing import Any

from actors.router.effects import Effect
from actors.router.events import OrdersSeen, Tick
from tests.actors.router.support import (
    ETH,
    Bottle,
    d,
    intent,
    shown,
    stored,
)
from tests.actors.router.support import config as plain_config
from titan.journal.format import PARENT, parse
from titan.journal.values import ParentRow
from titan.model import Execution, Intent, Order, OrderState, Style

CHASE = Execution(Style.MAKER_FIRST, reprice_ms=2_000, reprices=2, cross=True)
TWAP = Execution(Style.TWAP, slices=4, duration_ms=40_000)
PEG = Execution(Style.PEG, duration_ms=60_000)
BASIS = Execution(
    Style.BASIS, hedge_symbol=ETH, hedge_reference_price=d(50000), hedge_stop_price=d(50500), hedge_ms=2_000
)


def worked(execution: Execution = CHASE, name: str = "i-1", **overrides: Any) -> Intent:
    return intent(name, execution=execution, **overrides)


def bottle(**overrides: Any) -> Bottle:
    made = Bottle(config=plain_config(**overrides)).begin()
    made.quote("50000", spread="2")
    return made


def parents(made: Bottle) -> list[ParentRow]:
    rows = [parse(row) for row in stored(made.rows) if row.kind == PARENT]
    return [row for row in rows if isinstance(row, ParentRow)]


def later(made: Bottle, ms: int, price: str = "50000") -> list[Effect]:
    """Time passes; the market is quoted anew and the core ticks."""
    made.clock.advance(ms)
    before = len(made.effects)
    made.refresh(price)
    made.quote(price, spread="2")
    made.tell(Tick())
    return made.effects[before:]


def end(made: Bottle, order: Order, state: OrderState = OrderState.CANCELED, filled: str = "0") -> list[Effect]:
    current = made.state.orders[order.client_order_id]
    return made.tell(OrdersSeen((shown(current, state, filled, updated_ms=made.now.market_ms),)))
