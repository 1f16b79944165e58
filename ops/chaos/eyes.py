"""What a campaign sees of its system: one light look many times a second, one whole reading for the invariants.

Guarantees: nothing here changes anything; what can't be read is absent, not made up; journal rows once seen are kept, so
that a row which vanishes is noticed. Never: the router's own word where the venue, the journal or Postgres can say it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from decimal import Decimal

import orjson
import psutil

from ops.chaos.books import read_ledger
from ops.chaos.system import QUARANTINED, ActorSeen, System, dead
from ops.chaos.venue import VenueAdmin
from protos import brain_pb2, market_pb2, system_pb2, trading_pb2
from supervisors.tree import GROUPS_WITH_STANDBY
from titan import subjects
from titan.bus import Bus, Received
from titan.codec import TRADING_STATE_TO_PB
from titan.codes import TradingState
from titan.errors import Transient
from titan.invariants import Child, Escalated, Leader, Limit, Live, Recovery, Remembered, Restart, World
from titan.journal import JournalCorrupt, JournalFailed, StoredRow, read_rows
from titan.money import dec
from titan.runtime import Runtime

FRESH_S = 2.5
OWNER = "titan"
LIMITS = tuple(Limit(group.name, group.max_restarts, group.period_s * 1000) for group in GROUPS_WITH_STANDBY)
_TRADING = {number: state for state, number in TRADING_STATE_TO_PB.items()}


def wall_ms() -> int:
    """Wall time."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Sight:
    """One look. `heard_s` is the monotonic instant of the router's last word, `age_s` how long ago that was."""

    actors: dict[str, ActorSeen]
    trading: TradingState | None
    reason: str
    term: int
    age_s: float
    heard_s: float
    bus: bool

    @property
    def ready(self) -> bool:
        """Whether every actor works."""
        return bool(self.actors) and all(actor.ready for actor in self.actors.values())

    @property
    def speaking(self) -> bool:
        """Whether the router spoke lately."""
        return self.age_s <= FRESH_S

    @property
    def active(self) -> bool:
        """Whether everything works and openings are possible."""
        return self.ready and self.speaking and self.trading is TradingState.ACTIVE

    def missing(self) -> str:
        """What is not as it should be, in words."""
        down = [f"{actor.name} {actor.state.removeprefix('ACTOR_STATE_').lower()}" for actor in self.actors.values()]
        down = [word for word, actor in zip(down, self.actors.values(), strict=True) if not actor.ready]
        if not self.actors:
            down.append("no root supervisor answers")
        if not self.speaking:
            down.append(f"the router is silent for {self.age_s:.1f} s")
        elif self.trading is not TradingState.ACTIVE:
            down.append(f"trading is {self.trading}: {self.reason}")
        return "; ".join(down)


@dataclass(slots=True)
class Memory:
    """What was seen so far and must not be forgotten."""

    rows: list[StoredRow] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    escalations: list[Escalated] = field(default_factory=list)
    excused: set[str] = field(default_factory=set)
    alerts: set[str] = field(default_factory=set)
    # What each supervisor's own count left it at the last look.
    left: dict[str, int] = field(default_factory=dict)


