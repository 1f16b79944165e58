"""A router in a simulated process: it leads when nobody does, and follows when somebody does, like `actors.router.actor`.

Guarantees: it leads only after the lease and the journal's lock said so, and everything that can happen between the two
can happen here. Never: a decision.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors.router.chores import UNCONFIRMED
from actors.router.events import BrainBeat, Event, IntentArrived, LinkChanged, QuoteSeen
from actors.router.follow import Mirror
from actors.router.intake import quote_of, read_intent
from actors.router.lease import Lease
from actors.router.operator_door import read_command
from actors.router.state import ABLE, RouterConfig
from actors.router.tenure import Superseded
from protos import brain_pb2, market_pb2, system_pb2, trading_pb2
from simulation.bus import KEY, Delivery
from simulation.follow import SimFollower
from simulation.journal import JournalHeld
from simulation.performer import SimPerformer
from simulation.plan import Moment
from simulation.process import Ask, Conversation, Sleep
from simulation.tenure import SimSuccession, SimTenure, holder_of
from simulation.venue import ACCOUNT, SYMBOLS, VENUE, listed
from titan import subjects
from titan.envelope import KeyRing, Verifier
from titan.errors import Ambiguous, Rejected, Transient
from titan.instruments import Instruments
from titan.venues import bybit_shapes as shapes

if TYPE_CHECKING:
    from simulation.world import World

FIRST, STANDBY = "router", "router_standby"
CLAIM_AGAIN_MS = 100
BUSY_AGAIN_MS = 20
FOR_EVER_MS = 10**9
CAN = replace(ABLE, time_in_force=shapes.TIME_IN_FORCE)
"""What the adapter whose encoders this venue speaks can send."""
STIFF = replace(CAN, amends=frozenset(), amends_waiting=frozenset())
"""The same venue, if it could change no order in place."""


class SimRouter(SimPerformer):
    """One incarnation of a router. `leads` is true once it trades."""

    def __init__(self, world: World, name: str, incarnation: int) -> None:
        place = "place-b" if world.plan.apart and name == STANDBY else "place-a"
        self.holder = holder_of(world, name, place)
        super().__init__(world, name, incarnation, Lease(self.holder, eager=name == FIRST))
        self.config: RouterConfig
        self.mirror: Mirror
        self.tenure = SimTenure(world.engine, world.lease_key, self, self.lease)
        self.succession = SimSuccession(world, self.tenure)
        self.follower: SimFollower | None = None
        self.leads = False
        self._verifier = Verifier(KeyRing(KEY))

    # life

    def start(self) -> Conversation:
        """Leads when nobody does, follows when somebody does."""
        world = self.world
        yield Sleep(world.engine.chance("start").randint(80, 400))
        if world.start_crashes > 0:
            world.start_crashes -= 1
            self.kill("crashed in its start")
            return
        config = self.config = RouterConfig(
            venue=VENUE,
            account=ACCOUNT,
            policy=world.policy,
            policy_hash=world.policy.hash,
            instruments=(yield from self._instruments()),
            speed=world.engine.speed,
            live=world.plan.live,
            auto_arm=not world.plan.live,
            started_ms=world.started_ms,
            rare=world.rare,
            can=STIFF if world.plan.stiff else CAN,
        )
        self.mirror = Mirror(lambda: world.make_router_core(config, 0))
        self.core = self.mirror.core
        self._watch()
        try:
            if (yield from self.succession.is_open()) and (yield from self._led()):
                self._up()
                return
        except Superseded:
            self.kill("superseded while it began to lead")
            return
        self.follower = SimFollower(world, self, self.mirror)
        self.spawn(self.follower.run())
        self.spawn(self._succeed())
        yield self.follower.whole.wait(FOR_EVER_MS)
        self._up()

    def _up(self) -> None:
        if not self.ready:
            self.ready = True
            self.world.process_ready(self)

    def _instruments(self) -> Any:
        world, attempt = self.world, 0
        while True:
            try:
                found = yield Ask(
                    lambda done: world.venue.call("instruments", lambda: tuple(world.venue.instruments), done)
                )
            except (Rejected, Transient, Ambiguous):
                yield Sleep((100, 200, 500, 1_000, 2_000)[min(attempt, 4)])
                attempt += 1
            else:
                return Instruments([listed(one) for one in found])

    def _succeed(self) -> Conversation:
        try:
            while True:
                yield from self.succession.turn()
                if (yield from self._led()):
                    self._up()
                    return
                yield Sleep(BUSY_AGAIN_MS)
        except Superseded:
            self.kill("superseded while it began to lead")

    def _led(self) -> Any:
        """Takes over journal and lease, agrees with the venue and listens; False when another router was quicker."""
        world, lease, mirror = self.world, self.lease, self.mirror
        predecessor = None if lease.entry is None else lease.entry.record.holder
        if world.promotion_fuse >= 0:
            self.fuse, world.promotion_fuse = world.promotion_fuse, -1
        mirror.held = True
        self.boundary()
        yield Sleep(world.engine.chance("start").randint(2, 12))
        try:
            term = world.journal.open(self, after_term=lease.last_term)
        except JournalHeld:
            mirror.held = False
            return False
        self.boundary()
        if mirror.seq and not world.journal.has(mirror.seq, mirror.head):
            mirror.begin_anew()
        self.replay()
        self.core, self.term = mirror.core, term
        self.core.state.term = term
        world.router = self
        if self.follower is not None:
            self.follower.following = False
        world.checks.replayed(self)
        lease.lead(term)
        self.boundary()
        held = yield from self.tenure.claim()
        while not held and (predecessor is None or predecessor.place != lease.me.place):
            yield Sleep(CLAIM_AGAIN_MS)
            held = yield from self.tenure.claim()
        self.boundary()
        yield from self._open_for_trade(held)
        return True

    def replay(self) -> None:
        """Reads what the mirror does not have."""
        self.mirror.core.replay(self.world.journal.rows(self.mirror.seq))

    def _open_for_trade(self, held: bool) -> Any:
        world = self.world
        self._outbox.extend(world.journal.rows(world.journal.published))
        self.performs = True
        world.checks.began(self)
        self._perform(self.core.start(world.engine.now(), self.holder.pid))
        if not held:
            self._lease_changed(False)
        self.spawn(self._keep_lease(held))
        report = yield from self.session.recover(self.core.unsettled(), world.halt_reason)
        self.feed(report)
        self.boundary()
        self.spawn(self.session.stream())
        self.spawn(self.session.poll())
        self._tick()
        self._sync()
        self._announce()
        self.broadcast.begin()
        self.leads = True
        world.bus.subscribe(self, subjects.INTENT_PLACE_ALL, trading_pb2.Intent, self._on_intent)
        world.bus.consume(self, "EXECUTION_CORE", trading_pb2.Intent, self._on_intent, renew=True)
        self._publish_state()
        world.engine.note(f"leads {self.name}#{self.incarnation} term {self.term}")

    def _keep_lease(self, held: bool) -> Conversation:
        try:
            yield from self.tenure.keep(held, self._lease_changed)
        except Superseded:
            self.kill("superseded")

    def _lease_changed(self, held: bool) -> None:
        self.feed(LinkChanged("lease", held, "" if held else UNCONFIRMED))

    def on_death(self) -> None:
        """Lock, connections and subscriptions go back."""
        self.leads = False
        self.world.journal.release(self)
        self.world.bus.leave(self)
        if self.world.router is self:
            self.world.venue.on_frames = None

    # what comes in

    def _watch(self) -> None:
        bus = self.world.bus
        bus.subscribe(self, subjects.heartbeat("brain"), system_pb2.Heartbeat, self._on_brain)
        for symbol in SYMBOLS:
            bus.subscribe(self, subjects.ticker(VENUE, symbol), market_pb2.Ticker, self._on_ticker)

    def overheard(self, event: Event) -> None:
        """A standby's mirror learns quotes and the brain's pulse, and owes nobody anything for them."""
        self.mirror.core.handle(event, self.engine.now())

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
