"""The router's conversation with the simulated venue, step for step as `actors.router.session` has it with the real one.

Guarantees: every outcome becomes an event of the core; nothing is sent twice by this class. Never: a decision.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from actors.router.effects import AmendOrder
from actors.router.events import (
    Acked,
    Amended,
    AmendFailed,
    CancelFailed,
    Event,
    ExecutionsSeen,
    LinkChanged,
    LookedUp,
    OrdersSeen,
    RecoveryReport,
    SendFailed,
    VenueReport,
)
from actors.router.session import BACKOFF_S, MIN_POLL_GAP_S, POLL_S, since_ms
from simulation.engine import Engine
from simulation.process import Ask, Conversation, Process, Signal, Sleep
from simulation.venue import SimVenue
from titan.errors import Ambiguous, Rejected, Transient
from titan.model import Order
from titan.venues.base import VenueAck, VenueOrder

BACKOFF_MS = tuple(int(seconds * 1000) for seconds in BACKOFF_S)
POLL_MS = int(POLL_S * 1000)
POLL_GAP_MS = int(MIN_POLL_GAP_S * 1000)
OUTAGES = (Rejected, Transient, Ambiguous)


class SimSession:
    """One router's venue I/O."""

    def __init__(
        self,
        engine: Engine,
        venue: SimVenue,
        process: Process,
        feed: Callable[[Event], None],
        cursor: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._venue = venue
        self._process = process
        self._feed = feed
        self._cursor = cursor
        self._wake = Signal()
        self._broken = Signal()
        self._want_executions = self._want_report = self._want_closed = False
        self._venue_up = True
        self._reported_ms = 0
        self._executions_ms = 0
        self._read_ms: int | None = None
        self.in_flight: dict[str, str] = {}
        self.told: Callable[[str, str], None] = lambda _cid, _outcome: None

    # orders

    def send(self, order: Order) -> None:
        """Sends an order; its outcome comes back as an event."""
        cid = order.client_order_id
        self.in_flight[cid] = "submit"

        def answered(outcome: object) -> None:
            self.in_flight.pop(cid, None)
            self.told(cid, "never_left" if isinstance(outcome, Transient) else "known")
            match outcome:
                case VenueAck():
                    self._feed(Acked(cid, outcome.venue_order_id))
                case Rejected():
                    self._feed(SendFailed(cid, "refused", outcome.detail))
                case Transient():
                    self._feed(SendFailed(cid, "never_left", str(outcome), outcome.retry_after_s))
                case _:
                    self._feed(SendFailed(cid, "in_doubt", str(outcome)))

        self._venue.call("submit", lambda: self._venue.submit(order), self._to_process(answered))

    def cancel(self, order: Order) -> None:
        """Cancels an order; only a failure comes back."""
        cid = order.client_order_id

        def answered(outcome: object) -> None:
            result: Literal["refused", "never_left", "in_doubt"]
            if isinstance(outcome, Rejected):
                result, detail = "refused", outcome.detail
            elif isinstance(outcome, Transient):
                result, detail = "never_left", str(outcome)
            elif isinstance(outcome, Ambiguous):
                result, detail = "in_doubt", str(outcome)
            else:
                return
            self._feed(CancelFailed(cid, result, detail))

        def request() -> None:
            self._venue.cancel(order.symbol, cid, order.venue_order_id)

        self._venue.call("cancel", request, self._to_process(answered))

    def amend(self, wanted: AmendOrder) -> None:
        """Changes an order in place; its outcome comes back as an event."""
        cid = wanted.order.client_order_id

        def answered(outcome: object) -> None:
            match outcome:
                case Rejected():
                    self._feed(AmendFailed(cid, wanted.number, "refused", outcome.detail))
                case Transient():
                    self._feed(AmendFailed(cid, wanted.number, "never_left", str(outcome)))
                case Ambiguous():
                    self._feed(AmendFailed(cid, wanted.number, "in_doubt", str(outcome)))
                case _:
                    self._feed(Amended(cid, wanted.number))

        def request() -> None:
            self._venue.amend(wanted.order, wanted.price, wanted.quantity, wanted.trigger_price)

        self._venue.call("cancel", request, self._to_process(answered))

    def look_up(self, order: Order) -> None:
        """Searches an order; the answer comes back as an event."""
        cid = order.client_order_id

        def answered(outcome: object) -> None:
            if isinstance(outcome, OUTAGES):
                self._feed(LookedUp(cid, None, str(outcome)))
            else:
                assert outcome is None or isinstance(outcome, VenueOrder)
                self._feed(LookedUp(cid, outcome))

        self._venue.call("find", lambda: self._venue.find_order(cid, order.venue_order_id), self._to_process(answered))

    def _to_process(self, answered: Callable[[object], None]) -> Callable[[object], None]:
        return lambda outcome: self._process.deliver(lambda: answered(outcome))

    # reading

    def fetch_executions(self) -> None:
        """Reads executions as soon as possible."""
        self._want_executions = True
        self._wake.set()

    def fetch_report(self) -> None:
        """Reads orders, positions and wallet as soon as possible."""
        self._want_report = True
        self._wake.set()

    def poll(self) -> Conversation:
        """Reads every five seconds and whenever asked."""
        attempt = 0
        while True:
            woken = yield self._wake.wait(POLL_MS if attempt == 0 else BACKOFF_MS[attempt - 1])
            if not woken or self._engine.t_ms - min(self._reported_ms, self._executions_ms) >= POLL_MS:
                self._want_executions = self._want_report = True
            self._wake.up = False
            try:
                yield from self._read()
            except OUTAGES as error:
                attempt = min(attempt + 1, len(BACKOFF_MS))
                self._want_executions = self._want_report = True
                self._venue_changed(up=False, detail=str(error))
                yield Sleep(BACKOFF_MS[attempt - 1])
                self._wake.set()
                continue
            attempt = 0
            self._venue_changed(up=True, detail="")
            yield Sleep(POLL_GAP_MS)

    def _read(self) -> Conversation:
        since = self._since()
        closed, executions, report = self._want_closed, self._want_executions, self._want_report
        if closed:
            orders = yield self._ask("closed_orders", lambda: self._venue.closed_orders(since))
            self._feed(OrdersSeen(orders))
            self._want_closed = False
        if executions:
            self._want_executions = False
            asked_ms = self._engine.now().market_ms
            done = yield self._ask("executions", lambda: self._venue.executions(since))
            self._feed(ExecutionsSeen(done))
            self._read_ms = asked_ms
            self._executions_ms = self._engine.t_ms
        if report:
            self._want_report = False
            self._feed((yield from self._report()))
            self._reported_ms = self._engine.t_ms

    def _report(self) -> Any:
        asked_ms = self._engine.now().wall_ms
        orders = yield self._ask("open_orders", self._venue.open_orders)
        positions = yield self._ask("positions", self._venue.positions)
        wallet = yield self._ask("wallet", self._venue.wallet)
        return VenueReport(orders, positions, wallet, asked_ms)

    def _ask(self, what: str, request: Callable[[], object]) -> Ask:
        return Ask(lambda done: self._venue.call(what, request, done))

    def _since(self) -> int:
        return since_ms(self._cursor(), self._read_ms, self._engine.speed)

    def _venue_changed(self, *, up: bool, detail: str) -> None:
        if up is not self._venue_up:
            self._venue_up = up
            self._feed(LinkChanged("venue", up, detail))

    # streams

    def stream(self) -> Conversation:
        """Keeps the private stream; every break is told, and what was missed is read afterwards."""
        attempt = 0
        while True:
            try:
                generation = yield self._ask("open_stream", self._connect)
            except OUTAGES as error:
                self._feed(LinkChanged("venue stream", False, str(error)))
            else:
                self._want_closed = True
                self.fetch_executions()
                self.fetch_report()
                self._feed(LinkChanged("venue stream", True))
                attempt = 0
                while self._venue.generation == generation:
                    self._broken.up = False
                    yield self._broken.wait(10**9)
                self._feed(LinkChanged("venue stream", False, "the private stream broke"))
            yield Sleep(BACKOFF_MS[min(attempt, len(BACKOFF_MS) - 1)])
            attempt += 1

    def _connect(self) -> int:
        venue = self._venue
        venue.generation += 1
        venue.stalled = False
        venue.on_frames = self._frames
        return venue.generation

    def _frames(self, topic: str, values: tuple[Any, ...]) -> None:
        event = OrdersSeen(values) if topic == "orders" else ExecutionsSeen(values)
        self._process.deliver(lambda: self._feed(event))

    def stream_broke(self) -> None:
        """The connection is gone."""
        self._broken.set()

    # start

    def recover(self, unsettled: list[Order], halt_reason: str) -> Any:
        """Asks for everything that happened since the cursor, for as long as the venue is away."""
        attempt = 0
        while True:
            try:
                return (yield from self._recovery(unsettled, halt_reason))
            except OUTAGES:
                yield Sleep(BACKOFF_MS[min(attempt, len(BACKOFF_MS) - 1)])
                attempt += 1

    def _recovery(self, unsettled: list[Order], halt_reason: str) -> Any:
        since, asked_ms = self._since(), self._engine.now().market_ms
        executions = yield self._ask("executions", lambda: self._venue.executions(since))
        while True:
            closed = yield self._ask("closed_orders", lambda: self._venue.closed_orders(since))
            report = yield from self._report()
            after = yield self._ask("executions", lambda: self._venue.executions(since))
            if len(after) == len(executions):
                break
            executions = after
        self._read_ms = asked_ms
        shown = (*closed, *report.open_orders)
        known = {each.client_order_id for each in shown}
        named = {each.venue_order_id for each in shown}
        missing: list[tuple[str, VenueOrder | None]] = []
        for order in unsettled:
            if order.client_order_id not in known and order.venue_order_id not in named:
                found = yield self._ask(
                    "find", partial(self._venue.find_order, order.client_order_id, order.venue_order_id)
                )
                missing.append((order.client_order_id, found))
        return RecoveryReport(report, closed, executions, tuple(missing), halt_reason)
