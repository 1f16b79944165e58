"""Any order of events: the machine against a small model of what a supervisor may do."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from supervisors.child import Status
from supervisors.events import (
    Command,
    Effect,
    Escalate,
    Event,
    Exited,
    KillChild,
    Ready,
    Silent,
    StartChild,
    Started,
    StopChild,
    SupervisorStopped,
    Tick,
    Verb,
)
from supervisors.machine import Machine
from supervisors.spec import Escalation, Intensity, RestartType, Strategy
from tests.supervisors.world import World, supervisor

NAMES = ("a", "b", "c", "d")
PERIOD_MS = 5_000


@given(
    crashes=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 7_000)), max_size=12),
    limit=st.integers(0, 4),
)
def test_it_gives_up_exactly_when_a_window_holds_more_restarts_than_allowed(
    crashes: list[tuple[str, int]], limit: int
) -> None:
    world = World(Machine(supervisor(*NAMES, intensity=Intensity(limit, PERIOD_MS))))
    world.start()
    seen: list[int] = []
    for child, wait_ms in crashes:
        world.sleep(wait_ms)
        if child not in world.living:
            continue
        world.crash(child)
        seen.append(world.now_ms)
        too_many = sum(1 for at in seen if at >= world.now_ms - PERIOD_MS) > limit
        assert bool(world.of(Escalate)) == too_many
        if too_many:
            assert world.living == {}
            return


class AnySupervisor(RuleBasedStateMachine):
    """The model: a set of living processes, and what was asked of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 100_000
        self.machine = Machine(supervisor(*NAMES))
        self.living: dict[str, int] = {}
        self.ready: set[str] = set()
        self.stopping: set[str] = set()
        self.killing: set[str] = set()
        self.highest: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.up = False

    @initialize(
        strategy=st.sampled_from(Strategy),
        restart=st.sampled_from(RestartType),
        escalation=st.sampled_from(Escalation),
        limit=st.integers(0, 3),
    )
    def configure(self, strategy: Strategy, restart: RestartType, escalation: Escalation, limit: int) -> None:
        self.spec = supervisor(
            *NAMES, strategy=strategy, restart=restart, intensity=Intensity(limit, PERIOD_MS), escalation=escalation
        )
        self.machine = Machine(self.spec)

    @rule()
    def start_all(self) -> None:
        self.up = True
        self.tell(Command(Verb.START))

    @rule()
    def stop_all(self) -> None:
        self.up = False
        self.tell(Command(Verb.STOP))

    @rule(child=st.sampled_from(NAMES), verb=st.sampled_from(Verb))
    def command(self, child: str, verb: Verb) -> None:
        self.tell(Command(verb, child, "asked"))

    @rule(index=st.integers(0, 3))
    def becomes_ready(self, index: int) -> None:
        child = NAMES[index]
        if child in self.living and child not in self.stopping | self.killing:
            self.ready.add(child)
            self.tell(Ready(child, self.living[child]))

    @rule(index=st.integers(0, 3), normal=st.booleans())
    def exits(self, index: int, normal: bool) -> None:
        child = NAMES[index]
        if child in self.living:
            incarnation = self.living.pop(child)
            self.ready.discard(child)
            self.stopping.discard(child)
            self.killing.discard(child)
            self.tell(Exited(child, incarnation, normal, "ended"))

    @rule(index=st.integers(0, 3))
    def falls_silent(self, index: int) -> None:
        child = NAMES[index]
        if child in self.ready:
            self.tell(Silent(child, self.living[child], 3_000))

    @rule(index=st.integers(0, 3))
    def late_news(self, index: int) -> None:
        child = NAMES[index]
        if self.highest[child] > 0 and self.living.get(child) != self.highest[child] - 1:
            before = self.machine.views(self.now_ms)
            self.tell(Exited(child, self.highest[child] - 1, normal=False, reason="late"))
            assert self.machine.views(self.now_ms) == before

    @rule(ms=st.sampled_from([1, 100, 500, 4_999, 5_001, 30_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms
        self.tell(Tick())

    def tell(self, event: Event) -> None:
        for effect in self.machine.handle(event, self.now_ms):
            self.obey(effect)

    def obey(self, effect: Effect) -> None:
        match effect:
            case StartChild(child, incarnation):
                assert self.up, "nothing starts in a supervisor that is down"
                assert child not in self.living, "no child lives twice"
                assert incarnation > self.highest[child], "incarnations rise"
                self.highest[child] = incarnation
                self.living[child] = incarnation
                for reply in self.machine.handle(Started(child, incarnation, 1), self.now_ms):
                    raise AssertionError(f"Started needs no answer, got {reply}")
            case StopChild(child, incarnation):
                assert self.living.get(child) == incarnation, "only the living are stopped"
                assert not self.stopping, "one at a time"
                self.stopping.add(child)
                self.ready.discard(child)
            case KillChild(child, incarnation):
                assert self.living.get(child) == incarnation, "only the living are killed"
                self.killing.add(child)
                self.ready.discard(child)
            case Escalate(_, _, policy, _):
                assert policy is self.machine.spec.escalation
                if policy is Escalation.SHUTDOWN:
                    assert not self.living, "children are stopped before the supervisor gives up"
            case SupervisorStopped(_, normal, _):
                assert not self.living
                self.up = self.up and normal
            case _:
                pass

    @invariant()
    def views_tell_the_truth(self) -> None:
        for view in self.machine.views(self.now_ms):
            alive = view.status in {Status.STARTING, Status.READY, Status.STOPPING, Status.KILLING}
            assert alive == (view.name in self.living)
            assert (view.status is Status.READY) == (view.name in self.ready)
            assert 0 <= view.intensity_left <= self.machine.spec.intensity.max_restarts

    @invariant()
    def something_is_always_due_or_nobody_is_expected(self) -> None:
        """A supervisor never hangs: whatever is neither up nor finished has a deadline, or waits for one that has."""
        unfinished = {Status.STARTING, Status.STOPPING, Status.KILLING, Status.BACKOFF}
        views = self.machine.views(self.now_ms)
        if any(view.status in unfinished for view in views):
            assert self.machine.next_deadline_ms() is not None

    @invariant()
    def history_says_what_views_say(self) -> None:
        history = self.machine.history()
        for view in self.machine.views(self.now_ms):
            past = history.children[view.name]
            assert (past.restarts, past.graceful_restarts) == (view.restarts, view.graceful_restarts)
            assert past.incarnation == view.incarnation == self.highest[view.name]


TestAnySupervisor = AnySupervisor.TestCase
TestAnySupervisor.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
