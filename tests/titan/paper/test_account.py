"""Positions, margin and fees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.titan.paper.house import BTC, ETH, D
from titan.paper.account import Account, Exposure, Position, fee_of
from titan.paper.orders import Side

fills = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 99999).map(lambda n: D(n) / 10),
        st.integers(1, 999).map(lambda n: D(n) / 1000),
    ),
    max_size=40,
)


@given(fills)
def test_profit_less_cost_is_what_was_received_less_what_was_paid(script: list[tuple[Side, D, D]]) -> None:
    position = Position(BTC)
    realised = cash = D(0)
    for side, price, qty in script:
        outcome = position.apply(side, price, qty)
        realised += outcome.realised
        cash -= side.sign * qty * price
        assert outcome.closed + outcome.opened == qty
        assert realised - position.cost == cash
        assert (position.size == 0) == (position.side is None)


def test_a_turn_closes_first_and_opens_the_rest_at_the_new_price() -> None:
    position = Position(BTC)
    position.apply(Side.BUY, D(100), D(1))
    outcome = position.apply(Side.SELL, D(110), D(3))
    assert (outcome.realised, outcome.closed, outcome.opened) == (D(10), D(1), D(2))
    assert position.view().entry == 110
    assert position.side is Side.SELL


def test_unrealised_profit_is_taken_at_the_mark() -> None:
    position = Position(BTC, mark=D(90))
    assert position.unrealised == 0
    assert position.view().entry == 0
    position.apply(Side.SELL, D(100), D(2))
    assert position.unrealised == 20


def test_orders_that_close_reserve_no_margin() -> None:
    exposure = Exposure()
    exposure.add(Side.SELL, D(3), D(300))
    assert exposure.opening_value(D(3)) == 0
    assert exposure.opening_value(D(1)) == 200
    assert exposure.opening_value(D(-5)) == 300


def test_margin_adds_positions_and_orders_over_symbols() -> None:
    account = Account((BTC, ETH), D(1000))
    for symbol, price in (("BTCUSDT", D(100)), ("ETHUSDT", D(10))):
        account.positions[symbol].apply(Side.BUY, price, D(10))
        account.positions[symbol].mark = price + 1
    account.exposures["ETHUSDT"].add(Side.BUY, D(10), D(100))
    margin = account.margin()
    assert margin.unrealised == 20
    assert margin.position_im == D(1010) / 10 + D(110) / 10
    assert margin.order_im == 10
    assert margin.equity == 1020
    assert margin.available == margin.equity - margin.position_im - margin.order_im
    assert margin.maintenance == D("5.6")


def test_leverage_starts_at_ten_or_the_most_allowed() -> None:
    from dataclasses import replace

    assert Account((replace(BTC, max_leverage=D(3)),), D(1)).positions["BTCUSDT"].leverage == 3


def test_fees_are_rounded_to_a_hundred_millionth() -> None:
    assert fee_of(D("33.333333333"), is_maker=True) == D("0.00666667")
    assert fee_of(D("1000"), is_maker=False) == D("0.55")
