"""Day statistics and candles."""

from __future__ import annotations

from tests.titan.paper.house import T0, D
from titan.paper.feeds.base import Bar
from titan.paper.market import MINUTE_MS, SymbolBoard, aggregate, candle_of

START = T0 - T0 % (60 * MINUTE_MS)


def bar(minute: int, price: str = "100", volume: str = "1") -> Bar:
    p = D(price)
    return Bar(START + minute * MINUTE_MS, p, p + 1, p - 1, p, D(volume))


def test_trades_build_the_bar_of_their_minute() -> None:
    board = SymbolBoard([], START)
    for price, qty in (("100", "1"), ("103", "2"), ("99", "1"), ("101", "1")):
        board.trade(START + 5, D(price), D(qty))
    candle = board.current(MINUTE_MS)
    assert candle is not None
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (D(100), D(103), D(99), D(101), D(5))
    assert candle.turnover == 100 + 206 + 99 + 101
    assert board.last == 101
    assert board.tick_up


def test_a_late_trade_counts_into_the_present_minute() -> None:
    board = SymbolBoard([], START)
    board.trade(START + MINUTE_MS, D(100), D(1))
    board.trade(START, D(90), D(1))
    assert len(board.minutes) == 1
    assert board.minutes[0].low == 90
    assert not board.tick_up


def test_the_day_covers_the_last_1440_minutes_and_the_present_one() -> None:
    history = [bar(n, "50" if n == 0 else "100") for n in range(-1500, 0)]
    history[0] = bar(-1500, "500")
    board = SymbolBoard(history, START)
    board.trade(START + 1, D(120), D(3))
    day = board.day(START + 1)
    assert (day.high, day.low, day.volume) == (D(120), D(99), D(1443))
    assert (day.price_24h_ago, day.price_1h_ago) == (D(100), D(100))
    assert board.day(START + 2) == day


def test_without_history_the_day_is_the_last_price() -> None:
    board = SymbolBoard([], START)
    assert board.day(START).high == 0
    assert board.current(MINUTE_MS) is None
    board.trade(START, D(70), D(1))
    day = board.day(START)
    assert (day.high, day.low, day.price_24h_ago) == (D(70), D(70), D(70))


def test_longer_candles_are_merged_from_minutes() -> None:
    candles = aggregate([candle_of(bar(n, str(100 + n))) for n in range(10)], 5 * MINUTE_MS)
    assert [c.start_ms for c in candles] == [START, START + 5 * MINUTE_MS]
    assert (candles[0].open, candles[0].close, candles[0].high, candles[0].low) == (D(100), D(104), D(105), D(99))
    assert candles[0].volume == 5


def test_a_candle_can_be_asked_for_by_its_start() -> None:
    board = SymbolBoard([bar(n) for n in range(10)], START + 10 * MINUTE_MS)
    early = board.candle_at(5 * MINUTE_MS, START)
    assert early is not None
    assert early.volume == 5
    assert board.candle_at(5 * MINUTE_MS, START - 5 * MINUTE_MS) is None
