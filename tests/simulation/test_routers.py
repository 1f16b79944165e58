"""Two routers in one world: who leads, who follows, and what no fault of the lease may do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.campaign import policy
from simulation.plan import Act, Deed, Fault, Plan
from simulation.router import STANDBY
from simulation.world import World


def plan(*acts: Act, apart: bool = False, seed: int = 5) -> Plan:
    """Trades twice a second for half a minute beside the given faults."""
    signals = [Act(at_ms, Deed.SIGNAL, at_ms * 7 % 65_536, at_ms * 13 % 65_536) for at_ms in range(1_500, 30_000, 500)]
    every = tuple(sorted((*signals, *acts), key=lambda act: act.at_ms))
    return Plan(seed, 300, 1.0, full=False, live=False, acts=every, ms=31_000, standby=True, apart=apart)


def lived(wanted: Plan) -> World:
    """The world after it; nothing in it may be off."""
    world = World(wanted, policy())
    outcome = world.run()
    assert [(each.invariant.value, each.text) for each in outcome.violations] == []
    assert outcome.orders > 5
    return world


def leader(world: World) -> str:
    assert world.router is not None
    return world.router.name


def test_a_standby_leads_when_the_leader_is_killed_and_the_first_follows_it() -> None:
    world = lived(plan(Act(8_000, Fault.ROUTER_KILL)))
    assert leader(world) == STANDBY
    assert world.standby is not None
    assert world.standby.name == "router"
    assert [term for term, _, _ in world.checks.terms] == [1, 2]


def test_a_silent_leader_is_killed_by_its_successor_when_no_supervisor_looks() -> None:
    world = lived(plan(Act(8_000, Fault.ZOMBIE, 6_000)))
    assert leader(world) == STANDBY


@pytest.mark.parametrize("point", range(9))
def test_a_death_in_mid_promotion_leaves_a_leader_and_no_order_twice(point: int) -> None:
    lived(plan(Act(8_000, Fault.PROMOTION_KILL, point)))


def test_a_leader_on_another_machine_is_followed_only_after_lease_and_longest_send() -> None:
    world = lived(plan(Act(8_000, Fault.SPLIT, 4_000, 500), apart=True))
    assert leader(world) == STANDBY
    [(_, _, ended), (_, began, _)] = world.checks.terms[:2]
    assert ended is not None
    assert began - 8_900 >= 9_000


def test_a_cut_that_is_shorter_than_the_wait_changes_no_leader() -> None:
    world = lived(plan(Act(8_000, Fault.CUT, 4_000), apart=True))
    assert leader(world) == "router"


def test_the_same_plan_without_a_standby_has_one_router() -> None:
    world = lived(replace(plan(Act(8_000, Fault.ROUTER_KILL)), standby=False))
    assert (leader(world), world.standby) == ("router", None)


def test_a_follower_that_opened_the_journal_and_got_no_lease_has_not_led() -> None:
    cut, split = Act(2_671, Fault.CUT, 9_260), Act(12_943, Fault.SPLIT, 49_228, 33_262)
    wanted = Plan(7380, 200, 1.0, full=True, live=False, acts=(cut, split), ms=18_000, standby=True, apart=True)
    world = World(wanted, policy())
    assert world.run().violations == ()
    assert [term for term, _, _ in world.checks.terms] == [1, 3]


def test_a_close_may_leave_a_leader_whose_storage_is_away_and_is_found_at_the_venue() -> None:
    opens, closes = Act(7_421, Deed.SIGNAL, 61_455, 583), Act(8_398, Deed.SIGNAL, 23_118, 52_918)
    acts = (opens, closes, Act(9_375, Fault.SPLIT, 25_597, 22_670))
    world = World(replace(plan(seed=9922, apart=True), acts=acts, ms=18_000), policy())
    assert world.run().violations == ()
