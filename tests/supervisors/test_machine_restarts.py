"""Who is restarted when a child ends: restart types and strategies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisors.child import Status
from supervisors.events import (
    Command,
    RecordRestart,
    RestartKind,
    Verb,
)
from supervisors.machine import Machine
from supervisors.spec import RestartType, Strategy
from tests.supervisors.world import MANY, World, supervisor, world_of


@pytest.mark.parametrize("normal", [True, False])
def test_a_permanent_child_always_comes_back(normal: bool) -> None:
    w = world_of()
    w.start()
    w.forget()
    w.crash("b", normal=normal)
    assert w.log == ["!b", "+b"]


def test_a_transient_child_comes_back_after_an_abnormal_exit() -> None:
    w = world_of(restart=RestartType.TRANSIENT)
    w.start()
    w.forget()
    w.crash("b", normal=False)
    assert w.log == ["!b", "+b"]


def test_a_transient_child_stays_down_after_a_normal_exit() -> None:
    w = world_of(restart=RestartType.TRANSIENT)
    w.start()
    w.forget()
    w.crash("b", normal=True)
    assert w.log == ["!b"]
    assert w.status("b") is Status.STOPPED


@pytest.mark.parametrize(("normal", "status"), [(True, Status.STOPPED), (False, Status.FAILED)])
def test_a_temporary_child_never_comes_back(normal: bool, status: Status) -> None:
    w = world_of(restart=RestartType.TEMPORARY)
    w.start()
    w.forget()
    w.crash("b", normal=normal)
    assert w.log == ["!b"]
    assert w.status("b") is status
    assert w.view("b").restarts == 0


def test_a_killed_transient_child_counts_as_abnormal() -> None:
    w = world_of("a", restart=RestartType.TRANSIENT)
    w.start()
    w.silence("a")
    assert w.status("a") is Status.READY
    assert w.view("a").restarts == 1


def test_one_for_one_restarts_the_fallen_child_alone() -> None:
    w = world_of()
    w.start()
    w.forget()
    w.crash("b")
    assert w.log == ["!b", "+b"]


def test_one_for_one_children_recover_side_by_side() -> None:
    w = world_of(intensity=MANY)
    w.start()
    w.slow = {"a"}
    w.forget()
    w.crash("a")
    w.crash("c")
    assert w.log == ["!a", "+a", "!c", "+c"]


def test_one_for_all_stops_the_others_from_right_to_left_and_starts_all_in_order() -> None:
    w = world_of(strategy=Strategy.ONE_FOR_ALL)
    w.start()
    w.forget()
    w.crash("b")
    assert w.log == ["!b", "-c", "-a", "+a", "+b", "+c"]


def test_rest_for_one_stops_the_children_started_after_the_fallen_one() -> None:
    w = world_of("a", "b", "c", "d", strategy=Strategy.REST_FOR_ONE)
    w.start()
    w.forget()
    w.crash("b")
    assert w.log == ["!b", "-d", "-c", "+b", "+c", "+d"]


def test_a_group_starts_again_each_child_ready_before_the_next() -> None:
    w = world_of(strategy=Strategy.ONE_FOR_ALL)
    w.start()
    w.slow = {"b"}
    w.forget()
    w.crash("a")
    assert w.log == ["!a", "-c", "-b", "+a", "+b"]
    w.ready("b")
    assert w.log[-1] == "+c"


def test_nobody_of_a_group_starts_before_the_last_sibling_is_gone() -> None:
    w = world_of(strategy=Strategy.ONE_FOR_ALL)
    w.start()
    w.stubborn = {"a"}
    w.forget()
    w.crash("b")
    assert w.log == ["!b", "-c", "-a"]
    w.exit("a")
    assert w.log == ["!b", "-c", "-a", "+a", "+b", "+c"]


def test_a_sibling_that_falls_while_its_group_is_stopped_counts_once() -> None:
    w = world_of(strategy=Strategy.ONE_FOR_ALL)
    w.start()
    w.stubborn = {"c"}
    w.forget()
    w.crash("b")
    w.crash("a")
    w.exit("c")
    assert w.log == ["!b", "-c", "!a", "+a", "+b", "+c"]
    assert [w.view(name).restarts for name in "abc"] == [0, 1, 0]


def test_a_group_restart_revives_a_transient_child_that_had_ended() -> None:
    w = world_of(strategy=Strategy.ONE_FOR_ALL, restart=RestartType.TRANSIENT)
    w.start()
    w.crash("a", normal=True)
    w.forget()
    w.crash("b")
    assert w.log == ["!b", "-c", "+a", "+b", "+c"]


def test_a_group_restart_stops_a_temporary_sibling_for_good() -> None:
    spec = supervisor("a", "b", strategy=Strategy.ONE_FOR_ALL)
    temporary = supervisor("t", restart=RestartType.TEMPORARY).children
    w = World(Machine(replace(spec, children=(*spec.children, *temporary))))
    w.start()
    w.forget()
    w.crash("a")
    assert w.log == ["!a", "-t", "-b", "+a", "+b"]
    assert w.status("t") is Status.STOPPED


def test_a_group_restart_leaves_a_child_down_that_somebody_stopped() -> None:
    w = world_of(strategy=Strategy.ONE_FOR_ALL)
    w.start()
    w.stop("c")
    w.forget()
    w.crash("a")
    assert w.log == ["!a", "-b", "+a", "+b"]


def test_siblings_of_a_fallen_child_are_recorded_apart_from_crashes() -> None:
    w = world_of("a", "b", strategy=Strategy.ONE_FOR_ALL)
    w.start()
    records = w.of(RecordRestart, w.crash("a", "boom"))
    assert [(record.child, record.kind) for record in records] == [
        ("a", RestartKind.CRASH),
        ("b", RestartKind.SIBLING),
    ]
    assert records[1].reason == "a: boom"
    assert w.view("b").restarts == 0


def test_a_recycling_drains_stops_and_starts_and_is_counted_by_itself() -> None:
    w = world_of()
    w.start()
    w.forget()
    effects = w.tell(Command(Verb.RECYCLE, "b", "memory: 600 MB"))
    assert w.log == ["-b", "+b"]
    view = w.view("b")
    assert (view.recycles, view.graceful_restarts, view.restarts) == (1, 0, 0)
    assert [(record.kind, record.reason) for record in w.of(RecordRestart, effects)] == [
        (RestartKind.MEMORY, "memory: 600 MB")
    ]
    assert view.intensity_left == 1, "a planned restart costs none"


def test_a_child_that_is_not_ready_is_not_recycled() -> None:
    w = world_of("a")
    w.slow = {"a"}
    w.start()
    w.forget()
    w.tell(Command(Verb.RECYCLE, "a", "memory"))
    assert w.log == []
    w.ready("a")
    w.stop("a")
    w.tell(Command(Verb.RECYCLE, "a", "memory"))
    assert w.log == ["-a"]


def test_a_recycled_child_that_does_not_stop_is_killed_and_still_no_crash() -> None:
    w = world_of("a")
    w.start()
    w.stubborn = {"a"}
    w.tell(Command(Verb.RECYCLE, "a", "memory"))
    w.sleep(5_000)
    assert w.log == ["+a", "-a", "xa", "+a"]
    assert (w.view("a").restarts, w.view("a").recycles) == (0, 1)
