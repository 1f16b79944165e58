"""Which core the router's event loop gets, and whether everybody else keeps off it.

Guarantees: called before anything is started, so that servers, Ray and actors inherit the rest of the cores. Never: a core
that this process may not use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from titan.errors import ConfigError

ALONE_FROM_CORES = 4


@dataclass(frozen=True, slots=True)
class CorePlan:
    """`router` is the loop's core (None: not pinned), `others` the cores of everything else."""

    router: int | None
    others: frozenset[int]

    @property
    def setting(self) -> str:
        """What actors are told: `off` or a core number."""
        return "off" if self.router is None else str(self.router)


def plan_cores(setting: str, allowed: frozenset[int]) -> CorePlan:
    """`auto`: the last core, alone from four cores up; `off`: none; a number: that core, alone. Raises ConfigError."""
    if setting == "off":
        return CorePlan(None, allowed)
    if setting == "auto":
        last = max(allowed)
        return CorePlan(last, allowed - {last} if len(allowed) >= ALONE_FROM_CORES else allowed)
    if not setting.isdigit() or int(setting) not in allowed:
        cores = ", ".join(str(core) for core in sorted(allowed))
        raise ConfigError(
            f"TITAN_ROUTER_CPU={setting!r} is not a core of this machine: use auto, off or one of {cores}"
        )
    core = int(setting)
    # On a machine of one core there is nothing to keep off.
    return CorePlan(core, allowed - {core} or allowed)


def keep_off(plan: CorePlan) -> None:
    """Binds the calling thread, and whatever it starts from now on, to the other cores."""
    os.sched_setaffinity(0, plan.others)
