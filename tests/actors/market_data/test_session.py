"""A venue session against an exchange that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ccxt
import pytest

from actors.market_data.batching import TradesSeen
from actors.market_data.core import CandlesFetched, Connected, Scales, TickerSeen
from actors.market_data.session import SessionEvent, VenueSession
from tests.waiting import until
from titan.errors import Fatal, Transient

SYMBOL = "BTC/USDT:USDT"
MARKET = {"symbol": SYMBOL, "precision": {"price": 0.1, "amount": 0.001}}
TRADE = {"timestamp": 5, "price": 100.5, "amount": 0.1, "side": "sell", "id": "x"}


class Scripted:
    """An exchange whose streams are queues; an exception in a queue is raised."""

    def __init__(self) -> None:
        self.markets: Any = {SYMBOL: MARKET}
        self.tickers: Any = {}
        self.trades: asyncio.Queue[Any] = asyncio.Queue()
        self.ticks: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = False
        self.bars: Any = [[60_000, 1.0, 1.0, 1.0, 1.0, 1.0]]

    async def load_markets(self) -> Any:
        return self.markets

    async def _next(self, queue: asyncio.Queue[Any]) -> Any:
        item = await queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def watch_trades(self, symbol: str) -> Any:
        return await self._next(self.trades)

    async def watch_ticker(self, symbol: str) -> Any:
        return await self._next(self.ticks)

    async def watch_order_book(self, symbol: str, limit: int | None = None) -> Any:
        await asyncio.Event().wait()

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None
    ) -> Any:
        if isinstance(self.bars, Exception):
            raise self.bars
        return self.bars

    async def close(self) -> Any:
        self.closed = True


class Desk:
    """A session, what it handed on and what it could not read."""

    def __init__(self, symbols: tuple[str, ...] = (SYMBOL,)) -> None:
        self.exchange = Scripted()
        self.events: list[SessionEvent] = []
        self.unreadable: list[str] = []
        self.session = VenueSession(self.exchange, "bybit", symbols, self.events.append, self.unreadable.append)
        self.run = asyncio.create_task(self.session.run())

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, timeout_s=5)


async def test_a_session_connects_hands_on_trades_and_ends_when_told() -> None:
    desk = Desk()
    desk.exchange.trades.put_nowait([TRADE])
    await desk.until(lambda: len(desk.events) == 2)
    assert desk.events[0] == Connected({SYMBOL: Scales(1, 3)})
    assert isinstance(desk.events[1], TradesSeen)
    desk.session.end("enough")
    desk.session.end("too late")
    assert await desk.run == "enough"
    assert desk.exchange.closed


async def test_what_cannot_be_read_is_reported_and_the_stream_goes_on() -> None:
    desk = Desk()
    desk.exchange.trades.put_nowait([{**TRADE, "side": None}])
    desk.exchange.trades.put_nowait([TRADE])
    await desk.until(lambda: len(desk.events) == 2)
    assert len(desk.unreadable) == 1
    desk.session.end("enough")
    await desk.run


async def test_a_ticker_that_came_during_the_pause_is_handed_on_without_waiting_for_another() -> None:
    desk = Desk()
    desk.exchange.tickers[SYMBOL] = {"timestamp": 2, "last": 101.0}
    desk.exchange.ticks.put_nowait({"timestamp": 1, "last": 100.0})
    await desk.until(lambda: sum(isinstance(event, TickerSeen) for event in desk.events) == 2)
    seen = [event.message.last for event in desk.events if isinstance(event, TickerSeen)]
    assert seen == ["100", "101"]
    desk.session.end("enough")
    await desk.run


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (ccxt.NetworkError("gone"), Transient),
        (ccxt.ExchangeError("odd"), Transient),
        (ccxt.BadSymbol("no such thing"), Fatal),
        (ccxt.AuthenticationError("who are you"), Fatal),
    ],
)
async def test_a_failure_of_a_stream_ends_the_session_with_the_action_it_needs(
    error: Exception, action: type[Exception]
) -> None:
    desk = Desk()
    desk.exchange.trades.put_nowait(error)
    with pytest.raises(action):
        await desk.run
    assert desk.exchange.closed


async def test_a_symbol_the_venue_does_not_list_is_fatal_and_named() -> None:
    desk = Desk((SYMBOL, "XYZ/USDT:USDT"))
    with pytest.raises(Fatal, match="bybit lists no XYZ/USDT:USDT; it lists BTC/USDT:USDT"):
        await desk.run


async def test_bars_are_fetched_and_a_failure_says_what_to_do() -> None:
    desk = Desk()
    await desk.session.fetch(SYMBOL, 60)
    assert isinstance(desk.events[-1], CandlesFetched)
    desk.exchange.bars = ccxt.RequestTimeout("slow")
    with pytest.raises(Transient):
        await desk.session.fetch(SYMBOL, 60)
    desk.session.end("enough")
    await desk.run
