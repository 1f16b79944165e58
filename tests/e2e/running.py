"""A whole Titan under a home of its own, driven only through its command, its ports and its signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from titan.runtime import Runtime

ROOT = Path(__file__).resolve().parents[2]
TITAN = (sys.executable, "-m", "ops.cli.app")
START_TIMEOUT_S = 110.0
T = TypeVar("T")


def environment(home: Path, **extra: str) -> dict[str, str]:
    """The environment of a run: free ports, no dashboard, nothing of the surroundings' TITAN_ settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TITAN_", "RAY_"))}
    return {**kept, "TITAN_HOME": str(home), "TITAN_PORTS": "auto", "TITAN_DASHBOARD": "false", **extra}


def titan(
    home: Path, *arguments: str, timeout_s: float = 60.0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [*TITAN, *arguments],
        cwd=ROOT,
        env=environment(home, **(env or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def last_json(output: str) -> dict[str, Any]:
    """The object on the last line of standard output."""
    parsed: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return parsed


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that works for this home: it names it in its arguments or its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            mine = str(home) in words or process.environ().get("TITAN_HOME") == str(home)
            if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Running:
    """A detached run."""

    home: Path

    def json(self, *arguments: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """A command's JSON answer; it must succeed."""
        done = titan(self.home, *arguments, "--json", timeout_s=timeout_s)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stderr}{done.stdout}"
        return last_json(done.stdout)

    def status(self) -> dict[str, Any]:
        """The status object."""
        return self.json("status")

    def actor(self, name: str) -> dict[str, Any] | None:
        """One actor of the status; None while the gateway is away."""
        done = titan(self.home, "status", "--json")
        if done.returncode != 0:
            return None
        rows = [row for row in last_json(done.stdout)["actors"] if row["name"] == name]
        return rows[0] if rows else None

    @property
    def runtime(self) -> Runtime:
        """The recorded run."""
        return Runtime.load(self.home)

    def ready_again(self, name: str, old_pid: int) -> dict[str, Any] | None:
        """The actor's row once another process of it is ready."""
        row = self.actor(name)
        fresh = row is not None and row["state"] == "ready" and row["pid"] not in (0, old_pid)
        return row if fresh else None
