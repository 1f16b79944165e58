"""How each journalled fact changes the state: the one set of functions that live trading and replay both use.

Guarantees: replaying the rows of a journal gives the state that wrote them, to the last decimal. Never: a row or an
effect of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import assert_never

from actors.router import parents
from actors.router.state import Money, RouterConfig, RouterState
from titan.journal.format import parse
from titan.journal.rows import StoredRow
from titan.journal.values import (
    DayRow,
    FillRow,
    FundingRow,
    OrderRow,
    ParentRow,
    PositionRow,
    RejectRow,
    SnapshotRow,
    StartRow,
    TradingRow,
    WalletRow,
)
from titan.model import TERMINAL, Fill, Order, OrderRole, OrderState
from titan.money import ZERO
from titan.positions import Applied, apply_fill

OURS = frozenset({OrderRole.ENTRY, OrderRole.CLOSE, OrderRole.FLATTEN})
_ENTRY, _CLOSE = OrderRole.ENTRY, OrderRole.CLOSE
_STOP, _EXTERNAL = OrderRole.STOP, OrderRole.EXTERNAL


def put_order(state: RouterState, order: Order) -> None:
    """An order stands as given now."""
    cid = order.client_order_id
    known = state.orders.get(cid)
    state.orders[cid] = order
    if order.venue_order_id:
        state.by_venue_id[order.venue_order_id] = cid
    role = order.role
    if role is _STOP and order.trigger_price is not None:
        state.last_stop[order.symbol] = order
    if order.state in TERMINAL:
        state.live.pop(cid, None)
        if role in OURS and not (known is not None and known.state in TERMINAL):
            state.finished += 1
            state.filled += order.state is OrderState.FILLED
    else:
        state.live[cid] = None
    if state.parents:
        parents.note(state.parents, state.moved, order, first=known is None)
    if known is None:
        if order.child or order.terms is not None or role is _EXTERNAL:
            _note_new(state, order)
        if role is _ENTRY:
            state.last_entry[order.symbol] = cid
        if role is _ENTRY or role is _CLOSE:
            state.intents.add(order.intent_id)


def _note_new(state: RouterState, order: Order) -> None:
    """What an order that was not known yet adds beside itself."""
    if order.child:
        state.children[order.intent_id] = max(order.child, state.children.get(order.intent_id, 0))
    if order.role is _EXTERNAL:
        state.externals += 1
    if order.terms is not None:
        if order.terms.targets:
            state.brackets[order.intent_id] = None
        if order.terms.trail is not None:
            state.trails[order.intent_id] = order.terms.trail


def put_parent(state: RouterState, row: ParentRow) -> None:
    """An intent that is worked by several orders stands as given now."""
    state.intents.add(row.intent.intent_id)
    parents.put(state.parents, state.moved, row)


def fee_in_settlement(config: RouterConfig, fill: Fill) -> Decimal:
    """A fee in the settlement currency; one charged in the base currency is valued at the fill's price."""
    instrument = config.instruments.find(fill.venue, fill.symbol)
    if instrument is not None and fill.fee_currency == instrument.base:
        return fill.fee * fill.price
    return fill.fee


def applied_fill(state: RouterState, config: RouterConfig, fill: Fill) -> Applied:
    """What a fill would do to its position."""
    held = state.position(config, fill.symbol)
    return apply_fill(held, fill.side, fill.quantity, fill.price, fee_in_settlement(config, fill), fill.t_exchange_ms)


def put_fill(state: RouterState, config: RouterConfig, fill: Fill) -> Applied:
    """Books a fill: position, cash, and the mark that it is known."""
    applied = applied_fill(state, config, fill)
    state.fills.add(fill.fill_id)
    cid = fill.client_order_id
    state.traded[cid] = state.traded.get(cid, ZERO) + fill.price * fill.quantity
    state.positions[fill.symbol] = applied.position
    state.cursor_ms = max(state.cursor_ms, fill.t_exchange_ms)
    if state.money.cash is not None:
        state.money.cash += applied.realized - fee_in_settlement(config, fill)
    return applied


