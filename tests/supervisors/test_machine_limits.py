"""How often and how soon: intensity, escalation, backoff."""

from __future__ import annotations

from supervisors.child import Status
from supervisors.events import (
    Escalate,
    SupervisorReady,
    SupervisorStopped,
)
from supervisors.spec import Escalation, Intensity
from tests.supervisors.world import MANY, world_of
from titan.effects import RaiseAlert


def test_as_many_restarts_as_allowed_do_not_escalate() -> None:
    w = world_of(intensity=Intensity(2, 5_000))
    w.start()
    w.crash("a")
    w.crash("b")
    assert w.of(Escalate) == []
    assert w.living.keys() == {"a", "b", "c"}


def test_more_restarts_than_allowed_stop_all_children_in_order_and_escalate() -> None:
    w = world_of(intensity=Intensity(1, 5_000))
    w.start()
    w.crash("a")
    w.forget()
    effects = w.crash("b", "again")
    assert w.log == ["!b", "-c", "-a"]
    why = "more than 1 restarts within 5 s, the last: again"
    assert effects[-3] == Escalate("sup", "b", Escalation.SHUTDOWN, why)
    assert isinstance(effects[-2], RaiseAlert)
    assert effects[-1] == SupervisorStopped("sup", normal=False, reason=why)


def test_the_window_slides() -> None:
    w = world_of("a", intensity=Intensity(1, 5_000))
    w.start()
    w.crash("a")
    w.sleep(5_001)
    w.crash("a")
    assert w.of(Escalate) == []


def test_a_restart_at_the_very_edge_of_the_period_still_counts() -> None:
    w = world_of("a", intensity=Intensity(1, 5_000))
    w.start()
    w.crash("a")
    w.sleep(5_000)
    assert w.of(Escalate, w.crash("a"))


def test_an_intensity_of_zero_escalates_at_the_first_crash() -> None:
    w = world_of("a", intensity=Intensity(0, 5_000))
    w.start()
    assert w.of(Escalate, w.crash("a"))
    assert w.living == {}


def test_the_intensity_left_is_shown() -> None:
    w = world_of(intensity=Intensity(3, 5_000))
    w.start()
    w.crash("a")
    assert [w.view(name).intensity_left for name in "abc"] == [2, 2, 2]
    w.sleep(5_001)
    assert w.view("a").intensity_left == 3


def test_a_child_that_exits_during_its_own_start_counts() -> None:
    w = world_of("a", intensity=Intensity(1, 5_000))
    w.broken = {"a"}
    w.start()
    w.sleep(200)
    w.sleep(400)
    assert w.of(Escalate)
    assert w.view("a").restarts == 2


def test_halt_escalates_once_and_keeps_trying_with_backoff() -> None:
    w = world_of("a", "b", intensity=Intensity(1, 5_000), escalation=Escalation.HALT)
    w.start()
    w.broken = {"a"}
    w.crash("a")
    w.sleep(20_000)
    assert [escalation.policy for escalation in w.of(Escalate)] == [Escalation.HALT]
    assert [alert.code for alert in w.of(RaiseAlert)] == ["SUPERVISOR_HALT"]
    assert "b" in w.living
    w.broken = set()
    w.sleep(30_000)
    assert "a" in w.living


def test_an_escalation_ends_with_an_alert_when_all_children_are_stable() -> None:
    w = world_of("a", "b", intensity=Intensity(0, 5_000), escalation=Escalation.HALT)
    w.start()
    w.crash("a")
    assert w.machine.escalated
    effects = w.sleep(5_000)
    assert [alert.code for alert in w.of(RaiseAlert, effects)] == ["SUPERVISOR_RECOVERED"]
    w.crash("a")
    assert len(w.of(Escalate)) == 2


def test_quarantine_takes_the_looping_child_alone_out() -> None:
    w = world_of(intensity=Intensity(1, 5_000), escalation=Escalation.QUARANTINE)
    w.start()
    w.crash("b")
    w.sleep(300)
    w.forget()
    effects = w.crash("b")
    assert w.log == ["!b"]
    assert w.status("b") is Status.QUARANTINED
    assert [alert.code for alert in w.of(RaiseAlert, effects)] == ["ACTOR_QUARANTINED"]
    w.sleep(600_000)
    assert w.living.keys() == {"a", "c"}


