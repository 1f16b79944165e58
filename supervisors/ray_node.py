"""One lean Ray head on the loopback address: its environment, ports, folders and processes.

Guarantees: every socket is loopback (Ray alone would listen on all interfaces) and every call needs the token of this home;
all its processes carry the mark of the home, so that none survives `stop`, nor a crash followed by a start. Never: `ray stop`,
which ends every Ray of the machine; the import of Ray, which costs a hundred megabytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from supervisors.processes import Death, boot_id, in_session, kill_all, mark_of, marked
from supervisors.ray_dashboard import Dashboard
from supervisors.tree import TITAN_GROUPS, resource_of
from titan.errors import TimedOut, TitanError
from titan.files import private_dir, write_private
from titan.servers.identity import ProcessId
from titan.servers.ports import LOOPBACK, PortBook
from titan.servers.probe import ask

CHECKOUT = Path(__file__).resolve().parents[1]
OBJECT_STORE_BYTES = 80_000_000
BOOT_WITHIN_S = 90.0
HEALTH_WITHIN_S = 5.0
TERM_WITHIN_S = 1.0
KILL_WITHIN_S = 5.0
KEPT_SESSIONS = 2
SESSION_FILE = "ray_session.json"
HEAD_FILE = "ray_head.json"
# Each node of a role offers this much of the role's resource; actors take a thousandth of one.
ROLE_CAPACITY = 1.0
NODES_WITHIN_S = 120.0
# Ray's own figures notice a lost node after 15 seconds; these after about five.
_NODE_WATCH = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
# AF_UNIX takes 107 bytes; Ray appends `/session_<date>_<time>_<µs>_<pid>/sockets/plasma_store`.
LONGEST_TEMP_DIR = 40
_PORTS = ("gcs", "node_manager", "object_manager", "agent_http", "agent_grpc", "runtime_env", "metrics")


class RayFailed(TitanError):
    """Ray did not come up: its last words are in the message, the rest in its logs."""


@dataclass(frozen=True, slots=True)
class RayPlan:
    """What the short-lived boot process needs to know."""

    home: str
    temp_dir: str
    ports: dict[str, int]
    dashboard: bool
    dashboard_port: int
    object_store_bytes: int
    num_cpus: int
    guardian_pid: int
    groups: str
    session: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Booted:
    """What the boot process left running."""

    gcs_pid: int
    raylet_pid: int
    root_pid: int
    dashboard_pid: int = 0
    dashboard_command: list[str] = field(default_factory=list)


def resources_of(roles: Iterable[str]) -> dict[str, float]:
    """What a node with these roles offers to Ray."""
    return {resource_of(role): ROLE_CAPACITY for role in roles}


def temp_dir_of(home: Path) -> Path:
    """Where Ray keeps its sessions: under the home, or under /tmp when Unix sockets would not fit there.

    Ray opens this folder to everybody; the one above it is private.
    """
    wanted = home / "run" / "ray"
    if len(str(wanted).encode()) <= LONGEST_TEMP_DIR:
        return wanted
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:10]
    return Path("/tmp") / f"titan-ray-{digest}" / "ray"


def ray_environment(home: Path, token_path: Path, session: str) -> dict[str, str]:
    """Variables of every Ray process and driver of this home."""
    return {
        # Documented for other systems only; on Linux it is what keeps every port on the loopback address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_worker_niceness": "0",
        "RAY_worker_oom_score_adjustment": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_task_events_report_interval_ms": "0",
        "RAY_maximum_gcs_destroyed_actor_cached_count": "100",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_enable_metrics_collection": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_ROTATION_MAX_BYTES": "10000000",
        "RAY_ROTATION_BACKUP_COUNT": "1",
        "PYTHONPATH": str(CHECKOUT),
        "TITAN_HOME": str(home),
        "SUPERVISED_BY_TITAN_SESSION": session,
        **mark_of(home),
    }


def family_of(home: Path) -> list[ProcessId]:
    """Every living process of a home's Ray, the calling one excepted.

    Most carry the home's mark. Ray's agents overwrite the environment they show; the kernel's session, which all share, stays.
    """
    found = marked(home)
    try:
        record = json.loads((home / "run" / SESSION_FILE).read_text())
        if record["boot_id"] == boot_id():
            found += in_session(int(record["sid"]), "ray::")
    except (OSError, ValueError, KeyError, TypeError):
        return found
    return list(dict.fromkeys(found))


class RayNode:
    """The Ray head of one home. Start it once, stop it once; make a new one to start again."""

    def __init__(
        self,
        home: Path,
        *,
        dashboard: bool,
        dashboard_port: int = 8265,
        groups: str = TITAN_GROUPS,
        nodes: tuple[str, ...] = (),
    ) -> None:
        self.home = home
        self.run_dir = home / "run"
        self.temp_dir = temp_dir_of(home)
        self.session = secrets.token_hex(8)
        self.token_path = self.run_dir / "secrets" / "ray_token"
        self._dashboard = dashboard
        self._dashboard_port = dashboard_port
        self._groups = groups
        self._nodes = nodes
        self.ports: dict[str, int] = {}
        self.booted: Booted | None = None
        self._deaths: list[Death] = []

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return f"{LOOPBACK}:{self.ports['gcs']}"

    @property
    def dashboard_url(self) -> str:
        """The dashboard, or nothing."""
        return f"http://{LOOPBACK}:{self._dashboard_port}" if self._dashboard else ""

    def environment(self) -> dict[str, str]:
        """The environment of Ray's processes and of drivers: the caller's own, without keys, and Ray's variables."""
        kept = {name: value for name, value in os.environ.items() if not _is_private(name)}
        watch = _NODE_WATCH if self._nodes else {}
        return {**kept, **ray_environment(self.home, self.token_path, self.session), **watch}

    async def start(self) -> Booted:
        """Kills leftovers, boots GCS, raylet and the root. Errors: `PortTaken`, `RayFailed`, `TimedOut`; nothing is left then."""
        left = await asyncio.to_thread(kill_all, family_of(self.home), KILL_WITHIN_S)
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            raise RayFailed(
                f"processes of an earlier run of {self.home} can't be killed (pids {pids}): end them by hand"
            )
        self._prepare()
        book = PortBook(self.run_dir)
        self.ports = {name: book.claim(f"ray_{name}") for name in _PORTS}
        if self._dashboard:
            book.claim("ray_dashboard", self._dashboard_port)
        plan = RayPlan(
            str(self.home),
            str(self.temp_dir),
            self.ports,
            self._dashboard,
            self._dashboard_port,
            OBJECT_STORE_BYTES,
            num_cpus=1,
            guardian_pid=os.getpid(),
            groups=self._groups,
            session=self.session,
            nodes=self._nodes,
        )
        try:
            self.booted = await self._boot(plan)
            self._deaths = [Death(self.booted.gcs_pid), Death(self.booted.raylet_pid)]
        except BaseException:
            # Also a cancellation (Ctrl-C during start) must leave nothing.
            await asyncio.to_thread(kill_all, family_of(self.home), KILL_WITHIN_S)
            raise
        return self.booted

    async def died(self) -> str:
        """Returns when GCS or raylet is gone: which."""
        gcs, raylet = (asyncio.ensure_future(death.wait()) for death in self._deaths)
        try:
            await asyncio.wait({gcs, raylet}, return_when=asyncio.FIRST_COMPLETED)
            return "the Ray head (GCS) died" if gcs.done() else "the raylet died"
        finally:
            gcs.cancel()
            raylet.cancel()

    async def healthy(self) -> str:
        """ "" when raylet and GCS answer through the node's agent, else what was seen."""
        request = b"GET /api/healthz HTTP/1.0\r\n\r\n"
        try:
            async with asyncio.timeout(HEALTH_WITHIN_S):
                page = await ask(self.ports["agent_http"], request, b"\r\n\r\n")
        except (OSError, EOFError, TimeoutError) as error:
            return f"the node's agent does not answer: {str(error) or type(error).__name__}"
        status = page.split(b"\r\n", 1)[0].decode(errors="replace")
        return "" if " 200 " in status else f"the node's agent answers {status}"

    async def stop(self) -> None:
        """Ends every process of the node; its actors must be down already."""
        if self.booted is not None:
            for pid in (self.booted.raylet_pid, self.booted.gcs_pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            waits = [death.wait() for death in self._deaths]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TERM_WITHIN_S):
                    await asyncio.gather(*waits)
        left = await asyncio.to_thread(kill_all, family_of(self.home), KILL_WITHIN_S)
        for death in self._deaths:
            death.close()
        self._deaths = []
        self.booted = None
        (self.run_dir / HEAD_FILE).unlink(missing_ok=True)
        if left:
            pids = ", ".join(str(process.pid) for process in left)
            raise RayFailed(f"Ray's processes {pids} do not end: end them by hand")
        if self.temp_dir.parent != self.run_dir:
            shutil.rmtree(self.temp_dir.parent, ignore_errors=True)

    def dashboard(self) -> Dashboard | None:
        """The dashboard server of a node that runs; None without one."""
        booted = self.booted
        if booted is None or not booted.dashboard_command:
            return None
        log_path = self.home / "logs" / "ray_dashboard.log"
        return Dashboard(booted.dashboard_command, booted.dashboard_pid, self.environment(), log_path)

    def family(self) -> list[ProcessId]:
        """Every living process of Ray that was started for this node's home."""
        return family_of(self.home)

    def _prepare(self) -> None:
        private_dir(self.run_dir)
        (self.run_dir / HEAD_FILE).unlink(missing_ok=True)
        private_dir(self.token_path.parent)
        if not self.token_path.exists():
            write_private(self.token_path, secrets.token_hex(32))
        self.token_path.chmod(0o600)
        private_dir(self.temp_dir.parent)
        sessions = sorted(self.temp_dir.glob("session_2*"), key=lambda path: path.stat().st_mtime)
        for old in sessions[:-KEPT_SESSIONS]:
            shutil.rmtree(old, ignore_errors=True)

    async def _boot(self, plan: RayPlan) -> Booted:
        log_dir = private_dir(self.home / "logs")
        log_path = log_dir / "ray_boot.log"
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "supervisors.ray_boot",
                json.dumps(asdict(plan)),
                cwd=CHECKOUT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        record = {"sid": process.pid, "boot_id": boot_id()}
        write_private(self.run_dir / SESSION_FILE, json.dumps(record) + "\n")
        within_s = BOOT_WITHIN_S + (NODES_WITHIN_S if plan.nodes else 0)
        try:
            async with asyncio.timeout(within_s):
                assert process.stdout is not None
                # Ray's processes inherit the pipe: wait for the line and for the exit, never for the end of the stream.
                line = await process.stdout.readline()
                code = await process.wait()
        except TimeoutError:
            raise TimedOut(f"Ray is not up after {within_s:g} s; see {log_path} and {self.temp_dir}") from None
        finally:
            if process.returncode is None:
                process.kill()
        if code != 0 or not line.strip():
            tail = " | ".join(log_path.read_text(errors="replace").strip().splitlines()[-4:])
            raise RayFailed(f"Ray did not start (exit code {code}); {log_path} ends with: {tail}")
        return Booted(**json.loads(line))


def _is_private(name: str) -> bool:
    return name.startswith(("HMAC_", "NATS_", "REDIS_", "BYBIT_", "BINANCE_", "TITAN_", "RAY_"))
