"""What the operating system knows of processes: proof of death, family, cores.

Guarantees: `marked` finds every process that was started below a supervisor of one home, whoever its parent is now. `Death`
is the kernel's proof (`titan.death`). Never: a signal to a process outside the given set.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from titan.death import Death as Death
from titan.servers.identity import ProcessId

MARK = "SUPERVISED_BY_TITAN"
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.01


def adopt_orphans() -> None:
    """Makes this process the parent of every orphan below it (Linux), so that none escapes."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Reaper:
    """Collects orphans that were adopted and have ended; children of our own making have somebody who waits for them.

    What we start ourselves shares our session or leads one of its own, and is waited for at once; an orphan has the session of
    its late parent, or, like a backend of PostgreSQL, leads one too and is collected when nobody has for `patience_s`.
    """

    def __init__(self, patience_s: float = 5.0) -> None:
        self._patience_s = patience_s
        self._since: dict[tuple[int, float], float] = {}

    def reap(self) -> None:
        """One look at all children."""
        me, now = os.getsid(0), time.monotonic()
        seen: dict[tuple[int, float], float] = {}
        for child in psutil.Process().children():
            try:
                if child.status() != psutil.STATUS_ZOMBIE:
                    continue
                who = (child.pid, child.create_time())
                seen[who] = self._since.get(who, now)
                if os.getsid(child.pid) not in {me, child.pid} or now - seen[who] >= self._patience_s:
                    os.waitpid(child.pid, os.WNOHANG)
            except (psutil.Error, ChildProcessError, ProcessLookupError):
                continue
        self._since = seen


def mark_of(home: Path) -> dict[str, str]:
    """The environment that marks everything started below a supervisor of `home`."""
    return {MARK: str(home)}


def marked(home: Path) -> list[ProcessId]:
    """Living processes that carry the mark of `home`, this one excepted."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(MARK) == str(home):
                identity = ProcessId.of(process.pid)
                if identity is not None:
                    found.append(identity)
        except (psutil.Error, OSError):
            continue
    return found


def boot_id() -> str:
    """A name of this boot of the machine; empty where the system gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def in_session(session: int, title: str) -> list[ProcessId]:
    """Living processes of a kernel session whose command line begins with `title`: some overwrite the environment they show."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and os.getsid(process.pid) == session
                and (process.cmdline() or [""])[0].startswith(title)
            ):
                identity = ProcessId.of(process.pid)
                if identity is not None:
                    found.append(identity)
        except (psutil.Error, OSError):
            continue
    return found


def kill_all(processes: Iterable[ProcessId], timeout_s: float) -> list[ProcessId]:
    """SIGKILL to each that still is who it was; waits until they are gone. Returns those that are not."""
    left = list(processes)
    deadline = time.monotonic() + timeout_s
    for process in left:
        if process.lives():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    while left and time.monotonic() < deadline:
        left = [process for process in left if process.lives()]
        if left:
            time.sleep(_POLL_S)
    return left


def bury(pid: int, home: Path, within_s: float) -> bool:
    """Kills a Ray worker of a home by its pid, unless the pid is a stranger's by now; whether it is gone."""
    identity = ProcessId.of(pid)
    try:
        process = psutil.Process(pid)
        ours = process.environ().get(MARK) == str(home) and (process.cmdline() or [""])[0].startswith("ray::")
    except (psutil.Error, OSError):
        return True
    return identity is None or not ours or not kill_all([identity], within_s)


def raise_descriptor_limit(most: int = 65_536) -> int:
    """Takes as many descriptors as this process may without asking anybody; how many that are. Children inherit them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def cpus_of(pid: int) -> list[int]:
    """The cores that any thread of a process may run on; empty when it is gone."""
    cores: set[int] = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            cores |= os.sched_getaffinity(int(task))
    except (FileNotFoundError, ProcessLookupError):
        return sorted(cores)
    return sorted(cores)


def pss_bytes(pid: int) -> int:
    """Memory of a process with shared pages counted in part; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
