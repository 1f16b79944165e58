"""doctor: one row a check, ok / warn / fail / skip, each with its fix.

Guarantees: a check never changes anything; it exits 1 when one fails. Never: a check that guesses.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from ops.cli.client import connect, home_of
from ops.cli.control import Home, Json
from ops.cli.journal import journal_of
from ops.cli.output import emit, show, table
from ops.cli.plan import policy_file
from supervisors.state import Stage, read_state
from titan.clock import ANCHOR_FILE, MarketAnchor
from titan.errors import ExitCode, TitanError
from titan.policy import load_policy
from titan.runtime import DEFAULT_PORTS, Runtime
from titan.servers import Kind, find_binary, holder, is_free
from titan.settings import load_settings

Verdict = Literal["ok", "warn", "fail", "skip"]
MIN_DISK_GB = 2.0
MIN_FILES = 1024
MIN_SHM_MB = 128
STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}


@dataclass(frozen=True, slots=True)
class Check:
    """One row."""

    name: str
    verdict: Verdict
    seen: str
    fix: str = ""


def python() -> Check:
    """Python 3.11 to 3.13; anything older can't import this module."""
    seen = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= (3, 14):
        return Check("python", "warn", seen, "tested with 3.11 to 3.13")
    return Check("python", "ok", seen)


def settings() -> Check:
    """The environment has only known names with sane values."""
    try:
        loaded = load_settings()
    except TitanError as error:
        return Check("settings", "fail", str(error), "correct or unset it")
    return Check("settings", "ok", f"profile {loaded.profile}, feed {loaded.feed}")


def policy() -> Check:
    """The risk policy reads."""
    try:
        found = load_policy(policy_file(load_settings().policy))
    except TitanError as error:
        return Check("policy", "fail", str(error), "restore ops/config/risk_policy.json")
    return Check("policy", "ok", found.hash)


def servers() -> Iterator[Check]:
    """Each embedded server's binary."""
    for kind in Kind:
        try:
            binary = find_binary(kind)
        except TitanError as error:
            yield Check(f"server {kind.value}", "fail", str(error), "run: make run (fetches it), or put it on the PATH")
        else:
            yield Check(f"server {kind.value}", "ok", f"{binary.version_text} ({binary.origin.value})")


def ports(runtime: Runtime | None) -> Iterator[Check]:
    """The documented ports are free, or ours."""
    ours = set() if runtime is None else set(runtime.ports.values())
    for name, port in DEFAULT_PORTS.items():
        if port in ours:
            yield Check(f"port {port}", "ok", f"{name}, held by the running Titan")
        elif is_free(port):
            yield Check(f"port {port}", "ok", f"free for {name}")
        else:
            who = holder(port) or "another process"
            yield Check(f"port {port}", "fail", f"{name}: held by {who}", "stop it, or set TITAN_PORTS=auto")


def disk(home: Path) -> Check:
    """Room for journal, ledger and logs."""
    folder = home if home.exists() else home.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    seen = f"{free_gb:.1f} GB free at {folder}"
    if free_gb < MIN_DISK_GB:
        return Check("disk", "fail", seen, f"free at least {MIN_DISK_GB:.0f} GB, or move TITAN_HOME")
    return Check("disk", "ok", seen)


def shared_memory() -> Check:
    """Ray's object store lives in /dev/shm."""
    try:
        free_mb = shutil.disk_usage("/dev/shm").free / 1e6
    except OSError:
        return Check("shared memory", "warn", "/dev/shm is absent", "Ray will use the disk; in containers set shm_size")
    seen = f"{free_mb:.0f} MB free in /dev/shm"
    if free_mb < MIN_SHM_MB:
        return Check("shared memory", "warn", seen, f"give it {MIN_SHM_MB} MB (containers: shm_size: 256m)")
    return Check("shared memory", "ok", seen)


def files() -> Check:
    """Enough descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MIN_FILES:
        return Check("open files", "warn", f"limit {soft} (hard {hard})", f"ulimit -n {MIN_FILES} or more")
    return Check("open files", "ok", f"limit {soft}")


def clock(home: Path) -> Check:
    """Monotonic and wall clock are readable; a replay's anchor is consistent."""
    anchor = MarketAnchor.read(home / "run" / ANCHOR_FILE)
    year = time.gmtime().tm_year
    if year < 2025:
        return Check("clock", "fail", f"the system says it is {year}", "set the clock; use NTP")
    if anchor is None:
        return Check("clock", "ok", "market time is wall time")
    return Check("clock", "ok", f"market time of {anchor.feed} at {anchor.speed:g}x")


