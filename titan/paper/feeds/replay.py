"""A replay of recorded Parquet trades or candles, one file a symbol.

Guarantees: the same files give the same events from whatever moment they are read; trades keep their
recorded times, prices, quantities and sides; files are streamed, only bars stay in memory. Recordings
hold no book, mark, funding or open interest: books are derived around the trades, marks follow the
price, funding is a constant 0.01 % per 8 h, open interest is the recorded volume.
Never does: invent trades for a trade recording; play a moment twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from titan.paper.feeds.bars import MINUTE_MS, check_interval
from titan.paper.feeds.base import Bar, FeedError, FeedEvent, FeedInstrument
from titan.paper.feeds.render import MinuteState, Renderer, in_time_order
from titan.paper.feeds.replay_files import FileKind, RecordedFile, inspect_file
from titan.paper.feeds.replay_series import Series, joined_bars, split_bar
from titan.paper.feeds.replay_tracks import Track, candle_series, candle_values, open_track
from titan.paper.feeds.synthetic_path import generator

HOUR_MS = 3_600_000
TRADES_WARMUP_MS = 2 * HOUR_MS
CANDLES_WARMUP_MS = 96 * HOUR_MS
WARMUP_SHARE = 10
"""A replay warms up for a tenth of its span at most."""
FUNDING_RATE = Decimal("0.0001")
DEPTH_IN_TRADES = 4.0
SLOW_MINUTES = 5


class ReplayFeed:
    """A `Feed` of recorded files; see the module for what holds."""

    def __init__(self, paths: Sequence[Path], symbols: Sequence[str] = (), warmup_file: Path | None = None) -> None:
        """Check and index the files; only `symbols` (canonical) when given. Raises FeedError."""
        files = _select([inspect_file(path) for path in _expand(paths)], symbols)
        tracks = {file.symbol: open_track(file) for file in files}
        begin = max(file.first_ms for file in files)
        self.end_ms: int | None = min(file.end_ms for file in files)
        if begin >= self.end_ms and len(files) > 1:
            raise FeedError(
                f"the files do not overlap in time: {', '.join(_span(file) for file in files)};"
                " replay files of one period together"
            )
        self.name = "replay:" + ",".join(file.path.name for file in files)
        self.instruments: tuple[FeedInstrument, ...] = tuple(track.instrument for track in tracks.values())
        if warmup_file is None:
            self.start_ms, self.warmup = _own_warmup(files, begin, self.end_ms)
            before: dict[str, Series] = {}
        else:
            self.start_ms = begin - begin % 1000
            before, self.warmup = _warmup_series(inspect_file(warmup_file), tracks, begin)
        self._players = {symbol: _Player(track, before.get(symbol)) for symbol, track in tracks.items()}

    def history(self, symbol: str, interval_s: int, before_ms: int, limit: int) -> list[Bar]:
        """Closed bars of the warm-up file and the recording; see `Feed.history`."""
        player = self._players.get(symbol)
        if player is None:
            raise FeedError(f"{self.name} has no {symbol}; it has {', '.join(self._players)}")
        return player.history(check_interval(interval_s, self.name), before_ms, limit)

    def events(self, from_ms: int) -> Iterator[FeedEvent]:
        """Events from `from_ms` (never before `start_ms`) to the end of the recording, in time order."""
        start = max(from_ms, self.start_ms)
        end = self.end_ms if self.end_ms is not None else start
        streams = [player.minutes(start // MINUTE_MS) for player in self._players.values()]
        for _, block in _by_minute(streams):
            for event in block:
                if event.ts_ms > end:
                    return
                if event.ts_ms >= start:
                    yield event


class _Player:
    """A track with its renderer and the bars before it."""

    def __init__(self, track: Track, before: Series | None) -> None:
        series = track.series
        self._track = track
        self._series = series
        self._before = before
        self._first_minute = int(series.open_ms[0]) // MINUTE_MS
        self._renderer = Renderer(
            track.instrument,
            float(series.rows[3].mean()),
            generator(0, track.instrument.symbol, "depth"),
        )
        self._interest = max(1, int(series.rows[4].sum()))
        self._slow = _ema(series.rows[3].astype(np.float64), SLOW_MINUTES)

    def history(self, interval_s: int, before_ms: int, limit: int) -> list[Bar]:
        own = self._series
        if interval_s < own.step_s and not own.step_s % interval_s:
            own = _finer(own, interval_s, before_ms, limit)
        parts = [part for part in (self._before, own) if part is not None]
        times, rows = joined_bars(parts, interval_s, before_ms, limit)
        price, size = self._renderer.prices, self._renderer.sizes
        return [
            Bar(at, price[o], price[h], price[low], price[c], size[lots])
            for at, (o, h, low, c, lots) in zip(times.tolist(), rows.T.tolist(), strict=True)
        ]

    def minutes(self, from_minute: int) -> Iterator[tuple[int, list[FeedEvent]]]:
        step = self._series.step_s // 60
        for minute, tape, ids in self._track.minutes(from_minute):
            closed = (minute - self._first_minute) // step - 1
            anchor = self._slow[closed] if closed >= 0 else float(self._series.rows[0, 0])
            state = MinuteState(
                minute=minute,
                depth_lots=self._track.trade_lots(minute) * DEPTH_IN_TRADES,
                premium=0.0,
                funding_rate=FUNDING_RATE,
                interest_lots=self._interest,
                mark_anchor=float(anchor),
            )
            keys: list[int] = []
            events: list[FeedEvent] = []
            self._renderer.render(tape, state, ids, keys, events)
            yield minute, in_time_order(keys, events)


def _by_minute(
    streams: list[Iterator[tuple[int, list[FeedEvent]]]],
) -> Iterator[tuple[int, list[FeedEvent]]]:
    """The minutes of several symbols, each minute's events merged by time."""
    if len(streams) == 1:
        yield from streams[0]
        return
    held_minute, held = -1, list[list[FeedEvent]]()
    for minute, block in heapq.merge(*streams, key=lambda item: item[0]):
        if minute != held_minute and held:
            yield held_minute, list(heapq.merge(*held, key=lambda event: event.ts_ms))
            held = []
        held_minute = minute
        held.append(block)
    if held:
        yield held_minute, list(heapq.merge(*held, key=lambda event: event.ts_ms))


