"""Matching: takers walk the visible book, resting orders wait in their queue, triggers release conditional orders.

Guarantees: own fills never exceed the book or the trade they came from; reduce-only never grows or flips a position
and shrinks with it; post-only never takes. Never: an order listed or numbered here; the core does that.
"""

from __future__ import annotations

from decimal import Decimal

from titan.paper import protection
from titan.paper.account import fee_of
from titan.paper.desk import Desk, SymbolState
from titan.paper.feeds.base import FeedBook, FeedTrade
from titan.paper.orders import (
    CancelType,
    ExecType,
    Order,
    OrderStatus,
    OrderType,
    Reason,
    Refused,
    RetCode,
    Side,
    TimeInForce,
)


def short_of_margin(desk: Desk, state: SymbolState, side: Side, qty: Decimal, price: Decimal) -> Refused | None:
    """Refuses what the available balance does not cover: initial margin of the part that opens, and the taker fee."""
    size = state.position.size
    exposure = state.exposure
    value = qty * price
    before = exposure.opening_value(size)
    exposure.add(side, qty, value)
    added = exposure.opening_value(size) - before
    exposure.add(side, -qty, -value)
    if added <= 0:
        return None
    need = added / state.position.leverage + fee_of(value, is_maker=False)
    available = desk.account.margin().available
    if need <= available:
        return None
    return Refused(
        RetCode.INSUFFICIENT_BALANCE,
        f"ab not enough for new order: needs {need:.4f}, available {available:.4f} {state.instrument.quote}",
    )


def enter(desk: Desk, state: SymbolState, order: Order) -> None:
    """Lets a live order trade at once as far as it may, then rests or ends it."""
    limit = order.price if order.type is OrderType.LIMIT else None
    if order.tif is TimeInForce.POST_ONLY and state.book.crosses(order.side, order.price):
        desk.finish(order, OrderStatus.CANCELLED, Reason.POST_ONLY)
        return
    if order.tif is TimeInForce.FOK and state.book.takeable(order.side, limit) < order.qty:
        desk.finish(order, OrderStatus.CANCELLED, Reason.NO_IMMEDIATE)
        return
    for price, qty in state.book.plan(order.side, order.leaves, limit):
        state.book.take(order.side, price, qty)
        fill(desk, state, order, price, qty, is_maker=False)
    if not order.status.is_open:
        return
    if order.tif in (TimeInForce.GTC, TimeInForce.POST_ONLY):
        order.queue_ahead = state.book.ahead_at(order.side, order.price)
        desk.rest(order)
    else:
        desk.finish(order, OrderStatus.CANCELLED, Reason.NO_IMMEDIATE)


def fill(desk: Desk, state: SymbolState, order: Order, price: Decimal, qty: Decimal, *, is_maker: bool) -> None:
    """Books one execution of an order: position, wallet, the order itself and what depends on the position."""
    position = state.position
    fee = fee_of(price * qty, is_maker=is_maker)
    was = position.side
    outcome = position.apply(order.side, price, qty)
    if is_maker and not order.reduce_only:
        state.exposure.add(order.side, -qty, -qty * order.price)
    order.cum_qty += qty
    order.cum_value += price * qty
    order.cum_fee += fee
    if order.cum_qty == order.qty:
        desk.finish(order, OrderStatus.FILLED, Reason.NONE)
    else:
        order.status = OrderStatus.PARTIALLY_FILLED
        desk.touch(order)
    desk.record(
        order, ExecType.TRADE, price, qty, fee, is_maker=is_maker, closed=outcome.closed, realised=outcome.realised
    )
    if was is not position.side:
        position.created_ms = desk.now_ms
        protection.clear(desk, state)
    position.book_profit(outcome.realised - fee, fresh=was is None)
    if outcome.opened:
        protection.attach(state, order)
    desk.touch_position(state)
    _trim_reduce_only(desk, state)


def _trim_reduce_only(desk: Desk, state: SymbolState) -> None:
    for queue in state.queues.values():
        for order in queue.reducing():
            room = state.room(order.side)
            if room == 0:
                desk.finish(order, OrderStatus.CANCELLED, Reason.REDUCE_ONLY, CancelType.BY_REDUCE_ONLY)
            elif order.leaves > room:
                order.qty = order.cum_qty + room
                desk.touch(order)


def on_trade(desk: Desk, state: SymbolState, trade: FeedTrade) -> None:
    """A public trade fills own orders it reached and may release triggers."""
    state.last = trade.price
    queue = state.queues[Side.SELL if trade.side == "buy" else Side.BUY]
    if len(queue):
        for order, qty in queue.hits_of_trade(trade.price, trade.qty):
            # a fill may have shrunk or ended a later reduce-only order of the same trade
            share = min(qty, order.leaves)
            if share > 0:
                fill(desk, state, order, order.price, share, is_maker=True)
    if state.untriggered:
        fire_triggers(desk, state)


def on_book(desk: Desk, state: SymbolState, event: FeedBook) -> None:
    """A new snapshot fills own orders it crosses, at their own price, and shortens queues."""
    state.book.replace(event.bids, event.asks)
    for side, queue in state.queues.items():
        if not len(queue):
            continue
        best = state.book.best(side.opposite)
        for order in queue.reaching(best) if best is not None else ():
            if not state.book.crosses(side, order.price):
                break
            for price, qty in state.book.plan(side, order.leaves, order.price):
                state.book.take(side, price, qty)
                fill(desk, state, order, order.price, qty, is_maker=True)
        queue.shrink_to(state.book)


def fire_triggers(desk: Desk, state: SymbolState) -> None:
    """Releases every conditional order whose price has been reached."""
    for order in list(state.untriggered.values()):
        price = state.price_for(order.trigger_by)
        if not price or order.order_id not in state.untriggered:
            continue
        if price >= order.trigger_price if order.trigger_direction == 1 else price <= order.trigger_price:
            _release(desk, state, order)


def _release(desk: Desk, state: SymbolState, order: Order) -> None:
    del state.untriggered[order.order_id]
    order.status = OrderStatus.NEW
    desk.touch(order)
    # a stop that found too little liquidity is set again by the synchronisation that follows
    desk.touch_position(state)
    if order.reduce_only:
        room = state.room(order.side)
        if room == 0:
            desk.finish(order, OrderStatus.CANCELLED, Reason.REDUCE_ONLY, CancelType.BY_REDUCE_ONLY)
            return
        order.qty = min(order.qty, room)
    else:
        price = order.price or state.taker_price(order.side)
        if short_of_margin(desk, state, order.side, order.qty, price) is not None:
            desk.finish(order, OrderStatus.REJECTED, Reason.NO_BALANCE)
            return
    enter(desk, state, order)
