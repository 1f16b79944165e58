"""Records of orders that the venue made or knows and the journal does not.

Guarantees: the same order at the venue gets the same id on every start. A stop or target belongs to the entry that
carried it, so that its fills count for that entry's phase. Never: a change of state.
"""

from __future__ import annotations

from dataclasses import replace

from actors.router.state import RouterConfig, RouterState
from titan.clock import Now
from titan.ids import ClientOrderId, client_order_id, is_our_client_order_id
from titan.model import Order, OrderRole, OrderState
from titan.venues.base import VenueExecution, VenueOrder

PROTECTIVE = frozenset({OrderRole.STOP, OrderRole.TARGET})


def adopted_id(config: RouterConfig, client_id: str, venue_order_id: str) -> ClientOrderId:
    """Our own client id when the venue shows one, else a function of the venue's order id."""
    if is_our_client_order_id(client_id):
        return ClientOrderId(client_id)
    return client_order_id(f"{config.venue}:{config.account}:{venue_order_id}", 0)


def from_order(state: RouterState, config: RouterConfig, seen: VenueOrder, now: Now) -> Order:
    """The record of an order as the venue shows it, with nothing filled yet: fills are booked by executions only."""
    ended = seen.state in (OrderState.CANCELED, OrderState.REJECTED)
    record = Order(
        client_order_id=adopted_id(config, seen.client_order_id, seen.venue_order_id),
        intent_id="",
        signal_id="",
        child=0,
        role=seen.role,
        phase=None,
        venue=config.venue,
        account=config.account,
        symbol=seen.symbol,
        side=seen.side,
        order_type=seen.order_type,
        quantity=seen.quantity,
        price=seen.price,
        trigger_price=seen.trigger_price,
        stop_price=None,
        target_price=None,
        reduce_only=seen.reduce_only,
        state=seen.state if ended else OrderState.OPEN,
        venue_order_id=seen.venue_order_id,
        detail=seen.detail,
        created_ms=now.wall_ms,
        updated_ms=now.wall_ms,
        venue_ts_ms=seen.updated_ms,
    )
    return _with_parent(state, record, seen.parent_client_order_id)


def from_execution(state: RouterState, config: RouterConfig, done: VenueExecution, now: Now) -> Order:
    """The record of an order of which only an execution is known."""
    record = Order(
        client_order_id=adopted_id(config, done.client_order_id, done.venue_order_id),
        intent_id="",
        signal_id="",
        child=0,
        role=done.role,
        phase=None,
        venue=config.venue,
        account=config.account,
        symbol=done.symbol,
        side=done.side,
        order_type=done.order_type,
        quantity=max(done.order_quantity, done.quantity),
        price=None,
        trigger_price=None,
        stop_price=None,
        target_price=None,
        reduce_only=done.role in PROTECTIVE,
        state=OrderState.OPEN,
        venue_order_id=done.venue_order_id,
        created_ms=now.wall_ms,
        updated_ms=now.wall_ms,
    )
    return _with_parent(state, record, "")


def _with_parent(state: RouterState, record: Order, parent_id: str) -> Order:
    if record.role not in PROTECTIVE:
        return record
    parent = state.orders.get(parent_id or state.last_entry.get(record.symbol, ""))
    if parent is None:
        return record
    return replace(record, intent_id=parent.intent_id, signal_id=parent.signal_id, phase=parent.phase)