def test_under_quarantine_each_child_has_an_intensity_of_its_own() -> None:
    w = world_of(intensity=Intensity(1, 5_000), escalation=Escalation.QUARANTINE)
    w.start()
    w.crash("a")
    w.crash("b")
    w.crash("c")
    assert w.of(Escalate) == []
    assert w.view("a").intensity_left == 0


def test_a_child_quarantined_during_the_start_does_not_hold_up_the_next() -> None:
    w = world_of(intensity=Intensity(0, 5_000), escalation=Escalation.QUARANTINE)
    w.broken = {"a"}
    effects = w.start()
    assert w.log == ["+a", "+b", "+c"]
    assert w.of(SupervisorReady, effects)


def test_a_person_takes_a_child_out_of_quarantine_and_its_past_is_forgiven() -> None:
    w = world_of(intensity=Intensity(0, 5_000), escalation=Escalation.QUARANTINE)
    w.start()
    w.crash("b")
    w.restart("b")
    assert w.status("b") is Status.READY
    assert w.view("b").intensity_left == 0
    assert w.view("b").restarts == 1


def test_degrade_warns_and_keeps_trying() -> None:
    w = world_of("a", intensity=Intensity(0, 5_000), escalation=Escalation.DEGRADE)
    w.start()
    w.crash("a")
    assert [(alert.code, alert.severity) for alert in w.of(RaiseAlert)] == [("SUPERVISOR_DEGRADED", "WARNING")]
    assert "a" in w.living


def test_the_first_restart_is_immediate() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.forget()
    w.crash("a")
    assert w.log == ["!a", "+a"]


def test_from_the_second_restart_within_the_period_on_it_waits() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.crash("a")
    w.forget()
    w.crash("a")
    assert w.status("a") is Status.BACKOFF
    w.sleep(199)
    assert w.log == ["!a"]
    w.sleep(201)
    assert w.log == ["!a", "+a"]


def test_the_waits_grow_and_stay_below_thirty_seconds() -> None:
    w = world_of("a", intensity=MANY)
    w.broken = {"a"}
    w.start()
    waits = []
    for _ in range(12):
        asleep = w.now_ms
        deadline = w.machine.next_deadline_ms()
        assert deadline is not None
        waits.append(deadline - asleep)
        w.sleep(deadline - asleep)
    assert waits == sorted(waits)
    assert waits[0] >= 200
    assert waits[-1] == 30_000


def test_the_backoff_starts_anew_after_a_stable_period() -> None:
    w = world_of("a", intensity=MANY, stable_ms=8_000)
    w.start()
    for _ in range(3):
        w.crash("a")
        w.sleep(3_000)
    w.sleep(8_000)
    w.forget()
    w.crash("a")
    assert w.log == ["!a", "+a"]


def test_a_child_that_dies_just_before_it_is_stable_keeps_its_backoff() -> None:
    w = world_of("a", intensity=MANY, stable_ms=8_000)
    w.start()
    w.crash("a")
    w.sleep(7_999)
    w.crash("a")
    assert w.status("a") is Status.BACKOFF


def test_a_backoff_in_the_ordered_start_holds_up_the_children_on_the_right() -> None:
    w = world_of("a", "b", intensity=MANY)
    w.broken = {"a"}
    w.start()
    w.sleep(1_000)
    assert set(w.log) == {"+a"}
    w.broken = set()
    w.sleep(2_000)
    assert w.log[-2:] == ["+a", "+b"]


def test_a_stop_ends_a_backoff() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.crash("a")
    w.crash("a")
    w.stop()
    assert w.sleep(60_000) == []
    assert w.status("a") is Status.STOPPED


def test_a_person_cuts_a_backoff_short() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.crash("a")
    w.crash("a")
    w.restart("a")
    assert w.status("a") is Status.READY


def test_a_start_after_a_stop_waits_for_no_old_backoff() -> None:
    w = world_of("a", intensity=MANY)
    w.start()
    w.crash("a")
    w.crash("a")
    w.stop()
    w.forget()
    w.start()
    assert w.log == ["+a"]
