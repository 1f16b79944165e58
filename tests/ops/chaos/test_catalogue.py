"""The table of faults: numbers, axes, targets, and what a choice picks."""

from __future__ import annotations

from collections import Counter

import pytest

from ops.chaos.catalogue import FAULTS, by_number, chosen
from ops.chaos.fault import Axis
from supervisors.tree import GROUPS


def test_numbers_and_names_are_unique() -> None:
    assert max(Counter(fault.number for fault in FAULTS).values()) == 1
    assert max(Counter(fault.name for fault in FAULTS).values()) == 1
    assert set(by_number()) == {fault.number for fault in FAULTS}


def test_every_axis_has_faults_and_every_actor_is_killed() -> None:
    assert {fault.axis for fault in FAULTS} == set(Axis)
    killed = {fault.name.removesuffix("-kill") for fault in FAULTS if fault.axis is Axis.PROCESS}
    assert {actor.name for group in GROUPS for actor in group.actors} <= killed


def test_a_fault_costs_the_supervisor_of_its_actor() -> None:
    assert by_number()[100].name == "router-kill"
    assert by_number()[100].group == "money"
    assert by_number()[100].target_s == 2.5


@pytest.mark.parametrize(
    ("only", "number", "names"),
    [("", 203, ["5xx-orders"]), ("torn-tail", None, ["torn-tail"]), ("ghost", None, []), ("", 9999, [])],
)
def test_a_choice_picks_by_number_or_name(only: str, number: int | None, names: list[str]) -> None:
    assert [fault.name for fault in chosen(only, number, long=False)] == names


def test_the_second_router_is_struck_only_where_there_is_one() -> None:
    def struck(*, standby: bool) -> set[str]:
        found = chosen("", None, long=False, standby=standby)
        return {fault.name for fault in found if fault.name.startswith("router_standby")}

    assert struck(standby=False) == set()
    assert "router_standby-kill" in struck(standby=True)


def test_an_axis_and_long_faults_are_picked_when_asked_for() -> None:
    assert {fault.axis for fault in chosen("stream", None, long=False)} == {Axis.STREAM}
    both = chosen("venue, stream,torn-tail", None, long=False)
    assert {fault.axis for fault in both} == {Axis.VENUE, Axis.STREAM, Axis.STORAGE}
    assert [fault.name for fault in both if fault.axis is Axis.STORAGE] == ["torn-tail"]
    short, long = chosen("", None, long=False, standby=True), chosen("", None, long=True, standby=True)
    assert {fault.name for fault in long} - {fault.name for fault in short} == {
        fault.name for fault in FAULTS if fault.long
    }
