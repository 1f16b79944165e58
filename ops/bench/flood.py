"""The market data actor with a tape in the place of ccxt: what floods the bus in the benches.

Guarantees: everything behind ccxt is the real actor's; the tape waits while the Scavenger is more than a short backlog
behind, so that rates are what is taken, not what is thrown. For benches only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import aiohttp

from actors.market_data.actor import MarketData
from actors.market_data.session import VenueSession
from ops.bench.absorb import taken_trades
from ops.bench.tape import BATCH, PRICE_SCALE, QTY_SCALE, Tape, bars
from titan.clock import Clock

BACKLOG = 128 * BATCH
RATE = 5_000
FRAME_S = 0.002
LOOK_EVERY_S = 0.05


class TapeExchange:
    """As much of a ccxt.pro exchange as the session uses; one symbol, trades only."""

    def __init__(self, clock: Clock, symbol: str, scavenger_url: str) -> None:
        self.markets: dict[str, Mapping[str, Any]] = {
            symbol: {"symbol": symbol, "precision": {"price": 10**-PRICE_SCALE, "amount": 10**-QTY_SCALE}}
        }
        self.tickers: dict[str, Mapping[str, Any]] = {}
        self._clock = clock
        self._tape = Tape(symbol)
        self._url = scavenger_url
        self._sent = 0
        self._room = asyncio.Event()
        self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                if self._sent - await taken_trades(http, self._url) < BACKLOG:
                    self._room.set()
                else:
                    self._room.clear()
                await asyncio.sleep(LOOK_EVERY_S)

    async def load_markets(self) -> Mapping[str, Mapping[str, Any]]:
        """The one market."""
        return self.markets

    async def watch_trades(self, symbol: str) -> list[dict[str, object]]:
        """The next 256 trades, as soon as there is room for them."""
        await self._room.wait()
        await asyncio.sleep(0)
        self._sent += BATCH
        return self._tape.batch(self._clock.now().market_ms)

    async def watch_ticker(self, symbol: str) -> Mapping[str, Any]:
        """A ticker a second."""
        await asyncio.sleep(1.0)
        price = "50000"
        return {"symbol": symbol, "timestamp": self._clock.now().market_ms, "last": price, "info": {}}

    async def watch_order_book(self, symbol: str, limit: int | None = None) -> Mapping[str, Any]:
        """A book a second."""
        await asyncio.sleep(1.0)
        return {
            "symbol": symbol,
            "timestamp": self._clock.now().market_ms,
            "nonce": 1,
            "bids": [[49999.9, 1.0]],
            "asks": [[50000.1, 1.0]],
        }

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None
    ) -> list[list[float]]:
        """Bars that put traps near the tape's prices."""
        interval_s = {"1m": 60, "5m": 300, "1h": 3600}[timeframe]
        made = bars(interval_s, limit or 100, self._clock.now().market_ms)
        return [[bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume] for bar in made]

    async def close(self) -> None:
        """Ends the look at the Scavenger."""
        self._looking.cancel()


class PacedExchange(TapeExchange):
    """The same market at `RATE` trades a second, a few in each frame; what fell behind comes in the next frame."""

    _began_s = 0.0
    _given = 0

    async def watch_trades(self, symbol: str) -> list[dict[str, object]]:
        """The trades that are due, as soon as some are."""
        loop = asyncio.get_running_loop()
        self._began_s = self._began_s or loop.time()
        await asyncio.sleep(FRAME_S)
        due = min(BATCH, int((loop.time() - self._began_s) * RATE) - self._given)
        self._given += due
        return self._tape.batch(self._clock.now().market_ms)[:due]


class Flood(MarketData):
    """Market data from a tape as fast as the Scavenger takes it."""

    name: ClassVar[str] = "market_data"
    exchange: ClassVar[type[TapeExchange]] = TapeExchange

    async def _sessions(self) -> None:
        url = f"http://127.0.0.1:{self.runtime.ports['scavenger_http']}/metrics"
        exchange = self.exchange(self.clock, self.core.symbols[0], url)
        self._session = VenueSession(exchange, self.core.venue, self.core.symbols, self._take, self._unreadable)
        await self._session.run()


class Flow(Flood):
    """Market data from a tape at `RATE` trades a second."""

    exchange: ClassVar[type[TapeExchange]] = PacedExchange
