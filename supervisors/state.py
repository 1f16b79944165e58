"""What a guardian says of itself to the command, and how the command ends it.

Guarantees: one guardian a home (an advisory lock that dies with its holder); the state file names its process so well that a
stranger with the same pid is never signalled. Never: a wait without a limit.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from titan.errors import ConfigError, NotRunning, TimedOut
from titan.files import write_private
from titan.logs import get_logger
from titan.servers.identity import ProcessId, own_id

STATE_FILE = "guardian.json"
LOCK_FILE = "guardian.lock"
_POLL_S = 0.05


class Stage(StrEnum):
    """Where a guardian stands. SERVERS: actors and Ray are down, the servers were kept."""

    STARTING = "starting"
    UP = "up"
    RECOVERING = "recovering"
    STOPPING = "stopping"
    SERVERS = "servers"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class GuardianState:
    """The guardian's last word. `error` is one sentence, `exit_code` what it will end with; `router_cpu` -1 is none."""

    process: ProcessId
    state: str
    step: str = ""
    error: str = ""
    exit_code: int = 0
    dashboard_url: str = ""
    router_cpu: int = -1
    started_ms: int = 0
    ts_ms: int = 0

    @property
    def pid(self) -> int:
        """The guardian's process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return self.process.lives()


class StateFile:
    """The guardian's own hand on its state."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / STATE_FILE
        self._base = GuardianState(own_id(), Stage.STARTING, started_ms=_now_ms())
        self.last = self._base
        self._said = False

    def say(self, stage: Stage, step: str, *, error: str = "", exit_code: int = 0) -> None:
        """Replaces the state in one step. Raises OSError for the first word only: what is up must outlive a full disk."""
        base = self._base
        self.last = GuardianState(
            base.process,
            stage.value,
            step,
            error,
            exit_code,
            base.dashboard_url,
            base.router_cpu,
            base.started_ms,
            _now_ms(),
        )
        try:
            write_private(self._path, json.dumps(asdict(self.last)) + "\n")
            self._said = True
        except OSError as error:
            if not self._said:
                raise
            get_logger("guardian").error("state not written", state=stage.value, step=step, error=str(error))

    def know(self, *, dashboard_url: str, router_cpu: int) -> None:
        """Facts that every later state repeats."""
        base = self._base
        self._base = GuardianState(
            base.process, base.state, dashboard_url=dashboard_url, router_cpu=router_cpu, started_ms=base.started_ms
        )


def read_state(home: Path) -> GuardianState | None:
    """The last word of the home's last guardian, dead or alive; None when there never was one."""
    try:
        raw = json.loads((home / "run" / STATE_FILE).read_text())
        return GuardianState(**{**raw, "process": ProcessId(**raw["process"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def stop(home: Path, timeout_s: float, *, keep_servers: bool = False) -> None:
    """Ends the guardian of a home in order and waits for it. Raises NotRunning, TimedOut."""
    state = read_state(home)
    if state is None or not state.alive:
        raise NotRunning(f"no Titan runs under {home}: start it with `titan up`")
    number = signal.SIGUSR1 if keep_servers else signal.SIGTERM
    try:
        os.kill(state.pid, number)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        now = read_state(home)
        if not state.process.lives() or (keep_servers and now is not None and now.state == Stage.SERVERS):
            return
        time.sleep(_POLL_S)
    raise TimedOut(f"the guardian of {home} (pid {state.pid}) has not stopped within {timeout_s:g} s; its log says why")


class Lock:
    """The right to be the guardian of a home; held until the process ends."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / LOCK_FILE
        self._fd = -1

    def take(self, home: Path, patience_s: float) -> None:
        """Raises ConfigError when another guardian lives; one that only keeps servers is ended and followed."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience_s
        asked = False
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = read_state(home)
                if other is not None and other.state == Stage.SERVERS and other.alive and not asked:
                    os.kill(other.pid, signal.SIGTERM)
                    asked = True
                if not asked or time.monotonic() > deadline:
                    os.close(fd)
                    who = f"pid {other.pid}, {other.state}" if other is not None else "still starting"
                    raise ConfigError(
                        f"a Titan runs under {home} already ({who}): stop it with `titan down`, or set another TITAN_HOME"
                    ) from None
                time.sleep(_POLL_S)
            else:
                self._fd = fd
                return


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
