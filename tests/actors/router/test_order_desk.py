"""An order's life: acknowledged, refused, in doubt, looked up, adopted."""

from __future__ import annotations

import pytest

from actors.router.effects import FetchExecutions
from actors.router.events import (
    Acked,
    LookedUp,
    OrdersSeen,
    SendFailed,
    Tick,
    TimerFired,
)
from tests.actors.router.one_order import doubt, look, now, timers
from tests.actors.router.support import (
    Bottle,
    alerts,
    closing,
    d,
    execution,
    intent,
    lookups,
    protective,
    sends,
    shown,
)
from titan.codes import RejectCode
from titan.ids import client_order_id
from titan.model import OrderRole, OrderState, Phase


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


def test_an_acknowledged_order_is_open_and_named(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.acknowledge(order, "v-1")
    assert (now(ready, order).state, now(ready, order).venue_order_id) == (OrderState.OPEN, "v-1")
    assert ready.last_row("order")["event"] == "ACK"


def test_an_acknowledgement_said_twice_changes_nothing(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.acknowledge(order, "v-1")
    rows = len(ready.rows)
    ready.acknowledge(order, "v-1")
    assert len(ready.rows) == rows


def test_an_acknowledgement_after_the_fill_only_names_the_order(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.fill(order, order.quantity, "50000", "t1")
    ready.acknowledge(order)
    assert now(ready, order).state is OrderState.FILLED


def test_an_acknowledgement_of_an_unknown_order_is_ignored(ready: Bottle) -> None:
    assert ready.tell(Acked("nobody", "v")) == []


def test_a_refusal_ends_the_order_with_the_venues_words(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(SendFailed(order.client_order_id, "refused", "110007 not enough"))
    ended = now(ready, order)
    assert (ended.state, ended.code, ended.detail) == (
        OrderState.REJECTED,
        RejectCode.VENUE_REJECTED,
        "110007 not enough",
    )


def test_an_opening_that_never_left_is_not_tried_again(ready: Bottle) -> None:
    order = ready.send(intent())
    effects = ready.tell(SendFailed(order.client_order_id, "never_left", "429"))
    assert now(ready, order).state is OrderState.REJECTED
    assert timers(list(effects)) == []


def test_a_close_that_never_left_is_tried_again_with_the_same_id(ready: Bottle) -> None:
    ready.open()
    order = ready.send(closing())
    for number in range(5):
        effects = ready.tell(SendFailed(order.client_order_id, "never_left", "429", 0.4 if number == 0 else None))
        keys = timers(list(effects))
        assert [key for key, _ in keys] == [f"resend:{order.client_order_id}"]
        assert number or keys[0][1] == 400
        assert [each.client_order_id for each in sends(ready.tell(TimerFired(keys[0][0])))] == [order.client_order_id]
    ready.tell(SendFailed(order.client_order_id, "never_left", "429"))
    assert now(ready, order).state is OrderState.REJECTED


def test_an_order_whose_row_could_not_be_written_is_refused_with_its_own_code(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(SendFailed(order.client_order_id, "unjournalled", "disk full"))
    assert now(ready, order).code is RejectCode.JOURNAL_FAILED


# in doubt


def test_a_timeout_is_unknown_and_not_a_rejection(ready: Bottle) -> None:
    order = ready.send(intent())
    effects = doubt(ready, order)
    assert now(ready, order).state is OrderState.UNKNOWN
    assert timers(effects) == [(f"lookup:{order.client_order_id}", 200)]
    assert "ORDER_UNKNOWN" in alerts(ready.effects)


def test_a_timeout_after_accept_is_looked_up_and_never_resent(ready: Bottle) -> None:
    order = ready.send(intent())
    doubt(ready, order)
    asked = look(ready, order)
    assert [each.client_order_id for each in lookups(asked)] == [order.client_order_id]  # type: ignore[arg-type]
    ready.tell(LookedUp(order.client_order_id, shown(order, OrderState.OPEN)))
    assert now(ready, order).state is OrderState.OPEN
    assert len(sends(ready.effects)) == 1
    assert order.client_order_id not in ready.state.lookups


def test_look_ups_come_at_growing_distances(ready: Bottle) -> None:
    order = ready.send(intent())
    delays = [after for _, after in timers(doubt(ready, order))]
    for _ in range(6):
        delays += [after for key, after in timers(look(ready, order)) if key.startswith("lookup")]
    assert delays == [200, 500, 1_000, 2_000, 3_000, 3_500, 3_500]


def test_an_order_that_nobody_knows_is_given_up_only_after_patience(ready: Bottle) -> None:
    order = ready.send(intent())
    doubt(ready, order)
    for _ in range(5):
        look(ready, order)
        ready.tell(LookedUp(order.client_order_id, None))
    assert now(ready, order).state is OrderState.UNKNOWN
    ready.clock.advance(10_000)
    look(ready, order)
    ready.tell(LookedUp(order.client_order_id, None))
    ended = now(ready, order)
    assert (ended.state, ended.code) == (OrderState.REJECTED, RejectCode.NOT_AT_VENUE)
    assert "no such order in 6 look-ups" in ended.detail


def test_ten_seconds_alone_do_not_prove_that_an_order_is_not_there(ready: Bottle) -> None:
    order = ready.send(intent())
    doubt(ready, order)
    ready.clock.advance(60_000)
    ready.tell(LookedUp(order.client_order_id, None))
    assert now(ready, order).state is OrderState.UNKNOWN


def test_a_look_up_that_nobody_answered_proves_nothing(ready: Bottle) -> None:
    order = ready.send(intent())
    doubt(ready, order)
    ready.clock.advance(60_000)
    for _ in range(20):
        ready.tell(LookedUp(order.client_order_id, None, "venue away"))
    assert now(ready, order).state is OrderState.UNKNOWN


def test_an_order_found_after_it_was_given_up_comes_back(ready: Bottle) -> None:
    order = ready.send(intent())
    doubt(ready, order)
    ready.clock.advance(10_000)
    for _ in range(5):
        ready.tell(LookedUp(order.client_order_id, None))
    assert now(ready, order).state is OrderState.REJECTED
    ready.tell(OrdersSeen((shown(order, OrderState.OPEN),)))
    back = now(ready, order)
    assert (back.state, back.code, back.detail) == (OrderState.OPEN, RejectCode.NONE, "")
    assert order.client_order_id in ready.state.live


def test_a_given_up_order_that_was_cancelled_meanwhile_ends_cancelled(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(SendFailed(order.client_order_id, "refused", "said no"))
    ready.tell(OrdersSeen((shown(order, OrderState.CANCELED),)))
    assert now(ready, order).state is OrderState.CANCELED


def test_a_send_without_any_answer_is_looked_up_after_a_while(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(Tick())
    assert order.client_order_id not in ready.state.lookups
    ready.clock.advance(15_000)
    ready.tell(Tick())
    assert order.client_order_id in ready.state.lookups


def test_an_open_order_that_vanished_is_searched_and_then_told(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.acknowledge(order)
    ready.tell(LookedUp(order.client_order_id, None))
    ready.clock.advance(10_000)
    for _ in range(5):
        ready.tell(LookedUp(order.client_order_id, None))
    assert now(ready, order).state is OrderState.CANCELED
    assert "ORDER_LOST" in alerts(ready.effects)


def test_a_lost_order_that_the_venue_shows_again_lives_again(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.acknowledge(order)
    ready.tell(LookedUp(order.client_order_id, None))
    ready.clock.advance(10_000)
    for _ in range(5):
        ready.tell(LookedUp(order.client_order_id, None))
    ready.tell(OrdersSeen((shown(order, state=OrderState.OPEN),)))
    assert now(ready, order).state is OrderState.OPEN
    assert order.client_order_id in ready.state.live


def test_an_order_that_the_venue_ended_stays_ended(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.acknowledge(order)
    ready.tell(OrdersSeen((shown(order, state=OrderState.CANCELED),)))
    ready.tell(OrdersSeen((shown(order, state=OrderState.OPEN),)))
    assert now(ready, order).state is OrderState.CANCELED


def test_a_look_up_of_an_ended_order_asks_nothing(ready: Bottle) -> None:
    order = ready.open()
    assert look(ready, order) == []
    assert ready.tell(LookedUp(order.client_order_id, None)) == []


# what the venue shows


def test_older_news_does_not_undo_newer(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(OrdersSeen((shown(order, OrderState.CANCELED, updated_ms=20),)))
    ready.tell(OrdersSeen((shown(order, OrderState.OPEN, updated_ms=10),)))
    assert now(ready, order).state is OrderState.CANCELED


def test_an_end_counts_though_the_venue_dates_it_before_what_is_known(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(OrdersSeen((shown(order, OrderState.OPEN, updated_ms=20),)))
    ready.tell(OrdersSeen((shown(order, OrderState.CANCELED, updated_ms=10),)))
    assert now(ready, order).state is OrderState.CANCELED


def test_an_order_shown_filled_waits_for_its_executions(ready: Bottle) -> None:
    order = ready.send(intent())
    effects = ready.tell(OrdersSeen((shown(order, OrderState.FILLED, str(order.quantity)),)))
    assert now(ready, order).state is OrderState.OPEN
    assert ("fills", 200) in timers(list(effects))
    assert any(isinstance(each, FetchExecutions) for each in ready.tell(TimerFired("fills")))
    ready.fill(order, order.quantity, "50000", "t1")
    assert now(ready, order).state is OrderState.FILLED
    assert ready.tell(TimerFired("fills")) == []


def test_a_venue_that_trims_an_order_is_followed(ready: Bottle) -> None:
    ready.open()
    order = ready.send(closing())
    ready.acknowledge(order)
    ready.fill(order, "0.06", "50000", "t1")
    trimmed = shown(order, OrderState.FILLED, "0.06", quantity=d("0.06"))
    ready.tell(OrdersSeen((trimmed,)))
    assert (now(ready, order).quantity, now(ready, order).state) == (d("0.06"), OrderState.FILLED)


def test_a_venue_that_refuses_on_its_stream_is_believed(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.tell(OrdersSeen((shown(order, OrderState.REJECTED, detail="EC_NoEnoughQtyToFill"),)))
    assert (now(ready, order).state, now(ready, order).detail) == (OrderState.REJECTED, "EC_NoEnoughQtyToFill")


def test_a_rejection_of_a_partly_filled_order_is_a_cancel(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.fill(order, "0.05", "50000", "t1")
    ready.tell(OrdersSeen((shown(order, OrderState.REJECTED, "0.05"),)))
    assert now(ready, order).state is OrderState.CANCELED


def test_a_stop_that_the_venue_made_belongs_to_its_entry(ready: Bottle) -> None:
    entry = ready.open()
    ready.tell(OrdersSeen((protective("stop-1", OrderRole.STOP, "49500", entry.client_order_id),)))
    stop = ready.state.orders[ready.state.by_venue_id["stop-1"]]
    assert stop.client_order_id == client_order_id("bybit:main:stop-1", 0)
    assert (stop.intent_id, stop.phase, stop.role) == (entry.intent_id, Phase.SCAVENGER, OrderRole.STOP)
    assert "EXTERNAL_ORDER" not in alerts(ready.effects)


def test_a_stop_without_a_named_parent_belongs_to_the_last_entry(ready: Bottle) -> None:
    entry = ready.open()
    ready.tell(OrdersSeen((protective("stop-1", OrderRole.STOP, "49500"),)))
    assert ready.state.orders[ready.state.by_venue_id["stop-1"]].signal_id == entry.signal_id


def test_a_moved_stop_is_journalled_once(ready: Bottle) -> None:
    ready.open()
    ready.tell(OrdersSeen((protective("stop-1", OrderRole.STOP, "49500"),)))
    moved = protective("stop-1", OrderRole.STOP, "49800", quantity="0.2", updated_ms=2_000_000_000_000)
    ready.tell(OrdersSeen((moved,)))
    rows = len(ready.rows)
    ready.tell(OrdersSeen((moved,)))
    assert len(ready.rows) == rows
    row = ready.last_row("order")
    assert (row["event"], row["trigger_price"], row["quantity"]) == ("AMENDED", "49800", "0.2")


def test_an_order_of_somebody_else_is_kept_and_told(ready: Bottle) -> None:
    stranger = protective("x-1", OrderRole.EXTERNAL, "0", reduce_only=False, client_order_id="my-own-order")
    ready.tell(OrdersSeen((stranger,)))
    kept = ready.state.orders[ready.state.by_venue_id["x-1"]]
    assert kept.role is OrderRole.EXTERNAL
    assert alerts(ready.effects) == ["EXTERNAL_ORDER"]


def test_an_order_of_ours_that_the_journal_lost_keeps_its_id(ready: Bottle) -> None:
    lost = ready.send(intent("lost"))
    other = Bottle().begin()
    other.tell(OrdersSeen((shown(lost, OrderState.OPEN),)))
    assert lost.client_order_id in other.state.orders


def test_a_timer_nobody_set_is_an_error(ready: Bottle) -> None:
    with pytest.raises(ValueError, match="no timer"):
        ready.tell(TimerFired("moon"))


def test_an_execution_names_an_order_that_had_no_venue_id(ready: Bottle) -> None:
    order = ready.send(intent())
    ready.fill(order, "0.05", "50000", "t1")
    assert now(ready, order).venue_order_id == execution(order, "1", "1", "x").venue_order_id