def _expand(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("*.parquet"))
            if not inside:
                raise FeedError(f"the folder {path} holds no .parquet file; put recordings there or name one")
            found.extend(inside)
        else:
            found.append(path)
    if not found:
        raise FeedError("replay names no file; write replay:PATH with a Parquet file of trades or candles")
    return found


def _select(files: list[RecordedFile], symbols: Sequence[str]) -> list[RecordedFile]:
    held = {file.symbol for file in files}
    missing = [symbol for symbol in symbols if symbol not in held]
    if missing:
        raise FeedError(
            f"the recording has no {', '.join(missing)}; it has {', '.join(sorted(held))}; choose among these"
        )
    chosen = [file for file in files if not symbols or file.symbol in symbols]
    by_symbol: dict[str, RecordedFile] = {}
    for file in chosen:
        other = by_symbol.setdefault(file.symbol, file)
        if other is not file:
            raise FeedError(f"{other.path.name} and {file.path.name} both hold {file.symbol}; replay one file a symbol")
    return list(by_symbol.values())


def _own_warmup(files: list[RecordedFile], begin: int, end: int) -> tuple[int, str]:
    candles = all(file.kind is FileKind.CANDLES for file in files)
    limit = CANDLES_WARMUP_MS if candles else TRADES_WARMUP_MS
    span = min(limit, (end - begin) // WARMUP_SHARE)
    start = begin + span
    start -= start % (MINUTE_MS if span >= MINUTE_MS else 1000)
    known = _duration(start - min(file.first_ms for file in files))
    return start, f"the first {known} of the recording warm up; what needs longer history stays silent"


def _warmup_series(warm: RecordedFile, tracks: dict[str, Track], start_ms: int) -> tuple[dict[str, Series], str]:
    """The bars of a warm-up file as history of its symbol, moved and scaled where they do not fit."""
    if warm.kind is not FileKind.CANDLES:
        raise FeedError(f"the warm-up file {warm.path.name} holds trades; it must hold candles")
    if warm.symbol not in tracks and len(tracks) > 1:
        raise FeedError(
            f"the warm-up file {warm.path.name} holds {warm.symbol}, the replay {', '.join(tracks)};"
            " give a warm-up file of one of these"
        )
    track = tracks.get(warm.symbol) or next(iter(tracks.values()))
    same = track.instrument.symbol == warm.symbol
    times, values = candle_values(warm)
    step = warm.interval_s * 1000
    own_first = track.file.first_ms
    anchor = own_first - own_first % step
    usable = times + step <= own_first
    if same and bool(usable.any()) and own_first - int(times[usable][-1]) - step <= step:
        series = candle_series(warm, times[usable], values[:, usable], track.instrument)
        hours = len(series.open_ms) * warm.interval_s // 3600
        return {track.instrument.symbol: series}, f"{warm.path.name} precedes the replay with {hours} h of bars"
    factor = float(track.series.rows[0, 0]) * float(track.instrument.tick) / float(values[3, -1])
    moved = np.concatenate((values[:4] * factor, values[4:]))
    shift = anchor - (int(times[-1]) + step)
    scaled = replace(warm, first_ms=warm.first_ms + shift, last_ms=warm.last_ms + shift)
    series = candle_series(scaled, times + shift, moved, track.instrument)
    hours = len(series.open_ms) * warm.interval_s // 3600
    return {track.instrument.symbol: series}, (
        f"{warm.path.name} gives {hours} h of bars, moved in time to end at the start"
        f" and scaled by {factor:.4g} to meet the first price"
    )


def _finer(series: Series, interval_s: int, before_ms: int, limit: int) -> Series:
    """The last bars of a candle recording as the finer bars that its trades draw."""
    width = series.step_s * 1000
    part = series.between(before_ms - limit * interval_s * 1000 - 2 * width, before_ms // width * width + width)
    pieces: list[tuple[int, int, int, int, int]] = []
    for o, h, low, c, lots in part.rows.T.tolist():
        pieces.extend(split_bar((o, h, low, c, lots), series.step_s // 60))
    if not pieces:
        return part
    times = int(part.open_ms[0]) + np.arange(len(pieces), dtype=np.int64) * MINUTE_MS
    return Series(60, times, np.array(pieces, dtype=np.int64).T)


def _ema(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], span: int) -> list[float]:
    weight, level, out = 2 / (span + 1), float(values[0]), list[float]()
    for value in values.tolist():
        level += weight * (value - level)
        out.append(level)
    return out


def _span(file: RecordedFile) -> str:
    return f"{file.path.name} ({file.first_ms} to {file.end_ms})"


def _duration(ms: int) -> str:
    if ms >= 2 * HOUR_MS:
        return f"{ms / HOUR_MS:.0f} h"
    return f"{ms / MINUTE_MS:.0f} min" if ms >= MINUTE_MS else f"{ms / 1000:.0f} s"
