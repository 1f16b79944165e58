"""What a supervisor is told about its children: Erlang/OTP's words as values.

Guarantees: a spec is immutable and checked when it is made; names are unique in a whole tree. Times are milliseconds of wall
time. Never: Ray, a process, a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Strategy(StrEnum):
    """Who else is restarted when a child dies."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class RestartType(StrEnum):
    """Whether a child that ended is started again."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Escalation(StrEnum):
    """What happens when the restarts exceed the intensity.

    SHUTDOWN is OTP's own: stop every child in reverse order, then end, which the supervisor above sees as a crash.
    HALT (money): ask for HALT once, keep trying with backoff. QUARANTINE (phases): the child stays down until a person
    starts it, the others go on, and each child has an intensity of its own. DEGRADE (edge): say so, keep trying with backoff.
    """

    SHUTDOWN = "shutdown"
    HALT = "halt"
    QUARANTINE = "quarantine"
    DEGRADE = "degrade"


@dataclass(frozen=True, slots=True)
class Intensity:
    """More than `max_restarts` within a sliding `period_ms` is too many."""

    max_restarts: int = 1
    period_ms: int = 5_000

    def __post_init__(self) -> None:
        if self.max_restarts < 0 or self.period_ms <= 0:
            raise ValueError(
                f"an intensity needs max_restarts >= 0 and period_ms > 0, got {self.max_restarts} in {self.period_ms} ms"
            )


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between restarts: doubled from `floor_ms` up to `cap_ms`, spread by a jitter that `seed` makes repeatable."""

    floor_ms: int = 200
    cap_ms: int = 30_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.floor_ms <= self.cap_ms:
            raise ValueError(f"a backoff needs 0 < floor_ms <= cap_ms, got {self.floor_ms} and {self.cap_ms}")


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child. A timeout of None waits for ever (right for supervisors, wrong for workers)."""

    name: str
    restart: RestartType = RestartType.PERMANENT
    start_timeout_ms: int | None = 30_000
    shutdown_timeout_ms: int | None = 5_000

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a child needs a name")
        for value in (self.start_timeout_ms, self.shutdown_timeout_ms):
            if value is not None and value < 0:
                raise ValueError(f"child {self.name}: a timeout can't be negative, got {value} ms")


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """One supervisor: its children from left to right, how it restarts them, and what it does when that does not help.

    `stable_ms` is how long a child must have been Ready for its backoff to start anew (by default the intensity's period).
    """

    name: str
    children: tuple[ChildSpec | SupervisorSpec, ...]
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = field(default_factory=Intensity)
    escalation: Escalation = Escalation.SHUTDOWN
    backoff: Backoff = field(default_factory=Backoff)
    stable_ms: int = 0
    restart: RestartType = RestartType.PERMANENT

    def __post_init__(self) -> None:
        if self.stable_ms == 0:
            object.__setattr__(self, "stable_ms", self.intensity.period_ms)
        names = [spec.name for spec in self.walk()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"supervisor {self.name}: a name may stand once in a tree, seen twice: {', '.join(twice)}")

    def walk(self) -> Iterator[ChildSpec | SupervisorSpec]:
        """This supervisor and everything below it, parents first, left to right."""
        yield self
        for child in self.children:
            if isinstance(child, SupervisorSpec):
                yield from child.walk()
            else:
                yield child

    def workers(self) -> tuple[str, ...]:
        """The names of all children that are no supervisors, in start order."""
        return tuple(spec.name for spec in self.walk() if isinstance(spec, ChildSpec))

    def as_child(self) -> ChildSpec:
        """How the supervisor above sees this one: it may take as long as its own children take."""
        return ChildSpec(self.name, self.restart, start_timeout_ms=None, shutdown_timeout_ms=None)
