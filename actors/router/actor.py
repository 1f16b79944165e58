"""The router's shell: lease, journal, venue session, bus, timers, metrics around the core.

One router leads an account, another of the same class may stand by: it keeps a mirror of the core and takes over when the leader
is proven dead. Guarantees: a leader is Ready only after the journal was replayed and agreed with the venue, a standby after its
mirror was whole; effects happen in the core's order, rows before sends; an opening whose row could not be written, or for which
the lease has run out, is not sent; events go to the bus after their rows.
Never: Postgres, Redis or Ray; a lock wait or fsync on the loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

from actors.router import chores, health
from actors.router.affinity import Affinity
from actors.router.compaction import compact_if_due
from actors.router.core import RouterCore
from actors.router.events import Event
from actors.router.follow import Broadcast, Follower, Mirror
from actors.router.intake import Intake
from actors.router.lease import Lease
from actors.router.outbox import Outbox
from actors.router.performer import Performer
from actors.router.session import BACKOFF_S, VenueSession
from actors.router.state import RouterConfig
from actors.router.succession import Succession
from actors.router.tenure import Tenure, holder_of, now_ms
from actors.router.writer import JournalWriter
from protos import system_pb2
from protos import trading_pb2 as pb
from titan import subjects
from titan.actor import Actor, ActorContext, Component
from titan.codes import ExternalPolicy
from titan.envelope import KeyRing, Verifier
from titan.errors import Ambiguous, Rejected, TitanError, Transient
from titan.halt import read_halt
from titan.instruments import Instruments
from titan.journal import Journal, JournalBusy
from titan.policy import load_policy
from titan.symbols import whitelisted
from titan.venues.adapters import make_venue
from titan.venues.base import Venue

SEND_PATIENCE_S = 3.0
ANNOUNCE_PATIENCE_S = 1.0
BUSY_AGAIN_S = 0.02
CLAIM_AGAIN_S = 0.2
FORGETFUL_S = 30.0


class _Forgetful(TitanError):
    """This place's journal is not the one that was followed: who leads from it would have forgotten orders."""


