"""A seeded market: three correlated perpetuals with regimes, jumps, stop runs and cascades.

Guarantees: the same seed and symbols give the same history and the same events, from whatever moment
they are read; bars agree exactly with the trades; the book is never crossed, lies on the tick and lot
grids, is repeated at least once a market second, and every trade happens at its bid or ask.
Never does: I/O, clocks. It imitates a market; it predicts none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from titan.paper.feeds.bars import MINUTE_MS, aggregate, check_interval
from titan.paper.feeds.base import (
    Bar,
    FeedError,
    FeedEvent,
    FeedInstrument,
)
from titan.paper.feeds.instruments import known_instrument
from titan.paper.feeds.render import RATE_STEP, MinuteState, Renderer, in_time_order
from titan.paper.feeds.synthetic_levels import LevelKind
from titan.paper.feeds.synthetic_path import (
    MINUTES_A_DAY,
    SymbolModel,
    SymbolPath,
    generator,
)
from titan.paper.feeds.synthetic_tape import MinuteRow, minute_tape

DAY_MS = 86_400_000
FIRST_LIVE_DAY = 20_458
"""2026-01-05 as an epoch day."""
HISTORY_DAYS = 12
DEFAULT_SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")

_TRAPPED = (LevelKind.NODE, LevelKind.DAY, LevelKind.BAND)
_CENTRES: dict[str, tuple[float, float, float]] = {
    "BTC": (65_000.0, 1.0, 5e6),
    "ETH": (3_200.0, 1.1, 3e6),
    "SOL": (150.0, 1.25, 1.2e6),
    "XRP": (2.2, 1.2, 6e5),
    "DOGE": (0.21, 1.3, 4e5),
    "ADA": (0.72, 1.2, 3e5),
}


class SyntheticFeed:
    """A `Feed` made from a seed; see the module for what holds."""

    def __init__(self, seed: int, symbols: Sequence[str] = ()) -> None:
        """`symbols` are canonical; unknown ones raise FeedError naming those there are."""
        if seed < 0:
            raise FeedError(f"synthetic seed {seed} is negative; use a whole number from 0 on")
        self.name = f"synthetic:{seed}"
        self.end_ms: int | None = None
        self._seed = seed
        chosen = tuple(dict.fromkeys(symbols)) or DEFAULT_SYMBOLS
        first_day = FIRST_LIVE_DAY + seed % 97 - HISTORY_DAYS
        self._tracks = {symbol: _Track(seed, symbol, first_day) for symbol in chosen}
        self.instruments: tuple[FeedInstrument, ...] = tuple(track.instrument for track in self._tracks.values())
        live_day = first_day + HISTORY_DAYS
        self._first_ms = first_day * DAY_MS
        self.start_ms = live_day * DAY_MS + self._lively_minute(live_day) * MINUTE_MS
        hours = (self.start_ms - self._first_ms) // 3_600_000
        self.warmup = f"{hours} h of history of the same seed precede the start"

    def history(self, symbol: str, interval_s: int, before_ms: int, limit: int) -> list[Bar]:
        """Closed bars of the grid; see `Feed.history`."""
        track = self._tracks.get(symbol)
        if track is None:
            raise FeedError(f"{self.name} has no {symbol}; it has {', '.join(self._tracks)}")
        return track.history(check_interval(interval_s, self.name), before_ms, limit, self._first_ms)

    def events(self, from_ms: int) -> Iterator[FeedEvent]:
        """Events from `from_ms` (never before `start_ms`) without end, in time order."""
        start = max(from_ms, self.start_ms)
        minute = start // MINUTE_MS
        while True:
            merged = self._minute(minute)
            minute += 1
            if merged and merged[0].ts_ms < start:
                merged = [event for event in merged if event.ts_ms >= start]
            yield from merged

    def _minute(self, minute: int) -> list[FeedEvent]:
        keys: list[int] = []
        events: list[FeedEvent] = []
        for track in self._tracks.values():
            track.render(minute, keys, events)
        return in_time_order(keys, events)

    def _lively_minute(self, day: int) -> int:
        """The minute of the first live day whose next hour holds most stop runs, soon ones foremost."""
        counts = np.zeros(MINUTES_A_DAY)
        for track in self._tracks.values():
            runs = track.path.day(day).runs
            counts[[minute for minute, run in runs.items() if run.kind in _TRAPPED]] += 1
        total = np.concatenate(([0.0], np.cumsum(counts)))
        starts = np.arange(60, MINUTES_A_DAY - 60)
        score = (total[starts + 60] - total[starts]) + 3 * np.minimum(2, total[starts + 3] - total[starts])
        return int(starts[int(np.argmax(score))])


DEPTH_MINUTES = 2000
"""A level near the touch holds a minute's volume divided by this: an order of ten thousand dollars walks a few levels."""


