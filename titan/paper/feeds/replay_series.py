"""Bars of a replay: grouping, gap filling, and joining a warm-up file to a recording.

Guarantees: pure functions over whole ticks and lots; a bar that would begin before the first known row
is left out rather than shown half; gaps inside a recording become flat bars without volume.
Never does: I/O, clocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of `step_s` seconds without gaps: opening times and rows open, high, low, close, lots."""

    step_s: int
    open_ms: IntArray
    rows: IntArray

    @property
    def end_ms(self) -> int:
        """The close of the last bar."""
        return int(self.open_ms[-1]) + self.step_s * 1000

    def between(self, from_ms: int, to_ms: int) -> Series:
        """The bars that open at or after `from_ms` and close at or before `to_ms`."""
        keep = (self.open_ms >= from_ms) & (self.open_ms + self.step_s * 1000 <= to_ms)
        return Series(self.step_s, self.open_ms[keep], self.rows[:, keep])


def dense(step_s: int, open_ms: IntArray, rows: IntArray) -> Series:
    """Fill the gaps between bars with flat bars at the last close."""
    step = step_s * 1000
    slots = (open_ms - open_ms[0]) // step
    count = int(slots[-1]) + 1
    if count == len(open_ms):
        return Series(step_s, open_ms, rows)
    source = np.searchsorted(slots, np.arange(count), side="right") - 1
    filled = rows[:, source].copy()
    gaps = np.ones(count, dtype=np.bool_)
    gaps[slots] = False
    filled[:3, gaps] = filled[3, gaps]
    filled[4, gaps] = 0
    return Series(step_s, open_ms[0] + np.arange(count, dtype=np.int64) * step, filled)


def group(buckets: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Merge neighbouring rows of the same bucket into one bar each; buckets do not decrease."""
    starts = np.flatnonzero(np.concatenate(([True], np.diff(buckets) > 0)))
    ends = np.concatenate((starts[1:], [len(buckets)])) - 1
    merged = np.stack(
        (
            rows[0, starts],
            np.maximum.reduceat(rows[1], starts),
            np.minimum.reduceat(rows[2], starts),
            rows[3, ends],
            np.add.reduceat(rows[4], starts),
        )
    )
    return buckets[starts], merged


def joined_bars(parts: list[Series], interval_s: int, before_ms: int, limit: int) -> tuple[IntArray, IntArray]:
    """Bars of `interval_s` from series that follow each other; series too coarse for it are left out."""
    width = interval_s * 1000
    end = before_ms // width * width
    start = end - (max(0, limit) + 1) * width
    fitting = [part.between(start, end) for part in parts if part.step_s <= interval_s and not interval_s % part.step_s]
    fitting = [part for part in fitting if len(part.open_ms)]
    if not fitting:
        return np.zeros(0, dtype=np.int64), np.zeros((5, 0), dtype=np.int64)
    times = np.concatenate([part.open_ms for part in fitting])
    rows = np.concatenate([part.rows for part in fitting], axis=1)
    buckets, bars = group(times // width, rows)
    if int(times[0]) % width:
        buckets, bars = buckets[1:], bars[:, 1:]
    take = max(0, limit)
    keep = slice(max(0, len(buckets) - take), len(buckets))
    return buckets[keep] * width, bars[:, keep]


def split_bar(row: tuple[int, int, int, int, int], minutes: int) -> list[tuple[int, int, int, int, int]]:
    """A bar as `minutes` one-minute bars: open, then the near extreme, then the far one, then close.

    A rising bar touches its low first, a falling one its high. Open, extremes, close and lots are kept.
    """
    first, high, low, last, lots = row
    if minutes == 1:
        return [row]
    near, far = (low, high) if last >= first else (high, low)
    knots = (0, max(1, minutes // 3), max(2, 2 * minutes // 3), minutes)
    if minutes == 2:
        halves = ((first, near, lots - lots // 2), (near, last, lots // 2))
        return [
            (begin, max(begin, end, far if index else begin), min(begin, end, far if index else begin), end, size)
            for index, (begin, end, size) in enumerate(halves)
        ]
    path = np.rint(np.interp(np.arange(minutes + 1), knots, (first, near, far, last))).astype(int).tolist()
    bars: list[tuple[int, int, int, int, int]] = []
    for index in range(minutes):
        begin, end = path[index], path[index + 1]
        slack = abs(end - begin) // 4
        bars.append(
            (
                begin,
                min(high, max(begin, end) + slack),
                max(low, min(begin, end) - slack),
                end,
                lots * (index + 1) // minutes - lots * index // minutes,
            )
        )
    return bars
