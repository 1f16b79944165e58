"""The venue of a world: the real matching core, its ledger, and a faulty edge in front of it.

Guarantees: whatever the edge does to an answer, the core has either taken the request or not, and the ledger tells which.
The ledger (orders by id, executions in order) is the oracle of every check. Values reach the router through the real
encoders and translators of the wire. Never: a socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from simulation.engine import Engine
from simulation.mischief import Mischief
from simulation.plan import Fault
from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected, Transient
from titan.instruments import Instrument as Listed
from titan.model import Order, OrderRole
from titan.paper import orders as paper
from titan.paper.commands import AmendOrder, CancelOrder, PlaceOrder, SetTradingStop
from titan.paper.core import PaperVenueCore
from titan.paper.desk import Remembered
from titan.paper.feeds.base import FeedBook, FeedEvent, FeedMark, FeedTrade
from titan.paper.protocol.encode import execution_object, order_object, position_object
from titan.venues import bybit_shapes as shapes
from titan.venues.base import VenueAck, VenueExecution, VenueOrder, VenuePosition, VenueWallet

VENUE = "bybit"
ACCOUNT = "main"
DEPOSIT = Decimal(20_000)
CLIENT_TIMEOUT_MS = 5_000
CODES_IN_DOUBT = frozenset({paper.RetCode.DUPLICATE_LINK_ID})
FRAME_FAULTS = frozenset({Fault.FRAME_LOST, Fault.FRAME_TWICE, Fault.FRAME_LATE})
READS = ("executions", "closed_orders", "open_orders", "positions", "wallet")
_D = Decimal

PAPER_INSTRUMENTS = (
    paper.Instrument(
        "BTCUSDT", "BTC/USDT:USDT", "BTC", "USDT", _D("0.1"), _D("0.001"), _D("0.001"), _D(5), _D(100), _D(1000)
    ),
    paper.Instrument(
        "ETHUSDT", "ETH/USDT:USDT", "ETH", "USDT", _D("0.01"), _D("0.01"), _D("0.01"), _D(5), _D(100), _D(10000)
    ),
)
SYMBOLS = tuple(each.symbol for each in PAPER_INSTRUMENTS)
CANONICAL = {each.id: each.symbol for each in PAPER_INSTRUMENTS}
VENUE_IDS = {each.symbol: each.id for each in PAPER_INSTRUMENTS}

Answer = Callable[[object], None]


def listed(one: paper.Instrument) -> Listed:
    """The instrument as the router knows it."""
    return Listed(
        symbol=one.symbol,
        base=one.base,
        quote=one.quote,
        settle=one.quote,
        kind="perp",
        tick=one.tick,
        lot=one.lot,
        min_qty=one.min_qty,
        min_notional=one.min_notional,
        max_leverage=one.max_leverage,
        venue=VENUE,
        venue_symbol=one.id,
    )


@dataclass(slots=True)
class Book:
    """The venue's own books, complete from the first day."""

    orders: dict[str, paper.Order] = field(default_factory=dict)
    executions: list[paper.Execution] = field(default_factory=list)
    by_link: dict[str, list[str]] = field(default_factory=dict)


