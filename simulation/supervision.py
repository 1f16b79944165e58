"""Who restarts whom: the real tree machine and the real liveness, driven in virtual time.

Guarantees: a process starts only where the machine said so; its death is told when it is proven. Never: a restart of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.engine import Timer
from simulation.process import Conversation, Process, Sleep
from supervisors.events import (
    Command,
    Effect,
    Escalate,
    Event,
    Exited,
    KillChild,
    Ready,
    StartChild,
    Started,
    StopChild,
    Tick,
    Verb,
)
from supervisors.liveness import Liveness
from supervisors.nested import TreeMachine
from supervisors.spec import Escalation
from supervisors.tree import GROUPS, GROUPS_WITH_STANDBY, Group, actors_of, tree_of
from titan.invariants import Limit, Restart

if TYPE_CHECKING:
    from simulation.world import World

LOOK_MS = 400
NOTICE_MS = 15


class _Table:
    """What a table of groups says, worked out once."""

    def __init__(self, groups: tuple[Group, ...]) -> None:
        self.spec = tree_of(groups)
        self.actors = actors_of(groups)
        self.owners = {actor.name: group.name for group in groups for actor in group.actors}
        self.limits = tuple(
            Limit(group.name, group.max_restarts, group.period_s * 1000)
            for group in groups
            if group.escalation is not Escalation.QUARANTINE
        )


_ALONE, _WITH_STANDBY = _Table(GROUPS), _Table(GROUPS_WITH_STANDBY)


class Bystander(Process):
    """A child that this world needs only as a child: it starts, and beats."""

    def __init__(self, world: World, name: str, incarnation: int) -> None:
        super().__init__(world.engine, name, incarnation, world.ended)
        self.world = world

    def start(self) -> Conversation:
        """Comes up."""
        yield Sleep(60)
        self.ready = True
        self.world.process_ready(self)


class Supervision:
    """The tree of one machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._table = _WITH_STANDBY if world.plan.standby else _ALONE
        self.limits = self._table.limits
        self._tree = TreeMachine(self._table.spec)
        self._live = Liveness()
        self._stopped = False
        self._held: list[Event] = []
        self._tick: Timer | None = None
        self._beats = 0
        self.lives: dict[str, Process] = {}
        self.escalations: list[tuple[str, str, Escalation, int]] = []
        self.restarts: list[Restart] = []
        self.looping: set[str] = set()

    def up(self) -> None:
        """Starts everything, in order."""
        self.post(Command(Verb.START))
        self._look()

    def up_again(self) -> None:
        """The machine has booted."""
        self.post(Command(Verb.START))

    def post(self, event: Event) -> None:
        """Tells the machine, and does what it says."""
        if self._stopped:
            self._held.append(event)
            return
        now = self._world.engine.t_ms
        for effect in self._tree.handle(event, now):
            self._perform(effect)
        due = self._tree.next_deadline_ms()
        if self._tick is not None:
            self._tick.cancel()
        self._tick = None if due is None else self._world.engine.after(due - now, lambda: self.post(Tick()))

    def pause(self) -> None:
        """SIGSTOP."""
        self._stopped = True

    def wake(self) -> None:
        """SIGCONT: everything that came meanwhile is seen now."""
        self._stopped = False
        held, self._held = self._held, []
        for event in held:
            self.post(event)

    def statuses(self) -> dict[str, str]:
        """Every child's status."""
        return {view.name: view.status.value for view in self._tree.views(self._world.engine.t_ms)}

    def abandon(self) -> None:
        """The machine lost power: nobody supervises any more."""
        if self._tick is not None:
            self._tick.cancel()
        self._tree = TreeMachine(self._table.spec)
        self._live = Liveness()
        self._held.clear()
        self.lives.clear()
        self.restarts.clear()
        self.escalations.clear()

    def _perform(self, effect: Effect) -> None:
        world = self._world
        match effect:
            case StartChild(child, incarnation):
                life = world.make(child, incarnation)
                if child in self.lives:
                    self.restarts.append(Restart(self._table.owners[child], child, world.engine.t_ms))
                self.lives[child] = life
                world.engine.after(1, lambda: self._begin(life))
            case StopChild(child) | KillChild(child):
                self._live.forget(child)
                life = self.lives[child]
                world.engine.after(2, lambda: life.kill("told by its supervisor"))
            case Escalate():
                self.escalations.append((effect.supervisor, effect.child, effect.policy, world.engine.t_ms))
                if effect.policy is Escalation.HALT:
                    world.halt_reason = f"supervisor: {effect.child}: {effect.reason}"
                    world.operators.press("halt", "root")
            case _:
                pass

    def _begin(self, life: Process) -> None:
        self.post(Started(life.name, life.incarnation, life.incarnation))
        life.deliver(lambda: life.spawn(life.start()))

    def ready(self, process: Process) -> None:
        """A child has come up."""
        self.post(Ready(process.name, process.incarnation))
        spec = self._table.actors[process.name]
        self._live.watch(process.name, process.incarnation, spec.silence_ms, self._world.engine.t_ms)

    def ended(self, process: Process, reason: str) -> None:
        """A child is gone: the proof comes a moment later."""
        self._live.forget(process.name)
        if self.lives.get(process.name) is not process:
            return
        self._world.engine.after(NOTICE_MS, lambda: self._proven(process, reason))

    def _proven(self, process: Process, reason: str) -> None:
        if self.lives.get(process.name) is process:
            self.post(Exited(process.name, process.incarnation, False, reason.splitlines()[0]))

    def _look(self) -> None:
        self._world.engine.after(LOOK_MS, self._look)
        if self._stopped:
            return
        now = self._world.engine.t_ms
        self._beats += 1
        for life in self.lives.values():
            if life.alive and life.ready and not life.paused:
                self._live.beat(life.name, life.incarnation, self._beats, now)
        for silent in self._live.silent(now):
            self.post(silent)
