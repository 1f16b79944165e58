"""A whole world: venue, bus, journal, processes, supervisor, people, and the plan that troubles them.

Entry point: `run(plan)`. Guarantees: the same plan gives the same outcome and trace; when the plan is over, its faults end
and the world must come to rest within `SETTLE_MS` of virtual time. Never: a socket, a thread, wall time.
"""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass
from functools import partial

from actors.router.core import RouterCore
from actors.router.state import RouterConfig
from simulation.brain import FILLS, Script, SimBrain
from simulation.bus import SimBus
from simulation.checks import Checks
from simulation.engine import WALL_0_MS, Engine
from simulation.faults import apply, mend
from simulation.journal import MemoryJournal
from simulation.ledger import FILLS as EXECUTION_FILLS
from simulation.ledger import SimExecution, Tables
from simulation.market import Market
from simulation.operators import Operators
from simulation.plan import Act, Deed, Fault, Moment, Plan
from simulation.process import Process
from simulation.rare import SeededRare
from simulation.rest import judge, settled
from simulation.router import FIRST, STANDBY, SimRouter
from simulation.supervision import Bystander, Supervision
from simulation.tenure import LeaseKey
from simulation.venue import SimVenue
from titan import subjects
from titan.effects import RaiseAlert
from titan.invariants import Violation
from titan.policy import RiskPolicy

