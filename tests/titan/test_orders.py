"""The transition table: every pair of state and event is either listed or refused."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import load_vectors
from titan.model import OrderState
from titan.orders import TRANSITIONS, IllegalTransition, OrderEventKind, next_state

PAIRS = list(product(OrderState, OrderEventKind))
FILLS = (OrderEventKind.PARTIAL_FILL, OrderEventKind.FILL)

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
def test_a_pair_is_listed_or_refused_with_what_is_allowed(state: OrderState, event: OrderEventKind) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=state.value):
            next_state(state, event)


@pytest.mark.parametrize("state", [state for state in OrderState if state is not OrderState.FILLED])
@pytest.mark.parametrize("event", FILLS)
def test_a_fill_is_never_refused_however_late(state: OrderState, event: OrderEventKind) -> None:
    assert next_state(state, event) in (OrderState.FILLED, OrderState.PARTIALLY_FILLED, state)


@pytest.mark.parametrize("state", [OrderState.CANCELED, OrderState.EXPIRED, OrderState.FILLED])
def test_an_ended_order_never_becomes_open_again(state: OrderState) -> None:
    reached = {after for (before, _), after in TRANSITIONS.items() if before is state}
    assert not reached & {OrderState.OPEN, OrderState.PENDING, OrderState.SENT, OrderState.UNKNOWN}


def test_only_a_doubt_or_a_send_can_become_unknown() -> None:
    reached = {before for (before, _), after in TRANSITIONS.items() if after is OrderState.UNKNOWN}
    assert reached == {OrderState.PENDING, OrderState.SENT, OrderState.UNKNOWN}


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
    # O1.2: a send without an accepted intent is illegal; here nothing but SEND leads to SENT.
    assert cases["O1.2"]["expected"]["legal"] is False
    assert {event for (_, event), after in TRANSITIONS.items() if after is OrderState.SENT} == {OrderEventKind.SEND}
    # O1.4: the golden path is legal and ends terminal.
    state = next_state(OrderState.PENDING, OrderEventKind.SEND)
    for word, _ in cases["O1.4"]["input"]["transitions"]:
        if word in WORDS:
            state = next_state(state, WORDS[word])
    assert state.is_terminal is cases["O1.4"]["expected"]["terminal"]
