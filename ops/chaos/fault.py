"""What a fault of a campaign is: where it strikes, how it is injected, what recovery from it means.

Guarantees: a fault keeps its number for ever, so that `--fault` replays the one that a report names. Never: an injection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ops.chaos.eyes import Sight

if TYPE_CHECKING:
    from ops.chaos.arena import Arena


class Axis(StrEnum):
    """Where faults strike."""

    PROCESS = "process"
    SERVER = "server"
    RAY = "ray"
    VENUE = "venue"
    STREAM = "stream"
    BUS = "bus"
    STORAGE = "storage"
    OPERATOR = "operator"
    RESTART = "restart"


class Skip(Exception):
    """The fault can't be injected here; the message says why."""


def is_active(sight: Sight) -> bool:
    """Every actor works, and openings are possible."""
    return sight.active


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was injected. `since_s` (monotonic) is when recovery began to count, `back` says when it is over,
    `broken` what the fault itself found wrong, as a sentence."""

    since_s: float
    back: Callable[[Sight], bool] = is_active
    broken: Callable[[Sight], str] = lambda _: ""
    note: str = ""


Inject = Callable[["Arena"], Awaitable[Injected]]


@dataclass(frozen=True, slots=True)
class ChaosFault:
    """One row of the catalogue.

    `target_s` is what the median recovery is held against, None where the design names no target; `within_s` is when
    recovery counts as failed. `group` is the supervisor whose intensity it costs, `restarts` how much of it.
    """

    number: int
    axis: Axis
    name: str
    does: str
    inject: Inject
    target_s: float | None = None
    within_s: float = 90.0
    group: str = ""
    restarts: int = 1
    long: bool = False
