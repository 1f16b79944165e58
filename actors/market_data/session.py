"""One connection to a venue through ccxt.pro: subscribe, hand on, and end with the first failure.

Guarantees: everything that a session opened is closed with it, whoever ends it; an intended end is not a failure. The
error it raises says what to do: `Transient` (make a new session) or `Fatal` (a person or the supervisor must act).
Tickers and books are handed on at most so often; trades all of them, in order. Never: retries of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ParamSpec, Protocol

import ccxt

from actors.market_data import shapes
from actors.market_data.batching import TradesSeen
from actors.market_data.core import BookSeen, CandlesFetched, Connected, TickerSeen
from titan.errors import Fatal, Transient

TICKER_EVERY_S = 0.05
BOOK_EVERY_S = 0.2
BOOK_DEPTH = 50
HISTORY_BARS = {60: 240, 300: 120, 3600: 120}
TIMEFRAMES = {60: "1m", 300: "5m", 3600: "1h"}
_HOPELESS = (
    ccxt.AuthenticationError,
    ccxt.BadSymbol,
    ccxt.NotSupported,
    ccxt.ArgumentsRequired,
)

P = ParamSpec("P")
SessionEvent = Connected | TradesSeen | TickerSeen | BookSeen | CandlesFetched


class ExchangeLike(Protocol):
    """What is used of a ccxt.pro exchange."""

    markets: Any
    tickers: Any

    async def load_markets(self) -> Any:
        """Instruments by symbol."""
        ...

    async def watch_trades(self, symbol: str) -> Any:
        """New trades since the last call."""
        ...

    async def watch_ticker(self, symbol: str) -> Any:
        """The next ticker."""
        ...

    async def watch_order_book(self, symbol: str, limit: int | None = None) -> Any:
        """The next book."""
        ...

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None
    ) -> Any:
        """Bars, oldest first; the last one may still be forming."""
        ...

    async def close(self) -> Any:
        """Ends every connection."""
        ...


def as_action(error: ccxt.BaseError) -> Transient | Fatal:
    """ccxt's error by the action it needs: what no repetition can mend is Fatal, everything else Transient."""
    if isinstance(error, _HOPELESS):
        return Fatal(f"the venue will not serve this: {type(error).__name__} {error}")
    return Transient(f"{type(error).__name__}: {error}")


class VenueSession:
    """A session of one venue and some symbols. `hand` takes events, `unreadable` what could not be read."""

    def __init__(
        self,
        exchange: ExchangeLike,
        venue: str,
        symbols: Sequence[str],
        hand: Callable[[SessionEvent], None],
        unreadable: Callable[[str], None],
    ) -> None:
        self._exchange = exchange
        self._venue = venue
        self._symbols = symbols
        self._hand = hand
        self._unreadable = unreadable
        self._ended = asyncio.Event()
        self._reason = ""

    def end(self, reason: str) -> None:
        """Lets `run` close everything and return."""
        self._reason = self._reason or reason
        self._ended.set()

    async def run(self) -> str:
        """Runs until `end` (returns its reason) or a failure. Raises Transient or Fatal."""
        try:
            markets = await self._known_markets()
            self._hand(Connected({symbol: shapes.scales(markets[symbol]) for symbol in self._symbols}))
            await self._watch()
        except ccxt.BaseError as error:
            raise as_action(error) from error
        finally:
            # A connection that is already gone has nothing left to close.
            with contextlib.suppress(ccxt.BaseError, OSError):
                await self._exchange.close()
        return self._reason

    async def _known_markets(self) -> Mapping[str, Mapping[str, Any]]:
        markets: Mapping[str, Mapping[str, Any]] = await self._exchange.load_markets()
        unknown = [symbol for symbol in self._symbols if symbol not in markets]
        if unknown:
            listed = ", ".join(sorted(markets)[:20])
            raise Fatal(
                f"{self._venue} lists no {', '.join(unknown)}; it lists {listed}. Change the symbols of the run"
            )
        return markets

    async def _watch(self) -> None:
        work: list[Coroutine[Any, Any, None]] = []
        for symbol in self._symbols:
            work += [self._trades(symbol), self._tickers(symbol), self._books(symbol)]
        tasks = [asyncio.ensure_future(one) for one in work]
        stop = asyncio.ensure_future(self._ended.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, stop):
                task.cancel()
            await asyncio.gather(*tasks, stop, return_exceptions=True)

    def _read(self, make: Callable[P, SessionEvent], *given: P.args, **named: P.kwargs) -> None:
        try:
            event = make(*given, **named)
        except ValueError as error:
            self._unreadable(str(error))
            return
        self._hand(event)

    async def _trades(self, symbol: str) -> None:
        while True:
            rows = await self._exchange.watch_trades(symbol)
            self._read(shapes.trades, symbol, rows)

    async def _tickers(self, symbol: str) -> None:
        handed_ms = 0
        while True:
            row = await self._exchange.watch_ticker(symbol)
            while row is not None:
                handed_ms = max(handed_ms, int(row.get("timestamp") or 0))
                self._read(shapes.ticker, self._venue, symbol, row)
                await asyncio.sleep(TICKER_EVERY_S)
                # What came during the pause is the present; waiting for the next one would leave it unseen.
                latest = self._exchange.tickers.get(symbol)
                row = latest if latest is not None and int(latest.get("timestamp") or 0) > handed_ms else None

    async def _books(self, symbol: str) -> None:
        while True:
            row = await self._exchange.watch_order_book(symbol, BOOK_DEPTH)
            self._read(shapes.book, self._venue, symbol, row)
            await asyncio.sleep(BOOK_EVERY_S)

    async def fetch(self, symbol: str, interval_s: int) -> None:
        """Asks for the venue's own bars and hands them on. Raises Transient or Fatal."""
        try:
            rows = await self._exchange.fetch_ohlcv(symbol, TIMEFRAMES[interval_s], limit=HISTORY_BARS[interval_s])
        except ccxt.BaseError as error:
            raise as_action(error) from error
        self._read(shapes.fetched, symbol, interval_s, rows)
