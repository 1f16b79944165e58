"""From a minute's tape (whole ticks and lots) to feed events: books, trades, liquidations, marks.

Guarantees: prices are multiples of the tick and sizes of the lot, at least one lot; the book is never
crossed and has 50 levels a side (fewer only where the price would fall to zero); levels are a function
of price and time, so a resting level keeps its size from snapshot to snapshot. Same tape, same events.
Never does: I/O, clocks, randomness beyond its seeded depth table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from titan.paper.feeds.bars import MINUTE_MS
from titan.paper.feeds.base import (
    BookLevels,
    FeedBook,
    FeedEvent,
    FeedInstrument,
    FeedLiquidation,
    FeedMark,
    FeedTrade,
    TakerSide,
)

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LEVELS = 50
FUNDING_MS = 8 * 3_600_000
RATE_STEP = Decimal("0.00000001")
_DEPTH_EPOCH_MS = 5000
_CACHE_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class MinuteTape:
    """Quotes and trades of a minute, times in ms from its start, both in time order."""

    spread: int
    quote_ms: IntArray
    quote_bid: IntArray
    trade_ms: IntArray
    trade_price: IntArray
    trade_buy: BoolArray
    trade_lots: IntArray
    forced: BoolArray
    """Trades that are liquidations."""


@dataclass(frozen=True, slots=True)
class MinuteState:
    """What holds for a whole minute beside its tape: typical depth in lots, premium of the mark over the
    index, funding, open interest, and the slow price (ticks) that steadies the mark."""

    minute: int
    depth_lots: float
    premium: float
    funding_rate: Decimal
    interest_lots: int
    mark_anchor: float


class Steps(dict[int, Decimal]):
    """Multiples of one step, each made once: prices and sizes repeat by the thousand."""

    def __init__(self, step: Decimal) -> None:
        super().__init__()
        self._step = step

    def __missing__(self, key: int) -> Decimal:
        if len(self) > _CACHE_LIMIT:
            self.clear()
        value = self[key] = key * self._step
        return value


class Renderer:
    """Renders the minutes of one instrument; `price_ticks` is a typical price, for the level spacing."""

    def __init__(self, instrument: FeedInstrument, price_ticks: float, depth_table: np.random.Generator) -> None:
        self.prices = Steps(instrument.tick)
        self.sizes = Steps(instrument.lot)
        self._symbol = instrument.symbol
        self._noise = np.exp(depth_table.standard_normal(4096) * 0.6)
        self._gap = max(1, round(price_ticks * 8e-6))
        ranks = np.arange(LEVELS)
        self._ranks = ranks[1:] - 1
        self._shape = 0.8 + 0.35 * ranks * np.exp(-ranks / 18)

    def render(
        self,
        tape: MinuteTape,
        state: MinuteState,
        ids: Sequence[str],
        keys: list[int],
        events: list[FeedEvent],
    ) -> None:
        """Append the minute's events and their sort keys (time, then book, trade, liquidation, mark)."""
        self._books(tape, state, keys, events)
        self._trades(tape, state, ids, keys, events)
        self._marks(tape, state, keys, events)

    def _books(self, tape: MinuteTape, state: MinuteState, keys: list[int], events: list[FeedEvent]) -> None:
        gap, noise, symbol = self._gap, self._noise, self._symbol
        best_bid = tape.quote_bid[:, None]
        best_ask = best_bid + tape.spread
        bids = np.concatenate((best_bid, (best_bid - 1) // gap * gap - self._ranks * gap), axis=1)
        asks = np.concatenate((best_ask, (best_ask // gap + 1) * gap + self._ranks * gap), axis=1)
        scale = state.depth_lots * self._shape
        base_ms = state.minute * MINUTE_MS
        epoch = (tape.quote_ms[:, None] + base_ms) // _DEPTH_EPOCH_MS
        bid_lots = _coarse(scale * noise[(bids * 2_654_435_761 + epoch) % 4096])
        ask_lots = _coarse(scale * noise[(asks * 2_246_822_519 + epoch) % 4096])
        price, size = self.prices.__getitem__, self.sizes.__getitem__
        near_zero = bool(len(bids)) and int(bids.min()) <= 0
        for at, bid, bid_lot, ask, ask_lot in zip(
            tape.quote_ms.tolist(),
            bids.tolist(),
            bid_lots.tolist(),
            asks.tolist(),
            ask_lots.tolist(),
            strict=True,
        ):
            ts_ms = base_ms + at
            if near_zero:
                bid = [ticks for ticks in bid if ticks > 0]
                bid_lot = bid_lot[: len(bid)]
            bid_side: BookLevels = tuple(zip(map(price, bid), map(size, bid_lot), strict=True))
            ask_side: BookLevels = tuple(zip(map(price, ask), map(size, ask_lot), strict=True))
            keys.append(ts_ms * 4)
            events.append(FeedBook(ts_ms, symbol, bid_side, ask_side))

    def _trades(
        self,
        tape: MinuteTape,
        state: MinuteState,
        ids: Sequence[str],
        keys: list[int],
        events: list[FeedEvent],
    ) -> None:
        prices, sizes, symbol = self.prices, self.sizes, self._symbol
        base_ms = state.minute * MINUTE_MS
        for at, ticks, buy, lots, forced, trade_id in zip(
            tape.trade_ms.tolist(),
            tape.trade_price.tolist(),
            tape.trade_buy.tolist(),
            tape.trade_lots.tolist(),
            tape.forced.tolist(),
            ids,
            strict=True,
        ):
            ts_ms = base_ms + at
            side: TakerSide = "buy" if buy else "sell"
            price, qty = prices[ticks], sizes[lots]
            keys.append(ts_ms * 4 + 1)
            events.append(FeedTrade(ts_ms, symbol, price, qty, side, trade_id))
            if forced:
                keys.append(ts_ms * 4 + 2)
                events.append(FeedLiquidation(ts_ms, symbol, side, price, qty))

    def _marks(self, tape: MinuteTape, state: MinuteState, keys: list[int], events: list[FeedEvent]) -> None:
        symbol, prices = self._symbol, self.prices
        base_ms = state.minute * MINUTE_MS
        times = np.arange(0, MINUTE_MS, 1000, dtype=np.int64)
        place = np.searchsorted(tape.quote_ms, times, side="right") - 1
        times, place = times[place >= 0], place[place >= 0]
        smooth = 0.7 * tape.quote_bid[place] + 0.3 * state.mark_anchor
        marks = np.maximum(1, np.rint(smooth)).astype(np.int64)
        indices = np.maximum(1, np.rint(marks * (1 - state.premium))).astype(np.int64)
        interest = self.sizes[state.interest_lots]
        next_funding = (base_ms // FUNDING_MS + 1) * FUNDING_MS
        for at, mark, index in zip(times.tolist(), marks.tolist(), indices.tolist(), strict=True):
            ts_ms = base_ms + at
            keys.append(ts_ms * 4 + 3)
            events.append(
                FeedMark(
                    ts_ms,
                    symbol,
                    prices[mark],
                    prices[index],
                    state.funding_rate,
                    next_funding,
                    interest,
                )
            )


def in_time_order(keys: list[int], events: list[FeedEvent]) -> list[FeedEvent]:
    """Events sorted by their keys; equal keys keep their order."""
    order = np.argsort(np.array(keys, dtype=np.int64), kind="stable")
    return [events[index] for index in order.tolist()]


def _coarse(lots: npt.NDArray[np.floating]) -> IntArray:
    """Whole lots with about two significant digits, so that their Decimals are shared."""
    grain = np.maximum(1.0, 10.0 ** (np.floor(np.log10(np.maximum(lots, 1.0))) - 1))
    whole: IntArray = np.maximum(1, np.rint(lots / grain) * grain).astype(np.int64)
    return whole
