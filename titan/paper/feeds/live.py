"""A mirror of a live exchange's public data through ccxt.pro; no keys, nothing is ever sent but questions.

Guarantees: prices and sizes go through their decimal text, never through float arithmetic; bars that
are not closed are left out; when the exchange cannot be reached, FeedError says so in one sentence.
Never does: import ccxt before a live feed is wanted; reconnect for ever in silence (ccxt reconnects, and
a stream that fails more than MAX_FAILURES times in a row ends the feed).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Protocol, TypeVar, cast

from titan.paper.feeds.base import (
    Bar,
    BookLevels,
    FeedBook,
    FeedError,
    FeedEvent,
    FeedInstrument,
    FeedMark,
    FeedTrade,
    TakerSide,
)
from titan.paper.feeds.instruments import inferred_instrument, known_instrument
from titan.paper.feeds.synthetic import DEFAULT_SYMBOLS

DEFAULT_EXCHANGE = "bybit"
CANDIDATES = ("bybit", "binanceusdm", "okx")
BOOK_LEVELS = 50
MAX_FAILURES = 5
RETRY_BASE_S = 0.1
RETRY_MAX_S = 5.0
CONNECT_TIMEOUT_S = 10.0
HISTORY_LIMIT = 1000

Row = Mapping[str, object]
T = TypeVar("T")


class Exchange(Protocol):
    """The part of a ccxt.pro exchange that a live feed uses."""

    id: str

    async def load_markets(self) -> Mapping[str, Row]:
        """All markets by unified symbol."""

    async def fetch_time(self) -> object:
        """The exchange's clock in ms."""

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, since: int | None = None, limit: int | None = None
    ) -> list[list[object]]:
        """Candles, oldest first."""

    async def watch_trades(self, symbol: str) -> list[Row]:
        """The next trades."""

    async def watch_order_book(self, symbol: str, limit: int | None = None) -> Row:
        """The next book."""

    async def watch_ticker(self, symbol: str) -> Row:
        """The next ticker."""

    async def close(self) -> None:
        """Close sockets."""


MakeExchange = Callable[[str], Exchange]
_TIMEFRAMES = {60: "1m", 180: "3m", 300: "5m", 900: "15m", 1800: "30m", 3600: "1h", 14400: "4h", 86400: "1d"}


def make_ccxt(exchange_id: str) -> Exchange:
    """A ccxt.pro exchange for public data of linear perpetuals; unknown ids raise FeedError."""
    import ccxt.pro as ccxtpro  # importing it takes about a second and only this feed needs it

    factory = getattr(ccxtpro, exchange_id, None)
    if exchange_id not in ccxtpro.exchanges or factory is None:
        raise FeedError(
            f"ccxt knows no exchange {exchange_id!r} with streams; use live for {DEFAULT_EXCHANGE},"
            f" or live:ID with one of {', '.join(CANDIDATES)}"
        )
    options = {"enableRateLimit": True, "newUpdates": True, "options": {"defaultType": "swap"}}
    return cast("Exchange", factory(options))


async def probe_live(timeout_s: float = 3.0, make: MakeExchange | None = None) -> str | None:
    """The id of the first exchange whose public clock answers within `timeout_s` (wall time), else None."""

    async def ask(exchange_id: str) -> str:
        async with _session(exchange_id, make) as exchange:
            await exchange.fetch_time()
            return exchange_id

    tasks = [asyncio.ensure_future(ask(exchange_id)) for exchange_id in CANDIDATES]
    try:
        for finished in asyncio.as_completed(tasks, timeout=timeout_s):
            with contextlib.suppress(*_failures()):
                return await finished
    except TimeoutError:
        return None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return None


