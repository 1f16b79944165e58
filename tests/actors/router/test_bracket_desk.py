"""Brackets and protection: targets follow what fills, one cancels the other, stops trail and come back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from actors.router import children
from actors.router.effects import AmendOrder, Effect
from actors.router.events import Acked, Amended, AmendFailed, LookedUp, OrdersSeen, SendFailed, Tick
from actors.router.state import ABLE
from tests.actors.router.support import (
    BTC,
    Bottle,
    alerts,
    cancels,
    closing,
    config,
    d,
    held,
    intent,
    protective,
    sends,
    shown,
    stored,
)
from titan.model import Order, OrderRole, OrderState, OrderType, Side, Target, Terms
from titan.venues.base import Protection

TARGETS = (Target(d(51000), d("0.5")), Target(d(52000), d("0.3")), Target(d(53000), d("0.2")))
UNABLE = replace(ABLE, amends=frozenset(), amends_waiting=frozenset(), protection=Protection.FIRST)


def bracket(bottle: Bottle, terms: Terms | None = None, **overrides: Any) -> Order:
    """A resting entry of 0.1 BTC with three targets."""
    wanted = intent(
        order_type=OrderType.LIMIT, limit_price=d(50000), terms=terms or Terms(targets=TARGETS), **overrides
    )
    order = bottle.send(wanted)
    bottle.acknowledge(order)
    return order


def live(bottle: Bottle, role: OrderRole = OrderRole.TARGET) -> list[Order]:
    return [order for order in bottle.state.live_orders(BTC) if order.role is role]


def answer(bottle: Bottle, effects: list[Effect]) -> None:
    """The venue does everything asked for."""
    for effect in effects:
        if isinstance(effect, AmendOrder):
            bottle.tell(Amended(effect.order.client_order_id, effect.number))
    for order in sends(effects):
        bottle.tell(Acked(order.client_order_id, f"v-{order.client_order_id}"))
    for order in cancels(effects):
        bottle.tell(OrdersSeen((shown(order, OrderState.CANCELED),)))


def test_targets_stand_as_soon_as_the_first_fill_does_and_grow_with_the_rest() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle)
    assert live(bottle) == []
    effects = bottle.fill(entry, "0.04", "50000", "t1")
    assert [(one.quantity, one.price, one.reduce_only, one.side) for one in sends(effects)] == [
        (d("0.02"), d(51000), True, Side.SELL),
        (d("0.012"), d(52000), True, Side.SELL),
        (d("0.008"), d(53000), True, Side.SELL),
    ]
    answer(bottle, effects)
    effects = bottle.fill(entry, "0.06", "50000", "t2")
    answer(bottle, effects)
    assert [one.quantity for one in live(bottle)] == [d("0.05"), d("0.03"), d("0.02")]
    assert sum(one.quantity for one in live(bottle)) == bottle.state.held(BTC)


def test_a_fill_that_is_told_after_its_entry_ended_still_gets_its_targets() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle)
    bottle.tell(OrdersSeen((shown(entry, OrderState.CANCELED, "0.04"),)))
    bottle.tell(Tick())
    assert len(sends(bottle.fill(entry, "0.04", "50000", "t1"))) == 3


def test_each_target_takes_its_share_and_the_last_ends_the_bracket() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle)
    answer(bottle, bottle.fill(entry, "0.1", "50000", "t1"))
    for number, target in enumerate(live(bottle)):
        bottle.fill(target, target.quantity, str(target.price), f"x{number}")
        assert sum((one.remaining for one in live(bottle)), Decimal(0)) == bottle.state.held(BTC)
    assert bottle.state.held(BTC) == 0
    assert bottle.state.brackets == {}
    assert live(bottle) == []


def test_the_stop_cancels_the_targets() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle)
    answer(bottle, bottle.fill(entry, "0.1", "50000", "t1"))
    stop = protective("v-stop", OrderRole.STOP, "49500", entry.client_order_id)
    bottle.tell(OrdersSeen((stop,)))
    [adopted] = live(bottle, OrderRole.STOP)
    targets = {one.client_order_id for one in live(bottle)}
    effects = bottle.fill(adopted, "0.1", "49500", "t-stop")
    assert {one.client_order_id for one in cancels(effects)} == targets


def test_a_stop_that_fills_in_part_makes_the_targets_smaller() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle)
    answer(bottle, bottle.fill(entry, "0.1", "50000", "t1"))
    bottle.tell(OrdersSeen((protective("v-stop", OrderRole.STOP, "49500", entry.client_order_id),)))
    [stop] = live(bottle, OrderRole.STOP)
    effects = bottle.fill(stop, "0.07", "49500", "t-stop")
    answer(bottle, effects)
    assert bottle.state.held(BTC) == d("0.03")
    assert [(one.price, one.remaining) for one in live(bottle)] == [(d(51000), d("0.03"))]


def test_a_target_that_was_cancelled_by_hand_is_set_again() -> None:
    bottle = Bottle().begin()
    answer(bottle, bottle.fill(bracket(bottle), "0.1", "50000", "t1"))
    first = live(bottle)[0]
    bottle.tell(OrdersSeen((shown(first, OrderState.CANCELED),)))
    assert len(live(bottle)) == 2
    bottle.clock.advance(1500)
    [again] = sends(bottle.tell(Tick()))
    assert (again.quantity, again.price, again.client_order_id != first.client_order_id) == (d("0.05"), d(51000), True)


def test_a_target_that_the_venue_refuses_is_tried_less_often_and_then_told() -> None:
    bottle = Bottle().begin()
    effects = bottle.fill(bracket(bottle), "0.1", "50000", "t1")
    tries = 0
    for _ in range(40):
        for order in sends(effects):
            tries += order.terms is not None and order.terms.leg == 1
            bottle.tell(SendFailed(order.client_order_id, "refused", "no"))
        bottle.clock.advance(1000)
        effects = bottle.tell(Tick())
    assert tries == 3
    assert alerts(bottle.effects).count("TARGET_REFUSED") == 3


def test_a_target_whose_change_fails_at_once_is_changed_less_and_less_often_until_it_works() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle)
    answer(bottle, bottle.fill(entry, "0.04", "50000", "t1"))
    effects = bottle.fill(entry, "0.06", "50000", "t2")
    asked: list[int] = []
    for _ in range(600):
        for effect in effects:
            if isinstance(effect, AmendOrder) and effect.order.terms is not None and effect.order.terms.leg == 1:
                asked.append(bottle.now.wall_ms)
                # An answer without a moment between, as of a router whose lease has run out.
                again = bottle.tell(AmendFailed(effect.order.client_order_id, effect.number, "never_left", "no lease"))
                assert not any(isinstance(each, AmendOrder) for each in again)
        bottle.clock.advance(50)
        effects = bottle.tell(Tick())
    waits = [later - sooner for sooner, later in pairwise(asked)]
    assert waits[:5] == [250, 500, 1_000, 2_000, 4_000]
    assert set(waits[5:]) == {8_000}
    [first] = [order for order in live(bottle) if order.terms is not None and order.terms.leg == 1]
    assert first.quantity == d("0.02")
    bottle.clock.advance(8_000)
    answer(bottle, bottle.tell(Tick()))
    assert bottle.state.orders[first.client_order_id].quantity == d("0.05")


def test_a_target_in_doubt_is_not_sent_beside_itself() -> None:
    bottle = Bottle().begin()
    effects = bottle.fill(bracket(bottle), "0.1", "50000", "t1")
    for order in sends(effects):
        bottle.tell(SendFailed(order.client_order_id, "in_doubt", "timed out"))
    bottle.clock.advance(5000)
    assert sends(bottle.tell(Tick())) == []
    [first, *_] = sends(effects)
    bottle.tell(LookedUp(first.client_order_id, shown(first, OrderState.OPEN)))
    assert bottle.state.orders[first.client_order_id].state is OrderState.OPEN


def test_a_restart_goes_on_with_the_bracket_where_it_was() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle)
    answer(bottle, bottle.fill(entry, "0.04", "50000", "t1"))
    standing = tuple(shown(one, OrderState.OPEN) for one in [bottle.state.orders[entry.client_order_id], *live(bottle)])
    again = Bottle()
    again.core.replay(stored(bottle.rows))
    again._take(again.core.start(again.now, 2))
    entry_seen = replace(standing[0], filled=d("0.04"), state=OrderState.PARTIALLY_FILLED)
    effects = again.tell(again.recovery((held("0.04"),), (entry_seen, *standing[1:])))
    assert sends(effects) == []
    assert sends(again.tell(Tick())) == []
    effects = again.fill(entry, "0.06", "50000", "t2")
    assert [each.quantity for each in effects if isinstance(each, AmendOrder)] == [d("0.05"), d("0.03"), d("0.02")]


@pytest.mark.parametrize("market", [False, True])
def test_a_target_whose_row_was_lost_with_the_journals_end_is_known_again_by_its_id(market: bool) -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle, Terms(targets=tuple(replace(one, market=market) for one in TARGETS)))
    filled = bottle.fill(entry, "0.1", "50000", "t1")
    made = sends(filled)
    answer(bottle, filled)
    # The rows of the second target and of all after it are gone with the journal's end; the venue has all three.
    lost = made[1].client_order_id.encode()
    kept = next(at for at, row in enumerate(bottle.rows) if row.kind == "order" and lost in row.payload)
    standing = tuple(
        shown(each, OrderState.OPEN, trigger_price=each.trigger_price)
        for each in (bottle.state.orders[one.client_order_id] for one in made)
    )
    again = Bottle()
    again.core.replay(stored(bottle.rows[:kept]))
    again._take(again.core.start(again.now, 2))
    effects = again.tell(again.recovery((held("0.1"),), standing))
    assert sends(effects) == []
    assert alerts(effects).count("EXTERNAL_ORDER") == 0
    known = [again.state.orders[each.client_order_id] for each in made]
    assert [(one.child, one.role, one.intent_id, one.phase) for one in known] == [
        (number, OrderRole.TARGET, entry.intent_id, entry.phase) for number in (1, 2, 3)
    ]
    assert [one.terms and one.terms.leg for one in known] == [1, 2, 3]
    assert sends(again.tell(Tick())) == []
    # The next child takes a new number, whatever happened.
    assert children.next_child(again.state, entry.intent_id) == 4


def test_no_order_is_sent_under_the_id_of_one_that_was_found_at_the_venue() -> None:
    bottle = Bottle().begin()
    entry = bracket(bottle, Terms(targets=(Target(d(51000), d(1)),)))
    stranger = replace(entry, client_order_id=children.child_id(entry.intent_id, 1), intent_id="", child=0)
    bottle.state.orders[stranger.client_order_id] = stranger
    [target] = sends(bottle.fill(entry, "0.1", "50000", "t1"))
    assert target.client_order_id == children.child_id(entry.intent_id, 2)


def test_where_orders_cannot_be_changed_targets_are_replaced() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    entry = bracket(bottle)
    answer(bottle, bottle.fill(entry, "0.04", "50000", "t1"))
    standing = live(bottle)
    effects = bottle.fill(entry, "0.06", "50000", "t2")
    assert {one.client_order_id for one in cancels(effects)} == {one.client_order_id for one in standing}
    for one in standing:
        answer(bottle, bottle.tell(OrdersSeen((shown(one, OrderState.CANCELED),))))
    assert [one.quantity for one in live(bottle)] == [d("0.05"), d("0.03"), d("0.02")]


def test_a_market_target_waits_for_its_price() -> None:
    bottle = Bottle().begin()
    terms = Terms(targets=(Target(d(51000), d(1), market=True),))
    [target] = sends(bottle.fill(bracket(bottle, terms), "0.1", "50000", "t1"))
    assert (target.order_type, target.trigger_price, target.price) == (OrderType.TAKE_PROFIT_MARKET, d(51000), None)


# protection


def bare(bottle: Bottle, seconds: int = 5) -> list[Effect]:
    bottle.clock.advance(seconds * 1000)
    bottle.quote("50000")
    return bottle.tell(bottle.report((held("0.1"),)))


def test_a_stop_that_vanished_is_set_again_at_its_price() -> None:
    bottle = Bottle().begin()
    bottle.open()
    assert sends(bare(bottle)) == []
    effects = bare(bottle)
    [stop] = sends(effects)
    assert (stop.order_type, stop.trigger_price, stop.quantity, stop.reduce_only, stop.role) == (
        OrderType.STOP_MARKET,
        d(49500),
        d("0.1"),
        True,
        OrderRole.STOP,
    )
    assert "POSITION_UNPROTECTED" in alerts(effects)
    assert sends(bare(bottle)) == []


def test_a_repaired_stop_is_no_looser_than_the_one_that_vanished() -> None:
    bottle = Bottle().begin()
    entry = bottle.open()
    seen = protective("v-stop", OrderRole.STOP, "49800", entry.client_order_id)
    bottle.tell(OrdersSeen((seen,)))
    bottle.tell(OrdersSeen((replace(seen, state=OrderState.CANCELED, updated_ms=seen.updated_ms + 1),)))
    bare(bottle)
    [stop] = sends(bare(bottle))
    assert stop.trigger_price == d(49800)


def test_a_bare_position_that_the_market_has_left_behind_is_closed() -> None:
    bottle = Bottle().begin()
    bottle.open()
    bare(bottle)
    bottle.clock.advance(5000)
    bottle.quote("49400")
    [close] = sends(bottle.tell(bottle.report((held("0.1"),))))
    assert (close.order_type, close.quantity, close.side, close.reduce_only) == (
        OrderType.MARKET,
        d("0.1"),
        Side.SELL,
        True,
    )


def test_a_venue_without_stop_orders_is_told_about_only() -> None:
    types = {kind: word for kind, word in ABLE.time_in_force.items() if not kind.waits}
    bottle = Bottle(config(can=replace(ABLE, time_in_force=types))).begin()
    bottle.open()
    bare(bottle)
    effects = bare(bottle)
    assert sends(effects) == []
    assert "POSITION_UNPROTECTED" in alerts(effects)


def test_what_waits_to_close_goes_when_the_position_is_flat() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    bottle.open()
    wanted = closing("i-stop", order_type=OrderType.STOP_MARKET, terms=Terms(trigger_price=d(49000)))
    stop = bottle.send(wanted)
    bottle.acknowledge(stop)
    close = bottle.send(closing("i-now"))
    bottle.acknowledge(close)
    assert close.quantity == d("0.1")
    effects = bottle.fill(close, "0.1", "50000", "t-close")
    assert [one.client_order_id for one in cancels(effects)] == [stop.client_order_id]


def test_protection_of_an_entry_that_may_still_fill_is_left_alone() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    bracket(bottle)
    bottle.tell(OrdersSeen((protective("algo-1", OrderRole.STOP, "49500"),)))
    bottle.clock.advance(2000)
    assert cancels(bottle.tell(Tick())) == []


# trailing


@pytest.mark.parametrize("side", list(Side))
def test_a_trailing_stop_follows_the_best_price_and_never_moves_back(side: Side) -> None:
    bottle = Bottle().begin()
    entry = bottle.send(intent(side=side, terms=Terms(trail=d(500))))
    bottle.acknowledge(entry)
    bottle.fill(entry, "0.1", "50000", "t1")
    up = side.sign
    stop = protective("v-stop", OrderRole.STOP, str(50000 - up * 500), entry.client_order_id, side=side.opposite)
    bottle.tell(OrdersSeen((stop,)))
    [mine] = live(bottle, OrderRole.STOP)
    triggers = []
    for move in (100, 400, 300, -200, 410, 1000):
        begun = len(bottle.effects)
        bottle.quote(str(50000 + up * move))
        answer(bottle, bottle.effects[begun:])
        triggers.append(bottle.state.orders[mine.client_order_id].trigger_price)
    # A gain of 10 is not worth a request, a fall moves nothing.
    assert triggers == [d(50000 + up * one) for one in (-400, -100, -100, -100, -100, 500)]


def test_where_a_stop_cannot_be_moved_its_replacement_stands_first() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    entry = bottle.send(intent(terms=Terms(trail=d(500))))
    bottle.acknowledge(entry)
    bottle.fill(entry, "0.1", "50000", "t1")
    bottle.tell(OrdersSeen((protective("algo-1", OrderRole.STOP, "49500", entry.client_order_id),)))
    [old] = live(bottle, OrderRole.STOP)
    begun = len(bottle.effects)
    bottle.quote("50200")
    [new] = sends(bottle.effects[begun:])
    assert (new.order_type, new.trigger_price, new.quantity) == (OrderType.STOP_MARKET, d(49700), d("0.1"))
    assert cancels(bottle.effects) == []
    bottle.acknowledge(new)
    assert [one.client_order_id for one in cancels(bottle.effects)] == [old.client_order_id]


def test_a_replacement_of_a_stop_that_is_refused_leaves_the_old_one() -> None:
    bottle = Bottle(config(can=UNABLE)).begin()
    entry = bottle.send(intent(terms=Terms(trail=d(500))))
    bottle.acknowledge(entry)
    bottle.fill(entry, "0.1", "50000", "t1")
    bottle.tell(OrdersSeen((protective("algo-1", OrderRole.STOP, "49500", entry.client_order_id),)))
    begun = len(bottle.effects)
    bottle.quote("50200")
    [new] = sends(bottle.effects[begun:])
    bottle.tell(SendFailed(new.client_order_id, "refused", "no"))
    assert cancels(bottle.effects) == []
    assert bottle.state.changes == {}
