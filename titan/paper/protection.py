"""Stop loss and take profit of whole positions (tpslMode Full), as visible conditional orders.

Guarantees: while a position stands with a stop or target, exactly one untriggered reduce-only order of its size waits
for each; when the position closes or turns, they are deactivated. Never: a trigger; the matcher fires them.
"""

from __future__ import annotations

from decimal import Decimal

from titan.paper.desk import Desk, SymbolState
from titan.paper.orders import (
    ZERO,
    CancelType,
    Order,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    StopOrderType,
    TimeInForce,
    TriggerBy,
)


def attach(state: SymbolState, order: Order) -> None:
    """Stores the protection an entry carried on the position it opened or grew."""
    position = state.position
    if order.stop_loss:
        position.stop_loss, position.sl_trigger_by = order.stop_loss, order.sl_trigger_by
        position.sl_parent = order.link_id
    if order.take_profit:
        position.take_profit, position.tp_trigger_by = order.take_profit, order.tp_trigger_by
        position.tp_parent = order.link_id


def clear(desk: Desk, state: SymbolState) -> None:
    """Forgets the protection of a position that is gone."""
    position = state.position
    position.stop_loss = position.take_profit = ZERO
    position.sl_parent = position.tp_parent = ""
    for order in list(state.untriggered.values()):
        if order.stop_type.guards_position:
            desk.finish(order, OrderStatus.DEACTIVATED, Reason.NONE, CancelType.BY_TPSL_CLEAR)


def synchronise(desk: Desk, state: SymbolState) -> None:
    """Makes the waiting orders agree with what the position says."""
    position = state.position
    if position.side is None:
        return
    for kind, price, by, parent in (
        (StopOrderType.STOP_LOSS, position.stop_loss, position.sl_trigger_by, position.sl_parent),
        (StopOrderType.TAKE_PROFIT, position.take_profit, position.tp_trigger_by, position.tp_parent),
    ):
        order = next((o for o in state.untriggered.values() if o.stop_type is kind), None)
        if order is None:
            if price:
                _materialise(desk, state, kind, price, by, parent)
        elif not price:
            desk.finish(order, OrderStatus.DEACTIVATED, Reason.NONE, CancelType.BY_TPSL_CLEAR)
        elif (order.qty, order.trigger_price, order.trigger_by) != (abs(position.size), price, by):
            order.qty, order.trigger_price, order.trigger_by = abs(position.size), price, by
            order.parent_link_id = parent
            desk.touch(order)


def _materialise(
    desk: Desk, state: SymbolState, kind: StopOrderType, price: Decimal, by: TriggerBy, parent: str
) -> None:
    size = state.position.size
    rises = (kind is StopOrderType.TAKE_PROFIT) == (size > 0)
    order_id, seq = desk.next_order()
    order = Order(
        order_id=order_id,
        seq=seq,
        link_id="",
        symbol=state.instrument.id,
        side=Side.SELL if size > 0 else Side.BUY,
        type=OrderType.MARKET,
        tif=TimeInForce.IOC,
        qty=abs(size),
        price=ZERO,
        created_ms=desk.now_ms,
        updated_ms=desk.now_ms,
        status=OrderStatus.UNTRIGGERED,
        reduce_only=True,
        close_on_trigger=True,
        trigger_price=price,
        trigger_direction=1 if rises else 2,
        trigger_by=by,
        stop_type=kind,
        parent_link_id=parent,
        last_on_created=state.last,
    )
    desk.list(order)
    state.untriggered[order_id] = order
    desk.touch(order)
