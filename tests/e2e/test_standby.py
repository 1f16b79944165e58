"""Two routers in the whole tree: the leader dies and the other trades on; then everything dies at once and is found again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import START_TIMEOUT_S, Running, processes_of, titan
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]
ROUTERS = ("router", "router_standby")
UP = ("up", "--detach", "--feed", "synthetic:42", "--speed", "60")
SETTINGS = {"TITAN_ROUTER_STANDBY": "true"}


def up(home: Path) -> None:
    try:
        started = titan(home, *UP, timeout_s=START_TIMEOUT_S, env=SETTINGS)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"not up in time: {error.stdout!r} {error.stderr!r}") from error
    assert started.returncode == 0, started.stderr + started.stdout


@pytest.fixture(scope="module")
def pair(home: Path) -> Iterator[Running]:
    """Titan with a standby."""
    up(home)
    yield Running(home)
    stopped = titan(home, "down", timeout_s=90)
    assert stopped.returncode == 0, stopped.stderr
    eventually(lambda: not processes_of(home), "every process of the run is gone", 20)


def status(running: Running) -> dict[str, Any]:
    """The status; nothing while the gateway is away."""
    try:
        return running.status()
    except AssertionError:
        return {"actors": [], "trading_state": "", "counters": {"fills": 0}}


def routers(running: Running) -> dict[str, dict[str, Any]]:
    """Both routers by their mode, once each has one of its own."""
    rows = {row["mode"]: row for row in status(running)["actors"] if row["name"] in ROUTERS and row["state"] == "ready"}
    return rows if set(rows) == {"active", "standby"} else {}


def more_fills(running: Running, than: int) -> bool:
    seen = status(running)
    return bool(seen["trading_state"] == "ACTIVE" and seen["counters"]["fills"] > than)


def agreed(running: Running) -> None:
    truth = running.json("reconcile", timeout_s=90)
    assert truth["differences"] == 0, truth["details"]
    assert truth["complete"]
    assert truth["fills_compared"] > 0


def test_the_standby_leads_when_the_leader_is_killed_and_the_dead_one_follows_it(pair: Running) -> None:
    before = eventually(lambda: routers(pair), "one leads and one follows", 90)
    eventually(lambda: more_fills(pair, 0), "the first fill", 120)
    fills = status(pair)["counters"]["fills"]
    os.kill(before["active"]["pid"], signal.SIGKILL)

    def changed() -> dict[str, dict[str, Any]]:
        now = routers(pair)
        return now if now and now["active"]["pid"] == before["standby"]["pid"] else {}

    after = eventually(changed, "the standby leads and the dead one follows", 60)
    assert after["active"]["term"] > before["active"]["term"]
    assert after["active"]["restarts"] == before["standby"]["restarts"]
    assert after["standby"]["name"] == before["active"]["name"]
    eventually(lambda: more_fills(pair, fills), "fills under the new leader", 150)
    agreed(pair)


def test_after_everything_was_killed_at_once_the_next_start_cleans_up_and_agrees(pair: Running) -> None:
    left = processes_of(pair.home)
    assert len(left) > len(ROUTERS)
    for process in left:
        process.kill()
    eventually(lambda: not processes_of(pair.home), "everything is dead", 20)
    up(pair.home)
    eventually(lambda: routers(pair), "one leads and one follows", 90)
    eventually(lambda: more_fills(pair, 0), "fills", 150)
    agreed(pair)
