"""The dashboard's keeper, on real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from supervisors import ray_dashboard
from supervisors.ray_dashboard import GIVE_UP_AFTER, Dashboard

SLEEPS = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_dashboard, "FIRST_PAUSE_S", 0.001)


async def said(log: Path, times: int) -> None:
    async with asyncio.timeout(20):
        while not log.exists() or log.read_text().count("up") < times:
            await asyncio.sleep(0.01)


async def test_a_dashboard_that_is_killed_comes_back_each_time_and_ends_with_its_keeper(tmp_path: Path) -> None:
    log = tmp_path / "dashboard.log"
    first = await asyncio.create_subprocess_exec(*SLEEPS, stdout=log.open("ab"))
    dashboard = Dashboard(SLEEPS, first.pid, os.environ, log)
    keeping = asyncio.create_task(dashboard.keep())
    await said(log, 1)
    pids = [first.pid]
    for times in (2, 3):
        os.kill(pids[-1], signal.SIGKILL)
        await said(log, times)
        pids.append(dashboard.pid)
    assert len(set(pids)) == 3
    assert dashboard.restarts == 2
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await first.wait()
    async with asyncio.timeout(20):
        while Path(f"/proc/{pids[-1]}").exists():
            await asyncio.sleep(0.01)


async def test_one_that_can_not_live_is_given_up(tmp_path: Path) -> None:
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    dashboard = Dashboard(
        (sys.executable, "-c", "print('up'); raise SystemExit(1)"), gone.pid, os.environ, tmp_path / "log"
    )
    async with asyncio.timeout(60):
        await dashboard.keep()
    assert dashboard.restarts == GIVE_UP_AFTER
    assert (tmp_path / "log").read_text().count("up") == GIVE_UP_AFTER