def cores() -> Check:
    """The router's core."""
    count = len(os.sched_getaffinity(0))
    chosen = os.environ.get("TITAN_ROUTER_CPU", "auto")
    if chosen.isdigit() and int(chosen) not in os.sched_getaffinity(0):
        return Check("router core", "fail", f"core {chosen} is not ours ({count} cores)", "choose another, or auto")
    if count < 4 and chosen == "auto":
        return Check(
            "router core", "warn", f"{count} cores: the loop is pinned and shares", "four cores give it its own"
        )
    return Check("router core", "ok", f"{count} cores, TITAN_ROUTER_CPU={chosen}")


def ray() -> Check:
    """Ray is installed."""
    from importlib.metadata import version

    return Check("ray", "ok", version("ray"))


def secrets(home: Path) -> Iterator[Check]:
    """Secrets and the journal are readable by their owner only."""
    candidates = [Path(".env"), home / "run" / "runtime.json", home / "run" / "launch.json", journal_of(home)]
    folder = home / "run" / "secrets"
    if folder.is_dir():
        candidates.extend(sorted(folder.iterdir()))
    for path in candidates:
        if not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield Check(f"mode {path.name}", "fail", f"{mode:04o} {path}", f"chmod 600 {path}")
        else:
            yield Check(f"mode {path.name}", "ok", f"{mode:04o}")


def venue(runtime: Runtime | None) -> Check:
    """The venue's port answers."""
    if runtime is None:
        return Check("venue", "skip", "Titan is not running", "titan up")
    if not runtime.venues or not runtime.venue.rest_url:
        return Check("venue", "skip", "the exchange's own address; reached by the actors")
    host, _, port = runtime.venue.rest_url.rpartition("//")[2].partition(":")
    try:
        with socket.create_connection((host, int(port.split("/")[0])), timeout=2):
            return Check("venue", "ok", f"{runtime.venue.name} answers at {host}:{port}")
    except OSError as error:
        return Check("venue", "fail", f"{host}:{port}: {error.strerror or error}", "titan logs venue")


def running(home: Path, runtime: Runtime | None) -> Check:
    """The system answers and every actor is ready."""
    if runtime is None:
        return Check("titan", "skip", "not running", "titan up")
    try:
        with connect(home) as client:
            status = client.status(3.0)
    except TitanError as error:
        return Check("titan", "fail", str(error), "titan logs; titan down; titan up")
    late = [actor.name for actor in status.actors if actor.state != 2 or actor.heartbeat_age_s > 3]
    if late:
        return Check("titan", "warn", f"not ready or silent: {', '.join(late)}", f"titan logs {late[0]}")
    return Check("titan", "ok", f"{len(status.actors)} actors ready")


def runtime_in_force(home: Path) -> Runtime | None:
    """The run that a living guardian keeps up; the record of one that ended says nothing about now."""
    state = read_state(home)
    if state is None or not state.alive or state.state == Stage.SERVERS:
        return None
    try:
        return Runtime.load(home)
    except TitanError:
        return None


def checks(home: Path) -> Iterator[Check]:
    """Every row, in order."""
    runtime = runtime_in_force(home)
    single: tuple[Callable[[], Check], ...] = (python, settings, policy)
    for check in single:
        yield check()
    yield from servers()
    yield ray()
    yield from ports(runtime)
    yield disk(home)
    yield shared_memory()
    yield files()
    yield clock(home)
    yield cores()
    yield from secrets(home)
    yield venue(runtime)
    yield running(home, runtime)


def doctor(home: Home = None, as_json: Json = False) -> None:
    """Check machine, settings, servers and the running system. Example: titan doctor --json."""
    found = list(checks(home_of(home)))
    worst = ExitCode.FAILED if any(check.verdict == "fail" for check in found) else ExitCode.OK
    if as_json:
        emit({"checks": [asdict(check) for check in found], "ok": worst is ExitCode.OK})
    else:
        rows = [
            (check.name, f"[{STYLE[check.verdict]}]{check.verdict}[/]", check.seen.replace("[", "\\["), check.fix)
            for check in found
        ]
        show(table("Doctor", ("check", "", "seen", "fix"), rows))
    raise typer.Exit(worst)
