"""The hands of a simulated router: they carry out what its core asks for, as `actors.router.performer` does.

Guarantees: effects happen in the core's order, and between any two of them the process can die; rows stand before sends;
what the lease does not allow is not sent. Never: a decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import ceil
from typing import TYPE_CHECKING, assert_never

from actors.router import rows as kinds
from actors.router import view
from actors.router.announce import messages_of
from actors.router.core import RouterCore
from actors.router.effects import (
    AmendOrder,
    Append,
    CancelOrder,
    Effect,
    FetchExecutions,
    FetchReport,
    LookUp,
    Receipt,
    SendOrder,
    StateChanged,
)
from actors.router.events import AmendFailed, CancelFailed, Event, LinkChanged, SendFailed, Tick, TimerFired
from actors.router.lease import Lease
from simulation.follow import SimBroadcast
from simulation.journal import DiskFull, JournalHeld
from simulation.plan import Moment
from simulation.process import Process
from simulation.session import SimSession
from titan import subjects
from titan.codes import TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.journal.rows import Row, StoredRow
from titan.model import Order, OrderState

if TYPE_CHECKING:
    from simulation.world import World

TICK_MS = 1_000
SYNC_MS = 1_000
CONFLATE_MS = 50
OUTBOX_BATCH = 32
OUTBOX_RETRY_MS = 200
FENCED = "the lease has run out"
JOURNAL_AWAY = "the journal takes no rows"
# No chain of events without a moment between them is longer than some dozens.
ENDLESS = 1_000


class SimPerformer(Process):
    """A router's process, from the moment at which it leads."""

    def __init__(self, world: World, name: str, incarnation: int, lease: Lease) -> None:
        super().__init__(world.engine, name, incarnation, world.ended)
        self.world = world
        self.lease = lease
        self.core: RouterCore
        self.performs = False
        self.session = SimSession(world.engine, world.venue, self, self.feed, lambda: self.core.state.cursor_ms)
        self.session.told = world.checks.outcome
        self.broadcast = SimBroadcast(world, self)
        self.term = 0
        self.clean = True
        self._events: deque[Event] = deque()
        self._performing = False
        self._waiting: list[Row] = []
        self._outbox: deque[StoredRow] = deque()
        self._announcing = False
        self._announced = 0
        self._state_due = False
        self._bus_up = True

    @property
    def unwritten(self) -> bool:
        """Whether rows wait for the journal."""
        return bool(self._waiting)

    @property
    def unannounced(self) -> bool:
        """Whether rows wait for the bus."""
        return bool(self._outbox)

    # events and effects

    def feed(self, event: Event) -> None:
        """Hands an event to the core and performs what it asks for; an event fed meanwhile waits its turn."""
        if not self.performs:
            self.overheard(event)
            return
        self._events.append(event)
        if self._performing:
            return
        self._performing = True
        try:
            for _ in range(ENDLESS):
                if not self._events:
                    return
                self.clean = False
                self._perform(self.core.handle(self._events.popleft(), self.engine.now()))
                self.clean = True
            last = self._events[-1]
            self._events.clear()
            raise RuntimeError(f"one event led to {ENDLESS} others without a moment between, the last: {last}")
        finally:
            self._performing = False

    def overheard(self, event: Event) -> None:
        """What a router that does not lead makes of an event."""

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self.boundary()
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        """Carries one effect out."""
        match effect:
            case StateChanged():
                self._state_changed()
            case Append():
                self.append(effect.rows)
            case SendOrder():
                self._send(effect.order)
            case CancelOrder():
                self._cancel(effect.order)
            case AmendOrder():
                self._amend(effect)
            case LookUp():
                self.session.look_up(effect.order)
            case FetchExecutions():
                self.session.fetch_executions()
            case FetchReport():
                self.session.fetch_report()
            case SetTimer():
                after_ms = effect.after_ms if effect.clock == "wall" else ceil(effect.after_ms / self.engine.speed)
                self.after(effect.key, after_ms, lambda: self.feed(TimerFired(effect.key)))
            case CancelTimer():
                self.cancel(effect.key)
            case RaiseAlert():
                self.world.alerted(effect)
            case Receipt():
                self._answer(effect)
            case _:
                assert_never(effect)

    def _send(self, order: Order) -> None:
        now = self.engine.t_ms
        if order.reduce_only:
            if not self.lease.may_lower(now):
                self.feed(SendFailed(order.client_order_id, "never_left", FENCED))
                return
        elif self._waiting:
            self.feed(SendFailed(order.client_order_id, "unjournalled", "its row could not be written first"))
            return
        elif not self.lease.may_raise(now):
            self.feed(SendFailed(order.client_order_id, "fenced", FENCED))
            return
        self.world.strike(Moment.JOURNALLED, self)
        self.boundary()
        self.world.checks.leaves(self, order, unwritten=bool(self._waiting))
        self.session.send(order)
        self.world.strike(Moment.SENT, self)

    def _cancel(self, order: Order) -> None:
        if not self.lease.may_lower(self.engine.t_ms):
            self.feed(CancelFailed(order.client_order_id, "never_left", FENCED))
            return
        self.world.checks.leaves(self, order, cancel=True)
        self.world.strike(Moment.CANCELLING, self)
        self.boundary()
        self.session.cancel(order)

    def _amend(self, wanted: AmendOrder) -> None:
        order, now = wanted.order, self.engine.t_ms
        allowed = self.lease.may_lower(now) if order.reduce_only else self.lease.may_raise(now)
        unwritten = bool(self._waiting) and not order.reduce_only
        if unwritten or not allowed:
            detail = "its row could not be written first" if unwritten else FENCED
            self.feed(AmendFailed(order.client_order_id, wanted.number, "never_left", detail))
            return
        self.world.checks.leaves(self, order, cancel=True)
        self.boundary()
        self.session.amend(wanted)

    # the journal, and what the bus hears of it

    def append(self, rows: Iterable[Row]) -> None:
        """Writes rows, or keeps them and says that the journal failed."""
        wanted = list(rows)
        if self._waiting:
            self._waiting.extend(wanted)
            return
        if not self._write(wanted):
            self._waiting.extend(wanted)
            self.feed(LinkChanged("journal", False, JOURNAL_AWAY))

    def _write(self, rows: list[Row]) -> bool:
        try:
            stored = self.world.journal.append(self, rows)
        except (DiskFull, JournalHeld):
            return False
        self._outbox.extend(stored)
        self.broadcast.put(stored)
        if not self._announcing:
            self._announcing = True
            self.after("outbox", 1, self._announce)
        for row in stored:
            if row.kind == kinds.ORDER:
                self._moments(row)
        return True

    def _moments(self, row: StoredRow) -> None:
        state = kinds.decode(row.payload)["state"]
        if state == OrderState.PARTIALLY_FILLED.value:
            self.world.strike(Moment.PART, self)
        elif state == OrderState.OPEN.value:
            self.world.strike(Moment.ACKED, self)

    def _retry_journal(self) -> None:
        if self._waiting and self._write(self._waiting):
            self._waiting = []
            self.feed(LinkChanged("journal", True, ""))

    def _announce(self) -> None:
        """The outbox: rows to messages, in order, at least once."""
        self._announcing = True
        bus = self.world.bus
        if self._outbox and not bus.reaches(self):
            self.after("outbox", OUTBOX_RETRY_MS, self._announce)
            return
        for _ in range(min(OUTBOX_BATCH, len(self._outbox))):
            row = self._outbox[0]
            for each in messages_of(row):
                wire = bus.seal(
                    "router",
                    each.subject,
                    each.message,
                    correlation_id=each.correlation_id,
                    envelope_id=each.envelope_id,
                    message_id=each.idempotency_key or each.envelope_id,
                )
                if not bus.send_durable(wire):
                    self.after("outbox", OUTBOX_RETRY_MS, self._announce)
                    return
            self._outbox.popleft()
            self._announced = row.seq
        if self._outbox:
            self.after("outbox", 1, self._announce)
        else:
            self._announcing = False

    # telling

    def _answer(self, receipt: Receipt) -> None:
        if receipt.accepted and receipt.verb == "resume" and receipt.current is not TradingState.HALTED:
            self.world.halt_reason = ""
        self.world.operators.receipt(self, receipt, self.world.journal.last_seq)
        if receipt.reply:
            self._publish_state()

    def _state_changed(self) -> None:
        if not self._state_due:
            self._state_due = True
            self.after("state", CONFLATE_MS, self._publish_state)

    def _publish_state(self) -> None:
        self._state_due = False
        self.cancel("state")
        bus = self.world.bus
        if not bus.reaches(self) or not self.world.plan.full:
            return
        message = view.router_state(self.core.state, self.core.config, self.engine.now())
        bus.send(bus.seal("router", subjects.ROUTER_STATE, message))

    # background

    def _tick(self) -> None:
        self._retry_journal()
        self.world.journal.published = max(self.world.journal.published, self._announced)
        self.bus_changed()
        self.feed(Tick())
        self.after("tick", TICK_MS, self._tick)

    def bus_changed(self) -> None:
        """The bus watch noticed the connection come or go."""
        up = self.world.bus.reaches(self)
        if self.performs and up is not self._bus_up:
            self._bus_up = up
            self.feed(LinkChanged("bus", up, "" if up else "the connection to NATS is away"))

    def _sync(self) -> None:
        self.world.journal.sync()
        self.after("sync", SYNC_MS, self._sync)