class Eyes:
    """One campaign's senses. Open it once the system is up; `memory` outlives a restart of the whole."""

    def __init__(self, system: System, bus: Bus, memory: Memory) -> None:
        self.system = system
        self.runtime = system.runtime
        self.bus = bus
        self.memory = memory
        self.venue = VenueAdmin(self.runtime.venue.admin_url, self.runtime.symbols)
        self._router: trading_pb2.RouterState | None = None
        self._heard_s = -1e9
        self._marks: dict[str, Decimal] = {}
        self.intents: list[tuple[str, bytes]] = []
        self.veto = ""

    @classmethod
    async def open(cls, system: System, memory: Memory) -> Eyes:
        """Connects to the bus with the owner's login. Raises Transient."""
        bus = await Bus.connect(_as_owner(system.runtime), OWNER)
        eyes = cls(system, bus, memory)
        await bus.subscribe(subjects.ROUTER_STATE, trading_pb2.RouterState, eyes._on_router)
        await bus.subscribe(subjects.ACTOR_RESTARTED, system_pb2.ActorRestarted, eyes._on_restarted)
        await bus.subscribe(subjects.ALERT, system_pb2.Alert, eyes._on_alert)
        await bus.subscribe(subjects.DECISION, brain_pb2.Decision, eyes._on_decision)
        await bus.subscribe_raw(subjects.INTENT_PLACE_ALL, eyes._on_intent)
        for symbol in eyes.runtime.symbols:
            ticker = subjects.ticker(eyes.runtime.venue.name, symbol)
            await bus.subscribe(ticker, market_pb2.Ticker, eyes._on_ticker)
        return eyes

    async def another(self) -> Bus:
        """A second connection with the owner's login; the caller closes it. Raises Transient."""
        return await Bus.connect(_as_owner(self.runtime), OWNER)

    async def close(self) -> None:
        """Lets go of the bus."""
        await self.bus.close()

    async def _on_router(self, received: Received[trading_pb2.RouterState]) -> None:
        self._router, self._heard_s = received.message, time.monotonic()

    async def _on_restarted(self, received: Received[system_pb2.ActorRestarted]) -> None:
        event = received.message
        if not event.graceful and event.kind in ("", "crash"):
            # What counts is when it died, not when it was Ready again.
            died_ms = event.ts_ms - int(event.recovery_s * 1000)
            self.memory.restarts.append(Restart(_group_of(event.name), event.name, died_ms))

    async def _on_alert(self, received: Received[system_pb2.Alert]) -> None:
        alert = received.message
        self.memory.alerts.add(f"{alert.code}: {alert.message}")
        supervisor = alert.labels.get("supervisor", "")
        if supervisor and alert.code != "SUPERVISOR_RECOVERED":
            self.memory.escalations.append(Escalated(supervisor, alert.ts_ms))

    async def _on_ticker(self, received: Received[market_pb2.Ticker]) -> None:
        if received.message.last:
            self._marks[received.message.symbol] = dec(received.message.last)

    async def _on_decision(self, received: Received[brain_pb2.Decision]) -> None:
        decision = received.message
        if decision.phase == trading_pb2.PHASE_MANUAL:
            self.veto = "" if decision.approved else decision.code

    async def _on_intent(self, subject: str, data: bytes, _reply: str) -> None:
        self.intents = [*self.intents[-49:], (subject, data)]

    async def look(self) -> Sight:
        """One light look: milliseconds."""
        actors = await self.system.actors(0.5)
        for actor in actors.values():
            others = [each.left for each in actors.values() if each.supervisor == actor.supervisor]
            self.memory.left[actor.supervisor] = min(others)
            if actor.state == QUARANTINED:
                self.memory.escalations.append(Escalated(actor.supervisor, wall_ms()))
        router = self._router
        trading = None if router is None else _TRADING.get(router.trading_state)
        return Sight(
            actors,
            trading,
            "" if router is None else router.reason,
            0 if router is None else router.term,
            time.monotonic() - self._heard_s,
            self._heard_s,
            self.bus.connected,
        )

    def price(self, symbol: str) -> Decimal:
        """The last price that the market data actor told, zero when it told none yet."""
        return self._marks.get(symbol, Decimal(0))

    def held(self, symbol: str) -> Decimal:
        """What the router says it holds."""
        for position in () if self._router is None else self._router.positions:
            if position.symbol == symbol:
                return dec(position.quantity)
        return Decimal(0)

    def follow(self) -> list[StoredRow]:
        """The journal rows that are new since the last call. Raises JournalFailed, JournalCorrupt."""
        rows = self.memory.rows
        fresh = read_rows(self.runtime.journal_path, rows[-1].seq if rows else 0)
        rows.extend(fresh)
        return fresh

    async def world(self, recoveries: tuple[Recovery, ...] = ()) -> World:
        """One whole reading. Raises Transient when a side can't be read."""
        before = await self.look()
        venue = await self.venue.truth()
        try:
            rows = tuple(read_rows(self.runtime.journal_path, 0))
        except (JournalFailed, JournalCorrupt) as error:
            raise Transient(str(error)) from error
        kept = self.memory.rows
        remembered = tuple(Remembered(row.seq, row.hash) for row in kept if not rows or row.seq >= rows[0].seq)
        fresh = [row for row in rows if not kept or row.seq > kept[-1].seq]
        whole = (*kept, *fresh) if rows and rows[0].seq > 1 else rows
        kept.extend(fresh)
        ledger, alerts = await read_ledger(self.runtime.ledger("reader").url)
        return World(
            now_ms=wall_ms(),
            rows=whole,
            venue=venue,
            ledger=ledger,
            live=self._live(before),
            alerts=(*alerts, *self.memory.alerts),
            leaders=_leaders(whole),
            limits=LIMITS,
            restarts=tuple(self.memory.restarts),
            escalations=tuple(self.memory.escalations),
            children=tuple(Child(each.supervisor, each.name, each.ready) for each in before.actors.values()),
            recoveries=recoveries,
            remembered=remembered,
            excused=frozenset(self.memory.excused),
        )

    def _live(self, sight: Sight) -> Live | None:
        if self._router is None or sight.trading is None or not sight.speaking:
            return None
        positions = {each.symbol: dec(each.quantity) for each in self._router.positions}
        wallet = self._router.equity.wallet
        return Live(sight.trading, positions, dec(wallet) if wallet else None)


def _as_owner(runtime: Runtime) -> Runtime:
    if runtime.nats_user:
        return runtime
    password = (runtime.run_dir / "secrets" / "nats_password").read_text().strip()
    return runtime.model_copy(update={"nats_user": OWNER, "nats_password": password})


def _group_of(actor: str) -> str:
    return next((group.name for group in GROUPS_WITH_STANDBY for each in group.actors if each.name == actor), "")


def _lives(pid: int, began_ms: int) -> bool:
    """Whether the router that began to lead then is alive: pids are given again, also to others with its word in their line."""
    try:
        process = psutil.Process(pid)
        if dead(pid) or process.create_time() * 1000 > began_ms:
            return False
        return any("router" in part.lower() for part in process.cmdline())
    except (psutil.Error, OSError):
        return False


def _leaders(rows: tuple[StoredRow, ...]) -> tuple[Leader, ...]:
    """Every router that took a term: all but those that live have ended before the next began, or nobody can tell."""
    starts = [(row.term, row.ts_ms, int(orjson.loads(row.payload)["pid"])) for row in rows if row.kind == "start"]
    latest: dict[int, int] = {pid: term for term, _, pid in starts}
    found = []
    for index, (term, began, pid) in enumerate(starts):
        lives = latest[pid] == term and _lives(pid, began)
        ended = None if lives else starts[index + 1][1] if index + 1 < len(starts) else began
        found.append(Leader(term, began, ended, f"pid {pid}"))
    return tuple(found)
