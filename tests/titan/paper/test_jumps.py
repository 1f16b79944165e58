"""A jump moves everything a feed says of one symbol, on the tick, and nothing of another."""

from __future__ import annotations

from decimal import Decimal

import pytest

from titan.paper.feeds.base import FeedBook, FeedLiquidation, FeedMark, FeedTrade
from titan.paper.jumps import Jumps

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
TICK = Decimal("0.1")


def jumped(*factors: str) -> Jumps:
    jumps = Jumps()
    for factor in factors:
        jumps.add(BTC, Decimal(factor), TICK)
    return jumps


def test_another_symbol_is_handed_on_as_it_came() -> None:
    trade = FeedTrade(1, ETH, Decimal("10.05"), Decimal(1), "buy", "t")
    assert jumped("2").moved(trade) is trade
    assert not Jumps()


def test_every_kind_of_event_moves_and_stays_on_the_tick() -> None:
    jumps = jumped("1.5", "1.1")
    trade = FeedTrade(1, BTC, Decimal("100.1"), Decimal(2), "buy", "t")
    assert jumps.moved(trade) == FeedTrade(1, BTC, Decimal("165.2"), Decimal(2), "buy", "t")
    forced = jumps.moved(FeedLiquidation(1, BTC, "sell", Decimal("100"), Decimal(2)))
    assert isinstance(forced, FeedLiquidation)
    assert forced.price == Decimal("165.0")
    mark = jumps.moved(FeedMark(1, BTC, Decimal("100"), Decimal("200"), Decimal(0), 2, Decimal(3)))
    assert isinstance(mark, FeedMark)
    assert (mark.mark, mark.index, mark.open_interest) == (Decimal("165.0"), Decimal("330.0"), Decimal(3))


def test_levels_that_meet_on_one_tick_are_one_level() -> None:
    bids = ((Decimal("100.2"), Decimal(1)), (Decimal("100.1"), Decimal(2)), (Decimal("90"), Decimal(4)))
    book = jumped("0.5").moved(FeedBook(1, BTC, bids, ((Decimal("100.3"), Decimal(1)),)))
    assert isinstance(book, FeedBook)
    assert book.bids == ((Decimal("50.1"), Decimal(1)), (Decimal("50.0"), Decimal(2)), (Decimal("45.0"), Decimal(4)))
    assert book.asks == ((Decimal("50.2"), Decimal(1)),)
    assert book.bids[0][0] < book.asks[0][0]


@pytest.mark.parametrize("factor", ["0", "0.05", "11", "-1"])
def test_a_factor_that_no_market_makes_is_refused(factor: str) -> None:
    with pytest.raises(ValueError, match=r"must be from 0\.1 to 10"):
        jumped(factor)
