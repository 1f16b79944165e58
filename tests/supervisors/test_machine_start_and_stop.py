"""Children start left to right, each Ready before the next, and stop right to left."""

from __future__ import annotations

from supervisors.child import Status
from supervisors.events import (
    SupervisorReady,
    SupervisorStopped,
)
from supervisors.machine import Machine
from supervisors.spec import ChildSpec, SupervisorSpec
from tests.supervisors.world import MANY, World, world_of


def test_children_start_from_left_to_right() -> None:
    w = world_of()
    w.start()
    assert w.log == ["+a", "+b", "+c"]


def test_the_next_child_starts_only_when_the_one_before_is_ready() -> None:
    w = world_of()
    w.slow = {"a"}
    w.start()
    assert w.log == ["+a"]
    w.ready("a")
    assert w.log == ["+a", "+b", "+c"]


def test_the_supervisor_is_ready_once_when_every_child_is() -> None:
    w = world_of()
    w.slow = {"c"}
    assert not w.of(SupervisorReady, w.start())
    assert w.of(SupervisorReady, w.ready("c")) == [SupervisorReady("sup")]
    w.crash("c")
    w.ready("c")
    assert len(w.of(SupervisorReady)) == 1


def test_children_stop_from_right_to_left() -> None:
    w = world_of()
    w.start()
    w.forget()
    w.stop()
    assert w.log == ["-c", "-b", "-a"]


def test_the_next_child_is_stopped_only_when_the_one_before_is_gone() -> None:
    w = world_of()
    w.start()
    w.stubborn = {"c"}
    w.forget()
    w.stop()
    assert w.log == ["-c"]
    w.exit("c")
    assert w.log == ["-c", "-b", "-a"]


def test_a_child_that_does_not_stop_in_time_is_killed() -> None:
    w = world_of()
    w.start()
    w.stubborn = {"c"}
    w.forget()
    w.stop()
    w.sleep(4_999)
    assert w.log == ["-c"]
    w.sleep(1)
    assert w.log == ["-c", "xc", "-b", "-a"]


def test_a_stopped_supervisor_says_so_once_and_restarts_nobody() -> None:
    w = world_of()
    w.start()
    effects = w.stop()
    assert w.of(SupervisorStopped, effects) == [SupervisorStopped("sup", normal=True, reason="stopped")]
    assert w.sleep(60_000) == []
    assert w.living == {}


def test_a_stop_during_the_start_leaves_nothing() -> None:
    w = world_of()
    w.slow = {"b"}
    w.start()
    w.stop()
    assert w.log == ["+a", "+b", "-b", "-a"]
    assert w.of(SupervisorStopped) == [SupervisorStopped("sup", normal=True, reason="stopped")]


def test_a_supervisor_that_never_started_is_stopped_at_once() -> None:
    w = world_of()
    assert w.of(SupervisorStopped, w.stop()) == [SupervisorStopped("sup", normal=True, reason="stopped")]


def test_a_child_that_crashes_while_the_others_are_stopped_is_not_restarted() -> None:
    w = world_of()
    w.start()
    w.stubborn = {"c"}
    w.stop()
    w.forget()
    w.crash("a")
    w.exit("c")
    assert w.log == ["!a", "-b"]
    assert w.status("a") is Status.STOPPED


def test_a_stopped_supervisor_starts_again_in_order() -> None:
    w = world_of()
    w.start()
    w.stop()
    w.forget()
    w.start()
    assert w.log == ["+a", "+b", "+c"]


def test_a_child_that_is_not_ready_in_time_is_killed_and_counted() -> None:
    w = world_of("a", intensity=MANY)
    w.slow = {"a"}
    w.start()
    w.sleep(9_999)
    assert w.log == ["+a"]
    w.sleep(1)
    assert w.log == ["+a", "xa", "+a"]
    assert w.view("a").restarts == 1
    assert w.view("a").last_exit == "not Ready 10 s after its start"


def test_a_child_without_a_start_timeout_may_take_for_ever() -> None:
    w = World(Machine(SupervisorSpec("sup", (ChildSpec("a", start_timeout_ms=None),))))
    w.slow = {"a"}
    w.start()
    w.sleep(3_600_000)
    assert w.log == ["+a"]


def test_a_kill_is_repeated_until_the_death_is_proven() -> None:
    w = world_of("a")
    w.start()
    w.immortal = {"a"}
    w.silence("a")
    w.sleep(4_100)
    assert w.log == ["+a", "xa", "xa", "xa"]
    assert w.status("a") is Status.KILLING
