"""The life of one order: states, events, one transition table, nothing else.

Guarantees: a pair of state and event that is not in the table is refused with a sentence; a terminal state is left
only by a late fill, which is always booked. Never: I/O.
"""

from __future__ import annotations

from enum import StrEnum

from titan.errors import TitanError
from titan.model import OrderState


class OrderEventKind(StrEnum):
    """What can happen to an order."""

    SEND = "SEND"
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


_S = OrderState
_E = OrderEventKind

TRANSITIONS: dict[tuple[OrderState, OrderEventKind], OrderState] = {
    (_S.PENDING, _E.SEND): _S.SENT,
    (_S.PENDING, _E.REFUSE): _S.REJECTED,
    (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
    (_S.PENDING, _E.TIMEOUT): _S.UNKNOWN,
    (_S.PENDING, _E.ACK): _S.OPEN,
    (_S.PENDING, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PENDING, _E.FILL): _S.FILLED,
    (_S.PENDING, _E.CANCEL): _S.CANCELED,
    (_S.PENDING, _E.NOT_FOUND): _S.REJECTED,
    (_S.SENT, _E.ACK): _S.OPEN,
    (_S.SENT, _E.REFUSE): _S.REJECTED,
    (_S.SENT, _E.TIMEOUT): _S.UNKNOWN,
    (_S.SENT, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.SENT, _E.FILL): _S.FILLED,
    (_S.SENT, _E.CANCEL): _S.CANCELED,
    (_S.SENT, _E.EXPIRE): _S.EXPIRED,
    (_S.UNKNOWN, _E.ACK): _S.OPEN,
    (_S.UNKNOWN, _E.REFUSE): _S.REJECTED,
    (_S.UNKNOWN, _E.TIMEOUT): _S.UNKNOWN,
    (_S.UNKNOWN, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.UNKNOWN, _E.FILL): _S.FILLED,
    (_S.UNKNOWN, _E.CANCEL): _S.CANCELED,
    (_S.UNKNOWN, _E.EXPIRE): _S.EXPIRED,
    (_S.UNKNOWN, _E.NOT_FOUND): _S.REJECTED,
    (_S.OPEN, _E.ACK): _S.OPEN,
    (_S.OPEN, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.OPEN, _E.FILL): _S.FILLED,
    (_S.OPEN, _E.CANCEL): _S.CANCELED,
    (_S.OPEN, _E.REFUSE): _S.REJECTED,
    (_S.OPEN, _E.EXPIRE): _S.EXPIRED,
    (_S.PARTIALLY_FILLED, _E.ACK): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _E.FILL): _S.FILLED,
    (_S.PARTIALLY_FILLED, _E.CANCEL): _S.CANCELED,
    (_S.PARTIALLY_FILLED, _E.EXPIRE): _S.EXPIRED,
    # Late news: a fill after the last word is booked; the state goes where the quantity says.
    (_S.CANCELED, _E.PARTIAL_FILL): _S.CANCELED,
    (_S.CANCELED, _E.FILL): _S.FILLED,
    (_S.CANCELED, _E.CANCEL): _S.CANCELED,
    (_S.EXPIRED, _E.PARTIAL_FILL): _S.EXPIRED,
    (_S.EXPIRED, _E.FILL): _S.FILLED,
    (_S.REJECTED, _E.PARTIAL_FILL): _S.PARTIALLY_FILLED,
    (_S.REJECTED, _E.FILL): _S.FILLED,
    (_S.REJECTED, _E.ACK): _S.OPEN,
    (_S.FILLED, _E.ACK): _S.FILLED,
    (_S.FILLED, _E.FILL): _S.FILLED,
    (_S.FILLED, _E.CANCEL): _S.FILLED,
}


def next_state(state: OrderState, event: OrderEventKind) -> OrderState:
    """The state after `event`. Raises IllegalTransition for a pair outside the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        allowed = sorted(kind.value for held, kind in TRANSITIONS if held is state)
        raise IllegalTransition(
            f"an order in state {state.value} cannot take {event.value}; allowed: {', '.join(allowed) or 'nothing'}"
        ) from None
