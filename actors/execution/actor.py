"""Execution's shell: consumers, ledger, journal follower, truth passes, timers, HTTP.

Guarantees: an event of the bus is acknowledged only after its rows are committed; while PostgreSQL is away nothing is
acknowledged and nothing is lost; a truth pass runs every minute of wall time and on demand. Never: an order; the only
command it sends is an operator's flatten.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
from collections.abc import Coroutine, Mapping
from typing import ClassVar

from aiohttp import web

from actors.execution import news
from actors.execution.books import Written
from actors.execution.core import (
    Account,
    CashRead,
    Committed,
    Effect,
    Event,
    ExecutionCore,
    KeepEquity,
    KeepTruth,
    ReadCash,
    RouterSpoke,
    StoreChanged,
    Tick,
)
from actors.execution.health import Knowledge, components
from actors.execution.http import Routes
from actors.execution.intake import EVENTS, FEEDS, consume_all
from actors.execution.opening import Links, OpenBooks, open_books
from actors.execution.scribe import Scribe
from actors.execution.shown import Shown
from actors.execution.storage import Storage
from actors.execution.venue import VenueSource
from protos import market_pb2, system_pb2
from protos import trading_pb2 as pb
from titan import subjects
from titan.actor import Actor, ActorContext, Component
from titan.bus import Received
from titan.clock import Now
from titan.effects import Publish, RaiseAlert
from titan.errors import Transient
from titan.exposition import merged
from titan.http import HOST, serve_app, standard_app
from titan.ids import new_ulid
from titan.phrases import lines_of
from titan.policy import load_policy
from titan.store import queries
from titan.venues.adapters import make_venue

TICK_S = 1.0
FOLLOW_S = 1.0
TRUTH_EVERY_S = 60.0
FIRST_TRUTH_S = 5.0
PENDING_EVERY_S = 5.0
STORE_PATIENCE_S = 3.0
STORE_RETRY_S = 0.25
FLATTEN_TIMEOUT_S = 10.0
CASH_RETRY_S = 0.01
AUDIT_RETRY_S = 1.0


class Execution(Actor):
    """Keeps the books, compares them, shows them."""

    name: ClassVar[str] = "execution"

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        venue = self.runtime.venue
        self.account = Account(venue.name, venue.account)
        self.policy = load_policy(self.runtime.policy_path)
        self.core = ExecutionCore(self.account, self.policy.hash)
        self.knowledge = Knowledge()
        self._apps: list[web.AppRunner] = []
        self._routes = Routes(self, self.runtime.api_tokens)
        self._router_metrics = b""
        self._source: VenueSource | None = None
        self._instruments_loaded = False
        self._books: OpenBooks | None = None
        self._keeping = asyncio.Lock()

    # Life.

    async def on_start(self) -> None:
        """Opens the books and subscribes. Without PostgreSQL it is Ready as well, says so, and opens them when it can."""
        self.log.info("risk policy", policy_hash=self.policy.hash)
        await self._serve()
        await self.bus.subscribe(subjects.ROUTER_STATE, pb.RouterState, self._on_router_state)
        await self.bus.subscribe(subjects.VENUE_STATUS, market_pb2.VenueStatus, self._on_venue_status)
        await self.bus.subscribe(subjects.heartbeat("router"), system_pb2.Heartbeat, self._on_router_beat)
        await self.bus.serve(subjects.RPC_TRUTH, pb.TruthRequest, self._on_truth_request)
        self.spawn(self._ticks(), "ticks")
        self.spawn(Storage(self, lambda: self._books).watch(), "storage")
        opening = self.spawn(self._open_books(), "open-books")
        await asyncio.wait({opening}, timeout=STORE_PATIENCE_S)
        if not opening.done():
            self._store_changed(False, self.knowledge.starting)

    async def _open_books(self) -> None:
        links = Links(self._ask_journal, self._open_source, self._written, self._store_changed, self.tracer)
        books: OpenBooks | None = None
        while books is None:
            try:
                books = await open_books(self.runtime.ledger("execution"), self.account, self.clock, links)
            except Transient as error:
                self.knowledge.starting = str(error)
                await asyncio.sleep(STORE_RETRY_S)
        self.log.info("ledger open", migrations_applied=books.applied)
        self._books = books
        self.core.remember(books.remembered)
        known = self.knowledge
        known.scribe, known.follower, known.auditor = books.scribe, books.follower, books.auditor
        self._store_changed(True, "")
        self.spawn(books.scribe.run(), "scribe")
        await consume_all(self.bus, books.scribe, self.advance, self.log)
        self.spawn(self._follow_for_ever(books), "follow")
        self.spawn(self._truth_for_ever(), "truth")
        self.spawn(self._count_pending(), "pending")

    async def on_stop(self) -> None:
        """Gives back listeners, connections and the venue session."""
        for runner in self._apps:
            await runner.cleanup()
        if self._source is not None:
            await self._source.close()
        if self._books is not None:
            await self._books.pool.close()

    async def _serve(self) -> None:
        for port, loopback in (("execution_http", False), ("execution_loopback", True)):
            app = standard_app(Shown(self, self.exposition))
            self._routes.add(app, loopback=loopback)
            self._apps.append(await serve_app(app, self.runtime.ports[port], HOST if loopback else self.runtime.bind))

    # Intake.

    async def _on_router_state(self, received: Received[pb.RouterState]) -> None:
        await self._feed(RouterSpoke(received.message))

    async def _on_venue_status(self, received: Received[market_pb2.VenueStatus]) -> None:
        if received.message.venue == self.account.venue:
            self.knowledge.heard_stream(received.message)

    async def _on_router_beat(self, received: Received[system_pb2.Heartbeat]) -> None:
        if received.message.metrics:
            self._router_metrics = received.message.metrics

    async def _on_truth_request(self, received: Received[pb.TruthRequest]) -> pb.Truth:
        return await self.truth(received.message.requested_by or "rpc", venue_only=received.message.venue_only)

    async def _ask_journal(self, request: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        return await self.bus.request(subjects.RPC_JOURNAL, request, pb.JournalFollowReply, 3.0)

    # Effects.

    async def _feed(self, event: Event) -> None:
        await self._perform(self.core.handle(event, self.now()))

    async def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish():
                    await self._publish(effect)
                case RaiseAlert():
                    await self.alert(effect.code, effect.severity, effect.message, effect.labels)
                case ReadCash() if self._books is not None:
                    self.spawn(self._read_cash(self._books), "read-cash")
                case KeepEquity() if self._books is not None:
                    self.spawn(self._keep(self._books.records.keep_equity(effect.point)), "keep-equity")
                case KeepTruth() if self._books is not None:
                    self.spawn(self._keep(self._books.records.keep_truth(effect.run)), "keep-truth")

    async def _publish(self, effect: Publish) -> None:
        if not effect.durable:
            await self.bus.publish(effect.subject, effect.message)
            return
        try:
            await self.bus.publish_durable(
                effect.subject, effect.message, idempotency_key=effect.idempotency_key, envelope_id=effect.envelope_id
            )
        except Transient as error:
            self.log.warning("not published, the next one will tell", subject=effect.subject, error=str(error))

    async def _read_cash(self, books: OpenBooks) -> None:
        """Reads the wallet at a moment when no batch is under way, so that no fill counts twice or not at all."""
        scribe = books.scribe
        while True:
            batches, quiet = scribe.batches, not scribe.busy
            try:
                cash = await books.records.cash()
            except Transient as error:
                self._store_changed(False, str(error))
                return
            if quiet and not scribe.busy and batches == scribe.batches:
                await self._feed(CashRead(cash))
                return
            await asyncio.sleep(CASH_RETRY_S)

    async def _keep(self, work: Coroutine[object, object, None]) -> None:
        """Writes what is of no use later: while the database is away it is dropped, and said so once by the scribe."""
        try:
            async with self._keeping:
                await work
        except Transient as error:
            self._store_changed(False, str(error))

    def _written(self, written: Written) -> None:
        self.metrics.counter("titan_execution_books_batches_total").inc()
        self.metrics.counter("titan_execution_books_rows_total").inc(written.rows)
        event = Committed(
            written.fills,
            written.holdings,
            written.round_trips,
            written.late,
            written.claims,
            written.funding_paid,
            written.wallet_moved,
        )
        self._feed_later(event)

    def _store_changed(self, up: bool, detail: str) -> None:
        self._feed_later(StoreChanged(up, detail))

    def _feed_later(self, event: Event) -> None:
        effects = self.core.handle(event, self.now())
        if effects:
            self.spawn(self._perform(effects), "effects")

    # Background.

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._feed(Tick())
            if self._books is not None and not self._books.scribe.up:
                await self._probe(self._books.scribe)
            self._measure()

    async def _probe(self, scribe: Scribe) -> None:
        """Asks whether the database is back, so that it is noticed without news to write."""
        try:
            await scribe.book(())
        except Transient as error:
            self.log.debug("ledger still away", error=str(error))

    async def _follow_for_ever(self, books: OpenBooks) -> None:
        """Takes the journal as it grows, whatever the bus delivered."""
        while True:
            try:
                await books.follower.follow()
                self.knowledge.followed()
            except Transient as error:
                self.knowledge.journal_error = str(error)
            await asyncio.sleep(FOLLOW_S)

    async def _truth_for_ever(self) -> None:
        await asyncio.sleep(FIRST_TRUTH_S)
        while True:
            await self.truth("schedule", whole=False)
            await asyncio.sleep(TRUTH_EVERY_S)

    async def _count_pending(self) -> None:
        gauge = self.metrics.gauge("titan_nats_pending_messages")
        while True:
            await asyncio.sleep(PENDING_EVERY_S)
            for feed in FEEDS:
                try:
                    gauge.labels(EVENTS, feed.durable).set(await self.bus.pending(EVENTS, feed.durable))
                except Transient as error:
                    self.log.debug("backlog unknown", durable=feed.durable, error=str(error))

    async def truth(self, requested_by: str, *, venue_only: bool = False, whole: bool = True) -> pb.Truth:
        """One pass of the comparison, published and kept. Not `whole`: of what is recent, where that is enough."""
        books = self._books
        if books is None:
            error = f"the ledger is not open: {self.knowledge.starting}"
            return pb.Truth(
                venue=self.account.venue, ts_ms=self.now().wall_ms, error=error, policy_hash=self.policy.hash
            )
        passed = await books.auditor.run(requested_by, venue_only=venue_only, whole=whole)
        self.metrics.histogram("titan_execution_truth_pass_seconds").observe(passed.duration_ms / 1000)
        await self._feed(passed)
        await self._read_cash(books)
        run = self.core.truth
        assert run is not None
        for drift in run.drifts:
            self.metrics.counter("titan_truth_drift_total").labels(drift.kind.value).inc()
            self.log.warning(
                "difference",
                kind=drift.kind.value,
                key=drift.key,
                venue=drift.venue,
                journal=drift.journal,
                ledger=drift.ledger,
            )
        self.log.info(
            "truth",
            orders=run.orders_compared,
            fills=run.fills_compared,
            since_ms=run.since_ms,
            differences=len(run.drifts),
            confidence=run.confidence,
            complete=run.complete,
            error=run.error,
            duration_ms=run.duration_ms,
            said=[line.phrase.value for line in lines_of(run.message())],
        )
        return run.message()

    async def _open_source(self) -> VenueSource:
        if self._source is None:
            # ccxt takes a second to import; a thread keeps the heartbeat going meanwhile.
            await asyncio.to_thread(importlib.import_module, "ccxt.pro")
            self._source = make_venue(self.runtime.venue)
        if not self._instruments_loaded:
            await self._source.load_instruments()
            self._instruments_loaded = True
        return self._source

    # What the routes show.

    def now(self) -> Now:
        """Both times."""
        return self.clock.now()

    def components(self) -> Mapping[str, Component]:
        """Database, venue stream, broker, journal, books."""
        return components(self.knowledge, self.core, self.now())

    def health_extra(self) -> Mapping[str, str]:
        """Policy hash and trading state."""
        state = self.core.trading_state
        return {"policy_hash": self.policy.hash, "trading_state": "UNKNOWN" if state is None else state.value}

    def exposition(self) -> bytes:
        """This process's metrics and the router's last ones."""
        return merged((self._router_metrics, self.metrics.exposition()))

    async def trades(self, date: dt.date | None, limit: int) -> list[queries.TradeRow]:
        """Fills of the ledger."""
        if self._books is None:
            raise Transient(f"the ledger is not open: {self.knowledge.starting}")
        return await queries.list_trades(self._books.pool, limit, date=date)

    async def flatten(self, who: str) -> pb.OperatorReceipt:
        """Orders the router to flatten everything; the act is audited whatever comes of it."""
        command = pb.OperatorCommand(
            command_id=new_ulid(),
            action="flatten",
            reason=f"emergency flatten-all over HTTP ({who})",
            operator_id=who,
            ts_ms=self.now().wall_ms,
        )
        self.log.warning("flatten-all", command_id=command.command_id, who=who)
        outcome = "no answer"
        try:
            receipt = await self.bus.request(
                subjects.operator("flatten"), command, pb.OperatorReceipt, FLATTEN_TIMEOUT_S
            )
            outcome = f"{'accepted' if receipt.accepted else 'refused'}: {receipt.code} {receipt.detail}"
            return receipt
        finally:
            await self.alert("FLATTEN_ALL", "CRITICAL", f"flatten-all asked for by {who}: {outcome}")
            self.spawn(self._audit_flatten(command, who, outcome), "audit-flatten")

    async def _audit_flatten(self, command: pb.OperatorCommand, who: str, outcome: str) -> None:
        act = news.AuditNews(
            event_id=command.command_id,
            kind="FLATTEN_ALL",
            actor=who,
            summary=f"flatten-all: {outcome}",
            detail={"command_id": command.command_id, "outcome": outcome},
            ts_ms=command.ts_ms,
        )
        while True:
            try:
                if self._books is not None:
                    await self._books.scribe.book((act,))
                    return
            except Transient as error:
                self.log.debug("act not audited yet", command_id=command.command_id, error=str(error))
            await asyncio.sleep(AUDIT_RETRY_S)

    def _measure(self) -> None:
        gauge = self.metrics.gauge
        gauge("titan_truth_confidence").set(self.core.confidence)
        if self._books is not None:
            lag = self.core.journal_seq - self._books.follower.booked_seq
            gauge("titan_execution_journal_lag_rows").set(max(0, lag))
        for name, part in self.components().items():
            value = {"healthy": 1.0, "degraded": 0.5, "unhealthy": 0.0}[part.status]
            gauge("titan_health_status").labels(name).set(value)
