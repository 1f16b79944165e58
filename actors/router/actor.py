"""The router's shell: journal, venue session, bus, timers, metrics around the core.

Guarantees: Ready only after the journal was replayed and agreed with the venue; effects happen in the core's order,
rows before sends; an opening whose row could not be written is not sent; events go to the bus after their rows.
Never: Postgres, Redis or Ray; a lock wait or fsync on the loop's thread.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import ClassVar, assert_never

from actors.router import gauges, view
from actors.router.affinity import Affinity
from actors.router.core import RouterCore
from actors.router.effects import (
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
from actors.router.events import Event, LinkChanged, SendFailed, Tick, TimerFired
from actors.router.intake import Intake
from actors.router.outbox import Outbox
from actors.router.session import BACKOFF_S, VenueSession
from actors.router.state import RouterConfig
from actors.router.writer import JournalWriter
from protos import trading_pb2 as pb
from titan import subjects
from titan.actor import Actor, ActorContext, Component
from titan.codec import TRADING_STATE_TO_PB
from titan.codes import TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.envelope import KeyRing, Verifier
from titan.errors import Ambiguous, Rejected, Transient
from titan.halt import clear_halt, read_halt
from titan.instruments import Instruments
from titan.journal import Journal, JournalFailed
from titan.policy import load_policy
from titan.symbols import whitelisted
from titan.venues.base import Venue

TICK_S = 1.0
BUS_WATCH_S = 0.1
SYNC_S = 1.0
AFFINITY_S = 2.0
CONFLATE_S = 0.05
SEND_PATIENCE_S = 3.0
ANNOUNCE_PATIENCE_S = 1.0
STALE_S = 15.0


class Router(Actor):
    """Trades what the brain orders, on one account."""

    name: ClassVar[str] = "router"
    http: ClassVar[str | None] = "router_http"
    heartbeat_s: ClassVar[float] = 0.25

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self.core: RouterCore
        self._journal: Journal
        self._venue: Venue
        self._session: VenueSession
        self._writer: JournalWriter
        self._outbox: Outbox
        self._intake: Intake
        self._affinity: Affinity
        self._events: deque[Event] = deque()
        self._performing = False
        self._state_due = False
        self._synced_seq = 0

    # life

    async def on_start(self) -> None:
        """Replays the journal, agrees with the venue, then listens."""
        self._affinity = Affinity(self.runtime.router_cpu)
        self._affinity.raise_priority()
        self._affinity.apply()
        policy = load_policy(self.runtime.policy_path)
        self.log.info("risk policy", policy_hash=policy.hash)
        # The import of ccxt and the replay take a second or more: on a thread, so that the heartbeat goes on meanwhile.
        self._venue = await asyncio.to_thread(self.make_venue)
        config = RouterConfig(
            venue=self._venue.name,
            account=self._venue.account,
            policy=policy,
            policy_hash=policy.hash,
            instruments=await self._load_instruments(),
            speed=self.clock.speed,
            live=self.runtime.profile == "live",
            auto_arm=self.runtime.auto_arm,
            started_ms=self.runtime.started_ms,
        )
        await asyncio.to_thread(self._remember, config)
        self._outbox = Outbox(self.bus, self._journal, self.log)
        self._writer = JournalWriter(self._journal, self._outbox, self.metrics, self._journal_changed)
        self._outbox.put(self._journal.rows(self._journal.published_seq))
        self._session = VenueSession(
            self._venue, self.clock, self.metrics, self.log, self.spawn, self.feed, lambda: self.core.state.cursor_ms
        )
        self._perform(self.core.start(self.clock.now(), os.getpid()))
        self.feed(await self._session.recover(self.core.unsettled(), read_halt(self.runtime.home) or ""))
        await self._set_leverages(config)
        self._report_torn()
        keys = Verifier(KeyRing.of(self.runtime))
        self._intake = Intake(self.bus, self.runtime, config, self.clock, keys, self.log, self.feed)
        self._intake.last_seq = lambda: self._journal.last_seq
        for work, name in (
            (self._outbox.run(), "outbox"),
            (self._session.stream(), "stream"),
            (self._session.poll(), "poll"),
            (self._tick(), "tick"),
            (self._watch_bus(), "bus-watch"),
            (self._sync(), "sync"),
            (self._keep_affinity(), "affinity"),
        ):
            self.spawn(work, name)
        await self._intake.open()
        await self._publish_state()

    def _remember(self, config: RouterConfig) -> None:
        began = time.perf_counter()
        self._journal = Journal.open(self.runtime.journal_path)
        core = RouterCore(config, self._journal.term)
        count = core.replay(self._journal.rows())
        self.core = core
        self.log.info("journal replayed", rows=count, term=self._journal.term, seconds=time.perf_counter() - began)

    def make_venue(self) -> Venue:
        """The account's adapter; the import pays for ccxt."""
        from titan.venues.bybit import make_venue

        return make_venue(self.runtime.venue)

    async def on_drain(self) -> None:
        """Takes no new intents; waits for sends under way."""
        self._intake.draining = True
        deadline = time.monotonic() + SEND_PATIENCE_S
        while self._session.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def on_stop(self) -> None:
        """Announces what waits, makes the journal durable, lets the venue go."""
        await self._outbox.drained(ANNOUNCE_PATIENCE_S)
        self._outbox.note()
        await self._venue.close()
        self._journal.fold()
        self._journal.close()

    async def _load_instruments(self) -> Instruments:
        attempt = 0
        while True:
            try:
                return Instruments(await self._venue.load_instruments())
            except (Transient, Ambiguous) as error:
                self.log.warning("start waits for the venue", error=str(error))
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1

    async def _set_leverages(self, config: RouterConfig) -> None:
        """The venue's leverage only decides margin; the limit on exposure is the guard's."""
        for symbol in self.runtime.symbols:
            instrument = config.instruments.find(config.venue, symbol)
            if instrument is None or not whitelisted(symbol, config.policy.symbol_whitelist):
                continue
            wanted = max(Decimal(1), min(config.policy.max_account_leverage, instrument.max_leverage))
            try:
                await self._venue.set_leverage(symbol, wanted)
            except (Rejected, Transient, Ambiguous) as error:
                await self.alert("LEVERAGE_NOT_SET", "WARNING", f"{symbol}: {error}")

    def _report_torn(self) -> None:
        opened = self._journal.opened
        if opened.torn_rows or opened.lost_rows:
            text = (
                f"the journal's tail was torn: {opened.torn_rows} rows cut, {opened.lost_rows} acknowledged rows missing "
                f"after row {opened.last_seq}; the venue was asked for what they said"
            )
            self.spawn(self.alert("JOURNAL_TORN", "CRITICAL", text), "alert")

    # events and effects

    def feed(self, event: Event) -> None:
        """Hands an event to the core and performs what it asks for; an event fed meanwhile waits its turn."""
        self._events.append(event)
        if self._performing:
            return
        self._performing = True
        try:
            while self._events:
                self._perform(self.core.handle(self._events.popleft(), self.clock.now()))
                self.advance()
        finally:
            self._performing = False

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Append():
                    self._writer.append(effect.rows)
                case SendOrder():
                    self._send(effect)
                case StateChanged():
                    self._state_changed()
                case CancelOrder():
                    self._session.cancel(effect.order)
                case LookUp():
                    self._session.look_up(effect.order)
                case FetchExecutions():
                    self._session.fetch_executions()
                case FetchReport():
                    self._session.fetch_report()
                case SetTimer():
                    self._set_timer(effect)
                case CancelTimer():
                    self.cancel(effect.key)
                case RaiseAlert():
                    self.spawn(self.alert(effect.code, effect.severity, effect.message, effect.labels), "alert")
                case Receipt():
                    self.spawn(self._answer(effect), "receipt")
                case _:
                    assert_never(effect)

    def _send(self, effect: SendOrder) -> None:
        if not self._writer.healthy and not effect.order.reduce_only:
            self.feed(SendFailed(effect.order.client_order_id, "unjournalled", "its row could not be written first"))
            return
        self._session.send(effect.order, effect.t_wall_ns)

    def _set_timer(self, timer: SetTimer) -> None:
        async def fire() -> None:
            self.feed(TimerFired(timer.key))

        seconds = timer.after_ms / 1000 / (self.clock.speed if timer.clock == "market" else 1.0)
        self.after(timer.key, seconds, fire)

    def _journal_changed(self, up: bool, detail: str) -> None:
        self.feed(LinkChanged("journal", up, detail))

    async def _answer(self, receipt: Receipt) -> None:
        self.log.info(
            "operator receipt",
            verb=receipt.verb,
            command_id=receipt.command_id,
            accepted=receipt.accepted,
            code=receipt.code.value,
            state=receipt.current.value,
            detail=receipt.detail,
            effects=list(receipt.effects),
        )
        if receipt.accepted and receipt.verb == "resume" and receipt.current is not TradingState.HALTED:
            clear_halt(self.runtime.home)
        if not receipt.reply:
            return
        # Before the answer, on the same connection: whoever acts on the answer meets a brain that knows the new state.
        await self._publish_state()
        message = pb.OperatorReceipt(
            command_id=receipt.command_id,
            accepted=receipt.accepted,
            prior_state=TRADING_STATE_TO_PB[receipt.prior],
            new_state=TRADING_STATE_TO_PB[receipt.current],
            code=receipt.code.value,
            detail=receipt.detail,
            effects=receipt.effects,
        )
        await self.bus.reply(receipt.reply, subjects.operator(receipt.verb), message)

    # telling

    def _state_changed(self) -> None:
        if self._state_due:
            return
        self._state_due = True
        self.after("state", CONFLATE_S, self._publish_state)

    async def _publish_state(self) -> None:
        self.cancel("state")
        self._state_due = False
        if not self.bus.connected:
            return
        gauges.show(self.metrics, self.core.state, self.core.config, len(self._outbox))
        message = view.router_state(self.core.state, self.core.config, self.clock.now(), self._affinity.last)
        await self.bus.publish(subjects.ROUTER_STATE, message)

    def components(self) -> Mapping[str, Component]:
        """Venue stream, venue REST, journal, books, affinity."""
        if self._state_unready():
            return {"recovery": Component("degraded", "journal and venue are being brought into agreement")}
        state, now = self.core.state, time.monotonic()
        rest_age, stream_age = now - self._session.rest_seen_s, now - self._session.stream_seen_s
        away = state.impediments
        return {
            "websocket": Component(
                "degraded" if "venue stream" in away else "healthy",
                away.get("venue stream", ""),
                int(stream_age * 1000),
            ),
            "broker": Component(
                "unhealthy" if "venue" in away or rest_age > STALE_S else "healthy",
                away.get("venue", ""),
                int(rest_age * 1000),
            ),
            "journal": Component(
                "healthy" if self._writer.healthy else "unhealthy",
                away.get("journal", f"row {self._journal.last_seq}, term {self._journal.term}"),
            ),
            "books": Component(
                "degraded" if any(name.startswith("position ") for name in away) else "healthy",
                f"{len(state.live)} live orders, {len(state.lookups)} in doubt",
            ),
            "affinity": Component("healthy", ", ".join(f"{k} {v}" for k, v in self._affinity.last.items())),
        }

    def health_extra(self) -> Mapping[str, str]:
        """Policy hash and trading state."""
        if self._state_unready():
            return {}
        state = self.core.state
        return {
            "policy_hash": self.core.config.policy_hash,
            "trading_state": state.effective.value,
            "trading_reason": state.reason,
        }

    def _state_unready(self) -> bool:
        return not hasattr(self, "core") or not self.core.state.ready

    # background

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._writer.retry()
            self._outbox.note()
            self.feed(Tick())

    async def _watch_bus(self) -> None:
        up = True
        while True:
            await asyncio.sleep(BUS_WATCH_S)
            if self.bus.connected is not up:
                up = not up
                self.feed(LinkChanged("bus", up, "" if up else "the connection to NATS is away"))

    async def _sync(self) -> None:
        """Makes the journal durable once a second, on a thread: power loss then takes a second of rows at most."""
        while True:
            await asyncio.sleep(SYNC_S)
            if self._journal.last_seq == self._synced_seq:
                continue
            seq = self._journal.last_seq
            try:
                await asyncio.to_thread(self._journal.fold if self._journal.wants_fold else self._journal.sync)
            except JournalFailed as error:
                self.log.warning("journal not synced", error=str(error))
            else:
                self._synced_seq = seq

    async def _keep_affinity(self) -> None:
        """Moves threads that came later; libraries start theirs when first used."""
        while True:
            self._affinity.apply()
            report = self._affinity.report()
            for core in range(os.cpu_count() or 1):
                granted = str(core) in report["loop_cpus"].split(",")
                self.metrics.gauge("titan_router_cpu").labels(str(core)).set(granted)
            await asyncio.sleep(AFFINITY_S)
