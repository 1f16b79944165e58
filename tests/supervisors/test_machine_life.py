"""Liveness, commands, incarnations."""

from __future__ import annotations

import pytest

from supervisors.child import Status
from supervisors.events import (
    Escalate,
    Exited,
    KillChild,
    Ready,
    RecordRestart,
    RestartKind,
    Silent,
    StartChild,
)
from supervisors.spec import Intensity, RestartType
from tests.supervisors.world import MANY, world_of


def test_a_silent_child_is_killed_and_counted_as_a_crash() -> None:
    w = world_of("a")
    w.start()
    w.forget()
    effects = w.silence("a")
    assert w.log == ["xa", "+a"]
    assert w.of(KillChild, effects)[0].reason == "silent for 3.0 s"
    assert w.view("a").restarts == 1
    assert w.of(RecordRestart, effects)[0].reason == "silent for 3.0 s"


def test_the_recovery_of_a_silent_child_is_timed_from_the_verdict() -> None:
    w = world_of("a")
    w.start()
    w.immortal = {"a"}
    w.silence("a")
    w.sleep(700)
    w.immortal = set()
    w.exit("a", normal=False)
    assert w.view("a").last_recovery_ms == 700


def test_silence_of_a_child_that_is_not_ready_means_nothing() -> None:
    w = world_of("a")
    w.slow = {"a"}
    w.start()
    assert w.silence("a") == []


def test_a_graceful_restart_stops_and_starts_and_is_counted_apart() -> None:
    w = world_of()
    w.start()
    w.forget()
    effects = w.restart("b", "new settings")
    assert w.log == ["-b", "+b"]
    assert (w.view("b").restarts, w.view("b").graceful_restarts) == (0, 1)
    assert w.of(RecordRestart, effects) == [RecordRestart("sup", "b", RestartKind.GRACEFUL, "new settings", 0, 1)]


def test_a_graceful_restart_uses_no_intensity() -> None:
    w = world_of("a", intensity=Intensity(0, 5_000))
    w.start()
    for _ in range(3):
        w.restart("a")
    assert w.of(Escalate) == []
    assert w.status("a") is Status.READY


def test_a_crash_during_a_graceful_restart_is_part_of_it() -> None:
    w = world_of("a")
    w.start()
    w.stubborn = {"a"}
    w.restart("a")
    w.crash("a")
    assert w.status("a") is Status.READY
    assert w.view("a").restarts == 0


def test_a_graceful_restart_of_the_supervisor_stops_all_and_starts_all_in_order() -> None:
    w = world_of()
    w.start()
    w.forget()
    w.restart()
    assert w.log == ["-c", "-b", "-a", "+a", "+b", "+c"]


def test_a_child_stopped_alone_stays_down_until_it_is_started() -> None:
    w = world_of()
    w.start()
    w.forget()
    w.stop("b")
    w.sleep(60_000)
    assert w.log == ["-b"]
    w.start("b")
    assert w.log == ["-b", "+b"]


def test_stopping_a_child_that_is_down_keeps_it_down() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.crash("a")
    w.crash("a")
    w.stop("a")
    assert w.sleep(60_000) == []
    assert w.status("a") is Status.STOPPED


def test_starting_a_living_child_changes_nothing() -> None:
    w = world_of("a")
    w.start()
    assert w.start("a") == []


def test_a_child_of_a_stopped_supervisor_is_not_started_alone() -> None:
    w = world_of("a")
    assert w.start("a") == []
    assert w.restart("a") == []


def test_a_stop_that_comes_while_a_child_is_being_killed_is_obeyed() -> None:
    w = world_of("a")
    w.start()
    w.immortal = {"a"}
    w.silence("a")
    w.stop("a")
    w.exit("a", normal=False)
    assert w.status("a") is Status.STOPPED
    assert w.sleep(60_000) == []


def test_a_name_that_is_not_a_child_is_refused_with_the_names_that_are() -> None:
    with pytest.raises(ValueError, match="sup has no child 'zz'; it has: a, b, c"):
        world_of().start("zz")


def test_every_start_has_a_higher_incarnation() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.crash("a")
    w.restart("a")
    assert [start.incarnation for start in w.of(StartChild)] == [1, 2, 3]


def test_news_of_an_older_life_changes_nothing() -> None:
    w = world_of("a")
    w.start()
    w.crash("a")
    for event in (Exited("a", 1, normal=False, reason="late"), Ready("a", 1), Silent("a", 1, 3_000)):
        assert w.tell(event) == []
    assert w.status("a") is Status.READY


def test_a_second_notice_of_the_same_death_changes_nothing() -> None:
    w = world_of("a", restart=RestartType.TEMPORARY)
    w.start()
    w.crash("a")
    assert w.tell(Exited("a", 1, normal=False, reason="again")) == []
