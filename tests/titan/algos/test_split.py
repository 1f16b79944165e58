"""The split of a quantity over venues."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan.algos import Target, Unsplittable, split
from titan.money import ZERO

LOTS = st.sampled_from([Decimal("0.001"), Decimal("0.01"), Decimal("0.1"), Decimal(1)])
WEIGHTS = st.integers(1, 1_000).map(lambda each: Decimal(each) / 100)


@st.composite
def targets(draw: st.DrawFn) -> list[Target]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True))
    return [
        Target(
            name, draw(WEIGHTS), draw(LOTS), Decimal(draw(st.integers(0, 3))) / 10, Decimal(draw(st.integers(0, 50)))
        )
        for name in names
    ]


def test_portions_are_weights_rounded_to_four_places_and_the_last_takes_the_rest() -> None:
    lot = Decimal("0.001")
    wanted = [Target("mexc", Decimal(1), lot), Target("bybit", Decimal(2), lot)]
    assert split(Decimal("1.000"), wanted, Decimal(100)) == [("bybit", Decimal("0.666")), ("mexc", Decimal("0.334"))]


def test_a_portion_below_the_minimum_goes_to_another() -> None:
    lot = Decimal("0.001")
    wanted = [
        Target("binance", Decimal("0.02"), lot, min_notional=Decimal(5)),
        Target("bybit", Decimal("0.98"), lot, min_notional=Decimal(5)),
    ]
    assert split(Decimal("1.0"), wanted, Decimal(100)) == [("bybit", Decimal("1.0"))]


def test_nothing_to_split_on_is_an_error() -> None:
    with pytest.raises(Unsplittable, match="no target"):
        split(Decimal(1), [Target("bybit", ZERO, Decimal(1))], Decimal(1))
    with pytest.raises(Unsplittable, match="below the minimum of bybit"):
        split(Decimal(1), [Target("bybit", Decimal(1), Decimal(1), min_notional=Decimal(5))], Decimal(1))


@settings(deadline=None)
@given(st.integers(1, 10**9).map(lambda each: Decimal(each) / 1000), targets(), st.integers(1, 1_000).map(Decimal))
def test_portions_add_up_to_the_whole_exactly(quantity: Decimal, wanted: list[Target], price: Decimal) -> None:
    try:
        portions = split(quantity, wanted, price)
    except Unsplittable:
        return
    assert sum((portion for _, portion in portions), ZERO) == quantity
    by_name = {each.name: each for each in wanted}
    assert [name for name, _ in portions] == sorted({name for name, _ in portions})
    for number, (name, portion) in enumerate(portions):
        assert by_name[name].takes(portion, price)
        if number < len(portions) - 1:
            assert portion % by_name[name].lot == 0


@settings(deadline=None)
@given(st.integers(1, 10**6).map(Decimal), targets(), st.randoms(use_true_random=False))
def test_the_order_in_which_targets_are_named_changes_nothing(
    quantity: Decimal, wanted: list[Target], chance: Random
) -> None:
    shuffled = list(wanted)
    chance.shuffle(shuffled)
    results = []
    for each in (wanted, shuffled):
        try:
            results.append(split(quantity, each, Decimal(10)))
        except Unsplittable as error:
            results.append([(str(error), ZERO)])
    assert results[0] == results[1]
