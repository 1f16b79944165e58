"""What happens to one order, for the tests of the desk that keeps orders."""

from __future__ import annotations

from actors.router.events import (
    SendFailed,
    TimerFired,
)
from tests.actors.router.support import (
    Bottle,
)
from titan.effects import SetTimer
from titan.model import Order


def now(bottle: Bottle, order: Order) -> Order:
    return bottle.state.orders[order.client_order_id]


def timers(effects: list[object]) -> list[tuple[str, int]]:
    return [(effect.key, effect.after_ms) for effect in effects if isinstance(effect, SetTimer)]


def doubt(bottle: Bottle, order: Order) -> list[object]:
    return list(bottle.tell(SendFailed(order.client_order_id, "in_doubt", "timed out")))


def look(bottle: Bottle, order: Order) -> list[object]:
    return list(bottle.tell(TimerFired(f"lookup:{order.client_order_id}")))