def open_live(exchange_id: str, symbols: Sequence[str], make: MakeExchange | None = None) -> LiveExchangeFeed:
    """A live feed of `symbols` (the defaults when empty); asks the exchange for its markets once."""
    wanted = tuple(symbols) or DEFAULT_SYMBOLS

    async def ask() -> Mapping[str, Row]:
        async with _session(exchange_id, make) as exchange:
            return await asyncio.wait_for(exchange.load_markets(), CONNECT_TIMEOUT_S)

    markets = _blocking(ask, exchange_id)
    missing = [symbol for symbol in wanted if symbol not in markets]
    if missing:
        raise FeedError(
            f"{exchange_id} has no market {', '.join(missing)}; choose symbols that it lists, like {DEFAULT_SYMBOLS[0]}"
        )
    instruments = tuple(_instrument(symbol, markets[symbol]) for symbol in wanted)
    return LiveExchangeFeed(exchange_id, instruments, time.time_ns() // 1_000_000, make)


class LiveExchangeFeed:
    """A `LiveFeed` that mirrors one exchange; `start_ms` is the wall time at which it was opened."""

    def __init__(
        self,
        exchange_id: str,
        instruments: tuple[FeedInstrument, ...],
        start_ms: int,
        make: MakeExchange | None = None,
    ) -> None:
        self.name = "live" if exchange_id == DEFAULT_EXCHANGE else f"live:{exchange_id}"
        self.instruments = instruments
        self.start_ms = start_ms
        self.end_ms: int | None = None
        self.warmup = f"{exchange_id} gives its own candles as history"
        self._exchange_id = exchange_id
        self._make = make
        self._bars: dict[tuple[str, int], tuple[int, int, list[Bar]]] = {}

    def history(self, symbol: str, interval_s: int, before_ms: int, limit: int) -> list[Bar]:
        """Closed candles of the exchange ; blocks for a request, but not for the same one again."""
        if all(instrument.symbol != symbol for instrument in self.instruments):
            symbols = ", ".join(instrument.symbol for instrument in self.instruments)
            raise FeedError(f"{self.name} has no {symbol}; it has {symbols}")
        timeframe = _TIMEFRAMES.get(interval_s)
        if timeframe is None:
            allowed = ", ".join(str(seconds) for seconds in _TIMEFRAMES)
            raise FeedError(f"{self.name} has no bars of {interval_s} s; ask for one of {allowed}")
        width = interval_s * 1000
        count = min(max(0, limit), HISTORY_LIMIT)
        since = before_ms // width * width - count * width

        async def ask() -> list[list[object]]:
            async with _session(self._exchange_id, self._make) as exchange:
                return await asyncio.wait_for(exchange.fetch_ohlcv(symbol, timeframe, since, count), CONNECT_TIMEOUT_S)

        if not count:
            return []
        held = self._bars.get((symbol, interval_s))
        if held is None or held[:2] != (since, count):
            rows = _blocking(ask, self._exchange_id)
            held = (since, count, [_bar(row) for row in rows])
            self._bars[(symbol, interval_s)] = held
        return [bar for bar in held[2] if bar.open_ts_ms + width <= before_ms][-count:]

    async def run(self, emit: Callable[[FeedEvent], None]) -> None:
        """Push trades, books and marks until cancelled; FeedError after repeated failures of a stream."""
        async with _session(self._exchange_id, self._make) as exchange:
            pumps = [
                asyncio.ensure_future(self._pump(stream, emit))
                for symbol in (instrument.symbol for instrument in self.instruments)
                for stream in (_trades(exchange, symbol), _books(exchange, symbol), _marks(exchange, symbol))
            ]
            try:
                await asyncio.gather(*pumps)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, stream: _Stream, emit: Callable[[FeedEvent], None]) -> None:
        failures = 0
        while True:
            try:
                events = await stream()
            except _failures() as error:
                failures += 1
                if failures > MAX_FAILURES:
                    raise FeedError(
                        f"{self._exchange_id} stopped sending ({type(error).__name__}: {_brief(error)});"
                        " check the network or use synthetic:1"
                    ) from error
                await asyncio.sleep(min(RETRY_BASE_S * 2**failures, RETRY_MAX_S))
                continue
            failures = 0
            for event in events:
                emit(event)


_Stream = Callable[[], Awaitable[list[FeedEvent]]]


def _trades(exchange: Exchange, symbol: str) -> _Stream:
    async def following() -> list[FeedEvent]:
        events: list[FeedEvent] = []
        for row in await exchange.watch_trades(symbol):
            side: TakerSide = "sell" if row.get("side") == "sell" else "buy"
            price, qty = _decimal(row.get("price")), _decimal(row.get("amount"))
            if price is not None and qty is not None:
                events.append(FeedTrade(_whole(row.get("timestamp")), symbol, price, qty, side, str(row.get("id"))))
        return events

    return following


