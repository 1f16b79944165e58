"""Market data as unmodified ccxt and ccxt.pro see it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ccxt
import pytest

from tests.titan.paper.house import ASKS, CANONICAL, T0, D, book, levels, mark, trade
from tests.titan.paper.live import LiveVenue, first, subscribed
from titan.paper.feeds.base import FeedLiquidation


async def test_markets_have_the_venues_steps_and_limits(exchange: Any) -> None:
    markets = await exchange.load_markets()
    assert set(markets) == {CANONICAL, "ETH/USDT:USDT"}
    btc = markets[CANONICAL]
    assert (btc["id"], btc["linear"], btc["active"]) == ("BTCUSDT", True, True)
    assert (btc["precision"]["price"], btc["precision"]["amount"]) == (0.1, 0.001)
    assert (btc["limits"]["cost"]["min"], btc["limits"]["leverage"]["max"]) == (5.0, 100.0)


async def test_time_is_wall_time(exchange: Any) -> None:
    assert abs(await exchange.fetch_time() - time.time() * 1000) < 5000


async def test_tickers_are_fetched_with_mark_index_and_day(live: LiveVenue, exchange: Any) -> None:
    ticker = await exchange.fetch_ticker(CANONICAL)
    assert (ticker["last"], ticker["bid"], ticker["ask"], ticker["markPrice"]) == (100.0, 100.0, 101.0, 100.0)
    assert (ticker["high"], ticker["low"]) == (110.0, 90.0)
    assert set(await exchange.fetch_tickers()) == {CANONICAL, "ETH/USDT:USDT"}
    funding = await exchange.fetch_funding_rate(CANONICAL)
    assert (funding["fundingRate"], funding["interval"]) == (0.0001, "8h")
    assert funding["fundingTimestamp"] == T0 + 8 * 3_600_000


async def test_the_order_book_and_recent_trades_are_fetched(live: LiveVenue, exchange: Any) -> None:
    fetched = await exchange.fetch_order_book(CANONICAL, 5)
    assert fetched["bids"] == [[100.0, 1.0], [99.0, 2.0], [98.0, 3.0]]
    live.apply(trade(101, 2, "sell", T0 + 5))
    trades = await exchange.fetch_trades(CANONICAL)
    assert [(t["price"], t["side"], t["timestamp"]) for t in trades] == [(100.0, "buy", T0), (101.0, "sell", T0 + 5)]


@pytest.mark.parametrize(
    ("timeframe", "minutes"), [("1m", 1), ("5m", 5), ("15m", 15), ("1h", 60), ("4h", 240), ("1d", 1440)]
)
async def test_candles_join_history_and_the_live_tape(
    live: LiveVenue, exchange: Any, timeframe: str, minutes: int
) -> None:
    live.apply(trade(150, 1, "buy", T0 + 1500))
    candles = await exchange.fetch_ohlcv(CANONICAL, timeframe, limit=4)
    step = minutes * 60_000
    assert [c[0] for c in candles] == [(T0 // step - n) * step for n in (3, 2, 1, 0)]
    assert (candles[-1][2], candles[-1][4]) == (150.0, 150.0)
    assert candles[0][2] == 110.0


async def test_candles_from_a_start_run_forward(live: LiveVenue, exchange: Any) -> None:
    since = (T0 // 60_000 - 100) * 60_000
    candles = await exchange.fetch_ohlcv(CANONICAL, "1m", since=since, limit=10)
    assert [c[0] for c in candles] == [since + n * 60_000 for n in range(10)]


async def test_trades_of_one_instant_come_in_one_frame(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    waiting = asyncio.ensure_future(exchange.watch_trades(CANONICAL))
    await subscribed(live, "publicTrade.BTCUSDT")
    live.apply(trade(100, 1, "buy", T0 + 2), trade("100.1", 2, "sell", T0 + 2))
    trades = await first(waiting)
    assert [(t["price"], t["amount"], t["side"]) for t in trades] == [(100.0, 1.0, "buy"), (100.1, 2.0, "sell")]


async def test_a_watched_book_follows_every_snapshot_of_the_feed(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    watched = await first(exchange.watch_order_book(CANONICAL, 50))
    assert watched["asks"][0] == [101.0, 1.0]
    for bids, asks in (
        (levels((99, 2), (98, 5)), levels((100, 1), (101, 1))),
        (levels(("99.5", 1)), levels(("99.6", 4), (101, 1), (107, 2))),
    ):
        waiting = asyncio.ensure_future(exchange.watch_order_book(CANONICAL, 50))
        await asyncio.sleep(0)
        live.apply(book(bids, asks))
        watched = await first(waiting)
        assert [[D(str(p)), D(str(q))] for p, q in watched["bids"]] == [list(level) for level in bids]
        assert [[D(str(p)), D(str(q))] for p, q in watched["asks"]] == [list(level) for level in asks]


async def test_what_an_own_taker_took_leaves_the_public_book(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    await first(exchange.watch_order_book(CANONICAL, 50))
    waiting = asyncio.ensure_future(exchange.watch_order_book(CANONICAL, 50))
    await exchange.create_order(CANONICAL, "market", "buy", 1.5)
    live.venue.flush()
    assert (await first(waiting))["asks"][0] == [102.0, 1.5]


async def test_best_prices_come_as_snapshots(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    waiting = asyncio.ensure_future(exchange.watch_bids_asks([CANONICAL]))
    best = (await first(waiting))[CANONICAL]
    assert (best["bid"], best["ask"]) == (100.0, 101.0)


async def test_a_watched_ticker_takes_changes_in(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    assert (await first(exchange.watch_ticker(CANONICAL)))["last"] == 100.0
    waiting = asyncio.ensure_future(exchange.watch_tickers([CANONICAL]))
    await asyncio.sleep(0.12)
    live.apply(trade(105, 1), mark(106))
    ticker = (await first(waiting))[CANONICAL]
    assert (ticker["last"], ticker["markPrice"]) == (105.0, 106.0)
    assert abs(ticker["timestamp"] - live.venue.market_ms) < 5000


async def test_a_quiet_symbol_still_ticks_every_market_second(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    await first(exchange.watch_ticker("ETH/USDT:USDT"))
    publisher = live.venue.publishers["ETHUSDT"]
    frames: list[bytes] = []
    live.venue.public.publish = lambda topic, frame: frames.append(frame)  # type: ignore[method-assign]
    later = time.monotonic_ns() + 10**9
    for wall in range(100):
        publisher.flush(T0 + 100_000 + wall * 100, later + wall * 100_000_000)
    assert len(frames) == 10
    frames.clear()
    for wall in range(100):
        publisher.flush(T0 + 1_000_000 + wall * 1000, later + 10**12 + wall * 10_000_000)
    assert len(frames) == 50


async def test_candles_are_watched_and_confirmed_when_closed(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    candle = (await first(exchange.watch_ohlcv(CANONICAL, "1m")))[-1]
    assert candle[4] == 100.0
    waiting = asyncio.ensure_future(exchange.watch_ohlcv(CANONICAL, "1m"))
    await asyncio.sleep(0)
    live.apply(trade(104, 1, "buy", T0 + 60_000))
    await first(waiting)
    live.apply(trade(105, 1, "buy", T0 + 120_000))
    closed = exchange.ohlcvs[CANONICAL]["1m"]
    await asyncio.wait_for(_has(closed, 3), 10)
    assert [c[4] for c in closed] == [100.0, 104.0, 105.0]


async def _has(rows: list[object], count: int) -> None:
    while len(rows) < count:
        await asyncio.sleep(0.005)


async def test_liquidations_of_the_market_are_watched(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    waiting = asyncio.ensure_future(exchange.watch_liquidations(CANONICAL))
    await subscribed(live, "allLiquidation.BTCUSDT")
    live.apply(FeedLiquidation(T0 + 9, CANONICAL, "sell", D(95), D(7)))
    (liquidation,) = await first(waiting)
    assert (liquidation["price"], liquidation["contracts"], liquidation["side"]) == (95.0, 7.0, "buy")


async def test_open_interest_and_funding_history_are_fetched(live: LiveVenue, exchange: Any) -> None:
    assert (await exchange.fetch_open_interest(CANONICAL))["openInterestAmount"] == 1000.0
    assert await exchange.fetch_funding_rate_history(CANONICAL) == []
    live.apply(trade(100, 1, "buy", T0 + 8 * 3_600_000 + 1))
    (settled,) = await exchange.fetch_funding_rate_history(CANONICAL)
    assert (settled["fundingRate"], settled["timestamp"]) == (0.0001, T0 + 8 * 3_600_000)


async def test_leverage_tiers_are_fetched(exchange: Any) -> None:
    (tier,) = await exchange.fetch_market_leverage_tiers(CANONICAL)
    assert tier["maxLeverage"] == 100.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e: e.publicGetV5MarketTickers({"category": "linear", "symbol": "XUSDT"}), "symbol invalid XUSDT"),
        (lambda e: e.publicGetV5MarketTickers({"category": "moon"}), "category 'moon' is not one of linear"),
        (
            lambda e: e.publicGetV5MarketKline({"category": "linear", "symbol": "BTCUSDT", "interval": "7"}),
            "interval '7'",
        ),
        (
            lambda e: e.publicGetV5MarketOpenInterest({"category": "linear", "symbol": "BTCUSDT", "intervalTime": "9"}),
            "intervalTime '9'",
        ),
    ],
)
async def test_wrong_questions_get_one_clear_answer(exchange: Any, call: Any, words: str) -> None:
    with pytest.raises(ccxt.BadRequest, match=words.replace("'", ".")):
        await call(exchange)


async def test_categories_without_instruments_are_empty(exchange: Any) -> None:
    for category in ("spot", "inverse", "option"):
        answer = await exchange.publicGetV5MarketTickers({"category": category})
        assert answer["result"]["list"] == []


async def test_an_unknown_topic_is_refused(exchange: Any) -> None:
    await exchange.load_markets()
    url = exchange.urls["api"]["ws"]["public"]["linear"]
    with pytest.raises(ccxt.ExchangeError, match=r"handler not found,topic:orderbook\.1000000"):
        await first(exchange.watch_topics(url, ["x"], ["orderbook.1000000.BTCUSDT"]))


async def test_unsubscribing_stops_the_frames(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    await first(exchange.watch_ticker(CANONICAL))
    await first(exchange.un_watch_ticker(CANONICAL))
    assert not live.venue.public.wants("tickers.BTCUSDT")


async def test_asks_stay_as_they_were_when_only_bids_change(live: LiveVenue, exchange: Any) -> None:
    await exchange.load_markets()
    await first(exchange.watch_order_book(CANONICAL, 200))
    waiting = asyncio.ensure_future(exchange.watch_order_book(CANONICAL, 200))
    await asyncio.sleep(0)
    live.apply(book(levels((97, 1)), ASKS))
    watched = await first(waiting)
    assert watched["bids"] == [[97.0, 1.0]]
    assert len(watched["asks"]) == 3
