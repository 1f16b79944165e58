"""The budgets of a venue: what is granted, when, and to whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.venues.limits import Budget, Lane, RateLimiter, TokenBucket

STEPS = st.lists(st.tuples(st.floats(0, 2), st.floats(0.1, 4), st.sampled_from(Lane)), min_size=1, max_size=60)


def grants(limiter: RateLimiter, cost: float, now_s: float = 0.0, lane: Lane = Lane.NORMAL) -> bool:
    return limiter.take({"orders": cost}, now_s, lane) == 0


def test_a_bucket_that_is_empty_refuses() -> None:
    # reference vector TB1.1
    limiter = RateLimiter([Budget("orders", 10, 10)])
    assert [grants(limiter, cost) for cost in (10, 1)] == [True, False]


def test_tokens_come_back_continuously_up_to_the_capacity() -> None:
    limiter = RateLimiter([Budget("orders", 10, 10)])
    assert grants(limiter, 10)
    assert limiter.take({"orders": 1}, 0.05) == pytest.approx(0.05)
    assert grants(limiter, 1, 0.1)
    assert grants(limiter, 10, 100.0)
    assert not grants(limiter, 0.5, 100.0)


def test_the_reserve_is_for_what_lowers_risk() -> None:
    limiter = RateLimiter([Budget("orders", 10, 1, reserve=3)])
    assert grants(limiter, 7)
    assert not grants(limiter, 1)
    assert [grants(limiter, 1, lane=Lane.URGENT) for _ in range(4)] == [True, True, True, False]


def test_a_request_that_finds_one_budget_empty_takes_from_none() -> None:
    limiter = RateLimiter([Budget("orders", 2, 1), Budget("weight", 1, 1)])
    cost = {"orders": 1.0, "weight": 1.0}
    assert limiter.take(cost, 0.0) == 0
    assert limiter.take(cost, 0.0) == pytest.approx(1)
    assert grants(limiter, 1)


def test_nothing_is_granted_before_the_venues_silence_is_over() -> None:
    limiter = RateLimiter([Budget("orders", 10, 10)])
    limiter.hold(2.0, 5.0)
    limiter.hold(1.0, 5.0)
    assert limiter.take({"orders": 1}, 6.5, Lane.URGENT) == pytest.approx(0.5)
    assert grants(limiter, 1, 7.0)


def test_without_budgets_only_the_venues_silence_counts() -> None:
    limiter = RateLimiter()
    assert all(grants(limiter, 1e9) for _ in range(3))
    limiter.hold(1.0, 0.0)
    assert not grants(limiter, 1)


def test_what_the_venue_says_is_used_counts() -> None:
    limiter = RateLimiter([Budget("orders", 10, 1)])
    limiter.spent("orders", 9)
    limiter.spent("orders", 2)
    limiter.spent("nothing", 9)
    assert [grants(limiter, 1) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("bad", [(0, 1, 0), (1, 0, 0), (5, 1, 5), (5, 1, -1)])
def test_a_budget_that_makes_no_sense_is_refused(bad: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="budget orders"):
        Budget("orders", *bad)


def test_a_cost_that_never_fits_is_an_error_not_an_endless_wait() -> None:
    with pytest.raises(ValueError, match="never fits"):
        RateLimiter([Budget("orders", 10, 1, reserve=3)]).take({"orders": 8}, 0.0)


@given(STEPS)
def test_never_more_is_granted_than_the_venue_admits(steps: list[tuple[float, float, Lane]]) -> None:
    budget = Budget("orders", 10, 5, reserve=4)
    bucket = TokenBucket(budget)
    now = taken = normal = 0.0
    for passed, cost, lane in steps:
        now += passed
        if bucket.wait_s(cost, now, lane) == 0:
            bucket.take(cost)
            taken += cost
            normal += cost if lane is Lane.NORMAL else 0
    assert taken <= budget.capacity + now * budget.per_s + 1e-6
    assert normal <= budget.capacity - budget.reserve + now * budget.per_s + 1e-6


@given(STEPS)
def test_waiting_as_long_as_told_is_enough(steps: list[tuple[float, float, Lane]]) -> None:
    limiter = RateLimiter([Budget("orders", 10, 5, reserve=4)])
    now = 0.0
    for passed, cost, lane in steps:
        now += passed
        wait = limiter.take({"orders": cost}, now, lane)
        if wait:
            now += wait + 1e-6
            assert limiter.take({"orders": cost}, now, lane) == 0
