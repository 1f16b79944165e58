"""The router's shell in a simulated process: journal, session, bus and timers around the real core.

Guarantees: effects happen in the core's order, and between any two of them the process can die; rows stand before sends,
as in `actors.router.performer`. Never: a decision.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
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
from actors.router.events import (
    AmendFailed,
    BrainBeat,
    Event,
    IntentArrived,
    LinkChanged,
    QuoteSeen,
    SendFailed,
    Tick,
    TimerFired,
)
from actors.router.intake import quote_of, read_intent
from actors.router.operator_door import read_command
from actors.router.state import RouterConfig
from protos import brain_pb2, market_pb2, system_pb2, trading_pb2
from simulation.bus import KEY, Delivery
from simulation.journal import DiskFull
from simulation.plan import Moment
from simulation.process import Ask, Conversation, Process, Sleep
from simulation.session import SimSession
from simulation.venue import ACCOUNT, SYMBOLS, VENUE, listed
from titan import subjects
from titan.codes import TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.envelope import KeyRing, Verifier
from titan.errors import Ambiguous, Rejected, Transient
from titan.instruments import Instruments
from titan.journal.rows import Row, StoredRow
from titan.model import Order, OrderState

if TYPE_CHECKING:
    from simulation.world import World

TICK_MS = 1_000
SYNC_MS = 1_000
CONFLATE_MS = 50
OUTBOX_BATCH = 32
OUTBOX_RETRY_MS = 200


class SimRouter(Process):
    """One incarnation of the router."""

    def __init__(self, world: World, incarnation: int) -> None:
        super().__init__(world.engine, "router", incarnation, world.ended)
        self.world = world
        self.core: RouterCore
        self.config: RouterConfig
        self.term = 0
        self.session = SimSession(world.engine, world.venue, self, self.feed, lambda: self.core.state.cursor_ms)
        self.session.told = world.checks.outcome
        self.clean = True
        self._events: deque[Event] = deque()
        self._performing = False
        self._waiting: list[Row] = []
        self._outbox: deque[StoredRow] = deque()
        self._announcing = False
        self._announced = 0
        self._state_due = False
        self._bus_up = True
        self._verifier = Verifier(KeyRing(KEY))

    @property
    def unwritten(self) -> bool:
        """Whether rows wait for the journal."""
        return bool(self._waiting)

    @property
    def unannounced(self) -> bool:
        """Whether rows wait for the bus."""
        return bool(self._outbox)

    # life

    def start(self) -> Conversation:
        """Replays the journal, agrees with the venue, then listens."""
        world = self.world
        yield Sleep(world.engine.chance("start").randint(80, 400))
        if world.start_crashes > 0:
            world.start_crashes -= 1
            self.kill("crashed in its start")
            return
        self.term = world.journal.open(self)
        attempt = 0
        instruments = None
        while instruments is None:
            try:
                instruments = yield Ask(
                    lambda done: world.venue.call("instruments", lambda: tuple(world.venue.instruments), done)
                )
            except (Rejected, Transient, Ambiguous):
                yield Sleep((100, 200, 500, 1_000, 2_000)[min(attempt, 4)])
                attempt += 1
        self.config = RouterConfig(
            venue=VENUE,
            account=ACCOUNT,
            policy=world.policy,
            policy_hash=world.policy.hash,
            instruments=Instruments([listed(one) for one in instruments]),
            speed=world.engine.speed,
            live=world.plan.live,
            auto_arm=not world.plan.live,
            started_ms=world.started_ms,
        )
        self.core = world.make_router_core(self.config, self.term)
        self.core.replay(world.journal.rows())
        world.checks.replayed(self)
        self._outbox.extend(world.journal.rows(world.journal.published))
        self._perform(self.core.start(world.engine.now(), self.incarnation))
        report = yield from self.session.recover(self.core.unsettled(), world.halt_reason)
        self.feed(report)
        self.spawn(self.session.stream())
        self.spawn(self.session.poll())
        self._tick()
        self._sync()
        self._listen()
        self._announce()
        self._publish_state()
        self.ready = True
        world.process_ready(self)

    def on_death(self) -> None:
        """Lock, connections and subscriptions go back."""
        self.world.journal.release(self)
        self.world.bus.leave(self)
        if self.world.router is self:
            self.world.venue.on_frames = None

    def _listen(self) -> None:
        bus = self.world.bus
        bus.subscribe(self, subjects.heartbeat("brain"), system_pb2.Heartbeat, self._on_brain)
        for symbol in SYMBOLS:
            bus.subscribe(self, subjects.ticker(VENUE, symbol), market_pb2.Ticker, self._on_ticker)
        bus.subscribe(self, subjects.INTENT_PLACE_ALL, trading_pb2.Intent, self._on_intent)
        bus.consume(self, "EXECUTION_CORE", trading_pb2.Intent, self._on_kept_intent, renew=True)

    # what comes in

    def _on_intent(self, told: Delivery) -> bool:
        assert isinstance(told.message, trading_pb2.Intent)
        try:
            intent = read_intent(told.message, told.subject)
        except ValueError:
            return True
        self.world.checks.arrived(told.message.SerializeToString(deterministic=True))
        self.world.strike(Moment.ARRIVED, self)
        self.feed(IntentArrived(intent))
        return True

    def _on_kept_intent(self, told: Delivery) -> bool:
        return self._on_intent(told)

    def _on_brain(self, _told: Delivery) -> bool:
        self.feed(BrainBeat())
        return True

    def _on_ticker(self, told: Delivery) -> bool:
        assert isinstance(told.message, market_pb2.Ticker)
        self.feed(QuoteSeen(told.message.symbol, quote_of(told.message)))
        return True

    def on_operator(self, subject: str, raw: bytes, reply: str) -> None:
        """An operator's bytes, signed or plain."""
        try:
            nonce = f"{self.engine.chance('nonce').getrandbits(64):016x}"
            command = read_command(self._verifier, subject, raw, reply, self.engine.now().wall_ms, nonce)
        except Rejected:
            return
        if command is not None:
            self.feed(command)

    def policy_hash(self) -> brain_pb2.PolicyHashReply:
        """The answer to the brain's handshake."""
        return brain_pb2.PolicyHashReply(policy_hash=self.config.policy_hash, ts_ms=self.engine.now().wall_ms)

    # events and effects

    def feed(self, event: Event) -> None:
        """Hands an event to the core and performs what it asks for; an event fed meanwhile waits its turn."""
        self._events.append(event)
        if self._performing:
            return
        self._performing = True
        try:
            while self._events:
                self.clean = False
                self._perform(self.core.handle(self._events.popleft(), self.engine.now()))
                self.clean = True
        finally:
            self._performing = False

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
                self.world.checks.leaves(self, effect.order, cancel=True)
                self.world.strike(Moment.CANCELLING, self)
                self.boundary()
                self.session.cancel(effect.order)
            case AmendOrder():
                self._amend(effect)
            case LookUp():
                self.session.look_up(effect.order)
            case FetchExecutions():
                self.session.fetch_executions()
            case FetchReport():
                self.session.fetch_report()
            case SetTimer():
                after_ms = effect.after_ms if effect.clock == "wall" else int(effect.after_ms / self.engine.speed)
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
        if self._waiting and not order.reduce_only:
            self.feed(SendFailed(order.client_order_id, "unjournalled", "its row could not be written first"))
            return
        self.world.strike(Moment.JOURNALLED, self)
        self.boundary()
        self.world.checks.leaves(self, order, unwritten=bool(self._waiting))
        self.session.send(order)
        self.world.strike(Moment.SENT, self)

    def _amend(self, wanted: AmendOrder) -> None:
        if self._waiting and not wanted.order.reduce_only:
            detail = "its row could not be written first"
            self.feed(AmendFailed(wanted.order.client_order_id, wanted.number, "never_left", detail))
            return
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
            self.feed(LinkChanged("journal", False, "no space left on the simulated device"))

    def _write(self, rows: list[Row]) -> bool:
        try:
            stored = self.world.journal.append(self, rows)
        except DiskFull:
            return False
        self._outbox.extend(stored)
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
        self.world.operators.receipt(receipt, self.world.journal.last_seq)
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
        if not bus.up or not self.world.plan.full:
            return
        message = view.router_state(self.core.state, self.core.config, self.engine.now())
        bus.send(bus.seal("router", subjects.ROUTER_STATE, message))

    # background

    def _tick(self) -> None:
        self._retry_journal()
        self.world.journal.published = max(self.world.journal.published, self._announced)
        if self.world.bus.up is not self._bus_up:
            self._bus_up = self.world.bus.up
            self.feed(LinkChanged("bus", self._bus_up, "" if self._bus_up else "the connection to NATS is away"))
        self.feed(Tick())
        self.after("tick", TICK_MS, self._tick)

    def bus_changed(self) -> None:
        """The bus watch noticed the connection come or go."""
        if self.ready and self.world.bus.up is not self._bus_up:
            self._bus_up = self.world.bus.up
            self.feed(LinkChanged("bus", self._bus_up, "" if self._bus_up else "the connection to NATS is away"))

    def _sync(self) -> None:
        self.world.journal.sync()
        self.after("sync", SYNC_MS, self._sync)
