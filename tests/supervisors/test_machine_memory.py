"""What a supervisor that comes back still knows."""

from __future__ import annotations

from supervisors.child import Status
from supervisors.events import (
    Adopted,
    Command,
    Escalate,
    Lost,
    RecordRestart,
    RestartKind,
    Tick,
    Verb,
)
from supervisors.spec import Escalation, Intensity
from tests.supervisors.world import MANY, after_the_death_of, world_of


def test_living_children_are_adopted_and_not_restarted() -> None:
    w = world_of()
    w.tell(Adopted("a", 7, 4711, ready=True), Adopted("c", 3, 4712, ready=True))
    w.living = {"a": 7, "c": 3}
    w.start()
    assert w.log == ["+b"]
    assert w.view("a").pid == 4711
    w.crash("a")
    assert w.living["a"] == 8


def test_a_child_adopted_during_its_start_is_waited_for() -> None:
    w = world_of("a", "b")
    w.living = {"a": 2}
    w.tell(Adopted("a", 2, 4711, ready=False))
    w.start()
    assert w.log == []
    w.ready("a")
    assert w.log == ["+b"]


def test_a_child_adopted_during_its_start_still_has_a_deadline() -> None:
    w = world_of("a")
    w.living = {"a": 2}
    w.tell(Adopted("a", 2, 4711, ready=False))
    w.start()
    w.sleep(10_000)
    assert w.log == ["xa", "+a"]


def test_adopting_twice_changes_nothing() -> None:
    w = world_of("a")
    w.start()
    w.tell(Adopted("a", 9, 4711, ready=True))
    assert w.view("a").incarnation == 1


def test_counts_and_window_survive_the_supervisor() -> None:
    w = world_of("a", "b", intensity=Intensity(1, 5_000))
    w.start()
    w.crash("a")
    after = after_the_death_of(w, 1_000)
    after.start()
    assert after.view("a").restarts == 1
    assert after.living["a"] == 3
    assert after.of(Escalate, after.crash("b"))


def test_a_restart_in_its_middle_is_finished_and_recorded_by_the_supervisor_that_comes_back() -> None:
    w = world_of("a")
    w.start()
    w.slow = {"a"}
    w.crash("a", "boom")
    after = after_the_death_of(w, 900)
    records = after.of(RecordRestart, after.start())
    assert [(record.reason, record.recovery_ms) for record in records] == [("boom", 900)]


def test_a_quarantine_survives_the_supervisor() -> None:
    w = world_of("a", "b", intensity=Intensity(0, 5_000), escalation=Escalation.QUARANTINE)
    w.start()
    w.crash("a")
    after = after_the_death_of(w)
    after.start()
    assert after.log == ["+b"]
    assert after.status("a") is Status.QUARANTINED


def test_a_child_that_somebody_stopped_stays_down_after_the_supervisors_death() -> None:
    w = world_of("a", "b")
    w.start()
    w.stop("a")
    after = after_the_death_of(w)
    after.living = {"a": 1}
    after.tell(Adopted("a", 1, 4711, ready=True))
    after.start()
    assert after.log == ["-a", "+b"]


def test_a_child_stays_as_stable_as_it_was_however_often_its_supervisor_dies() -> None:
    w = world_of("a", stable_ms=30_000, intensity=MANY)
    w.start()
    for _ in range(12):
        w.crash("a")
        # Killed between two deaths of its supervisor, never thirty seconds after either.
        for _ in range(2):
            living = dict(w.living)
            w = after_the_death_of(w, 16_000)
            w.living = living
            w.tell(Adopted("a", living["a"], 4711, ready=True))
            w.start()
        w.sleep(1)
        assert w.living, "the restart after a stable time is at once"
    w.crash("a")
    assert "a" in w.living
    w.crash("a")
    assert w.status("a") is Status.BACKOFF


def test_times_of_another_boot_are_not_trusted() -> None:
    w = world_of("a")
    w.start()
    w.slow = {"a"}
    w.crash("a")
    after = after_the_death_of(w, 10 - w.now_ms)
    after.start()
    assert after.view("a").intensity_left == 1
    assert after.view("a").last_recovery_ms == 0


def test_a_tick_without_a_reason_changes_nothing() -> None:
    w = world_of()
    w.start()
    assert w.tell(Tick()) == []


def test_a_death_that_nobody_saw_counts_as_a_crash() -> None:
    w = world_of("a")
    w.start()
    after = after_the_death_of(w)
    after.tell(Lost("a"))
    records = after.of(RecordRestart, after.start())
    assert [(record.kind, record.reason) for record in records] == [
        (RestartKind.CRASH, "died while its supervisor was away")
    ]
    assert after.view("a").restarts == 1


def test_an_unseen_death_in_a_restart_is_part_of_that_restart() -> None:
    w = world_of("a")
    w.start()
    w.slow = {"a"}
    w.crash("a", "boom")
    after = after_the_death_of(w)
    after.tell(Lost("a"))
    assert [record.reason for record in after.of(RecordRestart, after.start())] == ["boom"]
    assert after.view("a").restarts == 1


def test_a_child_that_never_lived_is_not_lost() -> None:
    w = world_of("a")
    w.tell(Lost("a"))
    assert w.view("a").restarts == 0


def test_a_backoff_outlives_the_supervisor() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    for _ in range(3):
        w.crash("a")
        w.sleep(1_000)
    w.crash("a")
    due = w.machine.next_deadline_ms()
    assert due is not None
    after = after_the_death_of(w, 100)
    after.start()
    assert after.status("a") is Status.BACKOFF
    after.sleep(due - after.now_ms - 1)
    assert after.log == []
    after.sleep(1)
    assert after.log == ["+a"]


def test_a_backoff_of_another_boot_is_not_waited_for() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.crash("a")
    w.crash("a")
    after = after_the_death_of(w, -w.now_ms + 1)
    after.start()
    assert after.log == ["+a"]


def test_the_number_of_attempts_outlives_the_supervisor() -> None:
    w = world_of("a", intensity=MANY)
    w.broken = {"a"}
    w.start()
    w.sleep(20_000)
    after = after_the_death_of(w)
    after.broken = {"a"}
    after.start()
    before, now = w.machine.history().children["a"].attempts, after.machine.history().children["a"].attempts
    assert now >= before > 5


def test_a_recycling_in_its_middle_stays_one_when_the_supervisor_comes_back() -> None:
    w = world_of("a")
    w.start()
    w.slow = {"a"}
    w.tell(Command(Verb.RECYCLE, "a", "memory"))
    after = after_the_death_of(w, 500)
    records = after.of(RecordRestart, after.start())
    assert [(record.kind, record.recovery_ms) for record in records] == [(RestartKind.MEMORY, 500)]
    assert (after.view("a").recycles, after.view("a").restarts) == (1, 0)
