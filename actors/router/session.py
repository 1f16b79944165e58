"""The router's conversation with one venue account: sends, cancels, look-ups, streams and polls.

Guarantees: every outcome becomes an event of the core; the private stream is a hint, REST is read after every gap and
every five seconds; nothing is ever sent twice by this class. Never: a decision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Literal

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
from titan import tracing
from titan.clock import Clock
from titan.errors import Ambiguous, Rejected, Transient
from titan.logs import Log
from titan.metrics import Metrics
from titan.model import Order
from titan.tracing import Tracer
from titan.venues.base import Venue, VenueOrder

POLL_S = 5.0
# Below the fifteen seconds after which aiohttp closes an idle connection.
WARM_S = 10.0
MIN_POLL_GAP_S = 0.05
OVERLAP_MS = 60_000
OVERLAP_WALL_MS = 10_000
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)

Feed = Callable[[Event], None]
Spawn = Callable[[Coroutine[object, object, None], str], object]
Cursor = Callable[[], int]


def since_ms(cursor_ms: int, read_ms: int | None, speed: float) -> int:
    """Market time from which executions must be read; 0 for the venue's whole memory.

    The cursor alone does not do: the stream moves it on while REST is away, and what the stream lost, or never carries
    (funding), would fall behind it. `read_ms` is when the last complete read was asked for.
    """
    if cursor_ms <= 0:
        return 0
    known_ms = cursor_ms if read_ms is None else min(cursor_ms, read_ms)
    return max(1, known_ms - max(OVERLAP_MS, int(OVERLAP_WALL_MS * speed)))


class VenueSession:
    """One account's venue I/O. `feed` hands events to the core, `cursor` says up to when executions are booked."""

    def __init__(
        self,
        venue: Venue,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        spawn: Spawn,
        feed: Feed,
        cursor: Cursor,
        tracer: Tracer | None = None,
    ) -> None:
        self._venue = venue
        self._clock = clock
        self._log = log
        self._spawn = spawn
        self._feed = feed
        self._cursor = cursor
        self._tracer = tracer
        self._read_ms: int | None = None
        self._latency = metrics.histogram("titan_order_latency_seconds")
        self._ack_latency = metrics.histogram("titan_execution_ack_latency_ms").labels(venue.name)
        self._wake = asyncio.Event()
        self._want_executions = self._want_report = self._want_closed = False
        self._in_flight = 0
        self._venue_up = True
        self.stream_seen_s = 0.0
        self.rest_seen_s = 0.0
        self._reported_s = 0.0
        self._executions_s = 0.0

    @property
    def in_flight(self) -> int:
        """Sends that have no answer yet."""
        return self._in_flight

    # orders

    def send(self, order: Order, t_wall_ns: int) -> None:
        """Sends an order; its outcome comes back as an event."""
        self._in_flight += 1
        self._spawn(self._send(order, t_wall_ns), "send")

    async def _send(self, order: Order, t_wall_ns: int) -> None:
        began = time.perf_counter()
        cid = order.client_order_id
        try:
            ack = await self._venue.submit(order)
        except Rejected as error:
            self._feed(SendFailed(cid, "refused", error.detail))
        except Transient as error:
            self._feed(SendFailed(cid, "never_left", str(error), error.retry_after_s))
        except Ambiguous as error:
            self._feed(SendFailed(cid, "in_doubt", str(error)))
        else:
            self._ack_latency.observe((time.perf_counter() - began) * 1000)
            if t_wall_ns:
                self._latency.observe((time.time_ns() - t_wall_ns) / 1e9)
            if self._tracer is not None:
                self._trace(self._tracer, order, began)
            self._feed(Acked(cid, ack.venue_order_id))
        finally:
            self._in_flight -= 1

    def _trace(self, tracer: Tracer, order: Order, began: float) -> None:
        ended_ns = time.time_ns()
        began_ns = ended_ns - int((time.perf_counter() - began) * 1e9)
        told = {"symbol": order.symbol, "role": order.role.value, "venue": order.venue, "intent_id": order.intent_id}
        up, cid = (tracing.DECISION, ""), order.client_order_id
        tracer.span(tracing.ORDER, order.signal_id, began_ns, ended_ns, key=cid, parent=up, told=told)

    def cancel(self, order: Order) -> None:
        """Cancels an order; only a failure comes back, success shows on the stream or by look-up."""
        self._spawn(self._cancel(order), "cancel")

    async def _cancel(self, order: Order) -> None:
        outcome: Literal["refused", "never_left", "in_doubt"]
        try:
            await self._venue.cancel(order.symbol, order.client_order_id, order.venue_order_id)
            return
        except Rejected as error:
            outcome, detail = "refused", error.detail
        except Transient as error:
            outcome, detail = "never_left", str(error)
        except Ambiguous as error:
            outcome, detail = "in_doubt", str(error)
        self._feed(CancelFailed(order.client_order_id, outcome, detail))

    def amend(self, wanted: AmendOrder) -> None:
        """Changes an order in place; its outcome comes back as an event."""
        self._spawn(self._amend(wanted), "amend")

    async def _amend(self, wanted: AmendOrder) -> None:
        cid = wanted.order.client_order_id
        try:
            await self._venue.amend(
                wanted.order, price=wanted.price, quantity=wanted.quantity, trigger_price=wanted.trigger_price
            )
        except Rejected as error:
            self._feed(AmendFailed(cid, wanted.number, "refused", error.detail))
        except Transient as error:
            self._feed(AmendFailed(cid, wanted.number, "never_left", str(error)))
        except Ambiguous as error:
            self._feed(AmendFailed(cid, wanted.number, "in_doubt", str(error)))
        else:
            self._feed(Amended(cid, wanted.number))

    def look_up(self, order: Order) -> None:
        """Searches an order at the venue; the answer comes back as an event."""
        self._spawn(self._look_up(order), "look-up")

    async def _look_up(self, order: Order) -> None:
        cid = order.client_order_id
        try:
            found = await self._venue.find_order(order.symbol, cid, order.venue_order_id)
        except (Rejected, Transient, Ambiguous) as error:
            self._feed(LookedUp(cid, None, str(error)))
            return
        self._feed(LookedUp(cid, found))

    # reading

    def fetch_executions(self) -> None:
        """Reads executions as soon as possible."""
        self._want_executions = True
        self._wake.set()

    def fetch_report(self) -> None:
        """Reads orders, positions and wallet as soon as possible."""
        self._want_report = True
        self._wake.set()

    async def poll(self) -> None:
        """Reads by REST every five seconds and whenever asked; a failure is told and tried again."""
        attempt = 0
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_S if attempt == 0 else BACKOFF_S[attempt - 1])
            except TimeoutError:
                self._want_executions = self._want_report = True
            # Either alone: a flatten asks for reports so often that they would always be fresh.
            if time.monotonic() - min(self._reported_s, self._executions_s) >= POLL_S:
                self._want_executions = self._want_report = True
            self._wake.clear()
            try:
                await self._read()
            except (Rejected, Transient, Ambiguous) as error:
                attempt = min(attempt + 1, len(BACKOFF_S))
                self._want_executions = self._want_report = True
                self._venue_changed(False, str(error))
                await asyncio.sleep(BACKOFF_S[attempt - 1])
                self._wake.set()
                continue
            attempt = 0
            self._venue_changed(True, "")
            await asyncio.sleep(MIN_POLL_GAP_S)

    async def _read(self) -> None:
        closed, executions, report = self._want_closed, self._want_executions, self._want_report
        since = self._since()
        if closed:
            self._feed(OrdersSeen(tuple(await self._venue.closed_orders(since, self._until()))))
            self._want_closed = False
        if executions:
            # Cleared first: what is asked for while this page is on its way must be read again.
            self._want_executions = False
            asked_ms = self._clock.now().market_ms
            self._feed(ExecutionsSeen(tuple(await self._venue.executions(since, self._until()))))
            self._read_ms = asked_ms
            self._executions_s = time.monotonic()
        if report:
            self._want_report = False
            self._feed(await self._report())
            self._reported_s = time.monotonic()
        self.rest_seen_s = time.monotonic()

    async def _report(self) -> VenueReport:
        asked_ms = self._clock.now().wall_ms
        orders, positions, wallet = await asyncio.gather(
            self._venue.open_orders(), self._venue.positions(), self._venue.wallet()
        )
        return VenueReport(tuple(orders), tuple(positions), wallet, asked_ms)

    def _since(self) -> int:
        return since_ms(self._cursor(), self._read_ms, self._clock.speed)

    def _until(self) -> int:
        return self._clock.now().market_ms + OVERLAP_MS

    def _venue_changed(self, up: bool, detail: str) -> None:
        if up is not self._venue_up:
            self._venue_up = up
            self._feed(LinkChanged("venue", up, detail))

    # streams

    async def stream(self) -> None:
        """Keeps the private stream; every break is told, and what was missed is read by REST after the next connect."""
        attempt = 0
        while True:
            try:
                await self._venue.open_stream()
                self._want_closed = True
                self.fetch_executions()
                self.fetch_report()
                self.stream_seen_s = time.monotonic()
                self._feed(LinkChanged("venue stream", True))
                attempt = 0
                await self._watch()
            except Transient as error:
                self._feed(LinkChanged("venue stream", False, str(error)))
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            attempt += 1

    async def _watch(self) -> None:
        async def orders() -> None:
            while True:
                seen = tuple(await self._venue.watch_orders())
                self.stream_seen_s = time.monotonic()
                self._feed(OrdersSeen(seen))

        async def executions() -> None:
            while True:
                seen = tuple(await self._venue.watch_executions())
                self.stream_seen_s = time.monotonic()
                self._feed(ExecutionsSeen(seen))

        tasks = [asyncio.create_task(orders()), asyncio.create_task(executions())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # start

    async def recover(self, unsettled: Iterable[Order], halt_reason: str = "") -> RecoveryReport:
        """Asks for everything that happened since the cursor. Retries for as long as the venue is away."""
        wanted = list(unsettled)
        self._venue.remember(wanted)
        attempt = 0
        while True:
            try:
                return await self._recovery(wanted, halt_reason)
            except (Rejected, Transient, Ambiguous) as error:
                self._log.warning("recovery waits for the venue", error=str(error))
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1

    async def _recovery(self, unsettled: list[Order], halt_reason: str) -> RecoveryReport:
        since, until = self._since(), self._until()
        asked_ms = self._clock.now().market_ms
        executions = tuple(await self._venue.executions(since, until))
        while True:
            closed, report = await asyncio.gather(self._venue.closed_orders(since, until), self._report())
            # A fill between two questions would make positions and executions disagree: ask until nothing moved.
            after = tuple(await self._venue.executions(since, self._until()))
            if len(after) == len(executions):
                break
            executions = after
        self._read_ms = asked_ms
        known = {each.client_order_id for each in (*closed, *report.open_orders)}
        named = {each.venue_order_id for each in (*closed, *report.open_orders)}
        missing: list[tuple[str, VenueOrder | None]] = []
        for order in unsettled:
            if order.client_order_id not in known and order.venue_order_id not in named:
                found = await self._venue.find_order(order.symbol, order.client_order_id, order.venue_order_id)
                missing.append((order.client_order_id, found))
        return RecoveryReport(report, tuple(closed), executions, tuple(missing), halt_reason)

    async def keep_warm(self) -> None:
        """Reads the positions now and then, for ever: a standby's first order must not wait for a connection or an import."""
        while True:
            try:
                await self._venue.positions()
            except (Rejected, Transient, Ambiguous) as error:
                self._log.info("the venue does not answer a standby", error=str(error))
            await asyncio.sleep(WARM_S)
