"""The core's desk: what every part of it shares. Orders by id, states by symbol, effects of the present input.

Guarantees: an order is open exactly while it is listed here; every touched order and position is reported once an
input, after its executions; wallet changes happen only together with a balance row.
Never: a rule of matching, margin or protection.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from titan.paper.account import Account, Exposure, Position
from titan.paper.book import RestingQueue, VisibleBook
from titan.paper.orders import (
    ZERO,
    BalanceRow,
    CancelType,
    Effect,
    ExecType,
    Executed,
    Execution,
    Instrument,
    Order,
    OrderChanged,
    OrderStatus,
    PositionChanged,
    PositionView,
    Reason,
    Side,
    TriggerBy,
    WalletChanged,
)
from titan.paper.rules import fee_rate

RECENT_CLOSED = 500
SETTLED_KEPT = 200


class SymbolState:
    """All the core knows about one instrument. `settled` are past funding times (market ms) with their rates."""

    __slots__ = (
        "book",
        "exposure",
        "index",
        "instrument",
        "last",
        "open_interest",
        "position",
        "queues",
        "settled",
        "untriggered",
    )

    def __init__(self, instrument: Instrument, position: Position, exposure: Exposure) -> None:
        self.instrument = instrument
        self.position = position
        self.exposure = exposure
        self.book = VisibleBook()
        self.queues = {Side.BUY: RestingQueue(Side.BUY), Side.SELL: RestingQueue(Side.SELL)}
        self.untriggered: dict[str, Order] = {}
        self.last = ZERO
        self.index = ZERO
        self.open_interest = ZERO
        self.settled: deque[tuple[int, Decimal]] = deque(maxlen=SETTLED_KEPT)

    def price_for(self, trigger_by: TriggerBy) -> Decimal:
        """The price a trigger looks at; zero while unknown."""
        if trigger_by is TriggerBy.MARK:
            return self.position.mark
        return self.index if trigger_by is TriggerBy.INDEX else self.last

    def taker_price(self, side: Side) -> Decimal:
        """What a market order of `side` may expect to start at; zero while nothing is known."""
        return self.book.best(side.opposite) or self.last or self.position.mark

    def room(self, side: Side) -> Decimal:
        """Quantity that an order of `side` can close."""
        size = self.position.size
        return abs(size) if size * side.sign < 0 else ZERO


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a ledger gives back after a restart."""

    wallet: Decimal
    orders: tuple[Order, ...]
    recent_closed: tuple[Order, ...]
    positions: tuple[PositionView, ...]
    next_order_seq: int
    next_exec_seq: int
    next_balance_seq: int


