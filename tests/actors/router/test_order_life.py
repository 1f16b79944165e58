"""Order types and their terms, expiry, overfill, dust, orders of strangers, an operator's word on one order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.router.effects import AmendOrder
from actors.router.events import Command, LookedUp, OrderAsk, OrdersSeen, SendFailed, Tick
from actors.router.state import ABLE
from tests.actors.router.support import (
    BTC,
    T0,
    Bottle,
    alerts,
    cancels,
    closing,
    config,
    d,
    intent,
    protective,
    receipts,
    sends,
    shown,
)
from titan.codes import ExternalPolicy, OperatorCode, RejectCode
from titan.ids import ClientOrderId
from titan.model import Order, OrderRole, OrderState, OrderType, Side, Target, Terms

PLAIN = replace(ABLE, time_in_force={kind: kind.value for kind in (OrderType.MARKET, OrderType.LIMIT)})
HALF = d("0.5")


def code(bottle: Bottle) -> str:
    return str(bottle.last_row("reject")["code"])


@pytest.mark.parametrize("kind", [kind for kind in OrderType if kind not in PLAIN.order_types])
def test_a_type_that_the_venue_does_not_take_is_refused_with_its_code(kind: OrderType) -> None:
    bottle = Bottle(config(can=PLAIN)).begin()
    wanted = intent(order_type=kind, limit_price=d(50000), terms=Terms(trigger_price=d(50100), trail=d(10)))
    assert sends(bottle.intend(wanted)) == []
    assert code(bottle) == RejectCode.ORDER_TYPE_UNSUPPORTED.value
    bottle.open(name="i-held")
    assert sends(bottle.intend(replace(wanted, intent_id="c", action=closing().action, side=Side.SELL))) == []  # type: ignore[arg-type]
    assert code(bottle) == RejectCode.ORDER_TYPE_UNSUPPORTED.value


@pytest.mark.parametrize(
    ("kind", "limit", "trigger"),
    [
        (OrderType.FOK, "50000", None),
        (OrderType.STOP_MARKET, None, "50100"),
        (OrderType.STOP_LIMIT, "50150", "50100"),
    ],
)
def test_an_opening_of_a_further_type_is_sent_with_its_prices(kind: OrderType, limit: Any, trigger: Any) -> None:
    bottle = Bottle().begin()
    terms = None if trigger is None else Terms(trigger_price=d(trigger))
    order = bottle.send(intent(order_type=kind, limit_price=None if limit is None else d(limit), terms=terms))
    assert order.order_type is kind
    assert order.price == (None if limit is None else d(limit))
    assert order.trigger_price == (None if trigger is None else d(trigger))
    assert order.stop_price is not None
    assert bottle.replayed().orders == bottle.state.orders


@pytest.mark.parametrize(
    ("kind", "limit", "trigger"),
    [
        (OrderType.STOP_MARKET, None, "49000"),
        (OrderType.STOP_LIMIT, "48990", "49000"),
        (OrderType.TAKE_PROFIT_MARKET, None, "51000"),
        (OrderType.TAKE_PROFIT_LIMIT, "51000", "50900"),
        (OrderType.LIMIT, "51000", None),
        (OrderType.FOK, "49990", None),
    ],
)
def test_whatever_closes_is_reduce_only(kind: OrderType, limit: Any, trigger: Any) -> None:
    bottle = Bottle().begin()
    bottle.open()
    terms = None if trigger is None else Terms(trigger_price=d(trigger))
    order = bottle.send(closing(order_type=kind, limit_price=None if limit is None else d(limit), terms=terms))
    assert (order.reduce_only, order.quantity, order.order_type) == (True, d("0.1"), kind)


def test_a_trailing_close_begins_at_its_distance() -> None:
    bottle = Bottle().begin()
    bottle.open()
    order = bottle.send(closing(order_type=OrderType.TRAILING_STOP, terms=Terms(trail=d(300))))
    assert (order.order_type, order.trigger_price) == (OrderType.STOP_MARKET, d(49700))
    bottle.acknowledge(order)
    begun = len(bottle.effects)
    bottle.quote("50400")
    [moved] = [each for each in bottle.effects[begun:] if isinstance(each, AmendOrder)]
    assert moved.trigger_price == d(50100)


@pytest.mark.parametrize(
    ("kind", "terms", "wanted"),
    [
        (OrderType.STOP_MARKET, None, RejectCode.TERMS_INVALID),
        (OrderType.STOP_MARKET, Terms(trigger_price=d(49900)), RejectCode.TERMS_INVALID),
        (OrderType.TAKE_PROFIT_MARKET, Terms(trigger_price=d(49900)), RejectCode.TERMS_INVALID),
        (OrderType.TRAILING_STOP, Terms(), RejectCode.TERMS_INVALID),
        (OrderType.MARKET, Terms(expires_ms=T0 - 1), RejectCode.INTENT_EXPIRED),
        (OrderType.MARKET, Terms(trail=d("0.01")), RejectCode.TERMS_INVALID),
        (OrderType.MARKET, Terms(targets=(Target(d(51000), HALF),)), RejectCode.TERMS_INVALID),
        (OrderType.MARKET, Terms(targets=(Target(d(49000), d(1)),)), RejectCode.TERMS_INVALID),
        (
            OrderType.MARKET,
            Terms(targets=(Target(d(51000), d("0.001")), Target(d(52000), d("0.999")))),
            RejectCode.TERMS_INVALID,
        ),
        (OrderType.MARKET, Terms(targets=(Target(d(51000), d("0.05")),) * 20), RejectCode.TERMS_INVALID),
    ],
)
def test_terms_that_make_no_sense_are_refused(kind: OrderType, terms: Terms | None, wanted: RejectCode) -> None:
    bottle = Bottle().begin()
    assert sends(bottle.intend(intent(order_type=kind, terms=terms))) == []
    assert code(bottle) == wanted.value


# expiry


def good_till(bottle: Bottle, ms: int = 3000) -> Order:
    order = bottle.send(intent(order_type=OrderType.LIMIT, limit_price=d(50000), terms=Terms(expires_ms=T0 + ms)))
    bottle.acknowledge(order)
    return order


def test_an_order_whose_time_is_over_is_cancelled_and_ends_expired() -> None:
    bottle = Bottle().begin()
    order = good_till(bottle)
    bottle.clock.advance(2000)
    assert cancels(bottle.tell(Tick())) == []
    bottle.clock.advance(1500)
    assert [one.client_order_id for one in cancels(bottle.tell(Tick()))] == [order.client_order_id]
    bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED),)))
    assert bottle.state.orders[order.client_order_id].state is OrderState.EXPIRED


def test_a_fill_after_the_end_is_booked_to_the_expired_order() -> None:
    bottle = Bottle().begin()
    order = good_till(bottle)
    bottle.clock.advance(3500)
    bottle.tell(Tick())
    bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED),)))
    bottle.fill(order, "0.03", "50000", "t1")
    assert bottle.state.orders[order.client_order_id].state is OrderState.EXPIRED
    assert bottle.state.held(BTC) == d("0.03")
    bottle.fill(order, "0.07", "50000", "t2")
    assert bottle.state.orders[order.client_order_id].state is OrderState.FILLED


def test_an_order_in_doubt_that_the_venue_ended_after_its_time_is_expired() -> None:
    bottle = Bottle().begin()
    order = bottle.send(intent(order_type=OrderType.LIMIT, limit_price=d(50000), terms=Terms(expires_ms=T0 + 3000)))
    bottle.tell(SendFailed(order.client_order_id, "in_doubt", "timed out"))
    bottle.clock.advance(3500)
    bottle.tell(LookedUp(order.client_order_id, shown(order, OrderState.CANCELED)))
    assert bottle.state.orders[order.client_order_id].state is OrderState.EXPIRED


def test_a_close_that_could_not_leave_in_time_expires_without_having_left() -> None:
    bottle = Bottle().begin()
    bottle.open()
    order = bottle.send(closing(terms=Terms(expires_ms=T0 + 500)))
    bottle.tell(SendFailed(order.client_order_id, "never_left", "away"))
    bottle.clock.advance(1000)
    assert sends(bottle.tell(Tick())) == []
    assert bottle.state.orders[order.client_order_id].state is OrderState.EXPIRED


# overfill and dust


def test_an_overfill_is_booked_whole_and_told() -> None:
    bottle = Bottle().begin()
    order = bottle.send(intent())
    bottle.acknowledge(order)
    bottle.fill(order, "0.1", "50000", "t1")
    effects = bottle.fill(order, "0.02", "50000", "t2")
    assert "ORDER_OVERFILLED" in alerts(effects)
    kept = bottle.state.orders[order.client_order_id]
    assert (kept.state, kept.filled, bottle.state.held(BTC)) == (OrderState.FILLED, d("0.12"), d("0.12"))
    assert "0.02" in kept.detail


def test_a_close_takes_the_dust_with_it() -> None:
    bottle = Bottle().begin()
    order = bottle.send(intent())
    bottle.acknowledge(order)
    bottle.fill(order, "0.0504", "50000", "t1")
    assert bottle.send(closing(quantity="0.05")).quantity == d("0.0504")


# strangers


def stranger(**overrides: Any) -> Any:
    seen = protective("v-hand", OrderRole.EXTERNAL, "0")
    hand = {
        "order_type": OrderType.LIMIT,
        "price": d(48000),
        "trigger_price": None,
        "reduce_only": False,
        "side": Side.BUY,
    }
    return replace(seen, **{**hand, **overrides})


@pytest.mark.parametrize("policy", list(ExternalPolicy))
@pytest.mark.parametrize("recovering", [False, True])
def test_an_order_that_nobody_here_made_is_treated_by_policy(policy: ExternalPolicy, recovering: bool) -> None:
    bottle = Bottle(config(external=policy))
    bottle.begin(open_orders=(stranger(),) if recovering else ())
    effects = bottle.effects if recovering else bottle.tell(bottle.report((), (stranger(),)))
    assert "EXTERNAL_ORDER" in alerts(effects)
    assert len(cancels(effects)) == (policy is ExternalPolicy.CANCEL)
    row = bottle.last_row("order")
    assert (row["event"], row["role"], row["detail"]) == ("ADOPT", "EXTERNAL", f"external, {policy.value.lower()}")
    assert (bottle.state.externals, bottle.replayed().externals) == (1, 1)
    bottle.clock.advance(2500)
    assert len(cancels(bottle.tell(Tick()))) == (policy is ExternalPolicy.CANCEL)
    effects = bottle.tell(Command("disarm", "test", "op", "c1"))
    assert len(cancels(effects)) == (policy is not ExternalPolicy.FLAG)


def test_a_strangers_order_that_only_closes_is_never_cancelled_by_policy() -> None:
    bottle = Bottle(config(external=ExternalPolicy.CANCEL)).begin()
    assert cancels(bottle.tell(bottle.report((), (stranger(reduce_only=True),)))) == []


# an operator's word on one order


def ask(bottle: Bottle, verb: str, cid: str, **wanted: Any) -> OperatorCode:
    effects = bottle.tell(Command(verb, "test", "op", f"{verb}-{len(bottle.effects)}", order=OrderAsk(cid, **wanted)))
    [receipt] = receipts(effects)
    return receipt.code


def test_an_operator_cancels_and_changes_one_order() -> None:
    bottle = Bottle().begin()
    order = good_till(bottle, 60_000)
    cid = order.client_order_id
    assert ask(bottle, "amend_order", cid, price=d(49990)) is OperatorCode.DONE
    assert ask(bottle, "amend_order", cid, price=d(49980)) is OperatorCode.ORDER_REFUSED
    assert ask(bottle, "cancel_order", cid) is OperatorCode.DONE
    assert ask(bottle, "cancel_order", cid) is OperatorCode.ALREADY
    assert ask(bottle, "cancel_order", ClientOrderId("nobody")) is OperatorCode.NO_SUCH_ORDER


def test_an_operator_does_not_cancel_a_stop_and_moves_it_only_closer() -> None:
    bottle = Bottle().begin()
    entry = bottle.open()
    bottle.tell(OrdersSeen((protective("v-stop", OrderRole.STOP, "49500", entry.client_order_id),)))
    [stop] = [order for order in bottle.state.live_orders(BTC) if order.role is OrderRole.STOP]
    cid = stop.client_order_id
    assert ask(bottle, "cancel_order", cid) is OperatorCode.ORDER_REFUSED
    assert ask(bottle, "amend_order", cid, trigger_price=d(49400)) is OperatorCode.ORDER_REFUSED
    assert ask(bottle, "amend_order", cid, trigger_price=d(49600)) is OperatorCode.DONE
