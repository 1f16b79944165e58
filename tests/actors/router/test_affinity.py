"""Cores of the loop and of the other threads, read back from the operating system."""

from __future__ import annotations

import os
import threading

import pytest

from actors.router.affinity import Affinity, Plan, plan
from titan.errors import ConfigError

FOUR = frozenset({0, 1, 2, 3})
TWO = frozenset({0, 1})


@pytest.mark.parametrize(
    ("setting", "cores", "expected"),
    [
        ("auto", FOUR, Plan(3, frozenset({0, 1, 2}))),
        ("auto", TWO, Plan(1, TWO)),
        ("1", TWO, Plan(1, frozenset({0}))),
        ("0", FOUR, Plan(0, frozenset({1, 2, 3}))),
        ("0", frozenset({0}), Plan(0, frozenset({0}))),
        ("off", FOUR, Plan(None, FOUR)),
    ],
)
def test_a_setting_says_who_runs_where(setting: str, cores: frozenset[int], expected: Plan) -> None:
    assert plan(setting, cores) == expected


@pytest.mark.parametrize("setting", ["7", "-1", "first", ""])
def test_a_core_that_is_not_there_is_an_error_that_lists_the_cores(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"0, 1"):
        plan(setting, TWO)


def test_only_a_core_of_its_own_is_exclusive() -> None:
    assert plan("1", TWO).exclusive
    assert not plan("auto", TWO).exclusive
    assert not plan("off", TWO).exclusive


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_other_threads_keep_off_the_loops_core_also_those_that_come_later() -> None:
    own = max(os.sched_getaffinity(0))
    done = threading.Event()
    seen: dict[str, object] = {}

    def loop() -> None:
        affinity = Affinity(str(own))
        early = threading.Thread(target=done.wait)
        early.start()
        affinity.apply()
        late = threading.Thread(target=done.wait)
        late.start()
        affinity.apply()
        seen["report"] = affinity.report()
        seen["loop"] = os.sched_getaffinity(threading.get_native_id())
        seen["others"] = [os.sched_getaffinity(each.native_id or 0) for each in (early, late)]
        done.set()
        early.join()
        late.join()

    before = {int(task): os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}
    runner = threading.Thread(target=loop)
    runner.start()
    runner.join()
    for task, cores in before.items():
        os.sched_setaffinity(task, cores)
    assert seen["loop"] == {own}
    others = seen["others"]
    assert isinstance(others, list)
    assert all(own not in cores for cores in others)
    report = seen["report"]
    assert isinstance(report, dict)
    assert report["loop_cpus"] == str(own)
    assert str(own) not in report["other_cpus"].split(",")
    assert report["exclusive"] == "yes"


def test_off_moves_nothing() -> None:
    before = os.sched_getaffinity(0)
    affinity = Affinity("off")
    affinity.apply()
    assert os.sched_getaffinity(0) == before
    assert affinity.report()["exclusive"] == "no"
