"""A thread's place in the system's queue: niceness, and real-time scheduling where the system bounds it.

Guarantees: what is refused stays as it was; real-time scheduling is asked for only where the kernel keeps a part of every core
for all others (`sched_rt_runtime_us`), so that a loop that spins can still be ended; threads and processes that are started
later do not inherit it. Never: a core (that is the router's affinity).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

URGENT = -10
_BOUND = Path("/proc/sys/kernel/sched_rt_runtime_us")


def raise_niceness(thread: int, wanted: int = URGENT) -> None:
    """Asks for a better niceness of a thread, or for the ordinary one where that is not granted."""
    for niceness in (wanted, 0):
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
            return


def make_real_time(thread: int, bound: Path = _BOUND) -> bool:
    """Lets a thread go before every ordinary one as soon as it has work; False where that is not granted, or not bounded."""
    try:
        if int(bound.read_text()) <= 0:
            return False
        os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except (OSError, ValueError):
        return False
    return True


def make_ordinary(thread: int) -> None:
    """Takes real-time scheduling back."""
    with contextlib.suppress(OSError):
        if os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
