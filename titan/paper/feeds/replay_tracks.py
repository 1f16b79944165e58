"""One symbol of a replay: the index of its recording and its minutes as tapes.

Guarantees: opening a track reads the file once in batches and keeps only bars; minutes are read again
from the file when they are played, so memory does not grow with the number of trades. What a minute
shows depends on that minute and on closed minutes before it, so any starting point gives the same events.
Never does: look ahead of the minute it plays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from titan.paper.feeds.bars import MINUTE_MS
from titan.paper.feeds.base import FeedError, FeedInstrument
from titan.paper.feeds.instruments import inferred_instrument, known_instrument
from titan.paper.feeds.render import BoolArray, IntArray, MinuteTape
from titan.paper.feeds.replay_files import CANDLE_COLUMNS, TRADE_COLUMNS, RecordedFile, batches
from titan.paper.feeds.replay_series import Series, dense, group, split_bar
from titan.paper.feeds.replay_tapes import MIN_BAR_LOTS, tape_from_bar, tape_from_trades

FloatArray = npt.NDArray[np.float64]

MAX_PLACES = 8
RECENT_MINUTES = 10


class Track(Protocol):
    """What the replay needs of a symbol."""

    file: RecordedFile
    instrument: FeedInstrument
    series: Series

    def minutes(self, from_minute: int) -> Iterator[tuple[int, MinuteTape, list[str]]]:
        """(epoch minute, tape, trade ids) of every minute from `from_minute` to the end, no gaps."""

    def trade_lots(self, minute: int) -> float:
        """The typical size of a trade in the closed minutes before `minute`, in lots."""


class TradeTrack:
    """A recording of trades."""

    def __init__(self, file: RecordedFile) -> None:
        self.file = file
        prices: list[FloatArray] = []
        minutes: list[IntArray] = []
        sizes: list[FloatArray] = []
        price_places = size_places = row = 0
        for batch in batches(file, TRADE_COLUMNS):
            times, price, qty, buy = _trade_columns(file, batch, row)
            price_places = _places(price, price_places)
            size_places = _places(qty, size_places)
            bounce = np.abs(np.diff(price, prepend=price[0])) * (np.diff(buy, prepend=buy[0]) != 0)
            minute = times // MINUTE_MS
            starts = np.flatnonzero(np.concatenate(([True], np.diff(minute) > 0)))
            ends = np.concatenate((starts[1:], [len(minute)])) - 1
            minutes.append(minute[starts])
            prices.append(
                np.stack(
                    (
                        price[starts],
                        np.maximum.reduceat(price, starts),
                        np.minimum.reduceat(price, starts),
                        price[ends],
                    )
                )
            )
            sizes.append(
                np.stack(
                    (
                        np.add.reduceat(qty, starts),
                        (ends - starts + 1).astype(np.float64),
                        np.add.reduceat(bounce, starts),
                        np.add.reduceat((bounce > 0).astype(np.float64), starts),
                    )
                )
            )
            row += len(times)
        self.instrument = _instrument(file.symbol, price_places, size_places, exact_lots=True)
        self._tick, self._lot = float(self.instrument.tick), float(self.instrument.lot)
        minute = np.concatenate(minutes)
        measures = np.concatenate(sizes, axis=1)
        ticks = np.rint(np.concatenate(prices, axis=1) / self._tick)
        rows = np.concatenate((ticks, np.rint(measures[:1] / self._lot))).astype(np.int64)
        slots, merged = group(minute, rows)
        self.series = dense(60, slots * MINUTE_MS, merged)
        self._first_minute = int(slots[0])
        measured = np.zeros((4, len(self.series.open_ms)))
        np.add.at(measured.T, minute - self._first_minute, measures.T)
        self._measured = measured

    def minutes(self, from_minute: int) -> Iterator[tuple[int, MinuteTape, list[str]]]:
        """See `Track`; a minute without trades has quotes only."""
        expected = max(from_minute, self._first_minute)
        for minute, rows in self._blocks(expected):
            while expected < minute:
                yield self._tape(expected, None)
                expected += 1
            yield self._tape(minute, rows)
            expected = minute + 1

    def trade_lots(self, minute: int) -> float:
        """See `Track`."""
        window = self._recent(minute)
        count = float(window[1].sum())
        return float(window[0].sum()) / self._lot / count if count else 1.0

    def _recent(self, minute: int) -> FloatArray:
        place = minute - self._first_minute
        recent = self._measured[:, max(0, place - RECENT_MINUTES) : max(1, place)]
        return recent if recent[1].any() else self._measured[:, : max(1, place)]

    def _spread(self, minute: int, price_ticks: int) -> int:
        window = self._recent(minute)
        flips = float(window[3].sum())
        typical = float(window[2].sum()) / flips / self._tick / 2 if flips else 1.0
        return max(1, min(round(typical), price_ticks // 10_000))

    def _tape(
        self, minute: int, rows: tuple[IntArray, IntArray, BoolArray, IntArray, list[str]] | None
    ) -> tuple[int, MinuteTape, list[str]]:
        place = max(0, minute - self._first_minute - 1)
        before = int(self.series.rows[3 if minute > self._first_minute else 0, place])
        spread = self._spread(minute, before)
        if rows is None:
            empty = np.zeros(0, dtype=np.int64)
            rows = (empty, empty, empty.astype(np.bool_), empty, [])
        at, price, buy, lots, ids = rows
        return minute, tape_from_trades(at, price, buy, lots, spread, max(1, before)), ids

    def _blocks(
        self, from_minute: int
    ) -> Iterator[tuple[int, tuple[IntArray, IntArray, BoolArray, IntArray, list[str]]]]:
        """The recorded trades from a minute on, a minute at a time."""
        held: list[tuple[IntArray, IntArray, BoolArray, IntArray, list[str]]] = []
        held_minute, row = -1, 0
        for batch in batches(self.file, (*TRADE_COLUMNS, "trade_id")):
            count = batch.num_rows
            if count and pc.max(batch.column("ts_ms")).as_py() < from_minute * MINUTE_MS:
                row += count
                continue
            times, price, qty, buy = _trade_columns(self.file, batch, row)
            ids = _ids(batch, row)
            ticks = np.rint(price / self._tick).astype(np.int64)
            lots = np.maximum(1, np.rint(qty / self._lot)).astype(np.int64)
            minute = times // MINUTE_MS
            starts = np.flatnonzero(np.concatenate(([True], np.diff(minute) > 0))).tolist()
            for start, end in zip(starts, [*starts[1:], count], strict=True):
                current = int(minute[start])
                if current != held_minute and held:
                    yield held_minute, _merge(held)
                    held = []
                if current >= from_minute:
                    part = slice(start, end)
                    at = times[part] - current * MINUTE_MS
                    held.append((at, ticks[part], buy[part], lots[part], ids[start:end]))
                held_minute = current
            row += count
        if held:
            yield held_minute, _merge(held)


class CandleTrack:
    """A recording of candles; each bar is played as a path from open over its extremes to close."""

    def __init__(self, file: RecordedFile) -> None:
        self.file = file
        times, values = candle_values(file)
        self.instrument = _instrument(
            file.symbol, _places(values[:4].ravel(), 0), _places(values[4], 0), exact_lots=False
        )
        self.series = candle_series(file, times, values, self.instrument)

    def minutes(self, from_minute: int) -> Iterator[tuple[int, MinuteTape, list[str]]]:
        """See `Track`."""
        step = self.series.step_s // 60
        first_minute = int(self.series.open_ms[0]) // MINUTE_MS
        symbol = self.instrument.symbol
        begin = max(0, (from_minute - first_minute) // step)
        for place in range(begin, len(self.series.open_ms)):
            first, high, low, last, lots = self.series.rows[:, place].tolist()
            for offset, row in enumerate(split_bar((first, high, low, last, lots), step)):
                minute = first_minute + place * step + offset
                if minute >= from_minute:
                    tape = tape_from_bar(symbol, minute, row)
                    number = minute * 1000
                    yield minute, tape, [str(number + index) for index in range(len(tape.trade_ms))]

    def trade_lots(self, minute: int) -> float:
        """See `Track`; candles do not count trades, so a 60th of a minute's volume stands for one."""
        place = (minute * MINUTE_MS - int(self.series.open_ms[0])) // (self.series.step_s * 1000)
        recent = self.series.rows[4, max(0, place - RECENT_MINUTES) : max(1, place)]
        return max(1.0, float(recent.mean()) / self.series.step_s)


