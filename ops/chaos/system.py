"""A whole Titan of a campaign's own: the real guardian, servers, Ray and actors under a home and ports of their own.

Guarantees: everything that runs for this home is ended when the block ends, by pid and only after its start was compared;
nothing of another home is touched. Never: an actor, server or plan that differs from `titan up`'s but for the hooks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.chaos.hooked import ARMED
from ops.cli.plan import ROOT, Flags, make_plan
from ops.cli.world import prepare
from supervisors.control import ask
from supervisors.processes import kill_all, marked
from supervisors.ray_node import family_of
from supervisors.server_life import SERVERS
from supervisors.state import Stage, read_state
from titan.errors import ConfigError, Fatal, NotRunning, TimedOut
from titan.runtime import Runtime
from titan.servers.identity import ProcessId, ServerRecord
from titan.settings import load_settings

GROUPS = "ops.chaos.hooked:GROUPS"
GROUPS_WITH_STANDBY = "ops.chaos.hooked:GROUPS_WITH_STANDBY"
FORGETFUL = "ops.chaos.hooked:FORGETFUL"
FEED, SPEED = "synthetic:42", 60.0
UP_WITHIN_S = 300.0
UP_POLL_S = 0.1
DOWN_WITHIN_S = 60.0
JOURNAL_DISK_MB = 64
READY = "ACTOR_STATE_READY"
QUARANTINED = "ACTOR_STATE_QUARANTINED"


@dataclass(frozen=True, slots=True)
class ActorSeen:
    """One actor as the root supervisor tells of it."""

    name: str
    supervisor: str
    pid: int
    state: str
    restarts: int
    # How many restarts its supervisor has left, by its own count.
    left: int = 100

    @property
    def ready(self) -> bool:
        """Whether it works."""
        return self.state == READY


class System:
    """One Titan. Make it with `whole_system`."""

    def __init__(
        self, home: Path, *, standby: bool = False, feed: str = FEED, speed: float = SPEED, forgetful: bool = False
    ) -> None:
        self.home = home
        self._flags = Flags(home, feed=feed, speed=speed)
        self.groups = FORGETFUL if forgetful else GROUPS_WITH_STANDBY if standby else GROUPS
        self.own_journal_disk = False
        self.keep_logs: Path | None = None
        self._guardian: subprocess.Popen[bytes] | None = None

    @property
    def runtime(self) -> Runtime:
        """The recorded run."""
        return Runtime.load(self.home)

    def start(self) -> None:
        """Starts it and waits until every actor is Ready. Raises Fatal with the guardian's own sentence, TimedOut."""
        self._spawn(resume=False)
        deadline = time.monotonic() + UP_WITHIN_S
        while not self._came_up(deadline):
            time.sleep(UP_POLL_S)

    async def start_again(self) -> None:
        """The same with the account that is there, for a loop that may be interrupted."""
        await asyncio.to_thread(self._spawn, resume=True)
        deadline = time.monotonic() + UP_WITHIN_S
        while not self._came_up(deadline):
            await asyncio.sleep(UP_POLL_S)

    def _spawn(self, *, resume: bool) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TITAN_")}
        environment |= {"TITAN_HOME": str(self.home), "TITAN_PORTS": "auto", "TITAN_DASHBOARD": "false"}
        plan = make_plan(load_settings(environment), self._flags)
        prepare(plan, resume=resume)
        plan.save()
        logs = self.home / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        with (logs / "guardian.log").open("ab") as log:
            self._guardian = subprocess.Popen(
                [sys.executable, "-m", "supervisors.guardian", "--home", str(self.home), "--groups", self.groups],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=ROOT,
                env={**environment, ARMED: "1"},
            )

    def _came_up(self, deadline: float) -> bool:
        guardian = self._guardian
        assert guardian is not None
        state = read_state(self.home)
        own = state is not None and state.pid == guardian.pid
        if guardian.poll() is not None:
            word = state.error if state is not None and own else "see logs/guardian.log"
            raise Fatal(f"the system of the campaign did not start: {word}")
        if time.monotonic() > deadline:
            raise TimedOut(f"the system of the campaign was not up within {UP_WITHIN_S:.0f} s")
        return state is not None and own and state.state == Stage.UP

    def stop(self) -> bool:
        """Ends it in order; whether everything went by itself in time."""
        guardian = self._guardian
        if guardian is None:
            return True
        if guardian.poll() is None:
            guardian.terminate()
            try:
                guardian.wait(DOWN_WITHIN_S)
            except subprocess.TimeoutExpired:
                guardian.kill()
                guardian.wait()
                return False
        return True

    def kill(self) -> None:
        """SIGKILL to everything at once: guardian, servers, Ray, actors."""
        servers = [found for name in SERVERS if (found := self.server(name)) is not None]
        guardian = ProcessId.of(self.guardian_pid)
        everybody = [guardian, *servers, *marked(self.home), *family_of(self.home)]
        kill_all(dict.fromkeys(each for each in everybody if each is not None), 10.0)
        assert self._guardian is not None
        self._guardian.wait()

    def end(self) -> None:
        """Ends whatever still works for this home."""
        servers = [found for name in SERVERS if (found := self.server(name)) is not None]
        clean = self.stop()
        left = [*family_of(self.home), *marked(self.home), *(each for each in servers if each.lives())]
        if not clean or left:
            for process in left:
                # A stopped process takes no signal but this one before it is continued.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
            kill_all(left, 5.0)

    @property
    def guardian_pid(self) -> int:
        """The guardian's process."""
        if self._guardian is None:
            raise NotRunning("the system of the campaign was not started")
        return self._guardian.pid

    @property
    def up(self) -> bool:
        """Whether its guardian says that everything is there."""
        state = read_state(self.home)
        return state is not None and state.alive and state.state == Stage.UP

    def server(self, name: str) -> ProcessId | None:
        """The living process of a server."""
        record = ServerRecord.read(self.home / "run" / f"{name}.pid.json")
        return record.server if record is not None and record.server.lives() else None

    def ray_process(self, title: str) -> int | None:
        """The pid of raylet, gcs_server or the root supervisor of this home."""
        for process in family_of(self.home):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                program = words.split(" ", 1)[0].rpartition("/")[2]
                if title in (program, words.strip()) or (title.startswith("ray::") and words.startswith(title)):
                    return process.pid
        return None

    async def actors(self, within_s: float = 1.0) -> dict[str, ActorSeen]:
        """Every actor by name; empty while no root answers."""
        try:
            answer = await ask(self.home / "run", "snapshot", within_s)
        except (NotRunning, TimedOut, OSError, ValueError):
            return {}
        rows = answer.get("actors")
        found: dict[str, ActorSeen] = {}
        for row in rows if isinstance(rows, list) else []:
            name = str(row.get("name", ""))
            found[name] = ActorSeen(
                name,
                str(row.get("supervisor", "")),
                int(row.get("pid", 0)),
                str(row.get("state", "")),
                int(row.get("restarts", 0)),
                int(row.get("intensity_left", 0)),
            )
        return found


