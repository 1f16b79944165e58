"""Filters of an instrument."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan.instruments import Instrument, Instruments

D = Decimal
BTC = Instrument(
    "BTC/USDT:USDT", "BTC", "USDT", "USDT", "perp", D("0.1"), D("0.001"), D("0.001"), D(5), D(100), "bybit", "BTCUSDT"
)


@pytest.mark.parametrize(
    ("price", "quantity", "words"),
    [
        ("0.05", "1", "tick 0.1"),
        ("-1", "1", "tick"),
        ("50000", "0.0015", "lot 0.001"),
        ("50000", "0", "lot"),
        ("100", "0.001", "minimum notional 5"),
    ],
)
def test_a_broken_filter_is_named_with_what_was_seen(price: str, quantity: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BTC.check(D(price), D(quantity))


def test_a_quantity_below_the_minimum_is_named() -> None:
    with pytest.raises(ValueError, match=r"below the minimum 0.01"):
        replace(BTC, min_qty=D("0.01")).check(D(50000), D("0.005"))


def test_an_order_within_every_filter_passes() -> None:
    BTC.check(D("50000.1"), D("0.001"))


@given(st.decimals(min_value="0.001", max_value=1000, places=8))
def test_a_floored_quantity_is_on_the_grid_and_never_more(quantity: Decimal) -> None:
    floored = BTC.floor_qty(quantity)
    assert floored <= quantity < floored + BTC.lot
    assert floored % BTC.lot == 0


@given(st.decimals(min_value=1, max_value=200_000, places=6))
def test_a_rounded_price_is_on_the_grid_and_at_most_half_a_tick_away(price: Decimal) -> None:
    rounded = BTC.round_price(price)
    assert rounded % BTC.tick == 0
    assert abs(rounded - price) <= BTC.tick / 2


def test_instruments_are_found_by_either_spelling() -> None:
    listed = Instruments([BTC])
    assert listed.find("bybit", "BTC/USDT:USDT") is BTC
    assert listed.by_venue_symbol("bybit", "BTCUSDT") is BTC
    assert listed.find("bybit", "ETH/USDT:USDT") is None
    assert listed.by_venue_symbol("binance", "BTCUSDT") is None
    assert list(listed) == [("bybit", "BTC/USDT:USDT")]
    assert listed["bybit", "BTC/USDT:USDT"] is BTC


def test_new_filters_of_a_venue_replace_the_old_ones() -> None:
    changed = replace(BTC, tick=D(1))
    merged = Instruments([BTC]).merged([changed])
    assert len(merged) == 1
    assert merged["bybit", BTC.symbol].tick == 1
