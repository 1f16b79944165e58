"""The soak: Titan trades for a long time while something is killed every half minute, and nothing may grow or stay behind.

Each half of the time spares half of those who may be killed, so that everybody has one long life in which growth can be
seen once its windows are full. Counted every ten seconds: resident memory and descriptors of every process, zombies, workers
that nobody owns, the journal. Guarantees: the kills are the campaign's own faults, each judged by the invariants. Never: a
verdict of its own on orders.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nats.errors

from ops.chaos.arena import Arena
from ops.chaos.catalogue import FAULTS
from ops.chaos.census import Census, take
from ops.chaos.fault import ChaosFault
from ops.chaos.slope import Point, Slope, minutes_of, slope
from protos import trading_pb2 as pb
from supervisors.tree import ROUTER_STANDBY
from titan import subjects
from titan.errors import Rejected, Transient

KILL_EVERY_S = 30.0
COUNT_EVERY_S = 10.0
# Signatures are remembered for ten minutes, and the bus keeps a quarter of an hour of market data: until then both must grow.
SETTLED_S = 660.0
SETTLED_LATER_S = {"nats": 960.0}
SPEED = 20.0
FLAT_SHARE = 0.04
FLAT_DESCRIPTORS = 4.0
OFF_THE_LIST = frozenset({"raylet-kill", "head-kill", "agent-kill"})
HALVES = (
    frozenset({"router", "router_standby", "execution", "brain", "nats"}),
    frozenset({"market_data", "scavenger", "gateway", "postgres", "redis", "paper_venue", "root"}),
)
SPARE, SPARES = "Spare", 1
SPARE_ROLE = f"actor: {SPARE}"
TRUTH_WITHIN_S = 70.0
TRUTH_TRIES = 10
TRUTH_EVERY_S = 3.0


def kills(*, standby: bool) -> tuple[ChaosFault, ...]:
    """Every kill that costs one process only: raylet and GCS would end all of them at once, and every series with them."""
    return tuple(
        fault
        for fault in FAULTS
        if fault.name.endswith("-kill")
        and fault.name not in OFF_THE_LIST
        and fault.inject.__module__.endswith("processes")
        and (standby or not fault.name.startswith(ROUTER_STANDBY.name))
    )


def victim(fault: ChaosFault) -> str:
    """Who dies of a kill."""
    return fault.name.removesuffix("-kill")


@dataclass(frozen=True, slots=True)
class Growth:
    """What one kind of process held: median and last value, and its slope where there is enough to draw one."""

    role: str
    unit: str
    lives: int
    median: float
    last: float
    line: Slope | None
    verdict: str


@dataclass(slots=True)
class Soak:
    """What was counted."""

    arena: Arena
    seconds: float
    began_s: float = field(default_factory=time.monotonic)
    memory: dict[str, list[Point]] = field(default_factory=lambda: defaultdict(list))
    descriptors: dict[str, list[Point]] = field(default_factory=lambda: defaultdict(list))
    journal: list[Point] = field(default_factory=list)
    zombies: dict[str, float] = field(default_factory=dict)
    orphans: dict[str, float] = field(default_factory=dict)
    censuses: int = 0
    truth: pb.Truth | None = None
    _lives: dict[tuple[str, int, float], int] = field(default_factory=dict)
    _suspects: dict[str, float] = field(default_factory=dict)

    def spared(self, fault: ChaosFault) -> bool:
        """Whether a fault's victim may live on now."""
        late = time.monotonic() - self.began_s >= self.seconds / 2
        return victim(fault) in HALVES[late]

    async def count(self) -> None:
        """Counts for ever."""
        while True:
            await asyncio.sleep(COUNT_EVERY_S)
            system = self.arena.system
            census = await asyncio.to_thread(take, system.home, system.guardian_pid)
            owned = {actor.pid: actor.name for actor in (await system.actors()).values() if actor.pid}
            self.enter(census, owned)

    def enter(self, census: Census, owned: dict[int, str]) -> None:
        """Takes in one census; `owned` are the actors that the root supervisor knows by pid, empty while none answers."""
        at = time.monotonic() - self.began_s
        self.censuses += 1
        for person in census.people:
            if census.at_s - person.born_s < SETTLED_LATER_S.get(person.role, SETTLED_S):
                continue
            # A worker's own title may still be that of the spare it was.
            role = f"actor: {owned[person.pid]}" if person.pid in owned else person.role
            if role == SPARE_ROLE:
                continue
            life = self._lives.setdefault((role, person.pid, person.born_s), len(self._lives))
            self.memory[role].append(Point(at, life, person.held_mb))
            self.descriptors[role].append(Point(at, life, person.descriptors))
        self.journal.append(Point(at, 0, census.journal_mb))
        self._note(self.zombies, {f"zombie {each}" for each in census.zombies}, at)
        self._note(self.orphans, self._strays(census, owned), at)

    @staticmethod
    def _strays(census: Census, owned: dict[int, str]) -> set[str]:
        """Workers that no supervisor knows, but for the spares that it may keep. Without its word nobody is one."""
        unknown = {pid: name for pid, name in census.workers.items() if pid not in owned} if owned else {}
        spares = sorted(pid for pid, name in unknown.items() if name == SPARE)
        kept = {*spares[-SPARES:], *(pid for pid, name in unknown.items() if name == "RootSupervisor")}
        return {f"worker {name} ({pid})" for pid, name in unknown.items() if pid not in kept}

    def _note(self, found: dict[str, float], now: set[str], at: float) -> None:
        """Only what two readings in a row show has stayed: a parent may take a moment to collect its child."""
        kind = "zombie " if found is self.zombies else "worker "
        for each in now:
            if each in self._suspects:
                found.setdefault(each, at)
        for each in [each for each in self._suspects if each.startswith(kind) and each not in now]:
            del self._suspects[each]
        for each in now:
            self._suspects.setdefault(each, at)

    async def compare(self) -> None:
        """Stops the trading and has venue, journal and ledger compared, until nothing moves any more."""
        eyes = self.arena.eyes
        for _ in range(TRUTH_TRIES):
            try:
                self.truth = await eyes.bus.request(
                    subjects.RPC_TRUTH, pb.TruthRequest(requested_by="soak"), pb.Truth, TRUTH_WITHIN_S
                )
            except (Transient, Rejected, nats.errors.Error):
                self.truth = None
            if self.truth is not None and self.truth.complete and self.truth.differences == 0:
                return
            await asyncio.sleep(TRUTH_EVERY_S)

    def growth(self) -> list[Growth]:
        """Every role's memory and descriptors."""
        rows = []
        for role, points in sorted(self.memory.items()):
            middle = statistics.median(point.value for point in points)
            rows.append(_growth(role, "MB", points, FLAT_SHARE * middle))
        for role, points in sorted(self.descriptors.items()):
            rows.append(_growth(role, "descriptors", points, FLAT_DESCRIPTORS))
        return rows

    def as_json(self) -> dict[str, object]:
        """The report's own part."""
        journal = [point.value for point in self.journal]
        return {
            "censuses": self.censuses,
            "growth": [_row(each) for each in self.growth()],
            "minutes": {
                unit: {role: minutes_of(points) for role, points in sorted(series.items())}
                for unit, series in (("MB", self.memory), ("descriptors", self.descriptors))
            },
            "growing": [f"{each.role}, {each.unit}" for each in self.growth() if each.verdict == "grows"],
            "zombies": sorted(self.zombies),
            "orphans": sorted(self.orphans),
            "journal_mb": {"first": journal[0], "last": journal[-1], "max": max(journal)} if journal else {},
            "journal_rows": len(self.arena.memory.rows),
            "truth": None
            if self.truth is None
            else {
                "orders_compared": self.truth.orders_compared,
                "fills_compared": self.truth.fills_compared,
                "differences": self.truth.differences,
                "complete": self.truth.complete,
            },
        }

    @property
    def clean(self) -> bool:
        """Whether nothing grew, nothing stayed behind and the books agree at the end."""
        agreed = self.truth is not None and self.truth.complete and self.truth.differences == 0
        grows = any(each.verdict == "grows" for each in self.growth())
        return agreed and not grows and not self.zombies and not self.orphans


def feed_of(folder: Path | None) -> str:
    """A day of recorded trades when there is one, else a seeded market."""
    found = sorted(folder.glob("trades_*.parquet"), key=lambda path: path.stat().st_size) if folder is not None else []
    return f"replay:{found[-1]}" if found else "synthetic:42"


def _growth(role: str, unit: str, points: Sequence[Point], limit: float) -> Growth:
    line = slope(points)
    values = [point.value for point in points]
    verdict = "too short" if line is None else line.verdict(limit)
    return Growth(
        role, unit, len({point.life for point in points}), statistics.median(values), values[-1], line, verdict
    )


def _row(growth: Growth) -> dict[str, object]:
    line = growth.line
    shown: dict[str, object] = {
        "role": growth.role,
        "unit": growth.unit,
        "lives": growth.lives,
        "median": round(growth.median, 1),
        "last": round(growth.last, 1),
        "verdict": growth.verdict,
    }
    if line is not None:
        shown |= {
            "slope_per_hour": round(line.per_hour, 2),
            "low": round(line.low, 2),
            "high": round(line.high, 2),
            "minutes": line.bins,
            "longest_life_s": round(line.span_s),
        }
    return shown
