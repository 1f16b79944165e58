"""A guardian of small actors as a process of its own."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

from supervisors.guardian import read_state
from supervisors.launch import LaunchPlan
from supervisors.state import Stage
from tests.supervisors.live import PATIENCE_S
from tests.waiting import eventually
from titan.runtime import DEFAULT_PORTS, ApiTokens, HmacKey
from titan.testing import POLICY, free_ports

ROOT = Path(__file__).resolve().parents[2]
GROUPS = "tests.supervisors.fixtures.groups:GROUPS"
STOP_S = 60.0


def make_home(home: Path, feed: str = "synthetic:42", core: int | None = None, dashboard: int = 0) -> Path:
    """A home with a plan in it, as `titan up` would write one."""
    home.mkdir()
    LaunchPlan(
        home=home,
        feed=feed,
        speed=60,
        dashboard=dashboard > 0,
        dashboard_port=dashboard or 8265,
        ports=dict(zip(DEFAULT_PORTS, free_ports(len(DEFAULT_PORTS)), strict=True)),
        hmac_key=HmacKey(key_id="test", secret=secrets.token_hex(32)),
        api_tokens=ApiTokens(),
        policy_path=POLICY,
        router_cpu="off" if core is None else str(core),
    ).save()
    return home


def spawn(home: Path, *before: str) -> subprocess.Popen[str]:
    """A guardian, begun by the command `before` it if there is one."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "supervisors.guardian", "--home", str(home), "--groups", GROUPS],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stage(home: Path) -> str:
    """What the guardian says of itself; empty before its first word."""
    state = read_state(home)
    return "" if state is None else state.state


def until_stage(home: Path, process: subprocess.Popen[str], wanted: Stage) -> None:
    """Waits until the guardian says so, and fails when it ends before."""
    eventually(
        lambda: stage(home) == wanted or process.poll() is not None, f"{wanted}, now {read_state(home)}", PATIENCE_S
    )
    assert stage(home) == wanted, read_state(home)
