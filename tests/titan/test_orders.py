"""The transition table: every pair of state and event is either listed or refused."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import load_vectors
from titan.ids import client_order_id
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.orders import (
    LEGAL_PAIRS,
    REPEATS,
    TRANSITIONS,
    IllegalTransition,
    OrderEventKind,
    aggregate,
    next_state,
)

_S = OrderState
PAIRS = list(product(OrderState, OrderEventKind))
FILLS = (OrderEventKind.PARTIAL_FILL, OrderEventKind.FILL)
REACHED = [state for state in OrderState if state not in (OrderState.FILLED, OrderState.SENT)]

# The reference's finer words (execution.md 1.13) as states of the design: RECEIVED to ACCEPTED happen inside one turn of
# the router's core and make no order; RECONCILED is a truth pass, not a state of an order.
WORDS = {
    "ACKED": OrderEventKind.ACK,
    "PARTIAL_FILL": OrderEventKind.PARTIAL_FILL,
    "FILLED": OrderEventKind.FILL,
    "CANCELED": OrderEventKind.CANCEL,
    "REJECTED": OrderEventKind.REFUSE,
}


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_a_pair_is_listed_repeats_or_is_refused_with_a_code_and_what_is_allowed(
    state: OrderState, event: OrderEventKind
) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
        assert (state, event) in LEGAL_PAIRS
        assert (state, event) not in REPEATS
    elif (state, event) in REPEATS:
        assert next_state(state, event) is state
    else:
        with pytest.raises(IllegalTransition, match=f"ILLEGAL_TRANSITION: .*{state.value} cannot take {event.value}"):
            next_state(state, event)


def test_every_state_that_an_order_reaches_is_reached_from_pending() -> None:
    reached, before = {OrderState.PENDING}, set[OrderState]()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), after in TRANSITIONS.items() if state in reached}
    # SENT is a word of the wire that no row says: a row stands before its send, and an answer after it.
    assert reached == set(OrderState) - {OrderState.SENT}


@pytest.mark.parametrize("state", REACHED)
@pytest.mark.parametrize("event", FILLS)
def test_a_fill_is_never_refused_however_late(state: OrderState, event: OrderEventKind) -> None:
    assert next_state(state, event) in (OrderState.FILLED, OrderState.PARTIALLY_FILLED, state)


@pytest.mark.parametrize("state", [OrderState.EXPIRED, OrderState.FILLED])
def test_an_ended_order_never_becomes_open_again(state: OrderState) -> None:
    reached = {after for (before, _), after in TRANSITIONS.items() if before is state}
    assert not reached & {OrderState.OPEN, OrderState.PENDING, OrderState.UNKNOWN}


def test_only_a_doubt_or_a_send_can_become_unknown() -> None:
    reached = {before for (before, _), after in TRANSITIONS.items() if after is OrderState.UNKNOWN}
    assert reached == {OrderState.PENDING, OrderState.UNKNOWN}


def test_not_found_is_an_answer_to_a_doubt_only() -> None:
    doubted = {before for before, event in TRANSITIONS if event is OrderEventKind.NOT_FOUND}
    assert doubted == {OrderState.PENDING, OrderState.UNKNOWN}


@given(st.lists(st.sampled_from(list(OrderEventKind)), max_size=30))
def test_no_path_leads_out_of_filled(events: list[OrderEventKind]) -> None:
    state = OrderState.PENDING
    was_filled = False
    for event in events:
        if (state, event) in TRANSITIONS:
            state = next_state(state, event)
        was_filled = was_filled or state is OrderState.FILLED
    assert not was_filled or state is OrderState.FILLED


def test_the_vectors_of_the_order_fsm_hold_in_the_designs_words() -> None:
    cases = {each["id"]: each for each in load_vectors("execution")["vectors"] if each["group"] == "order_fsm"}
    # O1.2: a send without an accepted intent is illegal; here an order is made by its intent's row, as PENDING, and no
    # event makes one PENDING.
    assert cases["O1.2"]["expected"]["legal"] is False
    assert OrderState.PENDING not in TRANSITIONS.values()
    # O1.4: the golden path is legal and ends terminal.
    state = OrderState.PENDING
    for word, _ in cases["O1.4"]["input"]["transitions"]:
        if word in WORDS:
            state = next_state(state, WORDS[word])
    assert state.is_terminal is cases["O1.4"]["expected"]["terminal"]


def _child(number: int, state: OrderState, quantity: str, filled: str = "0", price: str = "100") -> Order:
    return Order(
        client_order_id=client_order_id("i", number),
        intent_id="i",
        signal_id="s",
        child=number,
        role=OrderRole.ENTRY,
        phase=None,
        venue="bybit",
        account="main",
        symbol="BTC/USDT:USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(quantity),
        price=Decimal(price),
        trigger_price=None,
        stop_price=None,
        target_price=None,
        reduce_only=False,
        state=state,
        filled=Decimal(filled),
        average_price=Decimal(price) if filled != "0" else Decimal(0),
    )


@pytest.mark.parametrize(
    ("children", "state", "ordered", "filled", "average"),
    [
        ([_child(0, _S.PENDING, "2")], _S.PENDING, "2", "0", "0"),
        ([_child(0, _S.OPEN, "2")], _S.OPEN, "2", "0", "0"),
        ([_child(0, _S.CANCELED, "2", "1"), _child(1, _S.PENDING, "1")], _S.PARTIALLY_FILLED, "2", "1", "100"),
        ([_child(0, _S.CANCELED, "2", "1"), _child(1, _S.FILLED, "1", "1", "102")], _S.FILLED, "2", "2", "101"),
        ([_child(0, _S.CANCELED, "2", "1"), _child(1, _S.REJECTED, "1")], _S.REJECTED, "2", "1", "100"),
        ([_child(0, _S.FILLED, "1", "1"), _child(1, _S.UNKNOWN, "1")], _S.UNKNOWN, "2", "1", "100"),
        ([_child(0, _S.EXPIRED, "2")], _S.EXPIRED, "2", "0", "0"),
    ],
)
def test_children_make_one_state_together(
    children: list[Order], state: OrderState, ordered: str, filled: str, average: str
) -> None:
    whole = aggregate(reversed(children))
    assert (whole.state, whole.ordered, whole.filled, whole.average_price) == (
        state,
        Decimal(ordered),
        Decimal(filled),
        Decimal(average),
    )


def test_an_intent_without_orders_has_no_state() -> None:
    with pytest.raises(ValueError, match="no state"):
        aggregate([])