class Desk:
    """Shared state of the core. `salt` makes ids unique between venues; ids are functions of salt and counters."""

    def __init__(self, instruments: Iterable[Instrument], wallet: Decimal, salt: str) -> None:
        listed = tuple(instruments)
        self.account = Account(listed, wallet)
        self.symbols = {
            i.id: SymbolState(i, self.account.positions[i.id], self.account.exposures[i.id]) for i in listed
        }
        self.by_canonical = {i.symbol: self.symbols[i.id] for i in listed}
        self.open_orders: dict[str, Order] = {}
        self.open_links: dict[str, Order] = {}
        self.recent_closed: deque[Order] = deque(maxlen=RECENT_CLOSED)
        self.now_ms = 0
        self._salt = salt
        self._order_seq = self._exec_seq = self._balance_seq = 1
        self._dirty_orders: dict[str, Order] = {}
        self.dirty_positions: dict[str, SymbolState] = {}
        self._effects: list[Effect] = []

    def restore(self, past: Remembered) -> None:
        """Becomes what the ledger remembers; queue positions are re-estimated by the next book."""
        self.account.wallet = past.wallet
        self._order_seq, self._exec_seq = past.next_order_seq, past.next_exec_seq
        self._balance_seq = past.next_balance_seq
        for view in past.positions:
            if view.symbol in self.symbols:
                self.symbols[view.symbol].position.restore(view)
        for order in past.orders:
            self.list(order)
            if order.status is OrderStatus.UNTRIGGERED:
                self.symbols[order.symbol].untriggered[order.order_id] = order
            else:
                self.rest(order)
        self.recent_closed.extend(past.recent_closed)

    def begin(self, now_ms: int) -> list[Effect]:
        """Starts an input at market time `now_ms`; the list returned collects its effects."""
        self.now_ms = now_ms
        self._effects = []
        return self._effects

    def flush(self) -> None:
        """Reports every order and position touched by this input."""
        effects = self._effects
        effects.extend(OrderChanged(order.snapshot()) for order in self._dirty_orders.values())
        effects.extend(PositionChanged(state.position.view()) for state in self.dirty_positions.values())
        self._dirty_orders.clear()
        self.dirty_positions.clear()

    @property
    def touched(self) -> bool:
        """Whether anything waits to be reported."""
        return bool(self._dirty_orders or self.dirty_positions)

    def find(self, order_id: str, link_id: str) -> Order | None:
        """An open order by venue id, or by client id when no venue id is given."""
        return self.open_orders.get(order_id) if order_id else self.open_links.get(link_id)

    def closed(self, order_id: str, link_id: str) -> Iterator[Order]:
        """Recently finished orders with that id, newest first."""
        for order in reversed(self.recent_closed):
            if order.order_id == order_id if order_id else order.link_id == link_id:
                yield order

    # orders

    def next_order(self) -> tuple[str, int]:
        """A fresh order id and its place in time."""
        seq = self.next_place()
        return self._make_id("order", seq), seq

    def next_place(self) -> int:
        """The next place in time priority."""
        seq = self._order_seq
        self._order_seq += 1
        return seq

    def list(self, order: Order) -> None:
        """Makes an order known as open."""
        self.open_orders[order.order_id] = order
        if order.link_id:
            self.open_links[order.link_id] = order

    def rest(self, order: Order) -> None:
        """Puts an order into its queue and counts what it may open."""
        state = self.symbols[order.symbol]
        state.queues[order.side].add(order)
        if not order.reduce_only:
            state.exposure.add(order.side, order.leaves, order.leaves * order.price)

    def unrest(self, order: Order) -> None:
        """Takes an order out of its queue; nothing happens when it is in none."""
        state = self.symbols[order.symbol]
        if order in state.queues[order.side]:
            state.queues[order.side].remove(order)
            if not order.reduce_only:
                state.exposure.add(order.side, -order.leaves, -order.leaves * order.price)

    def finish(
        self, order: Order, status: OrderStatus, reason: Reason, cancel_type: CancelType = CancelType.UNKNOWN
    ) -> None:
        """Ends an order's life."""
        self.unrest(order)
        self.symbols[order.symbol].untriggered.pop(order.order_id, None)
        order.status = status
        order.reject_reason = reason
        order.cancel_type = cancel_type
        self.open_orders.pop(order.order_id, None)
        if order.link_id:
            self.open_links.pop(order.link_id, None)
        self.recent_closed.append(order)
        self.touch(order)

    def touch(self, order: Order) -> None:
        """Marks an order as changed now."""
        order.updated_ms = self.now_ms
        self._dirty_orders[order.order_id] = order

    def touch_position(self, state: SymbolState) -> None:
        """Marks a position as changed now."""
        state.position.updated_ms = self.now_ms
        self.dirty_positions[state.instrument.id] = state

    # money

    def record(
        self,
        order: Order,
        kind: ExecType,
        price: Decimal,
        qty: Decimal,
        fee: Decimal,
        *,
        is_maker: bool = False,
        closed: Decimal = ZERO,
        realised: Decimal = ZERO,
    ) -> None:
        """Reports an execution and moves the wallet by realised profit less fee."""
        position = self.symbols[order.symbol].position
        done = Execution(
            seq=self._exec_seq,
            exec_id=self._make_id("exec", self._exec_seq),
            order_id=order.order_id,
            link_id=order.link_id,
            symbol=order.symbol,
            side=order.side,
            price=price,
            qty=qty,
            value=price * qty,
            fee=fee,
            fee_rate=fee_rate(kind, is_maker, position.funding_rate),
            is_maker=is_maker,
            exec_type=kind,
            time_ms=self.now_ms,
            order_type=order.type,
            order_price=order.price,
            order_qty=order.qty,
            leaves=order.leaves,
            closed_size=closed,
            realised=realised,
            mark=position.mark,
            stop_type=order.stop_type,
        )
        self._exec_seq += 1
        change = realised - fee
        self.account.wallet += change
        wallet = self.account.wallet
        row = BalanceRow(
            self._balance_seq, self.now_ms, kind, order.symbol, realised, fee, change, wallet, done.exec_id
        )
        self._balance_seq += 1
        self._effects.append(Executed(done))
        self._effects.append(WalletChanged(row))

    def _make_id(self, kind: str, number: int) -> str:
        digest = hashlib.blake2b(f"{self._salt}:{kind}:{number}".encode(), digest_size=16).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"
