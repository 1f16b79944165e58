"""Changes of orders: in place, by cancel and replacement, in doubt, refused, and against fills."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from actors.router import children
from actors.router.effects import AmendOrder, Effect
from actors.router.events import Amended, AmendFailed, LookedUp, OrdersSeen, TimerFired
from actors.router.refusal import Refusal
from actors.router.state import ABLE
from actors.router.turn import Turn
from tests.actors.router.support import Bottle, cancels, closing, config, d, intent, lookups, sends, shown, stored
from titan.codes import RejectCode, TradingState
from titan.model import Order, OrderRole, OrderState, OrderType, Side

UNABLE = replace(ABLE, amends=frozenset(), amends_waiting=frozenset())


def resting(bottle: Bottle, quantity_usd: str = "5000", price: str = "50000", **overrides: Any) -> Order:
    """An entry of 0.1 BTC that rests at the venue."""
    wanted = intent(order_type=OrderType.LIMIT, limit_price=d(price), size_usd=quantity_usd, **overrides)
    order = bottle.send(wanted)
    bottle.acknowledge(order)
    return bottle.state.orders[order.client_order_id]


def change(bottle: Bottle, order: Order, **wanted: Decimal) -> Refusal | None:
    """Asks as an algorithm would, inside a turn."""
    turn = Turn(bottle.state, bottle.now)
    refusal = bottle.core._amends.change(turn, order, **wanted)
    bottle._take(turn.finish())
    return refusal


def amends(effects: list[Effect]) -> list[AmendOrder]:
    return [effect for effect in effects if isinstance(effect, AmendOrder)]


def now(bottle: Bottle, order: Order) -> Order:
    return bottle.state.orders[order.client_order_id]


def test_a_change_is_journalled_before_it_is_sent_and_holds_once_the_venue_took_it() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    assert change(bottle, order, price=d("49990.04"), quantity=d("0.05")) is None
    [sent] = amends(bottle.effects)
    assert (sent.price, sent.quantity) == (d("49990.0"), d("0.05"))
    row = bottle.last_row("order")
    assert (row["event"], row["wanted_price"], row["price"], row["quantity"]) == ("AMEND", "49990", "50000", "0.1")
    assert now(bottle, order).price == d(50000)
    bottle.tell(Amended(order.client_order_id, sent.number))
    assert (now(bottle, order).price, now(bottle, order).quantity) == (d("49990.0"), d("0.05"))
    assert not bottle.state.changes
    assert bottle.replayed().orders == bottle.state.orders


def test_a_second_change_waits_for_the_first() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    assert change(bottle, order, price=d(49990)) is None
    refusal = change(bottle, order, price=d(49980))
    assert refusal is not None
    assert (refusal.code, len(amends(bottle.effects))) == (RejectCode.NOT_AMENDABLE, 1)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({}, RejectCode.NOT_AMENDABLE),
        ({"price": d(50000)}, RejectCode.NOT_AMENDABLE),
        ({"quantity": d("0.2")}, RejectCode.NOT_AMENDABLE),
        ({"quantity": d("0.0001")}, RejectCode.BELOW_MINIMUM),
        ({"trigger_price": d(49000)}, RejectCode.NOT_AMENDABLE),
        ({"price": d(49000)}, RejectCode.STOP_WRONG_SIDE),
        ({"price": d(600_000)}, RejectCode.POSITION_NOTIONAL),
    ],
)
def test_what_makes_no_sense_or_raises_risk_is_refused(wanted: dict[str, Decimal], code: RejectCode) -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    before = len(bottle.rows)
    refusal = change(bottle, order, **wanted)
    assert refusal is not None
    assert refusal.code is code
    assert len(bottle.rows) == before


def test_an_entry_is_not_changed_unless_trading_is_active() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    bottle.state.trading = TradingState.REDUCING
    refusal = change(bottle, order, price=d(49990))
    assert refusal is not None
    assert "REDUCING" in refusal.detail


def test_a_fill_during_a_change_stays_and_a_full_one_ends_it() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    change(bottle, order, quantity=d("0.05"))
    [sent] = amends(bottle.effects)
    bottle.fill(order, "0.06", "50000", "t1")
    bottle.tell(Amended(order.client_order_id, sent.number))
    # The venue may have filled beyond the new quantity before it took the change: then it is asked what became of it.
    assert now(bottle, order).quantity == d("0.06")
    assert lookups(bottle.effects)
    bottle.tell(LookedUp(order.client_order_id, shown(now(bottle, order), OrderState.FILLED, "0.06")))
    assert now(bottle, order).state is OrderState.FILLED


def test_an_order_that_fills_whole_during_a_change_forgets_it() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    [sent] = amends(bottle.effects)
    bottle.fill(order, "0.1", "50000", "t1")
    assert not bottle.state.changes
    bottle.tell(Amended(order.client_order_id, sent.number))
    assert (now(bottle, order).state, now(bottle, order).price) == (OrderState.FILLED, d(50000))


def test_the_last_view_of_an_order_names_the_price_it_was_changed_to_before_it_filled() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    [sent] = amends(bottle.effects)
    bottle.fill(order, "0.1", "49990", "t1")
    bottle.tell(Amended(order.client_order_id, sent.number))
    bottle.tell(OrdersSeen((shown(order, OrderState.FILLED, "0.1", price=d(49990)),)))
    assert (now(bottle, order).price, now(bottle, order).state) == (d(49990), OrderState.FILLED)
    assert bottle.replayed().orders[order.client_order_id].price == d(49990)


def test_a_change_in_doubt_is_looked_up_and_never_sent_again() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    [sent] = amends(bottle.effects)
    bottle.tell(AmendFailed(order.client_order_id, sent.number, "in_doubt", "timed out"))
    assert order.client_order_id in bottle.state.changes
    asked = bottle.tell(TimerFired(f"amend:{order.client_order_id}"))
    assert [each.client_order_id for each in lookups(asked)] == [order.client_order_id]
    bottle.tell(LookedUp(order.client_order_id, None, "nobody answered"))
    assert order.client_order_id in bottle.state.changes
    bottle.tell(LookedUp(order.client_order_id, shown(order, OrderState.OPEN, price=d(49990))))
    assert not bottle.state.changes
    assert now(bottle, order).price == d(49990)
    assert len(amends(bottle.effects)) == 1


def test_a_change_that_reaches_the_venue_late_is_seen_and_believed() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    change(bottle, order, quantity=d("0.04"))
    [sent] = amends(bottle.effects)
    bottle.tell(AmendFailed(order.client_order_id, sent.number, "in_doubt", "timed out"))
    bottle.tell(LookedUp(order.client_order_id, shown(order, OrderState.OPEN)))
    assert now(bottle, order).quantity == d("0.1")
    bottle.tell(OrdersSeen((shown(order, OrderState.OPEN, quantity=d("0.04")),)))
    assert now(bottle, order).quantity == d("0.04")


@pytest.mark.parametrize("outcome", ["refused", "never_left"])
def test_a_change_that_was_not_made_leaves_the_order_as_it_was(outcome: Any) -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    [sent] = amends(bottle.effects)
    effects = bottle.tell(AmendFailed(order.client_order_id, sent.number, outcome, "no"))
    assert bool(lookups(effects)) is (outcome == "refused")
    assert (now(bottle, order).price, bottle.state.changes) == (d(50000), {})
    assert change(bottle, order, price=d(49980)) is None


def test_a_late_answer_of_an_older_change_says_nothing_about_a_newer_one() -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    first = amends(bottle.effects)[0].number
    bottle.tell(AmendFailed(order.client_order_id, first, "never_left", "no"))
    change(bottle, order, price=d(49980))
    bottle.tell(Amended(order.client_order_id, first))
    assert now(bottle, order).price == d(50000)
    assert order.client_order_id in bottle.state.changes


# cancel and replace


def test_where_the_venue_cannot_change_an_order_it_is_cancelled_and_what_is_left_is_sent_anew() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    order = resting(bottle)
    bottle.fill(order, "0.03", "50000", "t1")
    assert change(bottle, order, price=d(49990)) is None
    assert [each.client_order_id for each in cancels(bottle.effects)] == [order.client_order_id]
    assert len(sends(bottle.effects)) == 1
    effects = bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED, "0.03"),)))
    [child] = sends(effects)
    assert (child.quantity, child.price, child.stop_price) == (d("0.07"), d(49990), order.stop_price)
    assert child.terms is not None
    assert (child.child, child.intent_id, child.terms.replaces) == (1, order.intent_id, order.client_order_id)
    row = bottle.last_row("order")
    assert row["approved_decision_id"] == f"child of {order.client_order_id}"
    assert bottle.replayed().orders == bottle.state.orders
    assert children.next_child(bottle.replayed(), order.intent_id) == 2


def test_a_replacement_waits_for_the_fills_that_the_cancel_showed() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    effects = bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED, "0.04"),)))
    assert sends(effects) == []
    [child] = sends(bottle.fill(order, "0.04", "50000", "t1"))
    assert child.quantity == d("0.06")


def test_a_replacement_leaves_room_for_what_an_earlier_child_filled_after_its_cancel() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    [child] = sends(bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED, "0"),))))
    bottle.acknowledge(child)
    bottle.fill(order, "0.08", "50000", "t1")
    change(bottle, bottle.state.orders[child.client_order_id], price=d(49980))
    [last] = sends(bottle.tell(OrdersSeen((shown(child, OrderState.CANCELED, "0"),))))
    assert last.quantity == d("0.02")


def test_an_order_that_filled_before_its_cancel_is_not_replaced() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    assert sends(bottle.fill(order, "0.1", "50000", "t1")) == []
    assert not bottle.state.changes


def test_an_order_whose_end_is_a_guess_is_not_replaced() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    for _ in range(12):
        bottle.clock.advance(1500)
        bottle.tell(LookedUp(order.client_order_id, None))
    assert now(bottle, order).state is OrderState.CANCELED
    assert len(sends(bottle.effects)) == 1


def test_a_disarm_between_cancel_and_replacement_keeps_the_replacement_at_home() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    bottle.state.trading = TradingState.DISARMED
    assert sends(bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED),)))) == []


def test_a_restart_between_cancel_and_replacement_ends_the_intent_with_its_order() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    order = resting(bottle)
    change(bottle, order, price=d(49990))
    again = Bottle(bottle.config)
    again.core.replay(stored(bottle.rows))
    again._take(again.core.start(again.now, 2))
    effects = again.tell(again.recovery(closed_orders=(shown(order, OrderState.CANCELED),)))
    assert sends(effects) == []
    assert now(again, order).state is OrderState.CANCELED


def test_a_close_is_replaced_by_no_more_than_is_held() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    bottle.open()
    order = bottle.send(closing(order_type=OrderType.LIMIT, limit_price=d(50500)))
    bottle.acknowledge(order)
    change(bottle, order, price=d(50400))
    stop = replace(order, client_order_id=order.client_order_id, venue_order_id="v-stop", role=OrderRole.STOP)
    bottle.fill(replace(stop, client_order_id="x"), "0.06", "49500", "t-stop")  # type: ignore[arg-type]
    [child] = sends(bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED),))))
    assert (child.quantity, child.reduce_only, child.side) == (d("0.04"), True, Side.SELL)


def test_children_are_numbered_past_the_room_of_one_name_without_a_repeat() -> None:
    ids = {children.child_id("i", number) for number in range(3000)}
    assert len(ids) == 3000


@pytest.mark.parametrize("outcome", ["refused", "never_left", "in_doubt"])
def test_what_a_failed_change_said_is_told_without_changing_what_a_replay_makes(outcome: Any) -> None:
    bottle = Bottle().begin()
    order = resting(bottle)
    assert change(bottle, order, price=d("49990")) is None
    [sent] = amends(bottle.effects)
    bottle.tell(AmendFailed(order.client_order_id, sent.number, outcome, "the venue says why"))
    assert bottle.last_row("order")["amend_detail"] == "the venue says why"
    assert bottle.replayed().orders == bottle.state.orders
