"""Intents that are worked by several orders: accepted, guarded, stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.router.events import Command, SendFailed, Tick, TimerFired
from tests.actors.router.support import (
    BTC,
    ETH,
    Bottle,
    alerts,
    cancels,
    closing,
    d,
    intent,
    sends,
)
from tests.actors.router.worked import BASIS, PEG, TWAP, bottle, end, later, parents, worked
from titan.codes import AlgoEnd, RejectCode
from titan.effects import SetTimer
from titan.ids import client_order_id
from titan.journal.format import PARENT
from titan.model import Execution, Intent, Order, OrderRole, OrderState, OrderType, Side, Style

# accepting


def test_the_parents_row_stands_before_its_first_order_and_its_end_after_the_last_fill() -> None:
    made = bottle()
    order = made.send(worked())
    assert (order.order_type, order.price, order.quantity, order.role) == (
        OrderType.POST_ONLY,
        d(49999),
        d("0.1"),
        OrderRole.ENTRY,
    )
    assert (order.child, order.client_order_id, order.stop_price) == (0, client_order_id("i-1", 0), d(49500))
    kinds = [row.kind for row in made.rows]
    assert kinds.index(PARENT) < kinds.index("order")
    made.acknowledge(order)
    made.fill(order, order.quantity, "49999", "t1")
    assert [(row.event, row.end) for row in parents(made)] == [("WORK", None), ("END", AlgoEnd.FILLED)]
    assert made.state.parents == {}
    assert made.state.ended == {(Style.MAKER_FIRST, AlgoEnd.FILLED): 1}


def test_a_copy_of_a_worked_intent_makes_nothing_not_even_after_its_end_or_a_restart() -> None:
    made = bottle()
    order = made.send(worked())
    assert sends(made.intend(worked())) == []
    made.acknowledge(order)
    made.fill(order, order.quantity, "49999", "t1")
    assert sends(made.intend(worked())) == []
    assert "i-1" in made.replayed().intents


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (worked(Execution(Style.ICEBERG)), RejectCode.INVALID_INTENT),
        (worked(Execution(Style.TWAP, slices=999)), RejectCode.INVALID_INTENT),
        (worked(replace(BASIS, hedge_symbol=BTC)), RejectCode.INVALID_INTENT),
        (worked(replace(BASIS, hedge_stop_price=None)), RejectCode.STOP_MISSING),
        (worked(size_usd="60000"), RejectCode.POSITION_NOTIONAL),
        (worked(policy_hash=""), RejectCode.POLICY_HASH_MISSING),
    ],
)
def test_what_can_not_be_worked_is_refused_whole(wanted: Intent, code: RejectCode) -> None:
    made = bottle()
    assert sends(made.intend(wanted)) == []
    assert made.last_row("reject")["code"] == code.value
    assert parents(made) == []


def test_what_a_parent_has_not_sent_yet_counts_as_pending() -> None:
    made = bottle()
    made.send(worked(TWAP, size_usd="40000"))
    pending = made.state.pending(BTC)
    assert (pending.entries, pending.buys) == (1, d("0.8"))
    made.intend(intent("i-2", size_usd="20000"))
    assert made.last_row("reject")["code"] == RejectCode.POSITION_NOTIONAL.value


# working


def test_a_chase_sends_its_next_child_after_the_last_word_of_the_one_before() -> None:
    made = bottle()
    first = made.send(worked())
    made.acknowledge(first)
    effects = later(made, 2_000, "50010")
    assert [each.client_order_id for each in cancels(effects)] == [first.client_order_id]
    assert sends(effects) == []
    second = sends(end(made, first))
    assert [(each.child, each.client_order_id, each.price) for each in second] == [
        (1, client_order_id("i-1", 1), d(50009))
    ]


def test_fills_that_were_shown_and_not_booked_keep_the_next_child_back() -> None:
    made = bottle()
    first = made.send(worked())
    made.acknowledge(first)
    later(made, 2_000, "50010")
    assert sends(end(made, first, filled="0.04")) == []
    assert sends(later(made, 1_000, "50010")) == []
    second = sends(made.fill(first, "0.04", "49999", "t1"))
    assert [each.quantity for each in second] == [d("0.06")]


def test_a_child_in_doubt_keeps_every_other_back_until_the_venue_has_answered() -> None:
    made = bottle()
    first = made.send(worked(PEG))
    made.tell(SendFailed(first.client_order_id, "in_doubt", "timeout"))
    for _ in range(20):
        assert sends(later(made, 3_000, "50010")) == []
    assert made.state.orders[first.client_order_id].state is OrderState.UNKNOWN
    effects = end(made, first, OrderState.OPEN)
    assert [each.client_order_id for each in cancels(effects)] == [first.client_order_id]


def test_a_check_that_would_not_change_by_waiting_ends_the_parent() -> None:
    made = bottle()
    first = made.send(worked(TWAP))
    made.acknowledge(first)
    end(made, first)
    made.state.money.cash = d(1)
    effects = later(made, 11_000)
    assert sends(effects) == []
    assert parents(made)[-1].end is AlgoEnd.FORBIDDEN
    assert "DAILY_LOSS" in parents(made)[-1].detail


def test_a_stale_market_only_delays() -> None:
    made = bottle()
    first = made.send(worked(PEG))
    made.acknowledge(first)
    made.clock.advance(6_000)
    made.tell(Tick())
    end(made, first)
    assert parents(made)[-1].event == "WORK"
    assert len(sends(later(made, 0))) == 1


def test_an_opening_that_reduces_is_worked_reduce_only() -> None:
    made = bottle()
    made.open()
    order = made.send(worked(PEG, "i-2", side=Side.SELL, size_usd="2500"))
    assert (order.reduce_only, order.role, order.quantity) == (True, OrderRole.CLOSE, d("0.05"))


# stopping


@pytest.mark.parametrize("verb", ["halt", "disarm", "reduce", "flatten"])
def test_what_raises_stops_at_once_and_for_good(verb: str) -> None:
    made = bottle()
    first = made.send(worked(PEG))
    made.acknowledge(first)
    effects = made.tell(Command(verb, "test", "op", "c1"))
    assert first.client_order_id in [each.client_order_id for each in cancels(effects)]
    assert parents(made)[-1].event == "STOP"
    end(made, first)
    assert [(row.event, row.end) for row in parents(made)][-1] == ("END", AlgoEnd.STOPPED)
    made.tell(Command("resume", "test", "op", "c2"))
    made.tell(Command("arm", "test", "op", "c3"))
    assert sends(later(made, 3_000)) == []


def test_what_lowers_goes_on_under_a_halt() -> None:
    made = bottle()
    made.open(usd="20000")
    first = made.send(replace(closing("i-c"), execution=TWAP))
    made.tell(Command("halt", "test", "op", "c1"))
    made.acknowledge(first)
    made.fill(first, first.quantity, "49999", "t-c1")
    more = sends(later(made, 15_000))
    assert [(each.reduce_only, each.quantity) for each in more] == [(True, d("0.1"))]


def test_a_close_overtakes_what_still_opens() -> None:
    made = bottle()
    made.open(usd="20000")
    first = made.send(worked(PEG, "i-2"))
    made.acknowledge(first)
    effects = made.intend(closing("i-c"))
    assert first.client_order_id in [each.client_order_id for each in cancels(effects)]
    assert parents(made)[-1].end is AlgoEnd.OVERTAKEN


def test_a_close_takes_the_rest_at_market_when_its_style_gives_up() -> None:
    made = bottle()
    made.open()
    first = made.send(replace(closing("i-c"), execution=replace(PEG, duration_ms=5_000)))
    assert first.order_type is OrderType.POST_ONLY
    made.acknowledge(first)
    later(made, 6_000)
    [rest] = sends(end(made, first))
    assert (rest.order_type, rest.quantity, rest.reduce_only) == (OrderType.MARKET, d("0.1"), True)
    made.acknowledge(rest)
    made.fill(rest, "0.1", "49990", "t-rest")
    assert parents(made)[-1].end is AlgoEnd.FILLED


def test_a_close_of_a_position_that_is_gone_ends() -> None:
    made = bottle()
    made.open()
    first = made.send(replace(closing("i-c"), execution=TWAP))
    made.acknowledge(first)
    end(made, first)
    flat = made.send(closing("i-d"))
    made.acknowledge(flat)
    made.fill(flat, "0.1", "49990", "t-flat")
    later(made, 15_000)
    assert parents(made)[-1].end is AlgoEnd.NOTHING_LEFT


def test_a_parent_that_never_sent_anything_is_rejected_like_any_other_intent() -> None:
    made = bottle()
    wanted = worked(TWAP, order_type=OrderType.LIMIT, limit_price=d(49900))
    assert sends(made.intend(wanted)) == []
    assert parents(made)[-1].event == "WORK"
    later(made, 61_000)
    rejected = made.last_row("reject")
    assert (rejected["code"], rejected["intent_id"]) == (RejectCode.EXECUTION_ENDED.value, "i-1")
    assert "DEADLINE" in rejected["detail"]


# two legs


def basis(made: Bottle) -> Order:
    made.quote("50000", ETH, spread="2")
    return made.send(worked(BASIS))


def test_a_basis_order_hedges_with_its_stop_what_the_first_leg_filled() -> None:
    made = bottle()
    lead = basis(made)
    assert (lead.symbol, lead.side, lead.order_type, lead.quantity) == (BTC, Side.BUY, OrderType.IOC, d("0.1"))
    made.acknowledge(lead)
    [hedge] = sends(made.fill(lead, "0.1", "50001", "t1"))
    assert (hedge.symbol, hedge.side, hedge.quantity, hedge.stop_price) == (ETH, Side.SELL, d("0.1"), d(50500))
    made.acknowledge(hedge)
    made.fill(hedge, "0.1", "49999", "t2")
    assert parents(made)[-1].end is AlgoEnd.HEDGED


def test_a_naked_leg_is_taken_back_reduce_only_even_under_a_halt() -> None:
    made = bottle()
    lead = basis(made)
    made.acknowledge(lead)
    made.tell(Command("halt", "test", "op", "c1"))
    [back] = sends(made.fill(lead, "0.1", "50001", "t1"))
    assert (back.symbol, back.side, back.reduce_only, back.order_type) == (BTC, Side.SELL, True, OrderType.MARKET)
    made.acknowledge(back)
    made.fill(back, "0.1", "49999", "t2")
    assert parents(made)[-1].end is AlgoEnd.UNWOUND


def test_a_leg_that_can_not_be_taken_back_is_told_to_a_person() -> None:
    made = bottle()
    lead = basis(made)
    made.acknowledge(lead)
    made.tell(Command("halt", "test", "op", "c1"))
    effects = made.fill(lead, "0.1", "50001", "t1")
    for _ in range(30):
        for order in sends(effects):
            made.tell(SendFailed(order.client_order_id, "refused", "no"))
        effects = later(made, 2_000)
    assert "LEG_NAKED" in alerts(made.effects)
    assert parents(made)[-1].end is AlgoEnd.NAKED


def test_a_timer_of_a_parent_that_is_gone_does_nothing() -> None:
    made = bottle()
    assert sends(made.tell(TimerFired("algo:nobody"))) == []


def test_a_plain_intent_makes_no_parent_and_sets_no_timer_of_one() -> None:
    made = bottle()
    made.send(intent())
    assert parents(made) == []
    assert not any(isinstance(each, SetTimer) and each.key.startswith("algo") for each in made.effects)


def test_an_order_held_back_is_tried_again_after_half_a_second() -> None:
    made = bottle()
    first = made.send(worked(PEG))
    made.acknowledge(first)
    made.clock.advance(2_000)
    made.state.impediments["venue stream"] = "away"
    effects = end(made, first)
    assert sends(effects) == []
    assert SetTimer("algo:i-1", 500, "market") in effects
    del made.state.impediments["venue stream"]
    made.clock.advance(500)
    assert len(sends(made.tell(TimerFired("algo:i-1")))) == 1