def _books(exchange: Exchange, symbol: str) -> _Stream:
    async def following() -> list[FeedEvent]:
        row = await exchange.watch_order_book(symbol, BOOK_LEVELS)
        bids, asks = _levels(row.get("bids")), _levels(row.get("asks"))
        return [FeedBook(_whole(row.get("timestamp")), symbol, bids, asks)] if bids and asks else []

    return following


def _marks(exchange: Exchange, symbol: str) -> _Stream:
    async def following() -> list[FeedEvent]:
        row = await exchange.watch_ticker(symbol)
        raw = cast("Row", row.get("info") or {})
        mark = _decimal(row.get("markPrice")) or _decimal(raw.get("markPrice")) or _decimal(row.get("last"))
        if mark is None:
            return []
        return [
            FeedMark(
                ts_ms=_whole(row.get("timestamp")),
                symbol=symbol,
                mark=mark,
                index=_decimal(row.get("indexPrice")) or _decimal(raw.get("indexPrice")) or mark,
                funding_rate=_decimal(raw.get("fundingRate")) or Decimal(0),
                next_funding_ms=int(_decimal(raw.get("nextFundingTime")) or 0),
                open_interest=_decimal(raw.get("openInterest")) or Decimal(0),
            )
        ]

    return following


@contextlib.asynccontextmanager
async def _session(exchange_id: str, make: MakeExchange | None) -> AsyncIterator[Exchange]:
    exchange = (make or make_ccxt)(exchange_id)
    try:
        yield exchange
    finally:
        await exchange.close()


def _blocking(question: Callable[[], Coroutine[object, object, T]], exchange_id: str) -> T:
    """Ask in a thread with its own loop, so that callers on a running loop can wait for the answer too."""
    with ThreadPoolExecutor(1, "live-feed") as pool:
        try:
            return pool.submit(lambda: asyncio.run(question())).result()
        except _failures() as error:
            raise FeedError(
                f"{exchange_id} does not answer ({type(error).__name__}: {_brief(error)});"
                " check the network or use synthetic:1"
            ) from error


def _failures() -> tuple[type[BaseException], ...]:
    """What a refusing network, a proxy or an exchange in trouble raises."""
    import ccxt

    return (ccxt.BaseError, OSError, TimeoutError, ValueError)


def _brief(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120]


def _instrument(symbol: str, market: Row) -> FeedInstrument:
    precision = cast("Row", market.get("precision") or {})
    limits = cast("Mapping[str, Row]", market.get("limits") or {})
    tick = _decimal(precision.get("price")) or Decimal("0.01")
    lot = _decimal(precision.get("amount")) or Decimal("0.001")
    base = known_instrument(symbol) or inferred_instrument(symbol, [tick], [lot])
    return FeedInstrument(
        symbol=symbol,
        base=base.base,
        quote=base.quote,
        tick=tick,
        lot=lot,
        min_qty=_decimal((limits.get("amount") or {}).get("min")) or lot,
        min_notional=_decimal((limits.get("cost") or {}).get("min")) or base.min_notional,
        max_leverage=_decimal((limits.get("leverage") or {}).get("max")) or base.max_leverage,
    )


def _bar(row: Sequence[object]) -> Bar:
    values = [_decimal(cell) or Decimal(0) for cell in row[1:6]]
    return Bar(_whole(row[0]), *values)


def _levels(side: object) -> BookLevels:
    found: list[tuple[Decimal, Decimal]] = []
    for row in cast("Sequence[Sequence[object]]", side or ())[:BOOK_LEVELS]:
        price, qty = _decimal(row[0]), _decimal(row[1])
        if price is not None and qty is not None and qty > 0:
            found.append((price, qty))
    return tuple(found)


def _decimal(value: object) -> Decimal | None:
    """A number from its text; ccxt's floats print as the shortest text that means the same number."""
    if value is None or value == "":
        return None
    return Decimal(str(value))


def _whole(value: object) -> int:
    return int(str(value)) if value is not None else time.time_ns() // 1_000_000
