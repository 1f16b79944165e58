"""Specs refuse nonsense with a sentence; backoff is a pure function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors.backoff import delay_ms, jitter
from supervisors.spec import Backoff, ChildSpec, Intensity, SupervisorSpec


def test_nonsense_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="max_restarts >= 0 and period_ms > 0, got -1 in 5000 ms"):
        Intensity(-1)
    with pytest.raises(ValueError, match="0 < floor_ms <= cap_ms, got 500 and 100"):
        Backoff(500, 100)
    with pytest.raises(ValueError, match="a child needs a name"):
        ChildSpec("")
    with pytest.raises(ValueError, match="child a: a timeout can't be negative, got -1 ms"):
        ChildSpec("a", shutdown_timeout_ms=-1)


def test_defaults_are_those_of_the_manual() -> None:
    spec = SupervisorSpec("sup", (ChildSpec("a"),))
    assert (spec.intensity.max_restarts, spec.intensity.period_ms) == (1, 5_000)
    assert spec.children[0].shutdown_timeout_ms == 5_000  # type: ignore[union-attr]
    assert spec.stable_ms == 5_000


@given(st.integers(), st.text(max_size=9), st.integers(1, 60))
def test_a_delay_lies_between_floor_and_cap_and_is_repeatable(seed: int, child: str, attempt: int) -> None:
    backoff = Backoff(seed=seed)
    delay = delay_ms(backoff, child, attempt)
    assert 200 <= delay <= 30_000
    assert delay == delay_ms(backoff, child, attempt)
    assert 0 <= jitter(seed, child, attempt) < 1


@given(st.integers(), st.text(max_size=9))
def test_delays_never_shrink_and_start_at_zero(seed: int, child: str) -> None:
    delays = [delay_ms(Backoff(seed=seed), child, attempt) for attempt in range(20)]
    assert delays[0] == 0
    assert delays == sorted(delays)


def test_children_that_fall_together_do_not_come_back_together() -> None:
    assert len({delay_ms(Backoff(), f"actor{number}", 3) for number in range(20)}) > 10
