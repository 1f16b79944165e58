"""Every actor is killed in turn while trading: all come back, trading goes on, the books still agree."""

from __future__ import annotations

import json
import os
import signal
import urllib.request

import pytest

from tests.e2e.running import Running, processes_of
from tests.waiting import eventually

pytestmark = pytest.mark.e2e
ACTORS = ("scavenger", "brain", "router", "execution", "market_data", "gateway")


def trading(running: Running) -> bool:
    status = running.status()
    return bool(status["trading_state"] == "ACTIVE" and status["counters"]["fills"] > 0)


@pytest.mark.timeout(240)
def test_titan_arms_itself_on_paper_and_trades(running: Running) -> None:
    eventually(lambda: trading(running), "the first fill", 120)
    status = running.status()
    assert {row["name"] for row in status["actors"]} == set(ACTORS)
    assert all(row["state"] == "ready" for row in status["actors"])
    assert status["feed"] == "synthetic:42"
    assert status["policy_hash"] == status["brain_policy_hash"] != ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ACTORS)
def test_a_killed_actor_comes_back_ready_by_itself(running: Running, name: str) -> None:
    before = eventually(lambda: running.actor(name), f"{name} is known")
    os.kill(before["pid"], signal.SIGKILL)
    after = eventually(lambda: running.ready_again(name, before["pid"]), f"{name} is back", 60)
    assert after["restarts"] == before["restarts"] + 1


@pytest.mark.timeout(120)
def test_a_stopped_router_is_found_silent_and_replaced(running: Running) -> None:
    before = eventually(lambda: running.actor("router"), "the router is known")
    os.kill(before["pid"], signal.SIGSTOP)
    after = eventually(lambda: running.ready_again("router", before["pid"]), "the router is replaced", 60)
    assert after["restarts"] == before["restarts"] + 1


@pytest.mark.timeout(120)
def test_a_graceful_restart_is_counted_apart_from_crashes(running: Running) -> None:
    before = eventually(lambda: running.actor("scavenger"), "the scavenger is known")
    running.json("restart", "scavenger", "--reason", "test")
    after = eventually(lambda: running.ready_again("scavenger", before["pid"]), "the scavenger is back", 60)
    assert after["restarts"] == before["restarts"]
    assert after["graceful_restarts"] == before["graceful_restarts"] + 1


def affinities(pid: int) -> dict[int, set[int]]:
    """The allowed cores of every thread of a process, by thread id; empty when it is gone."""
    try:
        return {int(task): os.sched_getaffinity(int(task)) for task in os.listdir(f"/proc/{pid}/task")}
    except (FileNotFoundError, ProcessLookupError):
        return {}


@pytest.mark.timeout(120)
@pytest.mark.skipif(1 not in os.sched_getaffinity(0), reason="needs a second core")
def test_the_routers_core_belongs_to_its_loop_alone(running: Running) -> None:
    router = eventually(lambda: running.actor("router"), "the router is known")

    def intruders() -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for process in processes_of(running.home):
            allowed = affinities(process.pid)
            bad = [task for task, cores in allowed.items() if 1 in cores]
            if process.pid == router["pid"]:
                bad = [task for task in bad if allowed[task] != {1}]
            if bad:
                found[str(process)] = bad
        return found

    eventually(lambda: not intruders(), f"nobody else may use core 1: {intruders()}", 20)
    loops = [task for task, cores in affinities(router["pid"]).items() if cores == {1}]
    assert len(loops) == 1
    with urllib.request.urlopen(
        f"http://127.0.0.1:{running.runtime.ports['router_http']}/health", timeout=10
    ) as answer:
        assert "1" in json.load(answer)["components"]["affinity"]["detail"]


@pytest.mark.timeout(240)
def test_trading_goes_on_and_the_books_still_agree(running: Running) -> None:
    fills = running.status()["counters"]["fills"]
    eventually(lambda: trading(running) and running.status()["counters"]["fills"] > fills, "more fills", 150)
    truth = running.json("reconcile", timeout_s=90)
    assert truth["differences"] == 0, truth["details"]
    assert truth["complete"]
    assert truth["orders_compared"] > 0
    assert truth["fills_compared"] > 0
