"""Bars from finer bars: one aggregation for every feed.

Guarantees: buckets are aligned to the Unix epoch; pure functions over arrays of shape (5, n) with the
rows open, high, low, close, volume, oldest first.
Never does: I/O, clocks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from titan.paper.feeds.base import FeedError

MINUTE_MS = 60_000


def check_interval(interval_s: int, feed: str) -> int:
    """The interval when whole minutes build it; else FeedError."""
    if interval_s < 60 or interval_s % 60:
        raise FeedError(
            f"{feed} has bars of whole minutes; {interval_s} s is not one of them, ask for 60 s or a multiple"
        )
    return interval_s


def aggregate(bars: npt.NDArray[np.int64], factor: int) -> npt.NDArray[np.int64]:
    """Every `factor` neighbouring bars as one; the number of bars must be a multiple of `factor`."""
    _, count = bars.shape
    grouped = bars.reshape(5, count // factor, factor)
    return np.stack(
        (
            grouped[0, :, 0],
            grouped[1].max(axis=1),
            grouped[2].min(axis=1),
            grouped[3, :, -1],
            grouped[4].sum(axis=1),
        )
    )
