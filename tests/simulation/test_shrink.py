"""A failing plan becomes smaller and keeps failing."""

from __future__ import annotations

import pytest

from simulation.campaign import policy
from simulation.defects import DEFECTS
from simulation.plan import Act, Deed, make_plan
from simulation.shrink import minimal, shrink


def acts(*numbers: int) -> tuple[Act, ...]:
    return tuple(Act(number, Deed.SIGNAL, number) for number in numbers)


@pytest.mark.parametrize("guilty", [{3}, {0, 7}, {2, 3, 9}])
def test_the_guilty_acts_alone_are_left(guilty: set[int]) -> None:
    left = minimal(acts(*range(12)), lambda some: guilty <= {act.a for act in some}, lambda: True)
    assert {act.a for act in left} == guilty


def test_the_budget_of_runs_ends_it() -> None:
    runs = iter(range(3))
    left = minimal(acts(*range(40)), lambda some: 39 in {act.a for act in some}, lambda: next(runs, None) is not None)
    assert 39 in {act.a for act in left}


def test_a_failing_seed_is_shrunk_to_a_few_acts_that_still_fail() -> None:
    plan = make_plan(2, 200)
    with DEFECTS["sends-twice"].planted():
        smaller = shrink(plan, policy(), max_runs=60)
    assert len(smaller.plan.acts) <= 2 < len(plan.acts)
    assert {each.invariant.value for each in smaller.outcome.violations} == {"I1"}


def test_a_seed_that_breaks_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="seed 2 breaks nothing"):
        shrink(make_plan(2, 100), policy())
