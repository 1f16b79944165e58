"""Gives the event loop's thread its core and keeps the process's other threads off it.

Guarantees: what is reported was read back from the operating system. `auto` excludes from four cores up and pins only
the loop on fewer; a core number always does both. Never: a core that the process may not use.
Source: reference/ray.md on affinity.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from titan.errors import ConfigError

EXCLUDE_FROM_CORES = 4
_TASKS = Path("/proc/self/task")
_POLICIES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which core the loop gets, and which the other threads. `loop` is None when nothing is pinned."""

    loop: int | None
    others: frozenset[int]

    @property
    def exclusive(self) -> bool:
        """Whether the other threads keep off the loop's core."""
        return self.loop is not None and self.loop not in self.others


def plan(setting: str, cores: frozenset[int]) -> Plan:
    """What `auto`, `off` or a core number means on `cores`. Raises ConfigError for a core that is not there."""
    if setting == "off":
        return Plan(None, cores)
    if setting == "auto":
        own = max(cores)
        exclude = len(cores) >= EXCLUDE_FROM_CORES
        return Plan(own, cores - {own} if exclude else cores)
    if not setting.isdigit() or int(setting) not in cores:
        listed = ", ".join(str(core) for core in sorted(cores))
        raise ConfigError(f"TITAN_ROUTER_CPU is {setting!r}; allowed are auto, off, or one of the cores {listed}")
    own = int(setting)
    return Plan(own, (cores - {own}) or cores)


class Affinity:
    """The affinity of this process. Make and use it on the event loop's thread."""

    def __init__(self, setting: str) -> None:
        self._thread = threading.get_native_id()
        self.plan = plan(setting, _usable_cores())
        self.last: dict[str, str] = {}

    def apply(self) -> None:
        """Places every thread that exists now; call it again for those that come later."""
        if self.plan.loop is None:
            return
        for thread in _threads():
            wanted = frozenset({self.plan.loop}) if thread == self._thread else self.plan.others
            with contextlib.suppress(ProcessLookupError):  # the thread ended meanwhile
                if os.sched_getaffinity(thread) != wanted:
                    os.sched_setaffinity(thread, wanted)

    def report(self) -> dict[str, str]:
        """What the operating system really granted."""
        others: set[int] = set()
        for thread in _threads():
            if thread != self._thread:
                with contextlib.suppress(ProcessLookupError):
                    others |= os.sched_getaffinity(thread)
        scheduler = os.sched_getscheduler(self._thread) & ~os.SCHED_RESET_ON_FORK
        self.last = {
            "loop_cpus": _text(os.sched_getaffinity(self._thread)),
            "other_cpus": _text(others),
            "exclusive": "yes" if self.plan.exclusive else "no",
            "nice": str(os.getpriority(os.PRIO_PROCESS, self._thread)),
            "policy": _POLICIES.get(scheduler, str(scheduler)),
            "threads": str(len(_threads())),
        }
        return self.last


def _threads() -> list[int]:
    return [int(entry.name) for entry in _TASKS.iterdir()]


def _usable_cores() -> frozenset[int]:
    """The cores this machine or container has. A parent kept off cores hands its mask on, so our own is not enough."""
    cores = set(os.sched_getaffinity(0))
    with contextlib.suppress(PermissionError, ProcessLookupError):
        cores |= os.sched_getaffinity(1)
    return frozenset(cores)


def _text(cores: set[int]) -> str:
    return ",".join(str(core) for core in sorted(cores))
