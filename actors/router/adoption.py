"""Records of orders that the venue made or knows and the journal does not.

Guarantees: the same order at the venue gets the same id on every start. A stop or target belongs to the entry that
carried it, so that its fills count for that entry's phase. A child whose row was lost with the end of a torn journal is
known again by its id, as what it was. Never: a change of state.
"""

from __future__ import annotations

from dataclasses import replace

from actors.router import children
from actors.router.conditions import STOPS
from actors.router.state import RouterConfig, RouterState
from titan.clock import Now
from titan.ids import ClientOrderId, client_order_id, is_our_client_order_id
from titan.model import Order, OrderRole, OrderState, Terms
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
    return _with_parent(state, config, record, seen.client_order_id, seen.parent_client_order_id)


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
    return _with_parent(state, config, record, done.client_order_id, "")


def _with_parent(state: RouterState, config: RouterConfig, record: Order, client_id: str, parent_id: str) -> Order:
    # What the venue made itself, and every stop that came with an entry, has no name of ours to look for.
    if is_our_client_order_id(client_id):
        record = _of_intent(state, config, record)
    if record.intent_id or record.role not in PROTECTIVE:
        return record
    parent = state.orders.get(parent_id or state.last_entry.get(record.symbol, ""))
    if parent is None:
        return record
    return replace(record, intent_id=parent.intent_id, signal_id=parent.signal_id, phase=parent.phase)


def _of_intent(state: RouterState, config: RouterConfig, record: Order) -> Order:
    """The record as a child of its intent, when its id names one of an intent that goes on."""
    last = (state.orders[cid].intent_id for cid in state.last_entry.values())
    for intent_id in dict.fromkeys((*state.parents, *state.brackets, *last)):
        number = children.number_of(state, intent_id, record.client_order_id)
        if number is None:
            continue
        record = replace(record, intent_id=intent_id, child=number)
        parent = state.parents.get(intent_id)
        if parent is not None:
            intent = parent.row.intent
            role = OrderRole.CLOSE if record.reduce_only else OrderRole.ENTRY
            return replace(record, role=role, signal_id=intent.signal_id, phase=intent.phase)
        first = state.orders.get(children.child_id(intent_id, 0))
        if first is None:
            return record
        record = replace(record, signal_id=first.signal_id, phase=first.phase)
        if not record.reduce_only:
            return replace(record, role=first.role)
        if record.order_type in STOPS:
            return replace(record, role=OrderRole.STOP)
        return replace(record, role=OrderRole.TARGET, terms=Terms(leg=_leg_of(config, first, record)))
    return record


def _leg_of(config: RouterConfig, entry: Order, target: Order) -> int:
    """Which target of an entry's bracket an order is, by its price; 0 when it is none."""
    instrument = config.instruments.find(entry.venue, entry.symbol)
    if entry.terms is None or instrument is None:
        return 0
    price = target.trigger_price if target.price is None else target.price
    prices = [instrument.round_price(one.price) for one in entry.terms.targets]
    return prices.index(price) + 1 if price in prices else 0