class SimVenue:
    """One account. `on_frames` gets what the private stream carries: ("orders" or "executions", values)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.instruments = list(PAPER_INSTRUMENTS)
        self.core = PaperVenueCore(self.instruments, DEPOSIT, f"sim-{self._engine.seed}")
        self.books = Book()
        self.armed: dict[str, deque[Fault]] = {"submit": deque(), "cancel": deque(), "find": deque(), "read": deque()}
        self.frame_faults: deque[tuple[Fault, int]] = deque()
        self.away_until_ms = -1
        self.last_execution_ms = 0
        self.unanswered_until_ms = 0  # until then somebody waits for the answer to a read that never comes
        self.on_frames: Callable[[str, tuple[Any, ...]], None] | None = None
        self.lag_ms = 0
        self.stalled = False
        self.generation = 0
        self.mischief = Mischief(self, engine)
        self._refusing = self._veiling = False
        self._veiled: dict[str, int] = {}
        self._frame_ms = 0
        self.on_place: Callable[[str, Order], None] = lambda _id, _order: None

    # the market

    def market(self, event: FeedMark | FeedBook | FeedTrade) -> None:
        """The market moved."""
        self._apply(event)

    def _apply(self, event: Any) -> paper.Result:
        result = self.core.handle(event, self._engine.venue_ms())
        if result.effects:
            self.settle(result.effects)
        return result

    def settle(self, effects: Iterable[paper.Effect]) -> None:
        """Keeps what happened in the books, and tells it on the stream."""
        done: list[VenueExecution] = []
        changed: list[VenueOrder] = []
        for effect in effects:
            if isinstance(effect, paper.Executed):
                self.books.executions.append(effect.execution)
                self.last_execution_ms = self._engine.t_ms
                if effect.execution.exec_type is not paper.ExecType.FUNDING:
                    done.append(_execution(effect.execution))
            elif isinstance(effect, paper.OrderChanged):
                order = effect.order
                if order.order_id not in self.books.orders and order.link_id:
                    self.books.by_link.setdefault(order.link_id, []).append(order.order_id)
                    if self._veiling:
                        wait_ms = self._engine.chance("excess").randint(11_000, 26_000)
                        self._veiled[order.order_id] = self._engine.t_ms + wait_ms
                self.books.orders[order.order_id] = order
                if self._veiled.get(order.order_id, 0) <= self._engine.t_ms:
                    changed.append(_order(order))
                if self.mischief.excesses:
                    self.mischief.exceed(order)
        frames: list[tuple[str, tuple[Any, ...]]] = []
        if changed:
            frames.append(("orders", tuple(changed)))
        if done:
            # Two topics of one connection: either may be written first.
            place = self._engine.chance("stream").randint(0, len(frames))
            frames.insert(place, ("executions", tuple(done)))
        for topic, values in frames:
            self.frame(topic, values)

    def frame(self, topic: str, values: tuple[Any, ...]) -> None:
        """Puts one frame on the private stream."""
        if self.on_frames is None or self.stalled:
            return
        chance = self._engine.chance("stream")
        # One connection: frames keep their order unless a fault says otherwise.
        delay = max(chance.randint(1, 12), self._frame_ms - self._engine.t_ms)
        self._frame_ms = self._engine.t_ms + delay
        if self.frame_faults:
            fault, size = self.frame_faults.popleft()
            if fault is Fault.FRAME_LOST:
                return
            if fault is Fault.FRAME_TWICE:
                self._carry(topic, values, delay + chance.randint(0, 400))
            else:
                delay += 20 + size % 4_000
        self._carry(topic, values, delay)

    def _carry(self, topic: str, values: tuple[Any, ...], delay: int) -> None:
        generation = self.generation

        def arrive() -> None:
            if self.on_frames is not None and generation == self.generation and not self.stalled:
                self.on_frames(topic, values)

        self._engine.after(delay, arrive)

    def show(self, order: paper.Order) -> None:
        """Tells of one order on the stream."""
        self.frame("orders", (_order(order),))

    # requests

    def call(self, operation: str, request: Callable[[], object], answer: Answer) -> None:
        """Carries a request to the core and the answer back; `operation` is submit, cancel, find or a read."""
        chance = self._engine.chance("rest")
        there, back = chance.randint(1, 25), chance.randint(1, 25)
        lane = operation if operation in self.armed else "read"
        fault = self.armed[lane].popleft() if self.armed[lane] else None
        after = self._engine.after
        if lane == "read" and fault in (Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER):
            self.unanswered_until_ms = self._engine.t_ms + CLIENT_TIMEOUT_MS
        match fault:
            case Fault.REFUSED_LATER if chance.random() < 0.5:
                after(there, lambda: self._execute(partial(self._with, "_refusing", request)))
                after(there + back, lambda: answer(Ambiguous("504 Gateway Timeout")))
            case Fault.REFUSED_LATER:
                after(there, lambda: self._serve(partial(self._with, "_refusing", request), answer, back, twice=False))
            case Fault.VEILED if chance.random() < 0.3:
                after(there, lambda: self._serve(partial(self._with, "_veiling", request), answer, back, twice=False))
            case Fault.VEILED:
                after(there, lambda: self._execute(partial(self._with, "_veiling", request)))
                after(there + back, lambda: answer(Ambiguous("504 Gateway Timeout")))
            case None | Fault.DUPLICATE_ACK:
                after(there, lambda: self._serve(request, answer, back, twice=fault is not None))
            case Fault.TIMEOUT_BEFORE:
                after(CLIENT_TIMEOUT_MS, lambda: answer(Ambiguous("the request timed out")))
            case Fault.TIMEOUT_AFTER:
                after(there, lambda: self._execute(request))
                after(CLIENT_TIMEOUT_MS, lambda: answer(Ambiguous("the request timed out")))
            case Fault.LATE:
                after(there + chance.randint(200, 4_500), lambda: self._execute(request))
                after(there + back, lambda: answer(Ambiguous("the connection broke while the venue had the request")))
            case Fault.BROKEN_BEFORE:
                after(there + back, lambda: answer(Ambiguous("502 Bad Gateway")))
            case Fault.BROKEN_AFTER:
                after(there, lambda: self._execute(request))
                after(there + back, lambda: answer(Ambiguous("504 Gateway Timeout")))
            case Fault.SLOW_DOWN:
                after(there + back, lambda: answer(Transient("429 slow down", retry_after_s=1.0)))
            case Fault.REFUSED:
                no = Rejected(RejectCode.VENUE_REJECTED, "10001 refused by the simulated edge")
                after(there + back, lambda: answer(no))
            case _:
                after(there, lambda: answer(Transient("the venue can't be reached")))

    def _serve(self, request: Callable[[], object], answer: Answer, back: int, *, twice: bool) -> None:
        outcome = self._execute(request)
        self._engine.after(back, lambda: answer(outcome))
        if twice:
            self._engine.after(back + 3, lambda: answer(outcome))

    def _execute(self, request: Callable[[], object]) -> object:
        if self._engine.t_ms < self.away_until_ms:
            return Ambiguous("503 the venue is under maintenance")
        try:
            return request()
        except (Rejected, Ambiguous, Transient) as error:
            return error

    def _with(self, mark: str, request: Callable[[], object]) -> object:
        """Serves one request while the mark is up."""
        setattr(self, mark, True)
        try:
            return request()
        finally:
            setattr(self, mark, False)

    def submit(self, order: Order) -> VenueAck:
        """Takes an order as the adapter would send it. Raises Rejected or Ambiguous."""
        raw = shapes.order_request(order, VENUE_IDS[order.symbol])
        new = paper.NewOrder(
            symbol=raw["symbol"],
            side=paper.Side(raw["side"]),
            type=paper.OrderType(raw["orderType"]),
            qty=Decimal(raw["qty"]),
            price=Decimal(raw.get("price", "0")),
            tif=paper.TimeInForce(raw["timeInForce"]),
            link_id=raw["orderLinkId"],
            reduce_only=raw.get("reduceOnly", False),
            close_on_trigger=raw.get("closeOnTrigger", False),
            stop_loss=Decimal(raw.get("stopLoss", "0")),
            take_profit=Decimal(raw.get("takeProfit", "0")),
            trigger_price=Decimal(raw.get("triggerPrice", "0")),
            trigger_direction=raw.get("triggerDirection", 0),
        )
        if self._refusing:
            return VenueAck(order.client_order_id, self.mischief.refuse_later(new), self._engine.venue_ms())
        reply = self._apply(PlaceOrder(new)).reply
        if isinstance(reply, paper.Refused):
            raise _refusal(reply)
        self.on_place(reply.orders[0][0], order)
        return VenueAck(order.client_order_id, reply.orders[0][0], self._engine.venue_ms())

    def cancel(self, symbol: str, client_id: str, venue_id: str) -> None:
        """Cancels. Raises Rejected."""
        reply = self._apply(CancelOrder(VENUE_IDS[symbol], venue_id, "" if venue_id else client_id)).reply
        if isinstance(reply, paper.Refused):
            raise _refusal(reply)

    def amend(
        self, order: Order, price: Decimal | None, quantity: Decimal | None, trigger_price: Decimal | None
    ) -> None:
        """Changes an open order in place. Raises Rejected or Ambiguous."""
        symbol, venue_id, zero = VENUE_IDS[order.symbol], order.venue_order_id, Decimal(0)
        wanted: AmendOrder | SetTradingStop
        if order.child == 0 and order.role in shapes.STOP_ROLES.values():
            # Of the position, and changed with it.
            stops = order.role is OrderRole.STOP
            wanted = SetTradingStop(symbol, trigger_price if stops else None, None if stops else trigger_price)
        else:
            link = "" if venue_id else order.client_order_id
            wanted = AmendOrder(symbol, venue_id, link, quantity or zero, price or zero, trigger_price or zero)
        reply = self._apply(wanted).reply
        if isinstance(reply, paper.Refused):
            raise _refusal(reply)

    # reading

    def find_order(self, client_id: str, venue_id: str) -> VenueOrder | None:
        """By the venue's id when given, else the newest with the client id."""
        if not venue_id:
            known = self.books.by_link.get(client_id)
            venue_id = known[-1] if known else ""
        order = self.books.orders.get(venue_id)
        return None if order is None or self._hidden(order) else _order(order)

    def _hidden(self, order: paper.Order) -> bool:
        """Whether queries do not show an order yet."""
        if self._veiled.get(order.order_id, 0) > self._engine.t_ms:
            return True
        return self.lag_ms > 0 and order.created_ms > self._engine.venue_ms() - self.lag_ms * self._engine.speed

    def open_orders(self) -> tuple[VenueOrder, ...]:
        """Open orders, oldest first."""
        return tuple(_order(order) for order in self.core.open_orders.values() if not self._hidden(order))

    def closed_orders(self, since_ms: int) -> tuple[VenueOrder, ...]:
        """Finished orders made since."""
        return tuple(
            _order(order)
            for order in self.books.orders.values()
            if not order.status.is_open and order.created_ms >= since_ms and not self._hidden(order)
        )

    def executions(self, since_ms: int) -> tuple[VenueExecution, ...]:
        """Executions since, oldest first; funding among them."""
        return tuple(_execution(done) for done in self.books.executions if done.time_ms >= since_ms)

    def positions(self) -> tuple[VenuePosition, ...]:
        """Positions that are not flat."""
        found = []
        for symbol, state in self.core.symbols.items():
            if state.position.size:
                raw = position_object(state.position.view(), state.position.mark)
                found.append(shapes.position(raw, CANONICAL[symbol]))
        return tuple(found)

    def wallet(self) -> VenueWallet:
        """The account's money."""
        margin = self.core.margin()
        return VenueWallet("USDT", margin.wallet, margin.unrealised, margin.equity, margin.available)

    def held(self, symbol: str) -> Decimal:
        """The truth: what the account holds."""
        return self.core.symbols[VENUE_IDS[symbol]].position.size

    def sizes(self) -> list[tuple[str, Decimal]]:
        """The truth of every symbol."""
        return [(CANONICAL[name], state.position.size) for name, state in self.core.symbols.items()]

    # faults of the venue itself

    def change_filters(self, index: int, *, tick_factor: int = 1, minimum_factor: int = 1) -> None:
        """A market gets a coarser grid or a higher minimum."""
        old = self.instruments[index]
        new = replace(old, tick=old.tick * tick_factor, min_qty=old.min_qty * minimum_factor)
        self.instruments[index] = new
        self.core.symbols[old.id].instrument = new

    def restart(self) -> None:
        """The venue's process ends and comes back from its ledger."""
        old = self.core
        book = self.books
        orders = [order for order in book.orders.values() if order.status.is_open]
        closed = [order for order in book.orders.values() if not order.status.is_open]
        desk = old._desk
        past = Remembered(
            wallet=old.account.wallet,
            orders=tuple(order.snapshot() for order in orders),
            recent_closed=tuple(closed[-50:]),
            positions=tuple(state.position.view() for state in old.symbols.values()),
            next_order_seq=desk._order_seq,
            next_exec_seq=desk._exec_seq,
            next_balance_seq=desk._balance_seq,
        )
        self.core = PaperVenueCore(self.instruments, DEPOSIT, f"sim-{self._engine.seed}")
        self.core.restore(past)
        for symbol, state in old.symbols.items():
            fresh = self.core.symbols[symbol]
            fresh.last, fresh.index = state.last, state.index

    def prime(self, event: FeedEvent) -> None:
        """Learns a price without matching."""
        self.core.prime(event)


def _refusal(refused: paper.Refused) -> Rejected | Ambiguous:
    text = f"{refused.code.value} {refused.message}"
    if refused.code in CODES_IN_DOUBT:
        return Ambiguous(f"the venue left it open: {text}")
    return Rejected(RejectCode.VENUE_REJECTED, text)


def _order(order: paper.Order) -> VenueOrder:
    return shapes.venue_order(order_object(order), CANONICAL[order.symbol])


def _execution(done: paper.Execution) -> VenueExecution:
    return shapes.execution(execution_object(done), CANONICAL[done.symbol])
