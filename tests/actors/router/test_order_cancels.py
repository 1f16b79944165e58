"""An order's end at the router's wish: cancels that work, fail, never leave or come too late."""

from __future__ import annotations

import pytest

from actors.router.events import (
    CancelFailed,
    Command,
    OrdersSeen,
    Tick,
    TimerFired,
)
from tests.actors.router.one_order import doubt, now, timers
from tests.actors.router.support import (
    BTC,
    Bottle,
    cancels,
    d,
    intent,
    lookups,
    protective,
    shown,
)
from titan.model import Order, OrderRole, OrderState, OrderType


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


def resting(bottle: Bottle) -> Order:
    order = bottle.send(intent("rest", order_type=OrderType.LIMIT, limit_price=d(49900)))
    bottle.acknowledge(order)
    return now(bottle, order)


def test_a_cancel_is_looked_up_afterwards_in_case_the_stream_is_silent(ready: Bottle) -> None:
    order = resting(ready)
    effects = ready.tell(Command("disarm", "test", "op", "c1"))
    assert [each.client_order_id for each in cancels(effects)] == [order.client_order_id]
    assert (f"lookup:{order.client_order_id}", 1_000) in timers(list(effects))
    assert [each.client_order_id for each in lookups(ready.tell(TimerFired(f"lookup:{order.client_order_id}")))]


def test_a_refused_cancel_asks_what_became_of_the_order(ready: Bottle) -> None:
    order = resting(ready)
    ready.tell(Command("disarm", "test", "op", "c1"))
    effects = ready.tell(CancelFailed(order.client_order_id, "refused", "110001 not exists"))
    assert [each.client_order_id for each in lookups(effects)] == [order.client_order_id]


def test_a_cancel_that_never_left_is_repeated(ready: Bottle) -> None:
    order = resting(ready)
    ready.tell(Command("disarm", "test", "op", "c1"))
    ready.tell(CancelFailed(order.client_order_id, "never_left", "429"))
    assert [each.client_order_id for each in cancels(ready.tell(Tick()))] == [order.client_order_id]


def test_an_entry_that_arrives_at_the_venue_after_a_disarm_is_cancelled(ready: Bottle) -> None:
    order = ready.send(intent("late", order_type=OrderType.LIMIT, limit_price=d(49900)))
    doubt(ready, order)
    ready.tell(Command("disarm", "test", "op", "c1"))
    assert [each.client_order_id for each in cancels(ready.effects)] == [order.client_order_id]
    ready.clock.advance(2_000)
    again = ready.tell(Tick())
    assert [each.client_order_id for each in cancels(again)] == [order.client_order_id]


def test_a_disarm_leaves_the_orders_of_others_and_a_halt_does_not(ready: Bottle) -> None:
    stranger = protective("x-1", OrderRole.EXTERNAL, "0", reduce_only=False, client_order_id="my-own-order")
    ready.tell(OrdersSeen((stranger,)))
    assert cancels(ready.tell(Command("disarm", "test", "op", "c1"))) == []
    assert len(cancels(ready.tell(Command("halt", "test", "op", "c2")))) == 1


def test_a_cancel_that_came_too_late_books_the_fill(ready: Bottle) -> None:
    order = resting(ready)
    ready.tell(Command("disarm", "test", "op", "c1"))
    ready.tell(OrdersSeen((shown(order, OrderState.CANCELED, "0.04"),)))
    assert now(ready, order).state is OrderState.CANCELED
    ready.fill(order, "0.04", "49900", "t-late")
    assert now(ready, order).filled == d("0.04")
    assert ready.state.positions[BTC].quantity == d("0.04")


def test_a_failed_cancel_of_an_ended_order_is_no_news(ready: Bottle) -> None:
    order = ready.open()
    assert ready.tell(CancelFailed(order.client_order_id, "refused", "gone")) == []