@contextlib.contextmanager
def whole_system(
    *, standby: bool = False, feed: str = FEED, speed: float = SPEED, forgetful: bool = False
) -> Iterator[System]:
    """A running Titan, with a second router or a forgetful supervisor on demand; ended whatever happens, its home removed.

    Raises Fatal, TimedOut when it can't be started.
    """
    home = Path(tempfile.mkdtemp(prefix="titan-chaos-"))
    # As root PostgreSQL runs under another user, who must be able to walk in.
    home.chmod(0o711)
    system = System(home, standby=standby, feed=feed, speed=speed, forgetful=forgetful)
    try:
        system.own_journal_disk = _small_disk(home / "journal")
        system.start()
        yield system
    finally:
        try:
            system.end()
        finally:
            if system.keep_logs is not None and (home / "logs").is_dir():
                shutil.copytree(home / "logs", system.keep_logs, dirs_exist_ok=True)
            if system.own_journal_disk:
                subprocess.run(["umount", "-l", str(home / "journal")], check=False, capture_output=True)
            shutil.rmtree(home, ignore_errors=True)


def _small_disk(path: Path) -> bool:
    """Gives the journal a disk of its own that can be filled; False where that needs rights that are not there."""
    if os.geteuid() != 0:
        return False
    path.mkdir(mode=0o700)
    options = f"size={JOURNAL_DISK_MB}m,mode=0700"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(path)], check=False, capture_output=True)
    return done.returncode == 0


def dead(pid: int) -> bool:
    """Whether a process is gone, or waits only to be reaped."""
    return ProcessId.of(pid) is None


async def gone(pid: int, within_s: float) -> bool:
    """Waits until a process is gone."""
    deadline = time.monotonic() + within_s
    while not dead(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def port_of(home: Path, name: str) -> int:
    """A port of the run by its name in run/ports.json. Raises ConfigError."""
    try:
        return int(json.loads((home / "run" / "ports.json").read_text())[name])
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{home / 'run' / 'ports.json'} names no port {name}: {error!r}") from error
