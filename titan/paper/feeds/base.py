"""What a market feed offers to the paper venue: instruments, closed bars and time-ordered events.

Guarantees: every value is immutable; prices, quantities and rates are `Decimal`; times are market
milliseconds since the Unix epoch (UTC); symbols are canonical (`BTC/USDT:USDT`).
Never does: I/O, clocks, randomness. Feeds live in their own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

TakerSide = Literal["buy", "sell"]
BookLevels = tuple[tuple[Decimal, Decimal], ...]


class FeedError(Exception):
    """A feed cannot be opened or read; the message says what was seen, what is allowed, what to do."""


@dataclass(frozen=True, slots=True)
class FeedTrade:
    """One public trade; `side` is the taker's, `qty` is in base units."""

    ts_ms: int
    symbol: str
    price: Decimal
    qty: Decimal
    side: TakerSide
    trade_id: str


@dataclass(frozen=True, slots=True)
class FeedBook:
    """A full snapshot of up to 50 levels a side as (price, base quantity), best price first."""

    ts_ms: int
    symbol: str
    bids: BookLevels
    asks: BookLevels


@dataclass(frozen=True, slots=True)
class FeedMark:
    """Mark and index price, predicted funding (fraction per interval) and open interest in base units."""

    ts_ms: int
    symbol: str
    mark: Decimal
    index: Decimal
    funding_rate: Decimal
    next_funding_ms: int
    open_interest: Decimal


@dataclass(frozen=True, slots=True)
class FeedLiquidation:
    """A forced order of the market: `side` is the side of that order, `qty` is in base units."""

    ts_ms: int
    symbol: str
    side: TakerSide
    price: Decimal
    qty: Decimal


FeedEvent = FeedTrade | FeedBook | FeedMark | FeedLiquidation


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle; `volume` is in base units, `open_ts_ms` is its opening time."""

    open_ts_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class FeedInstrument:
    """A tradable perpetual of the feed; `min_notional` is in quote units, `lot` and `min_qty` in base units."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    min_notional: Decimal
    max_leverage: Decimal


class Market(Protocol):
    """What every feed says about itself."""

    @property
    def name(self) -> str:
        """The spec that opens this feed again, as shown to people (`synthetic:42`)."""

    @property
    def instruments(self) -> tuple[FeedInstrument, ...]:
        """What the feed trades."""

    @property
    def start_ms(self) -> int:
        """Market time of the first live event."""

    @property
    def end_ms(self) -> int | None:
        """Market time of the last event; None for a feed without end, as a live market."""

    @property
    def warmup(self) -> str:
        """One sentence for the status: where the history before `start_ms` comes from."""

    def history(self, symbol: str, interval_s: int, before_ms: int, limit: int) -> list[Bar]:
        """At most `limit` closed bars, oldest first, all with open_ts_ms + interval <= before_ms.

        Raises FeedError for an unknown symbol or an interval the feed cannot build.
        """


class Feed(Market, Protocol):
    """A market that can be read from any point in market time, the same way each time."""

    def events(self, from_ms: int) -> Iterator[FeedEvent]:
        """All events with ts_ms >= from_ms, in time order over all symbols."""


class LiveFeed(Market, Protocol):
    """A market that only arrives: events are pushed."""

    async def run(self, emit: Callable[[FeedEvent], None]) -> None:
        """Push events until cancelled; raises FeedError when the exchange cannot be reached."""
