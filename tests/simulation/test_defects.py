"""Injected defects: every one must be found by an invariant that it breaks, or the checks are worth nothing."""

from __future__ import annotations

import pytest

from simulation.campaign import campaign
from simulation.defects import DEFECTS
from titan.invariants import Invariant

# A seed that is known to find it. Where a change of the plans has moved it, the whole thousand is searched: slower, as true.
FOUND_BY = {
    "sends-twice": 2,
    "resends-in-doubt": 2,
    "resends-not-found": 2,
    "loses-fills": 11,
    "books-fills-twice": 2,
    "skips-rows": 3,
    "sends-before-journal": 2,
    "stale-leader": 1,
    "sends-without-lease": 3,
    "promotes-without-tail": 1,
    "takes-from-the-living": 5,
    "halted-opens": 3,
    "reducing-grows": 12,
    "forgets-intents": 3,
    "forgets-halt": 3,
    "mistakes-sign": 17,
    "rounds-profit": 3,
    "forgets-intensity": 4,
    "cancel-on-timeout": 21,
    "forgets-what-filled": 23,
    "trusts-anybody": 1,
}
SEEDS = 1_000
CHUNK = 20


def finds(defect: str, seeds: range) -> bool:
    """Whether a campaign on the broken build names an invariant that the defect breaks."""
    report = campaign(seeds, defect=defect)
    broken = {invariant for failure in report.failures for invariant, _ in failure.violations}
    return bool(broken & DEFECTS[defect].breaks)


def test_every_defect_has_a_seed() -> None:
    assert set(FOUND_BY) == set(DEFECTS)
    assert len(DEFECTS) >= 12


@pytest.mark.timeout(600)
@pytest.mark.parametrize("defect", DEFECTS)
def test_an_injected_defect_is_found(defect: str) -> None:
    known = FOUND_BY[defect]
    everywhere = [range(first, first + CHUNK) for first in range(0, SEEDS, CHUNK)]
    assert any(finds(defect, seeds) for seeds in [range(known, known + 1), *everywhere]), (
        f"{defect}: not in {SEEDS} seeds"
    )


def test_the_same_seeds_find_nothing_in_the_whole_build() -> None:
    assert campaign(sorted(set(FOUND_BY.values()))).failing_seeds == []


def test_defects_break_every_invariant_that_a_single_router_can_break() -> None:
    broken = set().union(*(defect.breaks for defect in DEFECTS.values()))
    assert {each.value for each in Invariant} - broken <= {Invariant.JOURNAL_WHOLE.value}


def test_a_defect_leaves_nothing_behind() -> None:
    from actors.router.order_desk import OrderDesk

    whole = OrderDesk.send
    with DEFECTS["sends-twice"].planted():
        assert OrderDesk.send is not whole
    assert OrderDesk.send is whole


def test_an_unknown_defect_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no defect named 'none'; there are sends-twice"):
        campaign(range(1), defect="none")
