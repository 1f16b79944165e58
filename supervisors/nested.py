"""A tree of supervisors as one pure machine: inner supervisors are objects, and children to the supervisor above.

Guarantees: an inner supervisor is Ready when all its children are, ends when none lives, and its giving up is a crash to the
supervisor above; effects that leave this module name workers only. Never: Ray, a process, a clock.
"""

from __future__ import annotations

from collections import deque

from supervisors.child import ChildView, SupervisorHistory
from supervisors.events import (
    Command,
    Effect,
    Event,
    Exited,
    KillChild,
    Ready,
    StartChild,
    StopChild,
    SupervisorReady,
    SupervisorStopped,
    Tick,
    Verb,
)
from supervisors.machine import Machine
from supervisors.spec import SupervisorSpec


class TreeMachine:
    """All supervisors below and including `root`."""

    def __init__(self, root: SupervisorSpec) -> None:
        self.root = root
        self._machines = {spec.name: Machine(spec) for spec in root.walk() if isinstance(spec, SupervisorSpec)}
        self._owner = {child.name: name for name, machine in self._machines.items() for child in machine.spec.children}
        self._incarnation: dict[str, int] = {}

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """What to do about an event, as effects on workers. Raises ValueError for a name that is not in the tree."""
        waiting: deque[tuple[str, Event]] = deque()
        if isinstance(event, Tick):
            waiting.extend((name, event) for name in self._machines)
        elif isinstance(event, Command) and event.child in {None, self.root.name}:
            waiting.append((self.root.name, Command(event.verb, None, event.reason)))
        else:
            waiting.append((self._target(event.child), event))
        effects: list[Effect] = []
        while waiting:
            name, next_event = waiting.popleft()
            for effect in self._machines[name].handle(next_event, now_ms):
                inner = self._inward(effect)
                if inner is None:
                    effects.append(effect)
                else:
                    waiting.append(inner)
                if isinstance(effect, SupervisorReady | SupervisorStopped) and effect.supervisor in self._owner:
                    waiting.append((self._owner[effect.supervisor], self._upward(effect)))
        return effects

    def views(self, now_ms: int) -> list[ChildView]:
        """Every worker, in start order."""
        by_name = {view.name: view for machine in self._machines.values() for view in machine.views(now_ms)}
        return [by_name[name] for name in self.root.workers()]

    def next_deadline_ms(self) -> int | None:
        """When the next Tick must come at the latest; None when only news can change anything."""
        times = [machine.next_deadline_ms() for machine in self._machines.values()]
        return min((time for time in times if time is not None), default=None)

    def escalated(self) -> list[str]:
        """The supervisors whose children keep failing."""
        return [name for name, machine in self._machines.items() if machine.escalated]

    def history(self) -> dict[str, SupervisorHistory]:
        """What must outlive the tree, by supervisor."""
        return {name: machine.history() for name, machine in self._machines.items()}

    def remember(self, past: dict[str, SupervisorHistory], now_ms: int) -> None:
        """Takes up where an earlier tree ended; to be called before the first event."""
        for name, history in past.items():
            if name in self._machines:
                self._machines[name].remember(history, now_ms)

    def _target(self, child: str | None) -> str:
        if child not in self._owner:
            raise ValueError(f"there is no {child!r} in the tree; it has: {', '.join(self.root.workers())}")
        return self._owner[child]

    def _inward(self, effect: Effect) -> tuple[str, Event] | None:
        """The event that an effect on an inner supervisor is."""
        if not isinstance(effect, StartChild | StopChild | KillChild) or effect.child not in self._machines:
            return None
        self._incarnation[effect.child] = effect.incarnation
        verb = Verb.START if isinstance(effect, StartChild) else Verb.STOP
        return effect.child, Command(verb)

    def _upward(self, effect: SupervisorReady | SupervisorStopped) -> Event:
        incarnation = self._incarnation.get(effect.supervisor, 0)
        if isinstance(effect, SupervisorReady):
            return Ready(effect.supervisor, incarnation)
        return Exited(effect.supervisor, incarnation, effect.normal, effect.reason)
