"""Market data of one venue: what came in, made into what is published, stored and judged for age.

Guarantees: deterministic; batches of trades keep exchange order; a bar is published once and in order; a stream that
falls silent, or a gap on reconnect, leads to a fresh subscription or to asking the venue for its bars. Never: sockets,
clocks, floats in what is published (decimal text and scaled integers only).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import assert_never

from actors.market_data.batching import MAX_WAIT_MS, TradeBatcher, TradesSeen, scaled_column
from actors.market_data.candles import INTERVALS, Bar, CandleAggregator, CandleStore, Closed
from actors.market_data.staleness import LinkState, RecentCount, StreamAge, StreamAges, StreamKind
from protos import market_pb2 as pb
from titan import subjects
from titan.clock import Now
from titan.effects import Publish, SetTimer
from titan.money import text_of

FLUSH = "flush:"
RECONNECT_WINDOW_MS = 900_000
PARSE_WINDOW_MS = 300_000
BOOK_LEVELS = 10
_LINKS = {
    LinkState.CONNECTED: pb.VENUE_LINK_STATE_CONNECTED,
    LinkState.DEGRADED: pb.VENUE_LINK_STATE_DEGRADED,
    LinkState.DISCONNECTED: pb.VENUE_LINK_STATE_DISCONNECTED,
}


@dataclass(frozen=True, slots=True)
class Scales:
    """Decimal places of prices and quantities of one symbol."""

    price: int
    qty: int


@dataclass(frozen=True, slots=True)
class TickerSeen:
    """A ticker as decimal texts, ready to publish."""

    message: pb.Ticker


@dataclass(frozen=True, slots=True)
class BookSeen:
    """The best levels of a book, best first, ready to publish."""

    message: pb.Book


@dataclass(frozen=True, slots=True)
class CandlesFetched:
    """The venue's own bars; the one still forming is left out by its end."""

    symbol: str
    interval_s: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """The venue answered and its streams are being subscribed; scales by symbol."""

    scales: Mapping[str, Scales]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The venue's session ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class FlushDue:
    """The batch of a symbol has waited long enough."""

    symbol: str


@dataclass(frozen=True, slots=True)
class SecondPassed:
    """A second of wall time has passed."""


Event = TradesSeen | TickerSeen | BookSeen | CandlesFetched | Connected | Disconnected | FlushDue | SecondPassed