def put_funding(state: RouterState, config: RouterConfig, symbol: str, key: str, paid: Decimal, ts_ms: int) -> None:
    """Books a funding payment of `paid` (negative when received) to position and cash."""
    held = state.position(config, symbol)
    state.fills.add(key)
    state.positions[symbol] = replace(held, funding=held.funding + paid, updated_ms=ts_ms)
    state.cursor_ms = max(state.cursor_ms, ts_ms)
    if state.money.cash is not None:
        state.money.cash -= paid


def put_position(state: RouterState, config: RouterConfig, symbol: str, quantity: Decimal, average: Decimal) -> None:
    """A position is what the venue says; money earned so far stays."""
    held = state.position(config, symbol)
    state.positions[symbol] = replace(held, quantity=quantity, average_price=average)


def put_snapshot(state: RouterState, snapshot: SnapshotRow) -> None:
    """The state is what the rows before a compaction made; it must be empty before."""
    state.orders = {order.client_order_id: order for order in snapshot.orders}
    state.live = {cid: None for cid, order in state.orders.items() if not order.state.is_terminal}
    state.by_venue_id = {order.venue_order_id: cid for cid, order in state.orders.items() if order.venue_order_id}
    state.intents = {order.intent_id for order in snapshot.orders if order.role in (OrderRole.ENTRY, OrderRole.CLOSE)}
    for order in snapshot.orders:
        _note_new(state, order)
        if order.role is OrderRole.STOP:
            state.last_stop[order.symbol] = order
    for row in snapshot.parents:
        state.intents.add(row.intent.intent_id)
        parents.put(state.parents, state.moved, row, state.orders.values())
    state.traded = dict(snapshot.traded)
    state.positions = {position.symbol: position for position in snapshot.positions}
    state.last_entry = dict(snapshot.last_entry)
    state.money = Money(
        currency=snapshot.currency,
        cash=snapshot.cash,
        day=snapshot.day,
        start_of_day=snapshot.start_of_day,
        high_watermark=snapshot.high_watermark,
        kept_watermark=snapshot.high_watermark,
    )
    state.cursor_ms, state.finished, state.filled = snapshot.cursor_ms, snapshot.finished, snapshot.filled
    state.trading, state.trading_reason = snapshot.trading, snapshot.trading_reason
    state.trading_by, state.resume_to = snapshot.trading_by, snapshot.resume_to
    state.run_started_ms = snapshot.run_started_ms


def replay(state: RouterState, config: RouterConfig, stored: Iterable[StoredRow]) -> int:
    """Rebuilds the state from journal rows; returns how many. Raises ValueError for an unknown or unreadable row."""
    count = 0
    for row in stored:
        _apply(state, config, row)
        state.seq = row.seq
        count += 1
    return count


def _apply(state: RouterState, config: RouterConfig, row: StoredRow) -> None:
    match parse(row):
        case OrderRow(order=order):
            put_order(state, order)
        case ParentRow() as parent:
            put_parent(state, parent)
        case FillRow(fill=fill):
            put_fill(state, config, fill)
        case RejectRow(intent_id=intent_id):
            state.intents.add(intent_id)
        case FundingRow() as payment:
            put_funding(state, config, payment.symbol, payment.fill_id, payment.paid, payment.t_exchange_ms)
        case WalletRow() as told:
            state.money.currency, state.money.cash = told.currency, told.wallet
        case DayRow() as day:
            state.money.day, state.money.start_of_day = day.day, day.start_of_day
            state.money.high_watermark = state.money.kept_watermark = day.high_watermark
        case PositionRow() as adopted:
            put_position(state, config, adopted.symbol, adopted.quantity, adopted.average_price)
        case TradingRow() as changed:
            state.trading, state.trading_reason = changed.current, changed.reason
            state.trading_by, state.resume_to = changed.operator_id, changed.resume_to
            state.run_started_ms = changed.run_started_ms
        case SnapshotRow() as snapshot:
            put_snapshot(state, snapshot)
        case StartRow():
            pass
        case _ as unreachable:
            assert_never(unreachable)
