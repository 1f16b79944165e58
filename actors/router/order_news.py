"""What the venue's view of an order says that the journal does not know yet.

Guarantees: pure; a view that adds nothing is None. Never: a fill, which only executions tell.
"""

from __future__ import annotations

from titan.clock import Now
from titan.codes import RejectCode
from titan.model import Order, OrderState
from titan.orders import TRANSITIONS, OrderEventKind
from titan.venues.base import VenueOrder

BEFORE_OPEN = frozenset({OrderState.PENDING, OrderState.UNKNOWN, OrderState.REJECTED})


def expired(order: Order, now: Now) -> bool:
    """Whether the order's own time is over."""
    return order.terms is not None and 0 < order.terms.expires_ms <= now.market_ms


def news_of(order: Order, seen: VenueOrder) -> OrderEventKind | None:
    """What the venue's view of an order adds to ours, as an event; None when nothing."""
    if order.state is OrderState.PARTIALLY_FILLED and order.filled >= order.quantity:
        return OrderEventKind.FILL
    if seen.state in (OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.FILLED):
        # One that was given up because the venue did not know it may come back; one that the venue ended does not.
        lost = order.state is OrderState.CANCELED and order.code is RejectCode.NOT_AT_VENUE
        return OrderEventKind.ACK if lost or order.state in BEFORE_OPEN else None
    if order.state.is_terminal:
        return None
    if seen.state is OrderState.REJECTED and (order.state, OrderEventKind.REFUSE) in TRANSITIONS:
        return OrderEventKind.REFUSE
    return OrderEventKind.CANCEL
