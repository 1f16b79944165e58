"""A small campaign: the same cores as in production, in worlds full of faults, and nothing may break."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.campaign import campaign, policy, run_seed
from simulation.plan import Fault, make_plan
from simulation.world import World
from titan.errors import TitanError

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 160


@pytest.fixture(scope="module")
def limits() -> object:
    return policy()


@pytest.mark.timeout(300)
def test_nothing_breaks_in_a_small_campaign() -> None:
    report = campaign(range(SEEDS), steps=200, jobs=2)
    assert {failure.seed: failure.violations for failure in report.failures} == {}
    assert report.seeds == SEEDS
    assert report.fewest_steps >= 200
    assert {kind for kind in Fault if not report.faults[kind.value]} == set()
    assert len(report.transitions) >= 22
    assert len(report.branches) >= 4
    assert report.orders > SEEDS


def test_a_world_that_breaks_is_a_finding_with_its_seed(limits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: World) -> None:
        raise ZeroDivisionError("integer modulo by zero")

    monkeypatch.setattr(World, "run", broken)
    [found] = run_seed(3, 200, limits).violations
    assert found.text.startswith("the world raised ZeroDivisionError: integer modulo by zero")


def test_a_worker_that_is_killed_ends_the_campaign_with_a_sentence() -> None:
    def kill(_done: int, _failed: int) -> None:
        for worker in multiprocessing.active_children():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(TitanError, match="a worker of the campaign was killed"):
        campaign(range(400), steps=60, jobs=2, progress=kill)


def test_a_seed_replays_exactly() -> None:
    first, again = run_seed(11, 200), run_seed(11, 200)
    assert first == again
    assert run_seed(12, 200).trace != first.trace


def test_the_report_is_the_same_whatever_the_number_of_processes() -> None:
    alone, shared = campaign(range(52), steps=60, jobs=1).summary(), campaign(range(52), steps=60, jobs=2).summary()
    for timing in ("cpu_s", "seconds"):
        del alone[timing], shared[timing]
    assert alone == shared


def test_a_seed_is_the_same_world_whatever_python_hashes_texts_to() -> None:
    code = "from simulation.campaign import run_seed; print([run_seed(s, 200).trace for s in (1, 4, 7, 19, 31)])"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(told) == 1


def test_every_world_lives_through_at_least_the_steps_asked_for() -> None:
    assert all(run_seed(seed, 300).steps >= 300 for seed in range(3))


def test_a_plan_without_acts_comes_to_rest_with_nothing_done() -> None:
    plan = make_plan(3, 100)
    empty = type(plan)(plan.seed, plan.steps, 1.0, full=False, live=False, acts=(), ms=plan.ms)
    outcome = World(empty, policy()).run()
    assert (outcome.violations, outcome.orders, outcome.faults) == ((), 0, {})


def test_orders_are_given_up_and_trade_after_it() -> None:
    hidden = [seed for seed in range(1_000) if any(act.kind is Fault.VEILED for act in make_plan(seed, 200).acts)][:60]
    report = campaign(hidden)
    assert report.failing_seeds == []
    assert {("REJECTED", "FILL"), ("REJECTED", "PARTIAL_FILL")} & report.transitions


def test_the_summary_is_json_with_the_documented_keys() -> None:
    summary = json.loads(json.dumps(campaign(range(2), steps=60).summary()))
    assert {"seeds", "violations", "failing_seeds", "faults", "transitions_covered", "seconds"} <= set(summary)
