"""A tree of supervisors: readiness goes up, commands go down, giving up is a crash."""

from __future__ import annotations

import pytest

from supervisors.child import Status
from supervisors.events import Adopted, Command, Escalate, SupervisorReady, SupervisorStopped, Tick, Verb
from supervisors.nested import TreeMachine
from supervisors.spec import ChildSpec, Escalation, Intensity, Strategy, SupervisorSpec
from tests.supervisors.world import World


def group(name: str, *children: str, **how: Intensity | Escalation | Strategy) -> SupervisorSpec:
    return SupervisorSpec(name, tuple(ChildSpec(child) for child in children), **how)  # type: ignore[arg-type]


def tree(*groups: SupervisorSpec, intensity: Intensity = Intensity(1, 5_000)) -> World[TreeMachine]:  # noqa: B008
    return World(TreeMachine(SupervisorSpec("root", groups, intensity=intensity)))


def test_a_group_starts_when_the_group_before_is_ready() -> None:
    w = tree(group("money", "router", "brain"), group("edge", "gateway"))
    w.slow = {"brain"}
    w.start()
    assert w.log == ["+router", "+brain"]
    effects = w.ready("brain")
    assert w.log[-1] == "+gateway"
    assert w.of(SupervisorReady, effects)[-1] == SupervisorReady("root")


def test_the_tree_stops_from_the_last_group_to_the_first() -> None:
    w = tree(group("money", "router", "brain"), group("edge", "gateway"))
    w.start()
    w.forget()
    effects = w.stop()
    assert w.log == ["-gateway", "-brain", "-router"]
    assert w.of(SupervisorStopped, effects)[-1] == SupervisorStopped("root", normal=True, reason="stopped")


def test_a_supervisor_that_gives_up_is_restarted_by_the_one_above() -> None:
    w = tree(group("money", "router", "brain", intensity=Intensity(0, 5_000)), group("edge", "gateway"))
    w.start()
    w.forget()
    w.crash("brain")
    assert w.log == ["!brain", "-router", "+router", "+brain"]


def test_a_tree_whose_root_gives_up_is_down() -> None:
    w = tree(
        group("money", "router", intensity=Intensity(0, 5_000)), group("edge", "gateway"), intensity=Intensity(0, 1)
    )
    w.start()
    effects = w.crash("router")
    assert w.living == {}
    assert [escalation.supervisor for escalation in w.of(Escalate, effects)] == ["money", "root"]
    assert not w.of(SupervisorStopped, effects)[-1].normal


def test_a_group_can_be_restarted_as_a_whole() -> None:
    w = tree(group("money", "router", "brain"), group("edge", "gateway"))
    w.start()
    w.forget()
    w.restart("money")
    assert w.log == ["-brain", "-router", "+router", "+brain"]


def test_the_root_may_be_named_or_not() -> None:
    w = tree(group("money", "router"))
    w.tell(Command(Verb.START, "root"))
    assert w.log == ["+router"]


def test_adopted_children_of_every_group_are_left_alone() -> None:
    w = tree(group("money", "router", "brain"), group("edge", "gateway"))
    w.living = {"router": 5, "gateway": 2}
    w.tell(Adopted("router", 5, 11, ready=True), Adopted("gateway", 2, 12, ready=True))
    effects = w.start()
    assert w.log == ["+brain"]
    assert w.of(SupervisorReady, effects)[-1] == SupervisorReady("root")


def test_history_of_the_whole_tree_survives() -> None:
    spec = SupervisorSpec(
        "root", (group("phases", "hunter", escalation=Escalation.QUARANTINE, intensity=Intensity(0, 1)),)
    )
    w = World(TreeMachine(spec))
    w.start()
    w.crash("hunter")
    after = TreeMachine(spec)
    after.remember({**w.machine.history(), "gone": w.machine.history()["phases"]}, w.now_ms)
    assert after.views(w.now_ms)[0].status is Status.QUARANTINED
    assert after.escalated() == []


def test_escalated_supervisors_are_named() -> None:
    w = tree(group("money", "router", escalation=Escalation.HALT, intensity=Intensity(0, 5_000)))
    w.start()
    w.crash("router")
    assert w.machine.escalated() == ["money"]


def test_views_are_in_start_order() -> None:
    w = tree(group("money", "router", "brain"), group("edge", "gateway"))
    assert [(view.supervisor, view.name) for view in w.machine.views(0)] == [
        ("money", "router"),
        ("money", "brain"),
        ("edge", "gateway"),
    ]


def test_an_unknown_name_is_refused_with_the_names_that_are() -> None:
    with pytest.raises(ValueError, match="there is no 'zz' in the tree; it has: router"):
        tree(group("money", "router")).restart("zz")


def test_a_name_may_stand_once_in_a_tree() -> None:
    with pytest.raises(ValueError, match="seen twice: router"):
        tree(group("money", "router"), group("edge", "router"))


def test_ticks_reach_every_supervisor() -> None:
    w = tree(
        group("money", "router", intensity=Intensity(9, 5_000)), group("edge", "gateway", intensity=Intensity(9, 5_000))
    )
    w.start()
    for name in ("router", "router", "gateway", "gateway"):
        w.crash(name)
    assert w.living == {}
    w.sleep(1_000)
    assert w.living.keys() == {"router", "gateway"}
    assert w.tell(Tick()) == []