class Router(Actor):
    """Trades what the brain orders, on one account."""

    name: ClassVar[str] = "router"
    service: ClassVar[str] = "router"
    http: ClassVar[str | None] = "router_http"
    heartbeat_s: ClassVar[float] = 0.25
    # Also a standby's: it does little, and must not wait for its turn when the leader is gone.
    urgent: ClassVar[bool] = True
    # Whether it may be the first to lead; a standby only follows a leader.
    eager: ClassVar[bool] = True

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self.core: RouterCore
        self._config: RouterConfig
        self._journal: Journal
        self._venue: Venue
        self._session: VenueSession
        self._outbox: Outbox
        self._intake: Intake
        self._affinity: Affinity
        self._tenure: Tenure
        self._follower: Follower | None = None
        self._mirror: Mirror
        self._performer: Performer | None = None

    # life

    async def on_start(self) -> None:
        """Leads when nobody does, follows when somebody does."""
        self._affinity = Affinity(self.runtime.router_cpu)
        policy = load_policy(self.runtime.policy_path)
        self.log.info("risk policy", policy_hash=policy.hash)
        # The import of ccxt and the replay take a second or more: on a thread, so that the heartbeat goes on meanwhile.
        self._venue = await asyncio.to_thread(self.make_venue)
        config = self._config = RouterConfig(
            venue=self._venue.name,
            account=self._venue.account,
            policy=policy,
            policy_hash=policy.hash,
            instruments=await self._load_instruments(),
            speed=self.clock.speed,
            live=self.runtime.profile == "live",
            auto_arm=self.runtime.auto_arm,
            can=self._venue.capabilities,
            external=ExternalPolicy(self.runtime.external_orders.upper()),
            started_ms=self.runtime.started_ms,
        )
        self._mirror = Mirror(lambda: RouterCore(config, 0))
        self._session = VenueSession(
            self._venue,
            self.clock,
            self.metrics,
            self.log,
            self.spawn,
            self.feed,
            lambda: self.core.state.cursor_ms,
            self.tracer,
        )
        self._intake = Intake(
            self.bus, self.runtime, config, self.clock, Verifier(KeyRing.of(self.runtime)), self.log, self.feed
        )
        await self._intake.watch()
        eager = self.eager and self.runtime.execution_mode == "active"
        lease = Lease(holder_of(self.runtime, self.name), eager=eager)
        self._tenure = Tenure(self.bus, lease, config.venue, config.account, self.log)
        succession = Succession(self._tenure, self.log)
        if not (await succession.is_open() and await self._led(succession)):
            await self._follow(succession)

    async def _follow(self, succession: Succession) -> None:
        """Keeps the mirror until it is this router's turn; returns when the mirror is whole, or this router leads."""
        config = self._config
        self._follower = Follower(
            self.bus, self._mirror, self.name, config.venue, config.account, self._ask_leader, self.log
        )
        following = [self.spawn(self._follower.run(), "follow"), self.spawn(self._session.keep_warm(), "warm")]

        async def succeed() -> None:
            while True:
                await succession.turn()
                if await self._led(succession):
                    for task in following:
                        task.cancel()
                    return
                # Who holds the journal has not written its name into the lease yet, or can't.
                await asyncio.sleep(BUSY_AGAIN_S)

        leading = self.spawn(succeed(), "succession")
        whole = asyncio.ensure_future(self._follower.whole.wait())
        await asyncio.wait({whole, leading}, return_when=asyncio.FIRST_COMPLETED)
        whole.cancel()
        self.log.info("mode", mode=self.mode, row=self._mirror.seq)

    async def _ask_leader(self, asked: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        return await self.bus.request(subjects.RPC_JOURNAL, asked, pb.JournalFollowReply, timeout_s=1.0)

    async def _led(self, succession: Succession) -> bool:
        """Takes over journal and lease, agrees with the venue and listens; False when another router was quicker."""
        began = time.perf_counter()
        lease = self._tenure.lease
        predecessor = None if lease.entry is None else lease.entry.record.holder
        self._mirror.held = True
        try:
            await asyncio.to_thread(self._remember)
        except JournalBusy as error:
            self._mirror.held = False
            self.log.info("another router was quicker", detail=str(error))
            return False
        except _Forgetful as error:
            self._mirror.held = False
            await self.alert("STANDBY_WITHOUT_JOURNAL", "CRITICAL", str(error))
            await asyncio.sleep(FORGETFUL_S)
            return False
        remembered = time.perf_counter()
        succession.close()
        lease.lead(self._journal.term)
        self._affinity.apply()
        held = await self._tenure.claim()
        while not held and (predecessor is None or predecessor.place != lease.me.place):
            # What was not led on this place may be led elsewhere: without the bus's word nothing may be sent.
            await asyncio.sleep(CLAIM_AGAIN_S)
            held = await self._tenure.claim()
        claimed = time.perf_counter()
        agreed = await self._open_for_trade(held)
        ended = time.perf_counter()
        self.metrics.gauge("titan_router_promotion_seconds").set(ended - began)
        self.log.info(
            "leads",
            term=lease.term,
            after=repr(predecessor),
            seconds=round(ended - began, 4),
            journal_s=round(remembered - began, 4),
            lease_s=round(claimed - remembered, 4),
            venue_s=round(agreed - claimed, 4),
            intake_s=round(ended - agreed, 4),
        )
        return True

    async def _open_for_trade(self, held: bool) -> float:
        """Agrees with the venue, then listens; the instant between the two, of `time.perf_counter`."""
        self._outbox = Outbox(self.bus, self._journal, self.log)
        broadcast = Broadcast(self.bus, self._journal, self._config.venue, self._config.account)
        performer = Performer(self, self.core, self._session, self._outbox, self._tenure, self._affinity)
        writer = JournalWriter(self._journal, self._outbox, self.metrics, performer.link_of("journal"), broadcast.put)
        self._outbox.put(self._journal.rows(self._journal.published_seq))
        self._performer = performer
        performer.begin(writer)
        lease_changed = performer.link_of("lease")
        if not held:
            lease_changed(False, chores.UNCONFIRMED)
        self.spawn(chores.keep_lease(self._tenure, held, lease_changed), "lease")
        self._intake.last_seq = lambda: self._journal.last_seq
        self._intake.followed = broadcast.follow
        halt_reason = read_halt(self.runtime.home) or ""
        report, _ = await asyncio.gather(
            self._session.recover(self.core.unsettled(), halt_reason), self._intake.prepare()
        )
        self.feed(report)
        agreed = time.perf_counter()
        if self.state == system_pb2.ACTOR_STATE_STARTING:
            await self._set_leverages(self._config)
        self._report_torn()
        for work, name in (
            (self._outbox.run(), "outbox"),
            (broadcast.run(), "broadcast"),
            (self._session.stream(), "stream"),
            (self._session.poll(), "poll"),
            (chores.tick(writer, self._outbox, self.feed), "tick"),
            (chores.watch_bus(self.bus, performer.link_of("bus")), "bus-watch"),
            (chores.sync(self._journal, self.log), "sync"),
            (chores.keep_affinity(self._affinity, self.metrics), "affinity"),
        ):
            self.spawn(work, name)
        await self._intake.open()
        await performer.publish_state()
        return agreed

    def _remember(self) -> None:
        """Opens the journal and replays what the mirror does not have; all of it when the mirror is of another journal."""
        began = time.perf_counter()
        mirror = self._mirror
        checked = (mirror.seq, mirror.head) if mirror.seq else None
        journal = Journal.open(self.runtime.journal_path, after_term=self._tenure.lease.last_term, checked=checked)
        if checked is not None and not journal.continues and not self._was_here():
            journal.close()
            raise _Forgetful(
                f"the leader elsewhere is gone, but the journal {journal.path} ends at row {journal.last_seq} and lacks what "
                f"was followed up to row {mirror.seq}: bring the leader's journal here, or start the leader again"
            )
        if checked is None or not journal.continues:
            compacted = compact_if_due(journal, self._config, self.clock.now().wall_ms)
            if compacted is not None:
                self.log.info(
                    "journal compacted", base=compacted.base_seq, rows=compacted.rows, refused=compacted.refused
                )
            mirror.begin_anew()
        count = mirror.core.replay(journal.rows(mirror.seq))
        mirror.core.state.term = journal.term
        self.core, self._journal = mirror.core, journal
        self.log.info("journal replayed", rows=count, term=journal.term, seconds=time.perf_counter() - began)

    def _was_here(self) -> bool:
        """Whether the last leader led on this place: then its journal is this one, torn or not."""
        lease = self._tenure.lease
        return lease.entry is None or lease.entry.record.holder.place == lease.me.place

    def make_venue(self) -> Venue:
        """The account's adapter; the import pays for ccxt."""
        return make_venue(self.runtime.venue)

    async def on_drain(self) -> None:
        """Takes no new intents; waits for sends under way."""
        if self._performer is None:
            return
        self._intake.draining = True
        deadline = time.monotonic() + SEND_PATIENCE_S
        while self._session.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def on_stop(self) -> None:
        """Announces what waits, makes the journal durable, gives the lease back, lets the venue go."""
        if self._performer is None:
            await self._venue.close()
            return
        await self._performer.told(ANNOUNCE_PATIENCE_S)
        self._outbox.note()
        await self._venue.close()
        await self._tenure.release()
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

    def feed(self, event: Event) -> None:
        """Hands an event to the core; a standby's learns quotes and the brain's pulse, and owes nobody anything for them."""
        if self._performer is None:
            self._mirror.core.handle(event, self.clock.now())
        else:
            self._performer.feed(event)

    # telling

    def busy(self) -> bool:
        """An order is on its way to the venue, or in doubt."""
        return not self._state_unready() and bool(self._session.in_flight or self.core.state.lookups)

    def components(self) -> Mapping[str, Component]:
        """Venue, journal, lease, books and affinity of a leader; how a standby follows."""
        performer = self._performer
        if performer is None and self._follower is not None:
            entry = self._tenure.lease.entry
            leader = "nobody" if entry is None else f"{entry.record.holder.name}, term {entry.record.term}"
            return health.following(self._follower.lag_s, self._mirror.seq, leader)
        if performer is None or self._state_unready():
            return {"recovery": Component("degraded", "journal and venue are being brought into agreement")}
        now = time.monotonic()
        seen = health.Seen(
            rest_age_s=now - self._session.rest_seen_s,
            stream_age_s=now - self._session.stream_seen_s,
            journal_healthy=performer.journal_healthy,
            journal_detail=f"row {self._journal.last_seq}, term {self._journal.term}",
            lease_detail=f"term {self._tenure.lease.term}, {self._tenure.lease.standing(now_ms()).value}",
            affinity=self._affinity.last,
        )
        return {**health.leading(self.core.state, seen), **self.fast_lane()}

    @property
    def mode(self) -> str:
        """What this router is: active or standby."""
        return "standby" if self._performer is None else "active"

    def speaks(self) -> bool:
        """Only the leader is the router on the bus."""
        return self._performer is not None

    def describe(self, beat: system_pb2.Heartbeat) -> None:
        """Mode, term, and how far behind its leader a standby is."""
        beat.mode, beat.follow_lag_s = self.mode, self._lag_s()
        tenure: Tenure | None = getattr(self, "_tenure", None)
        if tenure is not None:
            beat.term = tenure.lease.term or tenure.lease.last_term
        self.metrics.gauge("titan_router_leads").set(self._performer is not None)
        self.metrics.gauge("titan_router_lease_term").set(beat.term)
        self.metrics.gauge("titan_router_follow_lag_seconds").set(beat.follow_lag_s)

    def _lag_s(self) -> float:
        return 0.0 if self._performer is not None or self._follower is None else self._follower.lag_s

    def health_extra(self) -> Mapping[str, str]:
        """Mode, term, policy hash and trading state."""
        if self._state_unready():
            return {"mode": self.mode, "follow_lag_s": f"{self._lag_s():.3f}"}
        state = self.core.state
        return {
            "mode": self.mode,
            "term": str(self._tenure.lease.term),
            "policy_hash": self.core.config.policy_hash,
            "trading_state": state.effective.value,
            "trading_reason": state.reason,
        }

    def _state_unready(self) -> bool:
        return not hasattr(self, "core") or not self.core.state.ready


class RouterStandby(Router):
    """The second router of a node: follows the first, and leads when that one is dead; then the first follows it."""

    name: ClassVar[str] = "router_standby"
    http: ClassVar[str | None] = "router_standby_http"
    eager: ClassVar[bool] = False
