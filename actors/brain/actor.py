"""The brain's shell: bus in, core, bus out; snapshot, handshake, timers, metrics.

Guarantees: a signal's way through the shell waits for nothing but the bus's own send; a fill is acknowledged only after
the snapshot that counts it is kept; a message that makes no sense is a dead letter. The brain is Ready without the
router, and holds openings until the router has reported, is reconciled and attests the same policy.
Never: a decision of its own, Postgres or HTTP on a signal's way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import ClassVar, TypeVar

import asyncpg
import nats.errors
import nats.js.errors
from aiohttp import web
from google.protobuf.message import Message
from nats.js.kv import KeyValue

from actors.brain.config import BrainConfig
from actors.brain.core import BrainCore
from actors.brain.events import (
    Announce,
    CountDuplicate,
    Effect,
    Event,
    FillSeen,
    PolicyAttested,
    RejectSeen,
    RouterReported,
    Save,
    SignalReceived,
    TailSeen,
    TickerSeen,
    TimerFired,
    TradingStateSeen,
    TruthSeen,
)
from actors.brain.gauges import set_gauges, zero_counters
from actors.brain.http import Administration
from actors.brain.status import components_of
from protos import brain_pb2, market_pb2, trading_pb2
from titan import subjects, tracing
from titan.actor import Actor, ActorContext, Component
from titan.algos import parse_rules
from titan.bus import Received, outside
from titan.codec import PHASE_FROM_PB
from titan.codes import DeadLetterReason, TradingState
from titan.effects import Publish, RaiseAlert, SetTimer
from titan.errors import Transient
from titan.phrases import system_line
from titan.policy import load_policy

BUCKET, KEY = "titan_brain", "snapshot"
FILL_CONSUMER = "BRAIN_RISK"
HANDSHAKE_TRIES = 3
HANDSHAKE_TIMEOUT_S = 5.0
HANDSHAKE_BACKOFF_S = 0.5
TRUTH_TIMEOUT_S = 30.0
CONFLATE_S = 0.005
DATABASE_EVERY_S = 10.0
DATABASE_TIMEOUT_S = 3.0

M = TypeVar("M", bound=Message)


class Brain(Actor):
    """The one that says yes or no."""

    name: ClassVar[str] = "brain"
    http: ClassVar[str | None] = "brain_http"
    urgent: ClassVar[bool] = True

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        runtime = context.runtime
        self.policy = load_policy(runtime.policy_path)
        self.config = BrainConfig(
            venue=runtime.venue.name if runtime.venues else "bybit",
            account=runtime.venue.account if runtime.venues else "main",
            speed=self.clock.speed,
            profile=runtime.profile,
            routing=parse_rules(runtime.routing),
        )
        self.core = BrainCore(self.config, self.policy)
        self.database: Component | None = None
        self._bucket: KeyValue
        self._unsaved = asyncio.Event()
        self._saving = asyncio.Lock()
        self._tickers: dict[str, Received[market_pb2.Ticker]] = {}
        self._conflating = False
        self._told: TradingState | None = None
        zero_counters(self.metrics)

    # Life.

    async def on_start(self) -> None:
        """Restores, subscribes, begins the handshake. Signals are subscribed last."""
        self.log.info("risk policy", policy_hash=self.policy.hash)
        self._bucket = await self.bus.kv(BUCKET)
        await self._begin(await self._kept())
        self.spawn(self._keep_saved(), "snapshot")
        self.spawn(self._handshake(), "handshake")
        if self.runtime.postgres_dsn:
            self.spawn(self._watch_database(), "database")
        await self._listen(subjects.ROUTER_STATE, trading_pb2.RouterState, RouterReported, after=self._gauge)
        await self._listen(subjects.TRADING_STATE, trading_pb2.TradingStateChanged, TradingStateSeen)
        await self._listen(subjects.TRUTH, trading_pb2.Truth, TruthSeen)
        await self._listen(subjects.REJECT, trading_pb2.Reject, RejectSeen)
        await self._listen(subjects.POWERLAW_ALL, brain_pb2.PowerLawMetrics, TailSeen)
        await self.bus.subscribe(subjects.TICKER_ALL, market_pb2.Ticker, self._on_ticker)
        await self.bus.consume("TITAN_EVT", FILL_CONSUMER, subjects.FILL_ALL, trading_pb2.Fill, self._on_fill)
        await self.bus.subscribe(subjects.SIGNAL_SUBMIT, trading_pb2.Signal, self._on_signal)

    async def on_stop(self) -> None:
        """Keeps the last state."""
        await self.save()

    async def _kept(self) -> str | None:
        try:
            entry = await self._bucket.get(KEY)
        except nats.js.errors.KeyNotFoundError:
            return None
        return None if entry.value is None else entry.value.decode()

    async def _begin(self, snapshot: str | None) -> None:
        try:
            effects = self.core.start(self.clock.now(), snapshot)
        except ValueError as error:
            await self.alert("SNAPSHOT_UNREADABLE", "CRITICAL", f"{error}; the brain starts without memory")
            self.core = BrainCore(self.config, self.policy)
            effects = self.core.start(self.clock.now())
        await self._apply(effects)

    # What comes in.

    async def _listen(
        self,
        subject: str,
        kind: type[M],
        event: Callable[[M], Event],
        after: Callable[[], None] | None = None,
    ) -> None:
        async def on_message(received: Received[M]) -> None:
            try:
                await self.feed(event(received.message))
            except ValueError as error:
                await self.bus.dead_letter(received.subject, received.raw, DeadLetterReason.INVALID, str(error))
                return
            if after is not None:
                after()

        await self.bus.subscribe(subject, kind, on_message)

    async def _on_signal(self, received: Received[trading_pb2.Signal]) -> None:
        began = time.perf_counter_ns()
        effects = self.core.handle(SignalReceived(received.message), self.clock.now())
        await self._apply(effects, began, received)
        self.advance()

    async def _on_fill(self, received: Received[trading_pb2.Fill]) -> None:
        await self.feed(FillSeen(received.message))
        if not await self.save():
            raise Transient("the snapshot with this fill could not be kept")

    async def _on_ticker(self, received: Received[market_pb2.Ticker]) -> None:
        self._tickers[received.message.symbol] = received
        if not self._conflating:
            self._conflating = True
            asyncio.get_running_loop().call_later(CONFLATE_S, self._take_tickers)

    def _take_tickers(self) -> None:
        self._conflating = False
        batch, self._tickers = self._tickers, {}
        now = self.clock.now()
        for received in batch.values():
            try:
                self.core.handle(TickerSeen(received.message), now)
            except ValueError as error:
                letter = self.bus.dead_letter(received.subject, received.raw, DeadLetterReason.INVALID, str(error))
                self.spawn(letter, "dead-letter")
        self.advance()

    async def feed(self, event: Event) -> None:
        """Gives the core an event and carries its effects out. Raises ValueError when the event makes no sense."""
        await self._apply(self.core.handle(event, self.clock.now()))
        self.advance()

    # What goes out.

    async def _apply(
        self, effects: Iterable[Effect], began_ns: int = 0, cause: Received[trading_pb2.Signal] | None = None
    ) -> None:
        causation = cause.envelope.id if cause is not None else ""
        for effect in effects:
            match effect:
                case Publish(subject=subject, message=message):
                    await self.bus.publish(
                        subject,
                        message,
                        correlation_id=effect.correlation_id,
                        causation_id=causation,
                        idempotency_key=effect.idempotency_key,
                    )
                    # The bus writes on the loop's next turn: an intent does not wait for what is told about it.
                    await asyncio.sleep(0)
                case Announce(decision=decision):
                    await self._announce(decision, began_ns, cause, causation)
                case CountDuplicate(phase=phase):
                    self.metrics.counter("titan_signals_total").labels(phase.lower(), "duplicate").inc()
                case SetTimer(key=key, after_ms=after_ms):
                    self.after(key, after_ms / 1000.0, self._timer(key))
                case RaiseAlert(code=code, severity=severity, message=text):
                    await self.alert(code, severity, text, effect.labels)
                case Save():
                    self._unsaved.set()

    def _timer(self, key: str) -> Callable[[], Awaitable[None]]:
        async def fire() -> None:
            await self.feed(TimerFired(key))

        return fire

    async def _announce(
        self,
        decision: brain_pb2.Decision,
        began_ns: int,
        cause: Received[trading_pb2.Signal] | None,
        causation: str,
    ) -> None:
        decision.decision_ms = (time.perf_counter_ns() - began_ns) / 1e6
        await self.bus.publish(subjects.DECISION, decision, correlation_id=decision.signal_id, causation_id=causation)
        phase = PHASE_FROM_PB.get(decision.phase)
        name = "unknown" if phase is None else phase.value.lower()
        approved = str(decision.approved).lower()
        self.metrics.counter("titan_signals_total").labels(name, "approved" if decision.approved else "rejected").inc()
        self.metrics.histogram("titan_decision_latency_ms").labels(name).observe(decision.decision_ms)
        self.metrics.counter("titan_brain_decisions_total").labels(name, approved).inc()
        if not decision.approved:
            self.metrics.counter("titan_brain_veto_total").labels(decision.code).inc()
        if cause is not None and cause.message.t_wall_ns:
            latency = max(0.0, (time.time_ns() - cause.message.t_wall_ns) / 1e6)
            self.metrics.histogram("titan_brain_signal_processing_latency_ms").labels(name, approved).observe(latency)
        if self.tracer is not None:
            ended_ns = time.time_ns()
            began_wall_ns = ended_ns - (time.perf_counter_ns() - began_ns)
            told: dict[str, str | bool] = {"approved": decision.approved, "code": decision.code, "phase": name}
            up = (tracing.SIGNAL, "")
            self.tracer.span(tracing.DECISION, decision.signal_id, began_wall_ns, ended_ns, parent=up, told=told)
        self.log.info(
            "decision",
            signal_id=decision.signal_id,
            symbol=decision.symbol,
            code=decision.code,
            reason=decision.reason,
            size_usd=decision.authorized_size_usd,
        )

    def _gauge(self) -> None:
        set_gauges(self.metrics, self.core, self.clock.now())
        state = self.core.state
        if state.trading_state is not self._told:
            self._told = state.trading_state
            line = system_line(state.trading_state.value, state.trading_reason)
            if line is not None:
                self.log.warning(line.phrase.value, **line.fields)

    # Memory.

    async def save(self) -> bool:
        """Keeps the snapshot; False when the bus could not take it."""
        async with self._saving:
            self._unsaved.clear()
            try:
                with outside():
                    await self._bucket.put(KEY, self.core.snapshot().encode())
            except (nats.errors.Error, nats.js.errors.Error) as error:
                self._unsaved.set()
                self.log.warning("snapshot not kept", error=repr(error))
                return False
            return True

    async def _keep_saved(self) -> None:
        while True:
            await self._unsaved.wait()
            await asyncio.sleep(0 if await self.save() else 1.0)

    # Agreement with the router.

    async def _handshake(self) -> None:
        request = brain_pb2.PolicyHashRequest(requested_by=self.name)
        for attempt in range(HANDSHAKE_TRIES):
            try:
                reply = await self.bus.request(
                    subjects.RPC_POLICY_HASH, request, brain_pb2.PolicyHashReply, HANDSHAKE_TIMEOUT_S
                )
            except Transient as error:
                self.log.info("policy handshake unanswered", attempt=attempt + 1, error=str(error))
                await asyncio.sleep(HANDSHAKE_BACKOFF_S * 2**attempt)
                continue
            self.log.info("policy handshake", ours=self.policy.hash, router=reply.policy_hash)
            await self.feed(PolicyAttested(reply.policy_hash))
            return
        if not self.core.state.router_hash:
            await self.alert(
                "POLICY_HANDSHAKE_UNANSWERED",
                "WARNING",
                f"the router did not attest its policy in {HANDSHAKE_TRIES} tries; openings are held until it reports",
            )

    async def ask_truth(self) -> trading_pb2.Truth:
        """Has Execution run a truth pass and takes its result. Raises Transient when it does not answer."""
        request = trading_pb2.TruthRequest(requested_by=self.name)
        truth = await self.bus.request(subjects.RPC_TRUTH, request, trading_pb2.Truth, TRUTH_TIMEOUT_S)
        await self.feed(TruthSeen(truth))
        return truth

    # What people see.

    async def _watch_database(self) -> None:
        while True:
            self.database = await self._probe_database()
            await asyncio.sleep(DATABASE_EVERY_S)

    async def _probe_database(self) -> Component:
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                connection = await asyncpg.connect(self.runtime.ledger("brain").url)
                try:
                    await connection.fetchval("SELECT 1")
                finally:
                    await connection.close()
        except (OSError, TimeoutError, asyncpg.PostgresError, Transient) as error:
            return Component("degraded", f"PostgreSQL does not answer: {error!r}; decisions go on without history")
        return Component("healthy", "PostgreSQL answers")

    def components(self) -> Mapping[str, Component]:
        """Router, policy, market, truth, breaker, fast lane and database."""
        parts = {**components_of(self.core, self.clock.now()), **self.fast_lane()}
        return parts if self.database is None else {**parts, "database": self.database}

    def health_extra(self) -> Mapping[str, str]:
        """Both policy hashes and the trading state."""
        state = self.core.state
        return {
            "policy_hash": self.policy.hash,
            "router_policy_hash": state.router_hash,
            "trading_state": state.trading_state.value,
        }

    def routes(self, app: web.Application) -> None:
        """Status and administration."""
        Administration(self).add_routes(app)
