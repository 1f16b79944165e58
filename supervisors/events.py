"""What a supervision machine is told, and what it answers.

Guarantees: every value is immutable; an event about a child names the incarnation it is about, so news of an older life
changes nothing. Times are milliseconds of one monotonic clock. Never: behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from supervisors.spec import Escalation
from titan.effects import RaiseAlert


class Verb(StrEnum):
    """What a person, or the supervisor above, may ask for. RECYCLE is a restart for want of memory, of a Ready child only."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RECYCLE = "recycle"


class RestartKind(StrEnum):
    """Why a child lives again: by its own crash, because somebody asked, because a sibling fell, or to give memory back."""

    CRASH = "crash"
    GRACEFUL = "graceful"
    SIBLING = "sibling"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Started:
    """The child's process exists; it is not Ready yet."""

    child: str
    incarnation: int
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has recovered and does its work."""

    child: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The child is gone, proven. `normal` tells an end without error from a crash."""

    child: str
    incarnation: int
    normal: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Silent:
    """A Ready child has shown no progress for longer than it may; it may still live. `note` is what it said itself."""

    child: str
    incarnation: int
    silent_ms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Command:
    """A wish; `child` None means the whole supervisor."""

    verb: Verb
    child: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A living child of an earlier supervisor was found and verified: it must not be restarted."""

    child: str
    incarnation: int
    pid: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A child that an earlier supervisor had left alive was not found: it died unseen."""

    child: str


Event = Started | Ready | Exited | Silent | Tick | Command | Adopted | Lost


@dataclass(frozen=True, slots=True)
class StartChild:
    """Make a process for the child; answer with Started, then Ready or Exited."""

    child: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class StopChild:
    """Ask the child to drain and stop; answer with Exited. The machine itself kills it after `timeout_ms`."""

    child: str
    incarnation: int
    timeout_ms: int | None


@dataclass(frozen=True, slots=True)
class KillChild:
    """End the child at once; answer with Exited when its death is proven. Repeated until then."""

    child: str
    incarnation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Escalate:
    """Restarting did not help: act by the policy. For SHUTDOWN the children are already stopped."""

    supervisor: str
    child: str
    policy: Escalation
    reason: str


@dataclass(frozen=True, slots=True)
class RecordRestart:
    """A child is Ready again `recovery_ms` after its end was noticed."""

    supervisor: str
    child: str
    kind: RestartKind
    reason: str
    recovery_ms: int
    intensity_left: int


@dataclass(frozen=True, slots=True)
class SupervisorReady:
    """Every child that is wanted is Ready, for the first time since the start."""

    supervisor: str


@dataclass(frozen=True, slots=True)
class SupervisorStopped:
    """No child lives any more; `normal` is False when the supervisor gave up."""

    supervisor: str
    normal: bool
    reason: str


Effect = (
    StartChild | StopChild | KillChild | Escalate | RaiseAlert | RecordRestart | SupervisorReady | SupervisorStopped
)
