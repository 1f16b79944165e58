"""The venue's core: a deterministic state machine of orders, fills, margin, funding and protection.

Entry points: `handle(command or feed event, now_ms)` and `restore(...)`. Guarantees: the same inputs give the same
outputs; every change is an effect, in order, so that a shell can make it durable before anyone hears of it.
Never: I/O, clocks, randomness. `now_ms` is market time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import assert_never

from titan.paper import matching, protection, rules, settlement
from titan.paper.account import Account, Margin
from titan.paper.commands import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    CloseMarket,
    Command,
    PlaceOrder,
    SetLeverage,
    SetTradingStop,
)
from titan.paper.desk import Desk, Remembered, SymbolState
from titan.paper.feeds.base import FeedBook, FeedEvent, FeedLiquidation, FeedMark, FeedTrade
from titan.paper.orders import (
    ZERO,
    Accepted,
    CancelType,
    ExecType,
    Instrument,
    NewOrder,
    Order,
    OrderFilter,
    OrderStatus,
    OrderType,
    Reason,
    Refused,
    Result,
    RetCode,
    StopOrderType,
    TimeInForce,
)

MAX_OPEN_ORDERS = 500
_MARKET = (FeedTrade, FeedBook, FeedMark, FeedLiquidation)


class PaperVenueCore:
    """One account on one venue. `salt` makes ids unique between venues."""

    def __init__(self, instruments: Iterable[Instrument], wallet: Decimal, salt: str) -> None:
        self._desk = Desk(instruments, wallet, salt)
        self.symbols: dict[str, SymbolState] = self._desk.symbols
        self.account: Account = self._desk.account

    # state in and out

    def restore(self, past: Remembered) -> None:
        """Becomes what the ledger remembers; queue positions are re-estimated by the next book."""
        self._desk.restore(past)

    def margin(self) -> Margin:
        """The account at current marks."""
        return self.account.margin()

    @property
    def open_orders(self) -> dict[str, Order]:
        """Open orders by id, oldest first; callers must not change them."""
        return self._desk.open_orders

    @property
    def recent_closed(self) -> Iterator[Order]:
        """The last finished orders, oldest first."""
        return iter(self._desk.recent_closed)

    def find(self, order_id: str, link_id: str) -> Order | None:
        """An open order by venue id, or by client id when no venue id is given."""
        return self._desk.find(order_id, link_id)

    def closed(self, order_id: str, link_id: str) -> Iterator[Order]:
        """Recently finished orders with that id, newest first."""
        return self._desk.closed(order_id, link_id)

    def prime(self, event: FeedEvent) -> None:
        """Learns prices and books from an event of the past without matching anything."""
        state = self._desk.by_canonical.get(event.symbol)
        if state is None:
            return
        if isinstance(event, FeedTrade):
            state.last = event.price
        elif isinstance(event, FeedBook):
            state.book.replace(event.bids, event.asks)
        elif isinstance(event, FeedMark):
            settlement.learn_mark(state, event, past=True)

    # the machine

    def handle(self, event: Command | FeedEvent, now_ms: int) -> Result:
        """Takes one input at market time `now_ms` and returns the answer and the effects, in order."""
        desk = self._desk
        effects = desk.begin(now_ms)
        for state in self.symbols.values():
            if state.position.next_funding_ms and now_ms >= state.position.next_funding_ms:
                settlement.pay_funding(desk, state)
        reply: Accepted | Refused = Accepted()
        if isinstance(event, _MARKET):
            self._on_market(event)
        else:
            reply = self._on_command(event)
        if desk.touched:
            for state in list(desk.dirty_positions.values()):
                protection.synchronise(desk, state)
            desk.flush()
        return Result(reply, effects)

    def _on_market(self, event: FeedEvent) -> None:
        desk = self._desk
        state = desk.by_canonical.get(event.symbol)
        if state is None:
            return
        if isinstance(event, FeedTrade):
            matching.on_trade(desk, state, event)
        elif isinstance(event, FeedBook):
            matching.on_book(desk, state, event)
        elif isinstance(event, FeedMark):
            settlement.learn_mark(state, event)
            if state.untriggered:
                matching.fire_triggers(desk, state)
            if state.position.size:
                settlement.liquidate_if_broke(desk)

    def _on_command(self, command: Command) -> Accepted | Refused:
        if isinstance(command, PlaceOrder):
            return self._place(command.order)
        if isinstance(command, CancelOrder):
            return self._cancel(command)
        if isinstance(command, CancelAll):
            return self._cancel_all(command)
        if isinstance(command, AmendOrder):
            return self._amend(command)
        if isinstance(command, SetLeverage):
            return self._set_leverage(command)
        if isinstance(command, SetTradingStop):
            return self._set_trading_stop(command)
        if isinstance(command, CloseMarket):
            settlement.close_all(self._desk, ExecType.TRADE, Reason.MARKET_CLOSED, CancelType.UNKNOWN)
            for state in self.symbols.values():
                if state.position.next_funding_ms:
                    state.position.next_funding_ms = 0
                    self._desk.touch_position(state)
            return Accepted()
        assert_never(command)

    # orders

    def _place(self, new: NewOrder) -> Accepted | Refused:
        state = self.symbols.get(new.symbol)
        if state is None:
            return _unknown_symbol(new.symbol)
        reference = new.price if new.type is OrderType.LIMIT else state.taker_price(new.side)
        trigger_now = state.price_for(new.trigger_by)
        refused = rules.check_shape(new, state.instrument) or rules.check_context(
            new, state.instrument, state.position, trigger_now, reference
        )
        if refused is not None:
            return refused
        if new.link_id and new.link_id in self._desk.open_links:
            return Refused(
                RetCode.DUPLICATE_LINK_ID, f"OrderLinkedID is duplicate: {new.link_id} belongs to an open order"
            )
        if len(self.open_orders) >= MAX_OPEN_ORDERS * len(self.symbols):
            return Refused(RetCode.TOO_MANY_ORDERS, f"{len(self.open_orders)} orders are open, no more are allowed")
        qty = new.qty
        if not new.trigger_direction:
            if new.reduce_only:
                qty = min(qty, state.room(new.side))
            else:
                short = matching.short_of_margin(self._desk, state, new.side, qty, reference)
                if short is not None:
                    return short
        order = self._make(new, state, qty)
        self._desk.list(order)
        self._desk.touch(order)
        if new.trigger_direction:
            order.status = OrderStatus.UNTRIGGERED
            state.untriggered[order.order_id] = order
        else:
            matching.enter(self._desk, state, order)
        return Accepted(((order.order_id, order.link_id),))

    def _make(self, new: NewOrder, state: SymbolState, qty: Decimal) -> Order:
        order_id, seq = self._desk.next_order()
        immediate = new.type is OrderType.MARKET and new.tif is not TimeInForce.FOK
        return Order(
            order_id=order_id,
            seq=seq,
            link_id=new.link_id,
            symbol=new.symbol,
            side=new.side,
            type=new.type,
            tif=TimeInForce.IOC if immediate else new.tif,
            qty=qty,
            price=new.price,
            created_ms=self._desk.now_ms,
            updated_ms=self._desk.now_ms,
            reduce_only=new.reduce_only,
            close_on_trigger=new.close_on_trigger,
            trigger_price=new.trigger_price,
            trigger_direction=new.trigger_direction,
            trigger_by=new.trigger_by,
            stop_type=StopOrderType.STOP if new.trigger_direction else StopOrderType.NONE,
            stop_loss=new.stop_loss,
            take_profit=new.take_profit,
            sl_trigger_by=new.sl_trigger_by,
            tp_trigger_by=new.tp_trigger_by,
            last_on_created=state.last,
        )

    def _cancel(self, command: CancelOrder) -> Accepted | Refused:
        order = self.find(command.order_id, command.link_id)
        if order is None or order.symbol != command.symbol:
            seen = command.order_id or command.link_id
            return Refused(RetCode.ORDER_NOT_EXISTS, f"order not exists or too late to cancel: {seen}")
        self._cancel_by_user(order)
        return Accepted(((order.order_id, order.link_id),))

    def _cancel_by_user(self, order: Order) -> None:
        state = self.symbols[order.symbol]
        position = state.position
        if order.stop_type is StopOrderType.STOP_LOSS:
            position.stop_loss, position.sl_parent = ZERO, ""
            self._desk.touch_position(state)
        elif order.stop_type is StopOrderType.TAKE_PROFIT:
            position.take_profit, position.tp_parent = ZERO, ""
            self._desk.touch_position(state)
        waiting = order.status is OrderStatus.UNTRIGGERED
        status = OrderStatus.DEACTIVATED if waiting else OrderStatus.CANCELLED
        self._desk.finish(order, status, Reason.BY_USER, CancelType.BY_USER)

    def _cancel_all(self, command: CancelAll) -> Accepted | Refused:
        if command.symbol and command.symbol not in self.symbols:
            return _unknown_symbol(command.symbol)
        chosen = [
            order
            for order in self.open_orders.values()
            if (not command.symbol or order.symbol == command.symbol) and _matches(order, command.filter)
        ]
        for order in chosen:
            self._cancel_by_user(order)
        return Accepted(tuple((order.order_id, order.link_id) for order in chosen))

    def _amend(self, command: AmendOrder) -> Accepted | Refused:
        order = self.find(command.order_id, command.link_id)
        if order is None or order.symbol != command.symbol:
            seen = command.order_id or command.link_id
            return Refused(RetCode.ORDER_NOT_EXISTS, f"order not exists or too late to replace: {seen}")
        state = self.symbols[order.symbol]
        if order.stop_type.guards_position:
            return Refused(RetCode.PARAMS, "params error: change a position's stop or target by trading-stop")
        qty = command.qty or order.qty
        price = command.price or order.price
        trigger = command.trigger_price or order.trigger_price
        refused = rules.check_amend(order, state.instrument, qty, price, trigger)
        if refused is not None:
            return refused
        waiting = order.status is OrderStatus.UNTRIGGERED
        keeps_place = price == order.price and qty <= order.qty
        self._desk.unrest(order)
        if not waiting and not order.reduce_only and not keeps_place:
            short = matching.short_of_margin(self._desk, state, order.side, qty - order.cum_qty, price)
            if short is not None:
                self._desk.rest(order)
                return short
        order.qty, order.price, order.trigger_price = qty, price, trigger
        self._desk.touch(order)
        if not waiting and keeps_place:
            self._desk.rest(order)
        elif not waiting:
            order.seq = self._desk.next_place()
            matching.enter(self._desk, state, order)
        return Accepted(((order.order_id, order.link_id),))

    # settings of the account

    def _set_leverage(self, command: SetLeverage) -> Accepted | Refused:
        state = self.symbols.get(command.symbol)
        if state is None:
            return _unknown_symbol(command.symbol)
        most = state.instrument.max_leverage
        if not 1 <= command.leverage <= most:
            return Refused(
                RetCode.LEVERAGE_RISK,
                f"cannot set leverage {command.leverage} for {command.symbol}: allowed is 1 to {most}",
            )
        position = state.position
        before = position.leverage
        if command.leverage == before:
            return Refused(RetCode.LEVERAGE_NOT_MODIFIED, "leverage not modified")
        position.leverage = command.leverage
        if command.leverage < before and self.account.margin().available < 0:
            position.leverage = before
            return Refused(
                RetCode.INSUFFICIENT_BALANCE,
                f"available balance does not cover the margin at leverage {command.leverage}",
            )
        self._desk.touch_position(state)
        return Accepted()

    def _set_trading_stop(self, command: SetTradingStop) -> Accepted | Refused:
        state = self.symbols.get(command.symbol)
        if state is None:
            return _unknown_symbol(command.symbol)
        position = state.position
        side = position.side
        if side is None:
            return Refused(RetCode.PARAMS, "can not set tp/sl/ts for zero position")
        stop = position.stop_loss if command.stop_loss is None else command.stop_loss
        profit = position.take_profit if command.take_profit is None else command.take_profit
        if (stop, profit) == (position.stop_loss, position.take_profit):
            return Refused(RetCode.TPSL_NOT_MODIFIED, "not modified")
        refused = rules.check_protection(
            side,
            stop if command.stop_loss is not None else ZERO,
            profit if command.take_profit is not None else ZERO,
            state.price_for(command.sl_trigger_by),
            state.price_for(command.tp_trigger_by),
            state.instrument,
        )
        if refused is not None:
            return refused
        if command.stop_loss is not None:
            position.stop_loss, position.sl_trigger_by, position.sl_parent = stop, command.sl_trigger_by, ""
        if command.take_profit is not None:
            position.take_profit, position.tp_trigger_by, position.tp_parent = profit, command.tp_trigger_by, ""
        self._desk.touch_position(state)
        return Accepted()


def _unknown_symbol(symbol: str) -> Refused:
    return Refused(RetCode.PARAMS, f"params error: symbol invalid {symbol}")


def _matches(order: Order, wanted: OrderFilter) -> bool:
    if wanted is OrderFilter.ALL:
        return True
    if wanted is OrderFilter.STOP_ORDER:
        return order.status is OrderStatus.UNTRIGGERED
    if wanted is OrderFilter.ORDER:
        return order.status is not OrderStatus.UNTRIGGERED
    return not order.reduce_only
