"""Money that moves without an order of the client: funding, liquidation, and the close of a market that is replaced.

Guarantees: funding is paid once for every funding time that passed, on the size held then; whatever closes a position
here is an order and an execution like any other. Never: matching against the book.
"""

from __future__ import annotations

from decimal import Decimal

from titan.paper import protection
from titan.paper.account import fee_of
from titan.paper.desk import Desk, SymbolState
from titan.paper.feeds.base import FeedMark
from titan.paper.orders import (
    ZERO,
    CancelType,
    ExecType,
    Order,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from titan.paper.rules import funding_fee

FUNDING_INTERVAL_MS = 8 * 3600 * 1000


def learn_mark(state: SymbolState, event: FeedMark, *, past: bool = False) -> None:
    """Takes mark, index, funding and open interest in; an event of the `past` moves no funding time that is known."""
    position = state.position
    position.mark = event.mark
    position.funding_rate = event.funding_rate
    if event.next_funding_ms > position.next_funding_ms and not (past and position.next_funding_ms):
        position.next_funding_ms = event.next_funding_ms
    state.index = event.index
    state.open_interest = event.open_interest


def pay_funding(desk: Desk, state: SymbolState) -> None:
    """Settles a funding time that has passed."""
    position = state.position
    due = position.next_funding_ms
    if not due or desk.now_ms < due:
        return
    position.next_funding_ms = due + FUNDING_INTERVAL_MS * ((desk.now_ms - due) // FUNDING_INTERVAL_MS + 1)
    state.settled.append((due, position.funding_rate))
    if not position.size:
        return
    price = position.mark or state.last
    qty = abs(position.size)
    fee = funding_fee(position.size, price, position.funding_rate)
    position.book_profit(-fee)
    side = Side.BUY if position.size > 0 else Side.SELL
    desk.record(_venue_order(desk, state, side, qty, price), ExecType.FUNDING, price, qty, fee)
    desk.touch_position(state)


def liquidate_if_broke(desk: Desk) -> None:
    """Closes everything at the mark when equity no longer covers the maintenance margin."""
    margin = desk.account.margin()
    if margin.equity > margin.maintenance:
        return
    close_all(desk, ExecType.BUST, Reason.LIQUIDATION, CancelType.BY_LIQUIDATION)


def close_all(desk: Desk, kind: ExecType, reason: Reason, cancel_type: CancelType) -> None:
    """Cancels every order and closes every position at its mark, paying the taker fee."""
    for order in list(desk.open_orders.values()):
        if order.order_id in desk.open_orders:
            desk.finish(order, OrderStatus.CANCELLED, reason, cancel_type)
    for state in desk.symbols.values():
        position = state.position
        if not position.size:
            continue
        qty, price = abs(position.size), position.mark
        order = _venue_order(desk, state, Side.SELL if position.size > 0 else Side.BUY, qty, price)
        outcome = position.apply(order.side, price, qty)
        fee = fee_of(price * qty, is_maker=False)
        order.cum_qty, order.cum_value, order.cum_fee = qty, price * qty, fee
        desk.touch(order)
        desk.record(order, kind, price, qty, fee, closed=qty, realised=outcome.realised)
        position.book_profit(outcome.realised - fee)
        protection.clear(desk, state)
        desk.touch_position(state)


def _venue_order(desk: Desk, state: SymbolState, side: Side, qty: Decimal, price: Decimal) -> Order:
    order_id, seq = desk.next_order()
    return Order(
        order_id=order_id,
        seq=seq,
        link_id="",
        symbol=state.instrument.id,
        side=side,
        type=OrderType.MARKET,
        tif=TimeInForce.IOC,
        qty=qty,
        price=price,
        created_ms=desk.now_ms,
        updated_ms=desk.now_ms,
        status=OrderStatus.FILLED,
        reduce_only=True,
        queue_ahead=ZERO,
    )
