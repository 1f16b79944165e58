"""The live mirror against a played exchange, and against a network that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal

import pytest

from titan.paper.feeds import FeedBook, FeedError, FeedEvent, FeedMark, FeedTrade, open_feed
from titan.paper.feeds.live import CANDIDATES, Exchange, Row, open_live, probe_live

BTC = "BTC/USDT:USDT"


class PlayedExchange:
    """An exchange with one market, one trade, one book and one ticker; afterwards its streams are silent."""

    def __init__(self, exchange_id: str, *, failures: int = 0, silent: bool = False) -> None:
        self.id = exchange_id
        self.closed = False
        self.asked_candles = 0
        self._failures = failures
        self._silent = silent
        self._sent: set[str] = set()

    async def load_markets(self) -> Mapping[str, Row]:
        return {
            BTC: {
                "precision": {"price": 0.1, "amount": 0.001},
                "limits": {"amount": {"min": 0.001}, "cost": {"min": None}, "leverage": {"max": 100.0}},
            }
        }

    async def fetch_time(self) -> object:
        if self._silent:
            await asyncio.Event().wait()
        self._fail()
        return 1_700_000_000_000

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None = None, limit: int | None = None
    ) -> list[list[object]]:
        self.asked_candles += 1
        assert (symbol, timeframe, limit) == (BTC, "1m", 3)
        assert since is not None
        return [[since + index * 60_000, 1.1, 1.3, 1.0, 1.2, 7.25] for index in range(4)]

    async def watch_trades(self, symbol: str) -> list[Row]:
        self._fail()
        await self._once("trades")
        row: Row = {"timestamp": 1_000, "price": 65000.1, "amount": 0.003, "side": "sell", "id": "77"}
        return [row, {"timestamp": 1_001, "price": None, "amount": 0.003, "side": "buy", "id": "78"}]

    async def watch_order_book(self, symbol: str, limit: int | None = None) -> Row:
        await self._once("book")
        return {"timestamp": 1_002, "bids": [[65000.0, 2.5], [64999.9, 0.0]], "asks": [[65000.1, 1e-05]]}

    async def watch_ticker(self, symbol: str) -> Row:
        await self._once("ticker")
        info = {"markPrice": "65000.05", "indexPrice": "64990.1", "fundingRate": "0.0001", "openInterest": "5000.5"}
        return {"timestamp": 1_003, "last": 65000.1, "info": {**info, "nextFundingTime": "28800000"}}

    async def close(self) -> None:
        self.closed = True

    def _fail(self) -> None:
        if self._failures:
            self._failures -= 1
            raise ConnectionRefusedError("connection refused")

    async def _once(self, kind: str) -> None:
        if kind in self._sent:
            await asyncio.Event().wait()
        self._sent.add(kind)


async def test_public_data_becomes_events_without_a_float_on_the_way() -> None:
    exchange = PlayedExchange("bybit")
    feed = open_live("bybit", [BTC], lambda _: exchange)
    seen: asyncio.Queue[FeedEvent] = asyncio.Queue()

    running = asyncio.ensure_future(feed.run(seen.put_nowait))
    events = [await asyncio.wait_for(seen.get(), 5) for _ in range(3)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert sorted(events, key=lambda event: event.ts_ms) == [
        FeedTrade(1_000, BTC, Decimal("65000.1"), Decimal("0.003"), "sell", "77"),
        FeedBook(1_002, BTC, ((Decimal("65000.0"), Decimal("2.5")),), ((Decimal("65000.1"), Decimal("0.00001")),)),
        FeedMark(
            1_003,
            BTC,
            Decimal("65000.05"),
            Decimal("64990.1"),
            Decimal("0.0001"),
            28_800_000,
            Decimal("5000.5"),
        ),
    ]
    assert exchange.closed


async def test_a_stream_that_fails_a_few_times_is_taken_up_again() -> None:
    exchange = PlayedExchange("bybit", failures=1)
    feed = open_live("bybit", [BTC], lambda _: exchange)
    seen: asyncio.Queue[FeedEvent] = asyncio.Queue()

    running = asyncio.ensure_future(feed.run(seen.put_nowait))
    kinds = {type(await asyncio.wait_for(seen.get(), 5)) for _ in range(3)}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert kinds == {FeedTrade, FeedBook, FeedMark}


async def test_a_stream_that_keeps_failing_ends_the_feed_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titan.paper.feeds.live.RETRY_BASE_S", 0.0)
    feed = open_live("bybit", [BTC], lambda _: PlayedExchange("bybit", failures=99))

    with pytest.raises(FeedError, match=r"bybit stopped sending \(ConnectionRefusedError: connection refused\)"):
        await asyncio.wait_for(feed.run(lambda _: None), 5)


def test_instruments_come_from_the_exchange_where_it_tells() -> None:
    feed = open_live("bybit", [BTC], PlayedExchange)
    instrument = feed.instruments[0]

    assert (feed.name, feed.end_ms) == ("live", None)
    assert (instrument.tick, instrument.lot, instrument.min_qty) == (
        Decimal("0.1"),
        Decimal("0.001"),
        Decimal("0.001"),
    )
    assert (instrument.min_notional, instrument.max_leverage) == (Decimal(5), Decimal("100.0"))


def test_history_leaves_out_open_bars_and_is_asked_once() -> None:
    exchange = PlayedExchange("bybit")
    feed = open_live("bybit", [BTC], lambda _: exchange)
    bars = feed.history(BTC, 60, 600_000, 3)

    assert [bar.open_ts_ms for bar in bars] == [420_000, 480_000, 540_000]
    assert bars[0].close == Decimal("1.2")
    assert feed.history(BTC, 60, 600_500, 3) == bars
    assert exchange.asked_candles == 1
    assert feed.history(BTC, 60, 600_000, 0) == []


async def test_history_can_be_asked_from_a_running_loop() -> None:
    feed = open_live("bybit", [BTC], PlayedExchange)

    assert len(feed.history(BTC, 60, 600_000, 3)) == 3


def test_wrong_symbols_intervals_and_exchanges_are_named() -> None:
    feed = open_live("bybit", [BTC], PlayedExchange)
    with pytest.raises(FeedError, match="bybit has no market XYZ/USDT:USDT; choose symbols that it lists"):
        open_live("bybit", ["XYZ/USDT:USDT"], PlayedExchange)
    with pytest.raises(FeedError, match="live has no SOL/USDT:USDT; it has BTC/USDT:USDT"):
        feed.history("SOL/USDT:USDT", 60, 600_000, 3)
    with pytest.raises(FeedError, match="live has no bars of 61 s; ask for one of 60, 180"):
        feed.history(BTC, 61, 600_000, 3)
    with pytest.raises(FeedError, match="ccxt knows no exchange 'nowhere' with streams"):
        open_feed("live:nowhere")


async def test_the_probe_takes_the_exchange_that_answers() -> None:
    def make(exchange_id: str) -> Exchange:
        return PlayedExchange(exchange_id, failures=exchange_id != "okx")

    assert await probe_live(3.0, make) == "okx"


async def test_the_probe_gives_up_on_silence_and_closes_what_it_opened() -> None:
    opened: list[PlayedExchange] = []

    def make(exchange_id: str) -> Exchange:
        opened.append(PlayedExchange(exchange_id, silent=True))
        return opened[-1]

    assert await probe_live(0.05, make) is None
    assert len(opened) == len(CANDIDATES)
    assert all(exchange.closed for exchange in opened)


async def test_the_probe_gives_up_when_every_connection_is_refused(refused_network: None) -> None:
    assert await probe_live(3.0) is None


def test_opening_a_live_feed_without_a_network_is_one_sentence(refused_network: None) -> None:
    with pytest.raises(FeedError, match=r"bybit does not answer \(.*\); check the network or use synthetic:1"):
        open_feed("live")


@pytest.fixture
def refused_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ccxt exchanges whose addresses refuse the connection."""
    import ccxt.pro as ccxtpro

    def refuse(exchange_id: str) -> Exchange:
        exchange: Exchange = getattr(ccxtpro, exchange_id)({"aiohttp_proxy": "http://127.0.0.1:1"})
        return exchange

    monkeypatch.setattr("titan.paper.feeds.live.make_ccxt", refuse)
