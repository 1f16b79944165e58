"""Books executions: each once, keyed by the venue's trade id, whoever told of it and in whatever order.

Guarantees: no execution is dropped; one of an order that the journal does not know makes that order's record first.
Never: a fill assumed from an order's state.
"""

from __future__ import annotations

from dataclasses import replace

from actors.router import books, rows, slippage
from actors.router.effects import STATE_CHANGED
from actors.router.order_desk import OrderDesk
from actors.router.state import RouterConfig, RouterState
from actors.router.turn import Turn
from titan.codes import RejectCode
from titan.effects import RaiseAlert
from titan.ids import ClientOrderId
from titan.model import Fill, Order, OrderState, fill_id_of
from titan.money import text_of
from titan.orders import OrderEventKind
from titan.venues.base import ExecutionKind, VenueExecution


class FillDesk:
    """The fills and funding payments of one account."""

    def __init__(self, state: RouterState, config: RouterConfig, orders: OrderDesk) -> None:
        self._state = state
        self._config = config
        self._orders = orders

    def see(self, turn: Turn, executions: tuple[VenueExecution, ...]) -> int:
        """Books those that are new; returns how many were."""
        booked = 0
        for done in executions:
            key = fill_id_of(self._config.venue, self._config.account, done.venue_trade_id)
            if key in self._state.fills:
                continue
            booked += 1
            if done.kind is ExecutionKind.FUNDING:
                self._book_funding(turn, key, done)
            else:
                self._book_trade(turn, key, done)
        if booked:
            turn.do(STATE_CHANGED)
        return booked

    def _book_trade(self, turn: Turn, key: str, done: VenueExecution) -> None:
        order = self._orders.find(done.client_order_id, done.venue_order_id)
        if order is None:
            order = self._orders.adopt_execution(turn, done)
        fill = Fill(
            fill_id=key,
            venue_trade_id=done.venue_trade_id,
            client_order_id=ClientOrderId(order.client_order_id),
            venue_order_id=done.venue_order_id,
            venue=self._config.venue,
            account=self._config.account,
            symbol=done.symbol,
            side=done.side,
            price=done.price,
            quantity=done.quantity,
            fee=done.fee,
            fee_currency=done.fee_currency,
            maker=done.maker,
            t_exchange_ms=done.ts_ms,
            intent_id=order.intent_id,
            signal_id=order.signal_id,
            phase=order.phase,
            role=order.role,
            t_ingress_ms=turn.now.wall_ms,
        )
        applied = books.put_fill(self._state, self._config, fill)
        turn.write(rows.FILL, rows.fill_payload(replace(fill, realized_pnl=applied.realized), turn.now.wall_ms))
        self._grow(turn, order, done)
        slippage.judge(self._state, self._config, turn, fill)

    def _grow(self, turn: Turn, order: Order, done: VenueExecution) -> None:
        filled = order.filled + done.quantity
        whole = filled >= order.quantity
        # A fill does not show that a lost order still stands: it stays lost until the venue shows it.
        lost = order.state is OrderState.CANCELED and not whole
        grown = replace(
            order,
            filled=filled,
            average_price=self._state.traded[order.client_order_id] / filled,
            venue_order_id=order.venue_order_id or done.venue_order_id,
            code=order.code if lost else RejectCode.NONE,
            detail="" if order.code is not RejectCode.NONE and not lost else order.detail,
        )
        if filled > order.quantity and order.role in books.OURS:
            text = (
                f"{order.client_order_id} of {order.quantity} {order.symbol} has filled {filled}; all of it is booked, "
                "and the venue's stop follows the position"
            )
            turn.do(RaiseAlert("ORDER_OVERFILLED", "CRITICAL", text))
            grown = replace(grown, detail=f"overfilled by {text_of(filled - order.quantity)}")
        self._orders.advance(turn, grown, OrderEventKind.FILL if whole else OrderEventKind.PARTIAL_FILL)

    def _book_funding(self, turn: Turn, key: str, done: VenueExecution) -> None:
        books.put_funding(self._state, self._config, done.symbol, key, done.fee, done.ts_ms)
        turn.write(
            rows.FUNDING,
            {
                "account": self._config.account,
                "fill_id": key,
                "paid": text_of(done.fee),
                "price": text_of(done.price),
                "quantity": text_of(done.quantity),
                "symbol": done.symbol,
                "t_exchange_ms": done.ts_ms,
                "ts_ms": turn.now.wall_ms,
                "venue": self._config.venue,
                "venue_trade_id": done.venue_trade_id,
            },
        )