@dataclass(frozen=True, slots=True)
class FetchCandles:
    """Ask the venue for its bars."""

    symbol: str
    interval_s: int


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Throw the session away and make a new one."""

    reason: str


Effect = Publish | SetTimer | FetchCandles | Resubscribe


class _Symbol:
    """The working state of one symbol; made anew when its scales change."""

    def __init__(self, venue: str, symbol: str, scales: Scales) -> None:
        self.scales = scales
        self.batcher = TradeBatcher(venue, symbol, scales.price, scales.qty)
        self.aggregators = tuple(CandleAggregator(interval, scales.price, scales.qty) for interval in INTERVALS)


class MarketDataCore:
    """State and handlers; see the module for what it promises."""

    def __init__(self, venue: str, symbols: Sequence[str], speed: float = 1.0, url: str = "") -> None:
        self.venue = venue
        self.symbols = tuple(symbols)
        self.url = url
        self.link = LinkState.DISCONNECTED
        self.link_detail = "not connected yet"
        self.ages = StreamAges(speed)
        self.stores = {(symbol, interval): CandleStore() for symbol in symbols for interval in INTERVALS}
        self.last_prices: dict[str, tuple[str, int]] = {}
        self.events: dict[tuple[str, StreamKind], int] = {}
        self._symbols: dict[str, _Symbol] = {}
        self._reconnects = RecentCount(RECONNECT_WINDOW_MS)
        self._parse_errors = RecentCount(PARSE_WINDOW_MS)
        self._was_connected = False
        self._funding: dict[str, tuple[str, int]] = {}
        self._open_interest: dict[str, str] = {}

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """One event in, its effects out, in the order they must be carried out."""
        match event:
            case TradesSeen():
                return self._on_trades(event, now)
            case FlushDue():
                return self._flush(event.symbol)
            case TickerSeen():
                return self._on_ticker(event.message)
            case BookSeen():
                return self._on_book(event.message)
            case CandlesFetched():
                return self._on_fetched(event, now)
            case Connected():
                return self._on_connected(event, now)
            case Disconnected():
                self.link, self.link_detail = LinkState.DISCONNECTED, event.reason
                for state in self._symbols.values():
                    for aggregator in state.aggregators:
                        aggregator.interrupt()
                return []
            case SecondPassed():
                return self._on_second(now)
            case _:
                assert_never(event)

    def parse_error(self, now: Now) -> None:
        """Something the venue sent could not be read."""
        self._parse_errors.add(now.wall_ms)

    def _count(self, symbol: str, kind: StreamKind, count: int, exchange_ms: int) -> None:
        self.events[symbol, kind] = self.events.get((symbol, kind), 0) + count
        self.ages.seen(symbol, kind, exchange_ms)

    def _on_trades(self, trades: TradesSeen, now: Now) -> list[Effect]:
        state = self._symbols.get(trades.symbol)
        if state is None or not trades.ts_ms:
            return []
        try:
            prices = scaled_column(trades.price, state.scales.price, "price")
            sizes = scaled_column(trades.qty, state.scales.qty, "quantity")
        except ValueError as error:
            self.parse_error(now)
            self.link_detail = f"{trades.symbol}: {error}"
            return []
        self._count(trades.symbol, StreamKind.TRADES, len(trades.ts_ms), trades.ts_ms[-1])
        was_open = len(state.batcher)
        effects: list[Effect] = list(self._batches(trades.symbol, state.batcher.add(trades, prices, sizes)))
        if len(state.batcher) and (effects or not was_open):
            effects.append(SetTimer(FLUSH + trades.symbol, MAX_WAIT_MS))
        last = Decimal(prices[-1]).scaleb(-state.scales.price)
        self.last_prices[trades.symbol] = (text_of(last), trades.ts_ms[-1])
        for aggregator in state.aggregators:
            for ts_ms, price, qty in zip(trades.ts_ms, prices, sizes, strict=True):
                closed = aggregator.add(ts_ms, price, qty)
                if closed.bars or closed.missing:
                    effects += self._closed(trades.symbol, aggregator.interval_s, closed)
        return effects

    def _flush(self, symbol: str) -> list[Effect]:
        state = self._symbols.get(symbol)
        return [] if state is None else list(self._batches(symbol, state.batcher.flush()))

    def _batches(self, symbol: str, batches: Iterable[pb.TradeBatch]) -> Iterable[Publish]:
        return (Publish(subjects.trades(self.venue, symbol), batch) for batch in batches)

    def _on_ticker(self, ticker: pb.Ticker) -> list[Effect]:
        self._count(ticker.symbol, StreamKind.TICKER, 1, ticker.ts_ms)
        effects: list[Effect] = []
        state = self._symbols.get(ticker.symbol)
        for aggregator in state.aggregators if state is not None else ():
            closed = aggregator.pass_time(ticker.ts_ms)
            if closed.bars or closed.missing:
                effects += self._closed(ticker.symbol, aggregator.interval_s, closed)
        effects.append(Publish(subjects.ticker(self.venue, ticker.symbol), ticker))
        return effects + self._derived(ticker)

    def _derived(self, ticker: pb.Ticker) -> list[Effect]:
        """Funding and open interest on their own subjects, whenever a ticker brings new ones."""
        symbol, found = ticker.symbol, list[Effect]()
        if ticker.funding_rate and self._funding.get(symbol) != (ticker.funding_rate, ticker.next_funding_ms):
            self._funding[symbol] = (ticker.funding_rate, ticker.next_funding_ms)
            rate = pb.FundingRate(
                venue=self.venue,
                symbol=symbol,
                ts_ms=ticker.ts_ms,
                rate=ticker.funding_rate,
                next_funding_ms=ticker.next_funding_ms,
            )
            found.append(Publish(subjects.funding(self.venue, symbol), rate))
        if ticker.open_interest and self._open_interest.get(symbol) != ticker.open_interest:
            self._open_interest[symbol] = ticker.open_interest
            interest = pb.OpenInterest(
                venue=self.venue, symbol=symbol, ts_ms=ticker.ts_ms, open_interest=ticker.open_interest
            )
            found.append(Publish(subjects.open_interest(self.venue, symbol), interest))
        return found

    def _on_book(self, book: pb.Book) -> list[Effect]:
        self._count(book.symbol, StreamKind.BOOK, 1, book.ts_ms)
        return [Publish(subjects.book(self.venue, book.symbol), book)]

    def _closed(self, symbol: str, interval_s: int, closed: Closed) -> list[Effect]:
        if closed.missing:
            # The venue's answer brings the whole ones as well, and keeps them in order.
            return [FetchCandles(symbol, interval_s)]
        store = self.stores[symbol, interval_s]
        return [self._candle(symbol, interval_s, bar) for bar in closed.bars if store.append(bar)]

    def _on_fetched(self, event: CandlesFetched, now: Now) -> list[Effect]:
        store = self.stores[event.symbol, event.interval_s]
        first_load = not store.loaded
        fresh = store.merge(bar for bar in event.bars if bar.open_ts_ms + event.interval_s * 1000 <= now.market_ms)
        if first_load:
            return []
        return [self._candle(event.symbol, event.interval_s, bar) for bar in fresh]

    def _candle(self, symbol: str, interval_s: int, bar: Bar) -> Publish:
        return Publish(subjects.candle(self.venue, symbol), candle_message(self.venue, symbol, interval_s, bar))

    def _on_connected(self, event: Connected, now: Now) -> list[Effect]:
        if self._was_connected:
            self._reconnects.add(now.wall_ms)
        self._was_connected = True
        self.link, self.link_detail = LinkState.CONNECTED, ""
        effects: list[Effect] = []
        for symbol in self.symbols:
            scales = event.scales[symbol]
            state = self._symbols.get(symbol)
            if state is None or state.scales != scales:
                effects += self._flush(symbol)
                self._symbols[symbol] = _Symbol(self.venue, symbol, scales)
            for kind in StreamKind:
                self.ages.watch(symbol, kind, now.market_ms)
            effects += [FetchCandles(symbol, interval) for interval in INTERVALS]
        return effects

    def _on_second(self, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        if self.link is not LinkState.DISCONNECTED:
            stale = self.ages.stale(now.market_ms)
            if stale:
                worst = max(stale, key=lambda age: age.age_ms)
                reason = f"{worst.kind.value} of {worst.symbol} are {worst.age_ms} ms of market time old"
                if self.link is LinkState.CONNECTED:
                    self.link, self.link_detail = LinkState.DEGRADED, reason
                    effects.append(Resubscribe(reason))
        effects.append(Publish(subjects.VENUE_STATUS, self.status(now)))
        return effects

    def status(self, now: Now) -> pb.VenueStatus:
        """How the venue's connection is, with the age of every stream."""
        return pb.VenueStatus(
            venue=self.venue,
            ts_ms=now.wall_ms,
            state=_LINKS[self.link],
            url=self.url,
            reconnects_15m=self._reconnects.count(now.wall_ms),
            parse_errors_5m=self._parse_errors.count(now.wall_ms),
            streams=[_age_message(age) for age in self.ages.ages(now.market_ms)],
        )

    def candles(self, request: pb.CandlesRequest) -> pb.CandlesReply:
        """The newest closed bars of the store, oldest first, or a sentence why there are none."""
        store = self.stores.get((request.symbol, request.interval_s))
        if store is None or request.venue not in ("", self.venue):
            known = ", ".join(self.symbols)
            return pb.CandlesReply(
                error=f"no bars of {request.symbol} at {request.interval_s} s from {request.venue or self.venue}; "
                f"there are {known} at 60, 300 and 3600 s"
            )
        if not store.loaded:
            return pb.CandlesReply(error=f"bars of {request.symbol} are still being loaded")
        bars = store.last(request.limit)
        return pb.CandlesReply(
            candles=[candle_message(self.venue, request.symbol, request.interval_s, bar) for bar in bars]
        )


def candle_message(venue: str, symbol: str, interval_s: int, bar: Bar) -> pb.Candle:
    """A closed bar as a message."""
    return pb.Candle(
        venue=venue,
        symbol=symbol,
        interval_s=interval_s,
        open_ts_ms=bar.open_ts_ms,
        open=text_of(bar.open),
        high=text_of(bar.high),
        low=text_of(bar.low),
        close=text_of(bar.close),
        volume=text_of(bar.volume),
        closed=True,
    )


def _age_message(age: StreamAge) -> pb.StreamAge:
    return pb.StreamAge(symbol=age.symbol, kind=age.kind.value, last_exchange_ts_ms=age.last_ms, age_ms=age.age_ms)
