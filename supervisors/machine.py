"""One supervisor's decisions as a pure state machine: Erlang/OTP's semantics, plus backoff and a policy for escalation.

Guarantees:
1. children start left to right, each Ready before the next, and stop right to left, each gone before the next;
2. at most one process a child: a start follows only on the proven end of the one before;
3. a child that ended by itself comes back as its restart type says, with the siblings its supervisor's strategy names;
4. more than `max_restarts` within the period escalates, by the supervisor's policy;
5. news of an older incarnation changes nothing.
Same events, same effects. Never: Ray, a process, a clock, a random source.

Source of the words: the manual of OTP's `supervisor`; Titan's additions are in the design's list of supervisor semantics.
"""

from __future__ import annotations

from typing import assert_never

from supervisors.backoff import delay_ms
from supervisors.child import Child, ChildView, Status, SupervisorHistory, after
from supervisors.escalation import alert, recovered, too_many
from supervisors.events import (
    Adopted,
    Command,
    Effect,
    Escalate,
    Event,
    Exited,
    KillChild,
    Lost,
    Ready,
    RecordRestart,
    RestartKind,
    Silent,
    StartChild,
    Started,
    StopChild,
    SupervisorReady,
    SupervisorStopped,
    Tick,
    Verb,
)
from supervisors.intensity import RestartWindow
from supervisors.spec import Escalation, RestartType, Strategy, SupervisorSpec

KILL_AGAIN_MS = 2_000


