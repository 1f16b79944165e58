"""ccxt's structures as events, and what is refused."""

from __future__ import annotations

import pytest

from actors.market_data import shapes
from actors.market_data.core import Scales

SYMBOL = "BTC/USDT:USDT"


def row(**changes: object) -> dict[str, object]:
    return {"timestamp": 5, "price": 100.5, "amount": 0.1, "side": "sell", "id": "x", **changes}


@pytest.mark.parametrize(("step", "count"), [(0.1, 1), (1e-05, 5), ("0.010", 2), (1, 0), (10.0, 0)])
def test_a_step_gives_its_decimal_places(step: float | str, count: int) -> None:
    assert shapes.places(step) == count


def test_a_market_without_steps_is_refused() -> None:
    assert shapes.scales({"precision": {"price": 0.1, "amount": 0.001}}) == Scales(1, 3)
    with pytest.raises(ValueError, match="has no tick or lot size"):
        shapes.scales({"symbol": SYMBOL, "precision": {"price": 0.1}})


def test_trades_become_columns() -> None:
    seen = shapes.trades(SYMBOL, [row(), row(side="buy")])
    assert (seen.buy, seen.price, seen.trade_id) == ([False, True], [100.5, 100.5], ["x", "x"])


@pytest.mark.parametrize("changes", [{"side": None}, {"price": None}, {"timestamp": None}])
def test_an_incomplete_trade_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is not complete"):
        shapes.trades(SYMBOL, [row(**changes)])


def test_a_tickers_own_texts_are_passed_on_and_unified_numbers_fill_in() -> None:
    seen = shapes.ticker(
        "bybit",
        SYMBOL,
        {
            "timestamp": 7,
            "last": 1.0,
            "bid": 68403.4,
            "baseVolume": None,
            "info": {"lastPrice": "100.50", "fundingRate": "-0.0001", "nextFundingTime": "9", "bid1Price": ""},
        },
    ).message
    assert (seen.last, seen.bid, seen.ask) == ("100.50", "68403.4", "")
    assert (seen.funding_rate, seen.next_funding_ms, seen.volume_24h) == ("-0.0001", 9, "")


def test_a_ticker_or_book_without_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no time or last price"):
        shapes.ticker("bybit", SYMBOL, {"timestamp": None, "last": 1.0})
    with pytest.raises(ValueError, match="no time"):
        shapes.book("bybit", SYMBOL, {"timestamp": None, "bids": [], "asks": []})


def test_a_book_keeps_its_best_ten_levels_without_exponents() -> None:
    side = [[100.0 - place, 1e-05] for place in range(12)]
    book = shapes.book("bybit", SYMBOL, {"timestamp": 1, "nonce": 3, "bids": side, "asks": side}).message
    assert len(book.bids) == len(book.asks) == 10
    assert (book.bids[0].price, book.bids[0].qty, book.sequence) == ("100", "0.00001", 3)


def test_bars_are_decimals_and_an_incomplete_one_is_refused() -> None:
    fetched = shapes.fetched(SYMBOL, 60, [[60_000, 1.1, 1.3, 1.0, 1.2, 5.0]])
    assert str(fetched.bars[0].high) == "1.3"
    with pytest.raises(ValueError, match="is not complete"):
        shapes.fetched(SYMBOL, 60, [[60_000, 1.1]])


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number: 'x'"):
        shapes.decimal_of("x")
