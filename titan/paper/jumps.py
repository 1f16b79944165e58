"""Jumps in price: from one moment on everything that a feed says of a symbol is worth a factor more or less.

Guarantees: prices stay on the symbol's tick; without a jump an event is handed on as it came. Never: a memory (a venue
that starts anew plays its feed as it is).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal

from titan.paper.feeds.base import BookLevels, FeedBook, FeedEvent, FeedLiquidation, FeedMark, FeedTrade

MAX_FACTOR = Decimal(10)
MIN_FACTOR = Decimal("0.1")


class Jumps:
    """The factors of a venue's symbols, by canonical name; a second jump of a symbol multiplies with the first."""

    def __init__(self) -> None:
        self._moves: dict[str, tuple[Decimal, Decimal]] = {}

    def __bool__(self) -> bool:
        return bool(self._moves)

    def add(self, symbol: str, factor: Decimal, tick: Decimal) -> Decimal:
        """Moves a symbol from now on; its whole factor. Raises ValueError for one that no market makes."""
        if not MIN_FACTOR <= factor <= MAX_FACTOR:
            raise ValueError(f"factor {factor} must be from {MIN_FACTOR} to {MAX_FACTOR}")
        held, _ = self._moves.get(symbol, (Decimal(1), tick))
        self._moves[symbol] = (held * factor, tick)
        return held * factor

    def moved(self, event: FeedEvent) -> FeedEvent:
        """The event at its price after all jumps of its symbol."""
        move = self._moves.get(event.symbol)
        if move is None:
            return event
        factor, tick = move

        def at(price: Decimal) -> Decimal:
            ticks = (price * factor / tick).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
            return max(ticks, Decimal(1)) * tick

        def levels(side: BookLevels) -> BookLevels:
            # Two levels may meet on one tick.
            joined: dict[Decimal, Decimal] = {}
            for price, qty in side:
                joined[at(price)] = joined.get(at(price), Decimal(0)) + qty
            return tuple(joined.items())

        match event:
            case FeedTrade() | FeedLiquidation():
                return replace(event, price=at(event.price))
            case FeedMark():
                return replace(event, mark=at(event.mark), index=at(event.index))
            case FeedBook():
                return replace(event, bids=levels(event.bids), asks=levels(event.asks))