def candle_values(file: RecordedFile) -> tuple[IntArray, FloatArray]:
    """Opening times and rows open, high, low, close, volume of a candle file. Raises FeedError."""
    times: list[IntArray] = []
    values: list[FloatArray] = []
    row = 0
    for batch in batches(file, CANDLE_COLUMNS):
        times.append(_numbers(file, batch, "ts_ms", row).astype(np.int64))
        columns = np.stack([_numbers(file, batch, name, row) for name in CANDLE_COLUMNS[1:]])
        _require(file, row, columns[:4].min(axis=0) > 0, "a price that is not above zero")
        _require(file, row, columns[4] >= 0, "a negative volume")
        _require(file, row, columns[1] >= columns[:4].max(axis=0), "a high below another price of its bar")
        _require(file, row, columns[2] <= columns[:4].min(axis=0), "a low above another price of its bar")
        values.append(columns)
        row += len(columns[0])
    return np.concatenate(times), np.concatenate(values, axis=1)


def candle_series(file: RecordedFile, times: IntArray, values: FloatArray, instrument: FeedInstrument) -> Series:
    """Candle rows on an instrument's grids; a traded bar holds at least four lots a minute."""
    ticks = np.maximum(1, np.rint(values[:4] / float(instrument.tick)))
    lots = np.rint(values[4] / float(instrument.lot))
    lots = np.where(values[4] > 0, np.maximum(lots, MIN_BAR_LOTS * (file.interval_s // 60)), 0)
    return dense(file.interval_s, times, np.concatenate((ticks, lots[None, :])).astype(np.int64))


def open_track(file: RecordedFile) -> Track:
    """The track of a checked file."""
    return CandleTrack(file) if file.interval_s else TradeTrack(file)


def _trade_columns(
    file: RecordedFile, batch: pa.RecordBatch, row: int
) -> tuple[IntArray, FloatArray, FloatArray, BoolArray]:
    times = _numbers(file, batch, "ts_ms", row).astype(np.int64)
    price, qty = _numbers(file, batch, "price", row), _numbers(file, batch, "qty", row)
    _require(file, row, price > 0, "a price that is not above zero")
    _require(file, row, qty > 0, "a quantity that is not above zero")
    side = batch.column("side")
    if side.null_count == len(side):
        return times, price, qty, _tick_rule(price)
    text = side.cast(pa.string())
    buy = pc.equal(text, "buy").fill_null(False).to_numpy(zero_copy_only=False)
    sell = pc.equal(text, "sell").fill_null(False).to_numpy(zero_copy_only=False)
    _require(file, row, buy | sell, "a side that is neither buy nor sell")
    return times, price, qty, buy


def _tick_rule(price: FloatArray) -> BoolArray:
    """Sides of a recording without sides: a rise is bought, a fall is sold, a repeat continues."""
    change = np.sign(np.diff(price, prepend=price[0]))
    latest = np.maximum.accumulate(np.where(change != 0, np.arange(len(change)), 0))
    rising: BoolArray = change[latest] >= 0
    return rising


def _numbers(file: RecordedFile, batch: pa.RecordBatch, name: str, row: int) -> FloatArray:
    column = batch.column(name)
    if column.null_count:
        _require(file, row, ~np.asarray(column.is_null()), f"an empty {name}")
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        cast = column.cast(pa.float64()) if name != "ts_ms" else column.cast(pa.int64())
    except pa.ArrowException as error:
        raise FeedError(
            f"column {name} of {file.path.name} has a cell that is no number near row {row + 1} ({error}); correct it"
        ) from error
    values: FloatArray = cast.to_numpy(zero_copy_only=False)
    if name != "ts_ms":
        _require(file, row, np.isfinite(values), f"a {name} that is not finite")
    return values


def _require(file: RecordedFile, row: int, good: npt.NDArray[np.bool_], complaint: str) -> None:
    if not good.all():
        place = row + int(np.flatnonzero(~good)[0]) + 1
        raise FeedError(f"row {place} of {file.path.name} has {complaint}; correct or remove the row")


def _places(values: FloatArray, known: int) -> int:
    """Decimal places that the values need, at least `known`, at most MAX_PLACES."""
    for places in range(known, MAX_PLACES):
        scaled = np.abs(values) * 10.0**places
        if bool((np.abs(scaled - np.rint(scaled)) <= 1e-9 * scaled + 1e-12).all()):
            return places
    return MAX_PLACES


def _instrument(symbol: str, price_places: int, size_places: int, *, exact_lots: bool) -> FeedInstrument:
    """The known instrument where the data lie on its grids, else one with the data's own grids.

    Candle volumes are sums: they do not show the lot, so `exact_lots` is False for them.
    """
    tick = Decimal(1).scaleb(-price_places)
    lot = Decimal(1).scaleb(-size_places)
    known = known_instrument(symbol)
    if known is None:
        lot = lot if exact_lots else max(lot, Decimal("0.001"))
        return inferred_instrument(symbol, [tick], [lot])
    if tick < known.tick:
        known = replace(known, tick=tick)
    if exact_lots and lot < known.lot:
        known = replace(known, lot=lot, min_qty=lot)
    return known


def _ids(batch: pa.RecordBatch, row: int) -> list[str]:
    if "trade_id" in batch.schema.names:
        ids = batch.column("trade_id").cast(pa.string()).to_pylist()
        return [str(row + place) if text is None else text for place, text in enumerate(ids)]
    return [str(row + place) for place in range(batch.num_rows)]


def _merge(
    parts: list[tuple[IntArray, IntArray, BoolArray, IntArray, list[str]]],
) -> tuple[IntArray, IntArray, BoolArray, IntArray, list[str]]:
    if len(parts) == 1:
        return parts[0]
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
        np.concatenate([part[3] for part in parts]),
        [text for part in parts for text in part[4]],
    )
