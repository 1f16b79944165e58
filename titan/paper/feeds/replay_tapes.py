"""Tapes of a replay: quotes derived around recorded trades, and trades expanded from candles.

Guarantees: a pure function of the rows; recorded trades keep their time, price, quantity and side; a
candle's trades open, peak, bottom and close where the candle does and add up to its volume.
The order book of a trade recording is not recorded: the derived one puts each trade at its bid or ask.
Never does: I/O, clocks.
"""

from __future__ import annotations

import numpy as np

from titan.paper.feeds.bars import MINUTE_MS
from titan.paper.feeds.render import BoolArray, IntArray, MinuteTape
from titan.paper.feeds.synthetic_path import generator
from titan.paper.feeds.synthetic_tape import TRADES_A_MINUTE, MinuteRow, minute_tape

MIN_BAR_LOTS = 4
_SPARSE_MS = (400, 20_300, 40_600, 59_500)
_SECONDS = np.arange(0, MINUTE_MS, 1000, dtype=np.int64)


def tape_from_trades(
    at_ms: IntArray, price: IntArray, buy: BoolArray, lots: IntArray, spread: int, bid_before: int
) -> MinuteTape:
    """Quotes around a minute's trades: one at every whole second, one where a trade leaves the last.

    `at_ms` are from the minute's start; trades of one millisecond are one sweep: the quote before it
    meets its first trade, the quote a millisecond later its last.
    """
    bids = np.maximum(1, price - spread * buy)
    if len(at_ms):
        first = np.flatnonzero(np.concatenate(([True], np.diff(at_ms) > 0)))
        last = np.concatenate((first[1:], [len(at_ms)])) - 1
        swept = last[(bids[last] != bids[first]) & (at_ms[last] + 1 < MINUTE_MS)]
    else:
        first = swept = np.zeros(0, dtype=np.int64)
    times = np.concatenate((at_ms[swept] + 1, at_ms[first]))
    levels = np.concatenate((bids[swept], bids[first]))
    order = np.argsort(times, kind="stable")
    times, levels = times[order], levels[order]
    before = np.searchsorted(times, _SECONDS, side="left") - 1
    second_bids = np.where(before >= 0, levels[np.maximum(before, 0)] if len(levels) else 0, bid_before)
    all_times = np.concatenate((_SECONDS, times))
    all_bids = np.concatenate((second_bids, levels)).astype(np.int64)
    regular = np.concatenate((np.ones(len(_SECONDS), np.bool_), np.zeros(len(times), np.bool_)))
    order = np.argsort(all_times, kind="stable")
    all_times, all_bids, regular = all_times[order], all_bids[order], regular[order]
    keep = regular | np.concatenate(([True], np.diff(all_bids) != 0))
    return MinuteTape(
        spread=spread,
        quote_ms=all_times[keep],
        quote_bid=all_bids[keep],
        trade_ms=at_ms,
        trade_price=price,
        trade_buy=buy,
        trade_lots=lots,
        forced=np.zeros(len(at_ms), dtype=np.bool_),
    )


def tape_from_bar(symbol: str, minute: int, row: tuple[int, int, int, int, int]) -> MinuteTape:
    """The trades of a one-minute bar: a bridge for a wide, busy bar, four trades for a narrow one."""
    first, high, low, last, lots = row
    sigma = 0.6 * (high - low) / first
    if high - low >= 4 and lots >= 40:
        bar = MinuteRow(first, high, low, last, lots, sigma, None)
        rng = generator(0, symbol, "candle", minute)
        return minute_tape(bar, rng, min(TRADES_A_MINUTE, lots // 4))
    empty = np.zeros(0, dtype=np.int64)
    if lots < MIN_BAR_LOTS:
        return tape_from_trades(empty, empty, empty.astype(np.bool_), empty, 1, max(1, last))
    near, far = (low, high) if last >= first else (high, low)
    price = np.array([first, near, far, last], dtype=np.int64)
    sizes = np.full(4, lots // 4, dtype=np.int64)
    sizes[-1] += lots - int(sizes.sum())
    buy = np.array([last >= first, near == high, far == high, last >= first], dtype=np.bool_)
    return tape_from_trades(np.array(_SPARSE_MS, dtype=np.int64), price, buy, sizes, 1, max(1, first))