class Machine:
    """One supervisor. `handle` is the only way in."""

    def __init__(self, spec: SupervisorSpec) -> None:
        self.spec = spec
        self._children = [
            Child(child.as_child() if isinstance(child, SupervisorSpec) else child) for child in spec.children
        ]
        self._by_name = {child.spec.name: child for child in self._children}
        self._window = RestartWindow(spec.intensity)
        # What it was told; whether it still owes the news of its end or of its first readiness.
        self._up = False
        self._running = False
        self._announced = False
        self._escalated = False
        self._last_words: list[Effect] = []
        self._effects: list[Effect] = []
        self._now_ms = 0

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """What to do about an event at `now_ms` (monotonic). Raises ValueError for a child that is not of this supervisor."""
        self._effects = []
        self._now_ms = now_ms
        match event:
            case Started():
                self._started(event)
            case Ready():
                self._ready(event, now_ms)
            case Exited():
                self._exited(event, now_ms)
            case Silent():
                self._silent(event, now_ms)
            case Tick():
                pass
            case Command():
                self._command(event, now_ms)
            case Adopted():
                self._adopted(event, now_ms)
            case Lost():
                self._lost(self._child(event.child), now_ms)
            case _:
                assert_never(event)
        self._check_deadlines(now_ms)
        self._check_stability(now_ms)
        self._stop_next(now_ms)
        self._start_next(now_ms)
        self._announce()
        return self._effects

    def views(self, now_ms: int) -> list[ChildView]:
        """Every child from left to right, as others see it."""
        return [child.view(self.spec.name, self._window.left(now_ms, self._counted(child))) for child in self._children]

    def next_deadline_ms(self) -> int | None:
        """When the next Tick must come at the latest; None when only news can change anything."""
        times = [time for child in self._children for time in child.due_ms(self.spec.stable_ms)]
        # What is past and still waits, waits for a sibling.
        return min((time for time in times if time > self._now_ms), default=None)

    @property
    def escalated(self) -> bool:
        """Whether restarts have exceeded the intensity and the children have not been stable since."""
        return self._escalated

    def history(self) -> SupervisorHistory:
        """What must outlive this supervisor."""
        past = {child.spec.name: child.history() for child in self._children}
        return SupervisorHistory(past, self._window.entries(), self._escalated)

    def remember(self, past: SupervisorHistory, now_ms: int) -> None:
        """Takes up where an earlier supervisor ended; to be called before the first event."""
        for child in self._children:
            if child.spec.name in past.children:
                child.remember(past.children[child.spec.name])
                if child.down_since_ms > now_ms or child.not_before_ms > now_ms + self.spec.backoff.cap_ms:
                    # Instants of another boot's clock.
                    child.down_since_ms, child.not_before_ms = min(child.down_since_ms, now_ms), 0
        self._window.remember(past.window, now_ms)
        self._escalated = past.escalated

    def _child(self, name: str) -> Child:
        try:
            return self._by_name[name]
        except KeyError:
            raise ValueError(
                f"supervisor {self.spec.name} has no child {name!r}; it has: {', '.join(self._by_name)}"
            ) from None

    def _counted(self, child: Child) -> str | None:
        """Whose restarts count together: a quarantine is for one child alone, so each has its own intensity there."""
        return child.spec.name if self.spec.escalation is Escalation.QUARANTINE else None

    def _started(self, event: Started) -> None:
        child = self._child(event.child)
        if child.incarnation == event.incarnation and child.alive:
            child.pid = event.pid

    def _ready(self, event: Ready, now_ms: int) -> None:
        child = self._child(event.child)
        if child.incarnation != event.incarnation or child.status is not Status.STARTING:
            return
        child.came_up(now_ms)
        if child.down_since_ms >= 0:
            child.last_recovery_ms = now_ms - child.down_since_ms
            left = self._window.left(now_ms, self._counted(child))
            self._effects.append(
                RecordRestart(
                    self.spec.name, child.spec.name, child.down_kind, child.down_reason, child.last_recovery_ms, left
                )
            )
            child.down_since_ms = -1
            child.down_reason = ""

    def _adopted(self, event: Adopted, now_ms: int) -> None:
        child = self._child(event.child)
        if not child.alive:
            child.adopt(event.incarnation, event.pid, event.ready, now_ms)

    def _lost(self, child: Child, now_ms: int) -> None:
        """An unseen death is a crash, unless a restart of the child was under way: then it is part of that one."""
        untouched = child.status is Status.STOPPED and not child.held and child.down_since_ms < 0
        if child.incarnation == 0 or not untouched:
            return
        child.restarts += 1
        child.last_exit = "died while its supervisor was away"
        self._window.add(child.spec.name, now_ms)
        child.mark_down(RestartKind.CRASH, child.last_exit, now_ms)

    def _silent(self, event: Silent, now_ms: int) -> None:
        child = self._child(event.child)
        if child.incarnation == event.incarnation and child.status is Status.READY:
            why = f": {event.note}" if event.note else ""
            self._condemn(child, f"silent for {event.silent_ms / 1000:.1f} s{why}", now_ms)

    def _condemn(self, child: Child, verdict: str, now_ms: int) -> None:
        """Kills a child and has its end counted as a crash with the verdict as its reason."""
        child.status = Status.KILLING
        child.verdict = verdict
        if child.down_since_ms < 0:
            child.down_since_ms = now_ms
        self._kill(child, verdict, now_ms)

    def _kill(self, child: Child, reason: str, now_ms: int) -> None:
        child.deadline_ms = now_ms + KILL_AGAIN_MS
        self._effects.append(KillChild(child.spec.name, child.incarnation, reason))

    def _exited(self, event: Exited, now_ms: int) -> None:
        child = self._child(event.child)
        if child.incarnation != event.incarnation or not child.alive:
            return
        asked = child.leaving or child.status is Status.STOPPING
        normal = event.normal and not child.verdict
        child.ended(event.reason)
        if not self._up:
            child.wanted = False
            child.down_since_ms = -1
        elif asked:
            if child.wanted:
                child.not_before_ms = now_ms
            else:
                child.down_since_ms = -1
        elif child.comes_back(normal):
            self._restart(child, child.last_exit, now_ms)
        else:
            child.rests(Status.STOPPED if normal else Status.FAILED)

    def _restart(self, child: Child, reason: str, now_ms: int) -> None:
        name = child.spec.name
        child.restarts += 1
        self._window.add(name, now_ms)
        child.mark_down(RestartKind.CRASH, reason, now_ms)
        if self._window.exceeded(now_ms, self._counted(child)) and not self._escalate(child, reason):
            return
        wait_ms = delay_ms(self.spec.backoff, name, child.attempts)
        child.attempts += 1
        child.not_before_ms = now_ms + wait_ms
        child.status = Status.BACKOFF if wait_ms else Status.STOPPED
        self._take_siblings_along(child, reason, now_ms)

    def _take_siblings_along(self, fallen: Child, reason: str, now_ms: int) -> None:
        if self.spec.strategy is Strategy.ONE_FOR_ONE:
            return
        first = 0 if self.spec.strategy is Strategy.ONE_FOR_ALL else self._children.index(fallen)
        fallen.gated = True
        for sibling in self._children[first:]:
            if sibling is fallen or sibling.held or sibling.status is Status.QUARANTINED:
                continue
            if sibling.alive and not sibling.leaving:
                sibling.mark_down(RestartKind.SIBLING, f"{fallen.spec.name}: {reason}", now_ms)
            sibling.leaving = sibling.alive
            # A temporary child is never restarted, also not when a sibling's death is what ended it.
            sibling.wanted = sibling.gated = sibling.spec.restart is not RestartType.TEMPORARY

    def _escalate(self, child: Child, reason: str) -> bool:
        """Acts by the policy; whether the child is tried again."""
        policy = self.spec.escalation
        escalation = Escalate(self.spec.name, child.spec.name, policy, too_many(self.spec, reason))
        told: list[Effect] = [escalation, alert(self.spec, child.spec.name, escalation.reason)]
        match policy:
            case Escalation.SHUTDOWN:
                self._last_words = told
                self._take_down()
                return False
            case Escalation.QUARANTINE:
                child.rests(Status.QUARANTINED)
                self._effects += told
                return False
            case Escalation.HALT | Escalation.DEGRADE:
                if not self._escalated:
                    self._escalated = True
                    self._effects += told
                return True
            case _:
                assert_never(policy)

    def _command(self, command: Command, now_ms: int) -> None:
        if command.child is not None:
            self._command_one(self._child(command.child), command, now_ms)
        elif command.verb is Verb.START:
            self._up, self._running, self._announced = True, True, False
            self._last_words = []
            for child in self._children:
                if not child.held and child.status is not Status.QUARANTINED:
                    child.wanted = True
                    child.gated = child.status is not Status.READY
                    # A stop that has not reached the child yet is taken back; one that has is followed by a start.
                    child.leaving = child.leaving and child.status not in {Status.STARTING, Status.READY}
        elif command.verb is Verb.STOP:
            self._running = True
            self._take_down()
        else:
            for child in self._children:
                self._restart_gracefully(child, command.reason, now_ms)
                child.gated = child.wanted

    def _command_one(self, child: Child, command: Command, now_ms: int) -> None:
        if command.verb is Verb.STOP:
            child.held, child.wanted, child.gated = True, False, False
            child.leaving = child.alive
            if not child.alive:
                child.status, child.down_since_ms = Status.STOPPED, -1
        elif command.verb is Verb.RECYCLE:
            if child.status is Status.READY and not child.leaving:
                self._restart_gracefully(child, command.reason, now_ms, RestartKind.MEMORY)
        elif command.verb is Verb.RESTART and child.alive:
            self._restart_gracefully(child, command.reason, now_ms)
        else:
            self._start_alone(child, now_ms)

    def _start_alone(self, child: Child, now_ms: int) -> None:
        """A person wants this child to live: its past is forgiven."""
        child.held = False
        if not self._up or child.alive:
            return
        child.status, child.wanted, child.gated = Status.STOPPED, True, False
        child.not_before_ms, child.attempts = now_ms, 0
        self._window.clear(child.spec.name)

    def _restart_gracefully(
        self, child: Child, reason: str, now_ms: int, kind: RestartKind = RestartKind.GRACEFUL
    ) -> None:
        if not self._up or child.status not in {Status.READY, Status.STARTING}:
            return
        if kind is RestartKind.MEMORY:
            child.recycles += 1
        else:
            child.graceful_restarts += 1
        child.leaving = child.wanted = True
        child.mark_down(kind, reason, now_ms)

    def _take_down(self) -> None:
        self._up = False
        for child in self._children:
            child.wanted = child.gated = False
            child.leaving = child.alive
            if child.status is Status.BACKOFF:
                child.status, child.not_before_ms = Status.STOPPED, 0

    def _check_deadlines(self, now_ms: int) -> None:
        for child in self._children:
            if child.deadline_ms is None or now_ms < child.deadline_ms:
                continue
            if child.status is Status.STARTING:
                limit = child.spec.start_timeout_ms or 0
                self._condemn(child, f"not Ready {limit / 1000:g} s after its start", now_ms)
            elif child.status is Status.STOPPING:
                limit = child.spec.shutdown_timeout_ms or 0
                self._kill(child, f"not stopped after {limit / 1000:g} s", now_ms)
            else:
                self._kill(child, child.verdict, now_ms)

    def _check_stability(self, now_ms: int) -> None:
        for child in self._children:
            if child.status is Status.READY and now_ms >= child.ready_ms + self.spec.stable_ms:
                child.attempts = 0
        if self._escalated and self._up and all(self._stable(child) for child in self._children):
            self._escalated = False
            self._effects.append(recovered(self.spec))

    def _stable(self, child: Child) -> bool:
        return not child.wanted or (child.status is Status.READY and child.attempts == 0)

    def _stop_next(self, now_ms: int) -> None:
        """Right to left, one at a time: the next is asked when the one before is gone."""
        going = [child for child in self._children if child.leaving]
        if going and not any(child.status in {Status.STOPPING, Status.KILLING} for child in going):
            child = going[-1]
            child.status = Status.STOPPING
            child.deadline_ms = after(now_ms, child.spec.shutdown_timeout_ms)
            self._effects.append(StopChild(child.spec.name, child.incarnation, child.spec.shutdown_timeout_ms))

    def _start_next(self, now_ms: int) -> None:
        if not self._up:
            return
        left_is_ready = not any(child.leaving for child in self._children if child.gated)
        for child in self._children:
            if (
                child.wanted
                and not child.alive
                and now_ms >= child.not_before_ms
                and (left_is_ready or not child.gated)
            ):
                child.incarnation += 1
                child.status = Status.STARTING
                child.started_ms = now_ms
                child.deadline_ms = after(now_ms, child.spec.start_timeout_ms)
                self._effects.append(StartChild(child.spec.name, child.incarnation))
            left_is_ready = left_is_ready and (not child.wanted or child.status is Status.READY)

    def _announce(self) -> None:
        if (
            self._up
            and not self._announced
            and all(child.status is Status.READY for child in self._children if child.wanted)
        ):
            self._announced = True
            self._effects.append(SupervisorReady(self.spec.name))
        if self._running and not self._up and not any(child.alive for child in self._children):
            self._running = False
            gave_up, self._last_words = self._last_words, []
            self._effects += gave_up
            reason = next((word.reason for word in gave_up if isinstance(word, Escalate)), "stopped")
            self._effects.append(SupervisorStopped(self.spec.name, normal=not gave_up, reason=reason))
