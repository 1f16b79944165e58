"""One minute of a seeded market as quotes and trades, fitted exactly to its row of the minute grid.

Guarantees: the first trade is the open, the last the close, the extremes are traded, no trade lies
outside them, and the traded lots add up to the row's volume. Every trade happens at the bid or the ask
in force; quotes never stand for a second without being repeated. A pure function of its arguments.
Never does: I/O, clocks, Decimal (see `synthetic`, which renders the tape).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from titan.paper.feeds.bars import MINUTE_MS
from titan.paper.feeds.render import IntArray, MinuteTape
from titan.paper.feeds.synthetic_path import SWEEP, StopRun, spread_ticks

QUOTE_STEP_MS = 400
TRADES_A_MINUTE = 260
QUIET_BEFORE_MS = 140
HOLD_MS = 800
"""After a burst the price holds beyond the trigger for this long."""
_BURST_STEPS = (0, 15, 30, 45, 60)
_HOLD_STEPS = (110, 400, 700)
_HOLD_TRADES = (112, 141, 183, 251, 334, 452, 611)


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """One minute of the grid: prices in ticks, volume in lots, volatility as a fraction."""

    open: int
    high: int
    low: int
    close: int
    lots: int
    sigma: float
    run: StopRun | None


def minute_tape(row: MinuteRow, rng: np.random.Generator, trades: int = TRADES_A_MINUTE) -> MinuteTape:
    """Bridge the row from its open to its close with quotes and about `trades` trades drawn from `rng`.

    The row must be at least two ticks wide and hold more lots than trades.
    """
    spread = min(spread_ticks(row.open, row.sigma), (row.high - row.low) // 2)
    steps = np.arange(0, MINUTE_MS, QUOTE_STEP_MS, dtype=np.int64)
    steps[1:] += rng.integers(0, QUOTE_STEP_MS, len(steps) - 1)
    run = row.run
    if run is not None:
        at = run.at_ms
        keep = (steps < at - 1) | (steps >= at + HOLD_MS)
        own = np.array([at + offset for offset in _BURST_STEPS + _HOLD_STEPS], dtype=np.int64)
        block = int(np.count_nonzero(keep & (steps < at)))
        steps = np.concatenate((steps[keep][:block], own, steps[keep][block:]))
        block_end = block + len(own)
    else:
        block = block_end = 0
    bids, high_at, low_at = _bid_path(row, spread, steps, (block, block_end), rng)
    open_buy = bool(row.open - spread >= row.low)
    close_buy = bool(row.close - spread >= row.low)
    bids[0] = row.open - spread if open_buy else row.open
    bids[-1] = row.close - spread if close_buy else row.close

    first_ms = int(rng.integers(0, 60))
    last_ms = MINUTE_MS - 1 - int(rng.integers(0, MINUTE_MS - 1 - int(steps[-1]) + 1))
    times = np.sort(rng.integers(first_ms + 1, max(first_ms + 2, last_ms), int(rng.poisson(trades))))
    uniform = rng.random(len(times))
    slope = np.sign(np.diff(bids, append=bids[-1]))
    index = np.searchsorted(steps, times, side="right") - 1
    buys = uniform < 0.5 + 0.16 * slope[index]
    special_ms = [first_ms, last_ms, int(steps[high_at]), int(steps[low_at])]
    special_buy = [open_buy, close_buy, True, False]
    weights = [np.ones(len(times)), np.ones(4)]
    forced = [np.zeros(len(times), dtype=np.bool_), np.zeros(4, dtype=np.bool_)]
    if run is not None:
        ordinary = (times < run.at_ms - QUIET_BEFORE_MS) | (times >= run.at_ms + HOLD_MS)
        times, buys = times[ordinary], buys[ordinary]
        burst = np.sort(rng.integers(run.at_ms, run.at_ms + 75, run.trades))
        hold = np.array([run.at_ms + offset for offset in _HOLD_TRADES], dtype=np.int64)
        with_run = rng.random(run.trades) < 0.92
        liquidations = with_run & (rng.random(run.trades) < (0.25 if run.cascade else 0.04))
        weights = [np.ones(len(times)), np.ones(4), np.full(run.trades, 1.6), np.ones(len(hold))]
        forced = [np.zeros(len(times) + 4, dtype=np.bool_), liquidations, np.zeros(len(hold), dtype=np.bool_)]
        times = np.concatenate((times, special_ms, burst, hold))
        buys = np.concatenate((buys, special_buy, with_run == (run.side > 0), np.full(len(hold), run.side > 0)))
    else:
        times = np.concatenate((times, special_ms))
        buys = np.concatenate((buys, special_buy))
    order = np.argsort(times, kind="stable")
    trade_ms = times[order].astype(np.int64)
    trade_buy = buys[order].astype(np.bool_)
    index = np.searchsorted(steps, trade_ms, side="right") - 1
    lots = _split(row.lots, np.concatenate(weights)[order], rng)
    return MinuteTape(
        spread=spread,
        quote_ms=steps,
        quote_bid=bids,
        trade_ms=trade_ms,
        trade_price=bids[index] + spread * trade_buy,
        trade_buy=trade_buy,
        trade_lots=lots,
        forced=np.concatenate(forced)[order],
    )


def _bid_path(
    row: MinuteRow, spread: int, steps: IntArray, block: tuple[int, int], rng: np.random.Generator
) -> tuple[IntArray, int, int]:
    """The bid at every quote step, and the steps at which the high and the low trade."""
    last = len(steps) - 1
    floor, ceiling = row.low, row.high - spread
    run, calm = row.run, 0.0
    knots: dict[int, float] = {0: float(row.open), last: float(row.close)}
    if run is None:
        early, late = int(rng.integers(2, last // 2)), int(rng.integers(last // 2, last - 1))
        high_at, low_at = (late, early) if row.close >= row.open else (early, late)
    else:
        before = int(rng.integers(2, block[0] - 2))
        after, later = sorted((int(rng.integers(block[1] + 2, last - 8)), int(rng.integers(block[1] + 2, last - 8))))
        later += 3
        with_run = (row.close - row.open) * run.side >= 0
        near, far = (after, before) if with_run else (after, later)
        high_at, low_at = (near, far) if run.side > 0 else (far, near)
        calm = run.trigger * (1 - run.side * 0.0002)
        swept = run.trigger * (1 + run.side * SWEEP)
        knots[block[0] - 1] = calm - run.side * (spread + 1)
        for place, share in enumerate((0.0, 0.4, 0.65, 0.85, 1.0, 0.9, 0.8, 0.7)):
            knots[block[0] + place] = calm + (swept - calm) * share
    knots[high_at] = float(ceiling)
    knots[low_at] = float(floor)
    places = sorted(knots)
    path = np.interp(np.arange(last + 1), places, [knots[place] for place in places])
    noise = np.cumsum(rng.standard_normal(last + 1)) * (row.open * row.sigma * 0.5 / np.sqrt(last))
    noise -= np.interp(np.arange(last + 1), places, noise[places])
    bids = np.rint(path + noise).astype(np.int64)
    if run is not None:
        guard = int(calm) - run.side * spread
        head = bids[: block[0]]
        bids[: block[0]] = np.minimum(head, guard) if run.side > 0 else np.maximum(head, guard)
        bids[block[0] : block[1]] = np.rint(path[block[0] : block[1]]).astype(np.int64)
    bids = bids.clip(floor, ceiling)
    bids[high_at], bids[low_at] = ceiling, floor
    return bids, high_at, low_at


def _split(lots: int, weights: npt.NDArray[np.float64], rng: np.random.Generator) -> IntArray:
    """`lots` over the trades by log-normal weights, at least one each, adding up exactly."""
    shares = weights * np.exp(rng.standard_normal(len(weights)) * 1.1)
    count = len(shares)
    split: IntArray = 1 + np.floor((lots - count) * (shares / shares.sum())).astype(np.int64)
    split[int(np.argmax(split))] += lots - int(split.sum())
    return split
