"""Decimals: nothing finite is lost, nothing else gets in."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.money import dec, dec_or_none, floor_to, is_multiple, round_to, scaled, text_of, unscaled

amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=8)
steps = st.sampled_from([Decimal("0.001"), Decimal("0.1"), Decimal("0.25"), Decimal(5)])


@given(amounts)
def test_text_round_trips_exactly(value: Decimal) -> None:
    assert dec(text_of(value)) == value
    assert "E" not in text_of(value)


@given(amounts, steps)
def test_flooring_never_passes_the_value_and_lands_on_the_grid(value: Decimal, step: Decimal) -> None:
    floored = floor_to(value, step)
    assert abs(floored) <= abs(value) < abs(floored) + step
    assert is_multiple(floored, step)


@given(amounts, steps)
def test_rounding_stays_within_half_a_step(value: Decimal, step: Decimal) -> None:
    assert abs(round_to(value, step) - value) * 2 <= step


@given(st.integers(min_value=-(10**15), max_value=10**15), st.integers(min_value=0, max_value=8))
def test_scaling_is_the_inverse_of_unscaling(value: int, scale: int) -> None:
    assert scaled(unscaled(value, scale), scale) == value


@pytest.mark.parametrize("text", ["abc", "NaN", "Infinity", "1,5"])
def test_what_is_not_a_finite_decimal_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        dec(text)


def test_scaling_that_would_lose_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 2 decimal places"):
        scaled(Decimal("0.001"), 2)


def test_empty_text_is_zero_or_nothing() -> None:
    assert dec("") == 0
    assert dec_or_none("") is None
    assert text_of(None) == ""
    assert text_of(Decimal("0.000")) == "0"
