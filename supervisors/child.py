"""What a supervision machine remembers about one child, what others may see of it, and what outlives the supervisor.

Never: a decision; those are the machine's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from supervisors.events import RestartKind
from supervisors.spec import ChildSpec, RestartType


class Status(StrEnum):
    """Where a child stands. KILLING is the time between a verdict and the proof of death."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    KILLING = "killing"
    BACKOFF = "backoff"
    QUARANTINED = "quarantined"
    FAILED = "failed"


ALIVE = frozenset({Status.STARTING, Status.READY, Status.STOPPING, Status.KILLING})


@dataclass(frozen=True, slots=True)
class ChildHistory:
    """What a supervisor that comes back must still know of a child. `down_since_ms` is -1 while it is not being restarted,
    `not_before_ms` is 0 unless its restart waits."""

    incarnation: int = 0
    restarts: int = 0
    graceful_restarts: int = 0
    recycles: int = 0
    attempts: int = 0
    held: bool = False
    quarantined: bool = False
    last_exit: str = ""
    last_recovery_ms: int = -1
    down_since_ms: int = -1
    down_kind: RestartKind = RestartKind.CRASH
    down_reason: str = ""
    not_before_ms: int = 0
    pid: int = 0
    ready_ms: int = -1

    def of_a_new_run(self) -> ChildHistory:
        """What the next run must know: its restarts are counted from zero; who was put aside stays aside."""
        return ChildHistory(self.incarnation, held=self.held, quarantined=self.quarantined)


@dataclass(frozen=True, slots=True)
class SupervisorHistory:
    """What a supervisor that comes back must still know: its children and the instants of their recent restarts."""

    children: dict[str, ChildHistory] = field(default_factory=dict)
    window: tuple[tuple[str, int], ...] = ()
    escalated: bool = False

    def of_a_new_run(self) -> SupervisorHistory:
        """What the next run must know."""
        return SupervisorHistory({name: child.of_a_new_run() for name, child in self.children.items()})


@dataclass(frozen=True, slots=True)
class ChildView:
    """One child as others see it. `restarts` counts crashes only; times are milliseconds, -1 is never."""

    name: str
    supervisor: str
    status: Status
    incarnation: int
    pid: int
    restarts: int
    graceful_restarts: int
    recycles: int
    intensity_left: int
    last_exit: str
    last_recovery_ms: int
    started_ms: int


@dataclass(slots=True)
class Child:
    """The working memory for one child."""

    spec: ChildSpec
    status: Status = Status.STOPPED
    incarnation: int = 0
    pid: int = 0
    wanted: bool = False
    held: bool = False
    # A gated child takes part in an ordered start: it waits until everything wanted on its left is Ready.
    gated: bool = False
    # A leaving child must be stopped, in its turn.
    leaving: bool = False
    not_before_ms: int = 0
    deadline_ms: int | None = None
    verdict: str = ""
    attempts: int = 0
    restarts: int = 0
    graceful_restarts: int = 0
    recycles: int = 0
    last_exit: str = ""
    last_recovery_ms: int = -1
    down_since_ms: int = -1
    down_kind: RestartKind = RestartKind.CRASH
    down_reason: str = ""
    started_ms: int = -1
    ready_ms: int = -1

    @property
    def alive(self) -> bool:
        """Whether a process of this child may exist."""
        return self.status in ALIVE

    def comes_back(self, normal: bool) -> bool:
        """Whether an exit that nobody asked for is answered by a restart."""
        if self.spec.restart is RestartType.PERMANENT:
            return True
        return self.spec.restart is RestartType.TRANSIENT and not normal

    def mark_down(self, kind: RestartKind, reason: str, now_ms: int) -> None:
        """Starts the clock of a recovery; a failure during a recovery belongs to it."""
        if self.down_since_ms < 0:
            self.down_since_ms = now_ms
        self.down_kind = kind
        self.down_reason = reason

    def came_up(self, now_ms: int) -> None:
        """It said that it is Ready."""
        self.status = Status.READY
        self.gated = False
        self.deadline_ms = None
        self.ready_ms = now_ms

    def ended(self, reason: str) -> None:
        """Its process is gone; a verdict that had been passed on it is the reason."""
        self.status = Status.STOPPED
        self.deadline_ms = None
        self.pid = 0
        self.leaving = False
        self.last_exit = self.verdict or reason
        self.verdict = ""

    def rests(self, status: Status = Status.STOPPED) -> None:
        """It is down and nobody wants it back."""
        self.status = status
        self.wanted = self.gated = False
        self.down_since_ms = -1

    def adopt(self, incarnation: int, pid: int, ready: bool, now_ms: int) -> None:
        """A process of it was found alive, Ready or still starting. Its supervisor's death is none of its own: what was Ready
        before has been stable since then."""
        known = incarnation == self.incarnation and 0 <= self.ready_ms <= now_ms
        self.incarnation = max(self.incarnation, incarnation)
        self.pid = pid
        self.wanted, self.leaving = not self.held, self.held
        self.started_ms = now_ms
        if ready:
            self.status = Status.READY
            self.ready_ms = self.ready_ms if known else now_ms
            self.down_since_ms = -1
        else:
            self.status = Status.STARTING
            self.deadline_ms = after(now_ms, self.spec.start_timeout_ms)

    def due_ms(self, stable_ms: int) -> list[int]:
        """The instants at which time alone changes something for this child."""
        due = [] if self.deadline_ms is None else [self.deadline_ms]
        if self.status is Status.BACKOFF:
            due.append(self.not_before_ms)
        if self.status is Status.READY and self.attempts > 0:
            due.append(self.ready_ms + stable_ms)
        return due

    def view(self, supervisor: str, intensity_left: int) -> ChildView:
        """This child as others see it."""
        return ChildView(
            self.spec.name,
            supervisor,
            self.status,
            self.incarnation,
            self.pid if self.alive else 0,
            self.restarts,
            self.graceful_restarts,
            self.recycles,
            intensity_left,
            self.last_exit,
            self.last_recovery_ms,
            self.started_ms if self.alive else -1,
        )

    def history(self) -> ChildHistory:
        """What must outlive the supervisor."""
        return ChildHistory(
            self.incarnation,
            self.restarts,
            self.graceful_restarts,
            self.recycles,
            self.attempts,
            self.held,
            self.status is Status.QUARANTINED,
            self.last_exit,
            self.last_recovery_ms,
            self.down_since_ms,
            self.down_kind,
            self.down_reason,
            self.not_before_ms if self.status is Status.BACKOFF else 0,
            self.pid if self.alive else 0,
            self.ready_ms if self.status is Status.READY else -1,
        )

    def remember(self, past: ChildHistory) -> None:
        """Takes up where an earlier supervisor ended."""
        self.incarnation = past.incarnation
        self.restarts = past.restarts
        self.graceful_restarts = past.graceful_restarts
        self.recycles = past.recycles
        self.attempts = past.attempts
        self.held = past.held
        self.not_before_ms = past.not_before_ms
        waits = Status.BACKOFF if past.not_before_ms else Status.STOPPED
        self.status = Status.QUARANTINED if past.quarantined else waits
        self.last_exit = past.last_exit
        self.last_recovery_ms = past.last_recovery_ms
        self.down_since_ms = past.down_since_ms
        self.down_kind = past.down_kind
        self.down_reason = past.down_reason
        self.ready_ms = past.ready_ms


def after(now_ms: int, wait_ms: int | None) -> int | None:
    """The end of a wait; None for one that never ends."""
    return None if wait_ms is None else now_ms + wait_ms