SETTLE_MS = 60_000
SETTLE_LOOK_MS = 500
BOOT_MS = 900
PACE_MS = 40


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan."""

    seed: int
    violations: tuple[Violation, ...]
    faults: dict[str, int]
    transitions: frozenset[tuple[str, str]]
    steps: int
    trace: str
    orders: int
    fills: int
    settled_ms: int
    branches: dict[str, int]


class World:
    """One venue, one account; one machine, or two when the plan sets the routers apart."""

    router_class: type[SimRouter] = SimRouter

    def __init__(self, plan: Plan, policy: RiskPolicy) -> None:
        self.plan = plan
        self.policy = policy
        self.engine = Engine(plan.seed, plan.speed)
        self.checks = Checks(self)
        self.venue = SimVenue(self.engine)
        self.venue.on_place = self.checks.placed
        self.journal = MemoryJournal(self.checks.row)
        self.bus = SimBus(self.engine)
        self.bus.durable("EXECUTION_CORE", subjects.INTENT_PLACE_ALL)
        if plan.full:
            self.bus.durable(FILLS, subjects.FILL_ALL)
            self.bus.durable(EXECUTION_FILLS, subjects.FILL_ALL)
        self.market = Market(self)
        self.script = Script(self)
        self.operators = Operators(self)
        self.supervision = Supervision(self)
        self.rare = SeededRare(self.engine, plan.rare)
        self.lease_key = LeaseKey(self.engine, self.bus)
        self.pids = 0
        self.boots = 1
        self.promotion_fuse = -1
        self.follow_lag_until_ms = -1
        self.router: SimRouter | None = None
        self.routers: list[SimRouter] = []
        self.brain: SimBrain | None = None
        self.execution: SimExecution | None = None
        self.tables = Tables()
        self.halt_reason = ""
        self.cut_rows = 0
        self.started_ms = WALL_0_MS
        self.faults: Counter[str] = Counter()
        self.alerts: list[str] = []
        self.start_crashes = 0
        self._armed: dict[Moment, list[Act]] = {}

    # processes

    def make(self, child: str, incarnation: int) -> Process:
        """A new process of a child."""
        if child in (FIRST, STANDBY):
            router = self.router_class(self, child, incarnation)
            self.routers = [*(each for each in self.routers if each.alive), router]
            return router
        if child == "brain":
            self.brain = SimBrain(self, incarnation)
            return self.brain
        if child == "execution" and self.plan.full:
            self.execution = SimExecution(self, incarnation)
            return self.execution
        return Bystander(self, child, incarnation)

    @property
    def standby(self) -> SimRouter | None:
        """The router that follows, if one lives."""
        return next((each for each in self.routers if each.alive and not each.performs), None)

    def make_router_core(self, config: RouterConfig, term: int) -> RouterCore:
        """The core under test."""
        return RouterCore(config, term)

    def process_ready(self, process: Process) -> None:
        """A process has come up."""
        self.engine.note(f"ready {process.name}#{process.incarnation}")
        self.supervision.ready(process)

    def ended(self, process: Process, reason: str) -> None:
        """A process is gone."""
        if process.failure:
            self.checks.failed(process.name, process.failure)
        if isinstance(process, SimRouter):
            self.checks.died(process)
            for other in self.routers:
                if other is not process and other.alive:
                    self.engine.after(1, other.succession.bell.set)
        self.supervision.ended(process, reason)

    def alerted(self, alert: RaiseAlert) -> None:
        """Somebody is told."""
        self.alerts.append(f"{alert.code} {alert.message}")
        self.engine.note(f"alert {alert.code}")

    # the plan

    def strike(self, moment: Moment, _process: Process) -> None:
        """A moment of an order's life: acts that waited for it happen."""
        waiting = self._armed.pop(moment, None)
        if waiting is not None:
            for act in waiting:
                self._do(act)

    def _due(self, act: Act) -> None:
        if act.moment is Moment.AT_TIME:
            self._do(act)
        else:
            self._armed.setdefault(act.moment, []).append(act)

    def _do(self, act: Act) -> None:
        self.engine.note(f"act {act.kind.value} {act.a} {act.b}")
        match act.kind:
            case Fault():
                self.faults[act.kind.value] += 1
                apply(self, act)
            case Deed.SIGNAL:
                self.script.act(act.a, act.b)
            case Deed.ARM | Deed.DISARM if act.a % 5 == 0:
                self.operators.press_plain(act.kind.value)
            case Deed.AMEND | Deed.CANCEL:
                self.operators.ask(act.kind.value, act.a, act.b)
            case _:
                self.operators.press(act.kind.value)

    # running

    def run(self) -> Outcome:
        """Boots, lives through the plan, settles, and is judged."""
        engine = self.engine
        self.market.run()
        self.supervision.up()
        for act in self.plan.acts:
            engine.after(BOOT_MS + act.at_ms, partial(self._due, act))
        end_ms = BOOT_MS + self.plan.ms
        step, check = engine.step, self.checks.step
        while engine.events < self.plan.steps or engine.t_ms < end_ms:
            step()
            check()
        steps = engine.events
        self._armed.clear()
        mend(self)
        engine.note("mended")
        rest_from, deadline = engine.t_ms, engine.t_ms + SETTLE_MS
        at_rest = False
        while not at_rest and engine.t_ms < deadline:
            until = engine.t_ms + SETTLE_LOOK_MS
            while (due := engine.next_ms()) is not None and due <= until:
                step()
                check()
            engine.t_ms = until
            at_rest = settled(self)
        judge(self, at_rest=at_rest)
        return self.outcome(steps, engine.t_ms - rest_from)

    def outcome(self, steps: int, settled_ms: int) -> Outcome:
        """What has become of the plan by now."""
        return Outcome(
            seed=self.plan.seed,
            violations=tuple(self.checks.found.values()),
            faults=dict(self.faults),
            transitions=frozenset(self.checks.transitions),
            steps=steps,
            trace=self.engine.trace_hash(),
            orders=len(self.venue.books.orders),
            fills=len(self.venue.books.executions),
            settled_ms=settled_ms,
            branches=dict(self.rare.taken),
        )


def run(plan: Plan, policy: RiskPolicy) -> Outcome:
    """Lives through one plan. A world that breaks is a finding with a seed, and not the end of a campaign."""
    world = World(plan, policy)
    try:
        return world.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed must be told
        failure = "".join(traceback.format_exception_only(error)).strip()
        world.checks.failed("the world", failure + "".join(traceback.format_tb(error.__traceback__)[-2:]))
        return world.outcome(0, 0)
