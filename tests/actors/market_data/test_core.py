"""The market data core: batches, bars, ages."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from actors.market_data.batching import MAX_TRADES, TradesSeen, scaled_column
from actors.market_data.candles import Bar
from actors.market_data.core import (
    BookSeen,
    CandlesFetched,
    Connected,
    Disconnected,
    Effect,
    FetchCandles,
    FlushDue,
    MarketDataCore,
    Resubscribe,
    Scales,
    SecondPassed,
    TickerSeen,
)
from protos import market_pb2 as pb
from titan.clock import Now
from titan.effects import Publish, SetTimer
from titan.money import dec

SYMBOL = "BTC/USDT:USDT"
SCALES = Scales(price=1, qty=3)
T0 = 500_000 * 3_600_000
NOW = Now(T0, T0)


def connected(speed: float = 1.0) -> MarketDataCore:
    core = MarketDataCore("bybit", [SYMBOL], speed)
    core.handle(Connected({SYMBOL: SCALES}), NOW)
    return core


def trades(count: int, ts_ms: int = T0, price: float = 100.5) -> TradesSeen:
    return TradesSeen(
        SYMBOL,
        [ts_ms] * count,
        [price] * count,
        [0.001] * count,
        [place % 2 == 0 for place in range(count)],
        [str(place) for place in range(count)],
    )


def batches(effects: Sequence[Effect]) -> list[pb.TradeBatch]:
    return [
        effect.message
        for effect in effects
        if isinstance(effect, Publish) and isinstance(effect.message, pb.TradeBatch)
    ]


def candles(effects: Sequence[Effect]) -> list[pb.Candle]:
    return [
        effect.message for effect in effects if isinstance(effect, Publish) and isinstance(effect.message, pb.Candle)
    ]


def bar(open_ts_ms: int, close: str = "100") -> Bar:
    price = dec(close)
    return Bar(open_ts_ms, price, price, price, price, dec("1"))


def ticker(ts_ms: int) -> TickerSeen:
    return TickerSeen(pb.Ticker(venue="bybit", symbol=SYMBOL, ts_ms=ts_ms, last="100"))


def test_trades_wait_a_millisecond_and_leave_together_in_order() -> None:
    core = connected()
    assert core.handle(trades(2), NOW) == [SetTimer(f"flush:{SYMBOL}", 1)]
    assert core.handle(trades(1, price=101.0), NOW) == []
    [batch] = batches(core.handle(FlushDue(SYMBOL), NOW))
    assert list(batch.price) == [1005, 1005, 1010]
    assert list(batch.qty) == [1, 1, 1]
    assert list(batch.side) == [pb.TAKER_SIDE_BUY, pb.TAKER_SIDE_SELL, pb.TAKER_SIDE_BUY]
    assert list(batch.trade_id) == ["0", "1", "0"]
    assert core.handle(FlushDue(SYMBOL), NOW) == []


def test_a_batch_holds_at_most_256_trades() -> None:
    core = connected()
    effects = core.handle(trades(2 * MAX_TRADES + 3), NOW)
    assert [len(batch.ts_ms) for batch in batches(effects)] == [MAX_TRADES, MAX_TRADES]
    assert any(isinstance(effect, SetTimer) for effect in effects)
    [rest] = batches(core.handle(FlushDue(SYMBOL), NOW))
    assert len(rest.ts_ms) == 3


def test_numbers_become_exact_integers() -> None:
    assert scaled_column([0.1, 0.3, 68403.4], 1, "price") == [1, 3, 684034]
    assert scaled_column([1e-5, 123456.78901], 5, "quantity") == [1, 12345678901]


def test_a_price_finer_than_its_scale_is_counted_and_not_rounded() -> None:
    core = connected()
    assert core.handle(trades(1, price=100.55), NOW) == []
    status = core.status(NOW)
    assert status.parse_errors_5m == 1
    assert core.status(Now(T0, T0 + 300_000)).parse_errors_5m == 0


def test_nothing_is_published_of_a_symbol_before_its_scales_are_known() -> None:
    core = MarketDataCore("bybit", [SYMBOL])
    assert core.handle(trades(1), NOW) == []
    assert core.handle(FlushDue(SYMBOL), NOW) == []


def test_tickers_and_books_are_published_and_counted() -> None:
    core = connected()
    [published] = core.handle(ticker(T0), NOW)
    assert isinstance(published, Publish)
    assert published.subject == "titan.data.market.ticker.v1.bybit.BTC_USDT_USDT"
    [published] = core.handle(BookSeen(pb.Book(venue="bybit", symbol=SYMBOL, ts_ms=T0)), NOW)
    assert isinstance(published, Publish)
    assert published.subject == "titan.data.venues.orderbooks.v1.bybit.BTC_USDT_USDT"
    core.handle(trades(5), NOW)
    assert {kind.value: count for (_, kind), count in core.events.items()} == {"ticker": 1, "book": 1, "trades": 5}
    assert core.last_prices == {SYMBOL: ("100.5", T0)}


def test_funding_and_open_interest_are_announced_when_they_change() -> None:
    core = connected()

    def announced(rate: str, interest: str) -> list[str]:
        row = pb.Ticker(venue="bybit", symbol=SYMBOL, ts_ms=T0, last="1", funding_rate=rate, open_interest=interest)
        effects = core.handle(TickerSeen(row), NOW)
        return [effect.subject.split(".")[3] for effect in effects if isinstance(effect, Publish)]

    assert announced("0.0001", "5") == ["ticker", "funding", "openinterest"]
    assert announced("0.0001", "6") == ["ticker", "openinterest"]
    assert announced("0.0002", "6") == ["ticker", "funding"]
    assert announced("", "") == ["ticker"]


def test_connecting_asks_for_every_interval() -> None:
    core = MarketDataCore("bybit", [SYMBOL])
    effects = core.handle(Connected({SYMBOL: SCALES}), NOW)
    assert effects == [FetchCandles(SYMBOL, interval) for interval in (60, 300, 3600)]


def test_the_first_load_fills_the_store_and_publishes_nothing() -> None:
    core = connected()
    reply = core.candles(pb.CandlesRequest(symbol=SYMBOL, interval_s=60, limit=5))
    assert reply.error == f"bars of {SYMBOL} are still being loaded"
    forming, closed = bar(T0), bar(T0 - 60_000)
    assert core.handle(CandlesFetched(SYMBOL, 60, (closed, forming)), NOW) == []
    reply = core.candles(pb.CandlesRequest(venue="bybit", symbol=SYMBOL, interval_s=60, limit=5))
    assert [candle.open_ts_ms for candle in reply.candles] == [T0 - 60_000]
    assert reply.candles[0].closed


def test_bars_nobody_has_are_refused_with_a_sentence() -> None:
    core = connected()
    for request in (
        pb.CandlesRequest(symbol="X/Y", interval_s=60),
        pb.CandlesRequest(symbol=SYMBOL, interval_s=90),
        pb.CandlesRequest(symbol=SYMBOL, interval_s=60, venue="mexc"),
    ):
        assert "there are BTC/USDT:USDT at 60, 300 and 3600 s" in core.candles(request).error


def test_a_bar_seen_from_its_first_to_its_last_moment_is_published_once() -> None:
    core = connected()
    for interval in (60, 300, 3600):
        core.handle(CandlesFetched(SYMBOL, interval, ()), NOW)
    effects: list[Effect] = []
    for ts_ms, price in (
        (T0, 100.0),
        (T0 + 1_000, 103.0),
        (T0 + 2_000, 99.0),
        (T0 + 59_999, 101.0),
        (T0 + 60_000, 90.0),
    ):
        effects += core.handle(trades(1, ts_ms, price), NOW)
    [minute] = candles(effects)
    assert (minute.interval_s, minute.open_ts_ms) == (60, T0)
    assert (minute.open, minute.high, minute.low, minute.close) == ("100", "103", "99", "101")
    assert minute.volume == "0.004"
    late = Now(T0 + 61_000, T0)
    assert core.handle(CandlesFetched(SYMBOL, 60, (bar(T0, "101"),)), late) == []


def test_a_bar_joined_in_the_middle_is_asked_for_at_the_venue() -> None:
    core = connected()
    core.handle(CandlesFetched(SYMBOL, 60, (bar(T0 - 60_000),)), NOW)
    core.handle(trades(1, T0 + 5_000), NOW)
    effects = core.handle(trades(1, T0 + 60_000), NOW)
    assert FetchCandles(SYMBOL, 60) in effects
    assert not candles(effects)
    fetched = core.handle(CandlesFetched(SYMBOL, 60, (bar(T0 - 60_000), bar(T0))), Now(T0 + 60_500, T0))
    assert [candle.open_ts_ms for candle in candles(fetched)] == [T0]


def test_a_gap_of_the_session_makes_the_bar_the_venues() -> None:
    core = connected()
    core.handle(trades(1, T0), NOW)
    core.handle(Disconnected("gone"), NOW)
    core.handle(Connected({SYMBOL: SCALES}), NOW)
    assert FetchCandles(SYMBOL, 60) in core.handle(trades(1, T0 + 60_000), NOW)


def test_a_ticker_closes_a_quiet_minute_after_the_grace_and_empty_ones_are_flat() -> None:
    core = connected()
    core.handle(trades(1, T0, 100.0), NOW)
    assert not candles(core.handle(ticker(T0 + 60_400), NOW))
    [minute] = candles(core.handle(ticker(T0 + 60_500), NOW))
    assert minute.close == "100"
    # A late trade of the closed minute changes nothing any more.
    core.handle(trades(1, T0 + 59_000, 50.0), NOW)
    core.handle(ticker(T0 + 120_600), NOW)
    effects = core.handle(trades(1, T0 + 180_000, 55.0), NOW)
    flat = [candle for candle in candles(effects) if candle.interval_s == 60]
    assert [(candle.open, candle.volume) for candle in flat] == [("50", "0")]


def test_an_age_counts_from_the_subscription_until_something_comes() -> None:
    core = connected()
    ages = {age.kind.value: age.age_ms for age in core.ages.ages(T0 + 700)}
    assert ages == {"trades": 700, "book": 700, "ticker": 700}
    core.handle(ticker(T0 + 600), NOW)
    core.handle(ticker(T0 + 100), NOW)
    ages = {age.kind.value: age.age_ms for age in core.ages.ages(T0 + 700)}
    assert ages == {"trades": 700, "book": 700, "ticker": 100}


def test_a_silent_ticker_with_its_socket_open_degrades_the_link_and_resubscribes_once() -> None:
    core = connected()
    core.handle(ticker(T0), NOW)
    assert len(core.handle(SecondPassed(), Now(T0 + 5_000, T0))) == 1
    effects = core.handle(SecondPassed(), Now(T0 + 5_001, T0))
    assert effects[0] == Resubscribe(f"ticker of {SYMBOL} are 5001 ms of market time old")
    status = effects[1]
    assert isinstance(status, Publish)
    assert isinstance(status.message, pb.VenueStatus)
    assert status.message.state == pb.VENUE_LINK_STATE_DEGRADED
    assert len(core.handle(SecondPassed(), Now(T0 + 6_000, T0))) == 1


def test_a_fresh_subscription_gets_its_whole_limit() -> None:
    core = connected()
    core.handle(ticker(T0), NOW)
    later = Now(T0 + 20_000, T0)
    core.handle(Connected({SYMBOL: SCALES}), later)
    assert len(core.handle(SecondPassed(), later)) == 1
    assert core.status(later).reconnects_15m == 1


@pytest.mark.parametrize(("speed", "limit"), [(1.0, 5_000), (60.0, 120_000)])
def test_a_limit_is_never_under_two_seconds_of_wall_time(speed: float, limit: int) -> None:
    core = connected(speed)
    core.handle(ticker(T0), NOW)
    assert core.ages.stale(T0 + limit) == []
    assert "ticker" in [age.kind.value for age in core.ages.stale(T0 + limit + 1)]


@pytest.mark.parametrize("speed", [1.0, 10.0, 60.0])
def test_an_age_weighs_the_same_in_wall_time_at_every_speed(speed: float) -> None:
    core = connected(speed)
    core.handle(ticker(T0), NOW)
    late = {age.kind.value: core.ages.wall_s(age) for age in core.ages.ages(T0 + int(100 * speed))}
    dead = {age.kind.value: core.ages.wall_s(age) for age in core.ages.ages(T0 + int(6_000 * speed))}
    # A tenth of a second late is nothing, six seconds of silence are an alert, however fast the market runs.
    assert (late["ticker"], dead["ticker"]) == (0.1, 6.0)


def test_a_quiet_tape_is_not_a_dead_one() -> None:
    core = connected()
    core.handle(trades(1, T0), NOW)
    at = T0 + 100_000
    core.handle(ticker(at), NOW)
    core.handle(BookSeen(pb.Book(venue="bybit", symbol=SYMBOL, ts_ms=at)), NOW)
    assert core.ages.stale(at) == []


def test_a_lost_session_is_disconnected_and_asks_for_nothing() -> None:
    core = connected()
    core.handle(Disconnected("gone"), NOW)
    [status] = core.handle(SecondPassed(), Now(T0 + 60_000, T0))
    assert isinstance(status, Publish)
    assert isinstance(status.message, pb.VenueStatus)
    assert status.message.state == pb.VENUE_LINK_STATE_DISCONNECTED
    assert {stream.kind for stream in status.message.streams} == {"trades", "book", "ticker"}


def test_new_scales_start_a_symbol_anew_and_lose_no_open_batch() -> None:
    core = connected()
    core.handle(trades(1), NOW)
    effects = core.handle(Connected({SYMBOL: Scales(2, 3)}), NOW)
    assert [len(batch.ts_ms) for batch in batches(effects)] == [1]
    core.handle(trades(1, price=100.55), NOW)
    [batch] = batches(core.handle(FlushDue(SYMBOL), NOW))
    assert (list(batch.price), batch.price_scale) == ([10055], 2)


def test_the_store_keeps_a_thousand_bars() -> None:
    core = connected()
    minute = 60_000
    bars = tuple(bar(T0 - place * minute) for place in range(1, 1_101))
    core.handle(CandlesFetched(SYMBOL, 60, bars), NOW)
    reply = core.candles(pb.CandlesRequest(symbol=SYMBOL, interval_s=60, limit=5_000))
    assert len(reply.candles) == 1_000
    assert reply.candles[-1].open_ts_ms == T0 - minute
    assert not core.candles(pb.CandlesRequest(symbol=SYMBOL, interval_s=60)).candles
