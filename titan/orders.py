"""The life of one order: states, events, one transition table; and what the children of an intent make together.

`TRANSITIONS` holds every pair that the router journals, `LEGAL_PAIRS` names them for whoever counts coverage. `REPEATS`
are news that change nothing (a second acknowledgement, a cancel of what is over): admitted, not journalled.
Guarantees: any other pair is refused with a code and a sentence; a terminal state is left only by a late fill, which is
always booked, or by an order that the venue has after all. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from titan.errors import TitanError
from titan.model import Order, OrderState
from titan.money import ZERO


class OrderEventKind(StrEnum):
    """What can happen to an order."""

    ACK = "ACK"
    TIMEOUT = "TIMEOUT"
    REFUSE = "REFUSE"
    PARTIAL_FILL = "PARTIAL_FILL"
    FILL = "FILL"
    CANCEL = "CANCEL"
    EXPIRE = "EXPIRE"
    NOT_FOUND = "NOT_FOUND"


class IllegalTransition(TitanError):
    """An event that its order's state does not admit."""

    code = "ILLEGAL_TRANSITION"


_S = OrderState
_E = OrderEventKind

TRANSITIONS: dict[tuple[OrderState, OrderEventKind], OrderState] = {
    (_S.PENDING, _E.REFUSE): _S.REJECTED,
    (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
    (_S.PENDING, _E.TIMEOUT): _S.UNKNOWN,
    (_S.PENDING, _E.ACK): _S.OPEN,
    (_S.PENDING, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PENDING, _E.FILL): _S.FILLED,
    (_S.PENDING, _E.CANCEL): _S.CANCELED,
    (_S.PENDING, _E.NOT_FOUND): _S.REJECTED,
    (_S.UNKNOWN, _E.ACK): _S.OPEN,
    (_S.UNKNOWN, _E.REFUSE): _S.REJECTED,
    (_S.UNKNOWN, _E.TIMEOUT): _S.UNKNOWN,
    (_S.UNKNOWN, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.UNKNOWN, _E.FILL): _S.FILLED,
    (_S.UNKNOWN, _E.CANCEL): _S.CANCELED,
    (_S.UNKNOWN, _E.EXPIRE): _S.EXPIRED,
    (_S.UNKNOWN, _E.NOT_FOUND): _S.REJECTED,
    (_S.OPEN, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.OPEN, _E.FILL): _S.FILLED,
    (_S.OPEN, _E.CANCEL): _S.CANCELED,
    (_S.OPEN, _E.REFUSE): _S.REJECTED,
    (_S.OPEN, _E.EXPIRE): _S.EXPIRED,
    (_S.PARTIALLY_FILLED, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _E.FILL): _S.FILLED,
    (_S.PARTIALLY_FILLED, _E.CANCEL): _S.CANCELED,
    (_S.PARTIALLY_FILLED, _E.EXPIRE): _S.EXPIRED,
    # Late news: a fill after the last word is booked; the state goes where the quantity says.
    (_S.CANCELED, _E.PARTIAL_FILL): _S.CANCELED,
    (_S.CANCELED, _E.FILL): _S.FILLED,
    (_S.EXPIRED, _E.PARTIAL_FILL): _S.EXPIRED,
    (_S.EXPIRED, _E.FILL): _S.FILLED,
    # An order that was given up and is at the venue after all.
    (_S.REJECTED, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.REJECTED, _E.FILL): _S.FILLED,
    (_S.REJECTED, _E.ACK): _S.OPEN,
    (_S.CANCELED, _E.ACK): _S.OPEN,
    # More than was ordered: booked and told.
    (_S.FILLED, _E.FILL): _S.FILLED,
}

REPEATS: frozenset[tuple[OrderState, OrderEventKind]] = frozenset(
    {
        (_S.OPEN, _E.ACK),
        (_S.PARTIALLY_FILLED, _E.ACK),
        (_S.FILLED, _E.ACK),
        (_S.FILLED, _E.CANCEL),
        (_S.FILLED, _E.EXPIRE),
        (_S.CANCELED, _E.CANCEL),
        (_S.CANCELED, _E.EXPIRE),
        (_S.EXPIRED, _E.ACK),
        (_S.EXPIRED, _E.CANCEL),
        (_S.EXPIRED, _E.EXPIRE),
        (_S.REJECTED, _E.REFUSE),
    }
)

LEGAL_PAIRS: tuple[tuple[OrderState, OrderEventKind], ...] = tuple(sorted(TRANSITIONS))
"""Every pair that can stand in a journal."""


def next_state(state: OrderState, event: OrderEventKind) -> OrderState:
    """The state after `event`. Raises IllegalTransition for a pair outside both tables."""
    after = TRANSITIONS.get((state, event))
    if after is not None:
        return after
    if (state, event) in REPEATS:
        return state
    allowed = sorted(kind.value for held, kind in TRANSITIONS if held is state)
    raise IllegalTransition(
        f"{IllegalTransition.code}: an order in state {state.value} cannot take {event.value}; "
        f"allowed: {', '.join(allowed) or 'nothing'}"
    )


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What the children of an intent make together. `ordered` leaves out what a replacement stands in for.

    `state` is FILLED when everything ordered is filled, UNKNOWN while a child is, PARTIALLY_FILLED or OPEN while one
    may still trade, PENDING before the first answer, else how the last child ended.
    """

    state: OrderState
    ordered: Decimal
    filled: Decimal
    average_price: Decimal
    live: int


def aggregate(children: Iterable[Order]) -> Aggregate:
    """The state of an intent from its children that work the same way (entries, or closes). Raises ValueError for none."""
    orders = sorted(children, key=lambda order: order.child)
    if not orders:
        raise ValueError("an intent without orders has no state; a reject row says why")
    filled = sum((order.filled for order in orders), ZERO)
    value = sum((order.filled * order.average_price for order in orders), ZERO)
    live = [order for order in orders if not order.state.is_terminal]
    # What a child that is over left unfilled went to its replacement, or was given up.
    ordered = sum(
        (order.filled if order.state.is_terminal else max(order.quantity, order.filled) for order in orders), ZERO
    )
    if orders[-1].state.is_terminal:
        ordered += max(ZERO, orders[-1].quantity - orders[-1].filled)
    return Aggregate(
        _together(orders, live, filled, ordered), ordered, filled, value / filled if filled else ZERO, len(live)
    )


def _together(orders: list[Order], live: list[Order], filled: Decimal, ordered: Decimal) -> OrderState:
    states = {order.state for order in live}
    if OrderState.UNKNOWN in states:
        return OrderState.UNKNOWN
    if live:
        if filled:
            return OrderState.PARTIALLY_FILLED
        return OrderState.PENDING if states == {OrderState.PENDING} else OrderState.OPEN
    return OrderState.FILLED if filled >= ordered else orders[-1].state
