"""A world without processes: obeys the effects of a supervision machine and says what it saw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from supervisors.child import ChildView, Status
from supervisors.events import (
    Command,
    Effect,
    Event,
    Exited,
    KillChild,
    Ready,
    Silent,
    StartChild,
    Started,
    StopChild,
    Tick,
    Verb,
)
from supervisors.machine import Machine
from supervisors.nested import TreeMachine
from supervisors.spec import ChildSpec, Escalation, Intensity, RestartType, Strategy, SupervisorSpec

_E = TypeVar("_E")
M = TypeVar("M", Machine, TreeMachine)


def supervisor(
    *names: str,
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    restart: RestartType = RestartType.PERMANENT,
    intensity: Intensity = Intensity(),  # noqa: B008 -- immutable
    escalation: Escalation = Escalation.SHUTDOWN,
    stable_ms: int = 0,
) -> SupervisorSpec:
    """A supervisor of plain workers."""
    children = tuple(ChildSpec(name, restart, start_timeout_ms=10_000, shutdown_timeout_ms=5_000) for name in names)
    return SupervisorSpec("sup", children, strategy, intensity, escalation, stable_ms=stable_ms)


class World(Generic[M]):
    """Workers that obey at once unless they are told to be slow, stubborn or broken."""

    def __init__(self, machine: M, now_ms: int = 1_000_000) -> None:
        self.machine: M = machine
        self.now_ms = now_ms
        self.living: dict[str, int] = {}
        self.log: list[str] = []
        self.effects: list[Effect] = []
        self.slow: set[str] = set()
        self.stubborn: set[str] = set()
        self.broken: set[str] = set()
        self.immortal: set[str] = set()
        self._waiting: list[Event] = []

    def tell(self, *events: Event) -> list[Effect]:
        """Hands events in and obeys until nothing more happens; the effects seen."""
        first = len(self.effects)
        self._waiting += events
        while self._waiting:
            for effect in self.machine.handle(self._waiting.pop(0), self.now_ms):
                self.effects.append(effect)
                self._waiting += self._obey(effect)
        return self.effects[first:]

    def start(self, child: str | None = None) -> list[Effect]:
        return self.tell(Command(Verb.START, child))

    def stop(self, child: str | None = None) -> list[Effect]:
        return self.tell(Command(Verb.STOP, child))

    def restart(self, child: str | None = None, reason: str = "because") -> list[Effect]:
        return self.tell(Command(Verb.RESTART, child, reason))

    def crash(self, child: str, reason: str = "boom", normal: bool = False) -> list[Effect]:
        incarnation = self.living.pop(child)
        self.log.append(f"!{child}")
        return self.tell(Exited(child, incarnation, normal, reason))

    def silence(self, child: str) -> list[Effect]:
        return self.tell(Silent(child, self.living[child], 3_000))

    def ready(self, child: str) -> list[Effect]:
        return self.tell(Ready(child, self.living[child]))

    def exit(self, child: str, normal: bool = True) -> list[Effect]:
        return self.tell(Exited(child, self.living.pop(child), normal, "ended"))

    def sleep(self, ms: int) -> list[Effect]:
        """Lets time pass, with every tick that the machine asks for."""
        end, first = self.now_ms + ms, len(self.effects)
        while (deadline := self.machine.next_deadline_ms()) is not None and deadline <= end:
            self.now_ms = max(self.now_ms, deadline)
            self.tell(Tick())
            if self.machine.next_deadline_ms() == deadline:
                break
        self.now_ms = end
        self.tell(Tick())
        return self.effects[first:]

    def view(self, child: str) -> ChildView:
        views: list[ChildView] = self.machine.views(self.now_ms)
        return next(view for view in views if view.name == child)

    def status(self, child: str) -> Status:
        return self.view(child).status

    def forget(self) -> None:
        self.log.clear()

    def of(self, kind: type[_E], effects: Iterable[Effect] | None = None) -> list[_E]:
        return [effect for effect in (self.effects if effects is None else effects) if isinstance(effect, kind)]

    def _obey(self, effect: Effect) -> list[Event]:
        match effect:
            case StartChild(child, incarnation):
                assert child not in self.living, f"{child} would live twice"
                self.living[child] = incarnation
                self.log.append(f"+{child}")
                if child in self.broken:
                    del self.living[child]
                    return [Exited(child, incarnation, normal=False, reason="broken")]
                started = Started(child, incarnation, pid=1000 + incarnation)
                return [started] if child in self.slow else [started, Ready(child, incarnation)]
            case StopChild(child, incarnation):
                self.log.append(f"-{child}")
                if child in self.stubborn:
                    return []
                del self.living[child]
                return [Exited(child, incarnation, normal=True, reason="stopped")]
            case KillChild(child, incarnation):
                self.log.append(f"x{child}")
                if child in self.immortal:
                    return []
                del self.living[child]
                return [Exited(child, incarnation, normal=False, reason="SIGKILL")]
            case _:
                return []


MANY = Intensity(100, 5_000)


def world_of(
    *names: str,
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    restart: RestartType = RestartType.PERMANENT,
    intensity: Intensity = Intensity(1, 5_000),  # noqa: B008 -- immutable
    escalation: Escalation = Escalation.SHUTDOWN,
    stable_ms: int = 0,
) -> World[Machine]:
    return World(
        Machine(
            supervisor(
                *(names or ("a", "b", "c")),
                strategy=strategy,
                restart=restart,
                intensity=intensity,
                escalation=escalation,
                stable_ms=stable_ms,
            )
        )
    )


def after_the_death_of(w: World[Machine], later_ms: int = 0) -> World[Machine]:
    """The world of a supervisor that takes up what another left."""
    machine = Machine(w.machine.spec)
    machine.remember(w.machine.history(), w.now_ms + later_ms)
    return World(machine, w.now_ms + later_ms)
