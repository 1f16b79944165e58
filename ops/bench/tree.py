"""The whole Titan for a bench: `titan up --detach` under a home and ports of its own, ended whatever happens.

Guarantees: the real command starts and ends it; a start that fails shows the command's own sentence. Never: another home.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from ops.bench.machine import ROOT
from supervisors.state import read_state
from titan.errors import Fatal

FEED = "synthetic:42"
SPEED = "60"
UP_TIMEOUT_S = 180.0
DOWN_TIMEOUT_S = 120.0


@contextlib.contextmanager
def whole_titan() -> Iterator[Path]:
    """A running Titan on paper, without the dashboard; gives its home. Raises Fatal with the command's last words."""
    with tempfile.TemporaryDirectory(prefix="titan-bench-", ignore_cleanup_errors=True) as folder:
        # As root PostgreSQL runs under another user, who must be able to walk in.
        Path(folder).chmod(0o711)
        home = Path(folder) / "home"
        try:
            _titan(home, "up", "--detach", "--no-dashboard", "--feed", FEED, "--speed", SPEED, timeout_s=UP_TIMEOUT_S)
            yield home
        finally:
            state = read_state(home)
            if state is not None and state.alive:
                _titan(home, "down", timeout_s=DOWN_TIMEOUT_S)


def status(home: Path) -> dict[str, object]:
    """What `titan status --json` says."""
    found: dict[str, object] = json.loads(_titan(home, "status", "--json", timeout_s=30.0).splitlines()[-1])
    return found


def processes(home: Path) -> list[psutil.Process]:
    """The guardian and everything below it."""
    state = read_state(home)
    if state is None or not state.alive:
        raise Fatal(f"no guardian runs under {home}")
    guardian = psutil.Process(state.pid)
    return [guardian, *guardian.children(recursive=True)]


def _titan(home: Path, *arguments: str, timeout_s: float) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TITAN_")}
    environment |= {"TITAN_HOME": str(home), "TITAN_PORTS": "auto"}
    command = [sys.executable, "-m", "ops.cli.app", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise Fatal(f"titan {arguments[0]} ended with {done.returncode}: {words[-1]}")
    return done.stdout