class _Track:
    """One symbol of the feed: its path, its caches and the rendering of its minutes."""

    def __init__(self, seed: int, symbol: str, first_day: int) -> None:
        instrument = known_instrument(symbol)
        if instrument is None or instrument.base not in _CENTRES:
            known = ", ".join(f"{base}/USDT:USDT" for base in _CENTRES)
            raise FeedError(f"a synthetic market has no {symbol}; choose from {known}")
        price, beta, usd = _CENTRES[instrument.base]
        tick, lot = float(instrument.tick), float(instrument.lot)
        self.instrument = instrument
        self.path = SymbolPath(seed, SymbolModel(symbol, tick, lot, price, beta, usd), first_day)
        self._seed = seed
        self._renderer = Renderer(instrument, price / tick, generator(seed, symbol, "depth"))
        self._depth = usd / DEPTH_MINUTES / price / lot

    def history(self, interval_s: int, before_ms: int, limit: int, first_ms: int) -> list[Bar]:
        width = interval_s * 1000
        end = before_ms // width * width
        start = max(first_ms + (-first_ms % width), end - max(0, limit) * width)
        if start >= end:
            return []
        rows: list[npt.NDArray[np.int64]] = []
        for day in range(start // DAY_MS, (end - 1) // DAY_MS + 1):
            grid = self.path.day(day)
            low = max(0, start - day * DAY_MS) // MINUTE_MS
            high = min(DAY_MS, end - day * DAY_MS) // MINUTE_MS
            rows.append(np.stack((grid.open, grid.high, grid.low, grid.close, grid.lots))[:, low:high])
        bars = aggregate(np.concatenate(rows, axis=1), interval_s // 60)
        prices, sizes = self._renderer.prices, self._renderer.sizes
        return [
            Bar(start + place * width, prices[o], prices[h], prices[lo], prices[c], sizes[volume])
            for place, (o, h, lo, c, volume) in enumerate(bars.T.tolist())
        ]

    def render(self, minute: int, keys: list[int], events: list[FeedEvent]) -> None:
        """Append the minute's events and their sort keys."""
        grid = self.path.day(minute // MINUTES_A_DAY)
        place = minute % MINUTES_A_DAY
        row = MinuteRow(
            open=int(grid.open[place]),
            high=int(grid.high[place]),
            low=int(grid.low[place]),
            close=int(grid.close[place]),
            lots=int(grid.lots[place]),
            sigma=float(grid.sigma[place]),
            run=grid.runs.get(place),
        )
        tape = minute_tape(row, generator(self._seed, self.instrument.symbol, "minute", minute))
        premium = float(grid.premium[place])
        state = MinuteState(
            minute=minute,
            depth_lots=self._depth,
            premium=premium,
            funding_rate=round(max(-75_000.0, min(75_000.0, 10_000 + premium * 3e6))) * RATE_STEP,
            interest_lots=int(grid.interest_lots[place]),
            mark_anchor=float(row.open),
        )
        ids = [str(minute * 1000 + number) for number in range(len(tape.trade_ms))]
        self._renderer.render(tape, state, ids, keys, events)
