"""The minute grid of a seeded market: open, high, low, close, volume and the stop runs of each minute.

Guarantees: a pure function of (seed, symbol, day) walked forward from a fixed first day, in whole UTC
days; the same seed gives the same grid however often and from wherever it is asked. Prices are ticks,
volumes are lots. All symbols share one market factor and one sequence of regimes.
Never does: I/O, clocks; it knows nothing of single trades (see `synthetic_tape`).
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from titan.paper.feeds.synthetic_levels import (
    Cluster,
    FloatArray,
    LevelKind,
    Levels,
    clusters_near,
    visible_levels,
)

MINUTES_A_DAY = 1440
HOURS_KEPT = 120
CORRELATION = 0.75
MAX_REACH = 0.009
BREAKOUT_REACH = 0.016
ATTRACTION = 0.0014
VALUE_PULL_MINUTES = 30
VALUE_RETURN_HOURS = 72
VALUE_SIGMA = 0.004
SWEEP = 0.0004
"""How far a stop run carries the price beyond its trigger within 60 ms (fraction)."""


@dataclass(frozen=True, slots=True)
class SymbolModel:
    """How one symbol moves: tick and lot as floats, centre price and beta to the market factor."""

    name: str
    tick: float
    lot: float
    price: float
    beta: float
    usd_a_minute: float


@dataclass(frozen=True, slots=True)
class Regime:
    """Volatility a minute, drift a minute and pull to the last two hours' mean (all fractions)."""

    name: str
    sigma: float
    drift: float
    pull: float


CALM = Regime("calm", 0.0005, 0.0, 0.0)
TREND_UP = Regime("trend up", 0.0009, 0.00015, 0.0)
TREND_DOWN = Regime("trend down", 0.0009, -0.00015, 0.0)
VOLATILE = Regime("volatile", 0.0017, 0.0, 0.0)
REVERTING = Regime("mean-reverting", 0.0012, 0.0, 0.06)
_REGIMES = (CALM, TREND_UP, TREND_DOWN, VOLATILE, REVERTING)
_REGIME_WEIGHTS = (0.12, 0.14, 0.14, 0.3, 0.3)


@dataclass(frozen=True, slots=True)
class StopRun:
    """A burst of taker trades through `trigger` (ticks), `at_ms` into the minute; side +1 buys, -1 sells."""

    at_ms: int
    trigger: float
    side: int
    trades: int
    cascade: bool
    kind: LevelKind


@dataclass(frozen=True, slots=True)
class DayGrid:
    """One UTC day of one symbol, an entry a minute."""

    open: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    close: npt.NDArray[np.int64]
    lots: npt.NDArray[np.int64]
    interest_lots: npt.NDArray[np.int64]
    sigma: FloatArray
    premium: FloatArray
    runs: dict[int, StopRun]


def generator(seed: int, *words: str | int) -> np.random.Generator:
    """An independent stream for a seed and any words; the same words give the same stream."""
    keys = [zlib.crc32(word.encode()) if isinstance(word, str) else word for word in words]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


@lru_cache(maxsize=8)
def market_day(seed: int, day: int) -> tuple[FloatArray, tuple[Regime, ...]]:
    """The day's common factor (unit normal a minute, with rare jumps) and its regime a minute."""
    rng = generator(seed, "market", day)
    factor = rng.standard_normal(MINUTES_A_DAY)
    jumps = rng.random(MINUTES_A_DAY) < 0.002
    factor = np.where(jumps, factor + np.sign(factor) * rng.uniform(3.0, 5.0, MINUTES_A_DAY), factor)
    regimes: list[Regime] = []
    while len(regimes) < MINUTES_A_DAY:
        regime = _REGIMES[int(rng.choice(len(_REGIMES), p=_REGIME_WEIGHTS))]
        regimes.extend([regime] * int(rng.integers(25, 90)))
    return factor, tuple(regimes[:MINUTES_A_DAY])


class SymbolPath:
    """Walks one symbol forward day by day and keeps every day it has walked."""

    def __init__(self, seed: int, model: SymbolModel, first_day: int) -> None:
        self._seed = seed
        self._model = model
        self._first_day = first_day
        self._days: list[DayGrid] = []
        self._base_ticks = model.price / model.tick
        self._price = round(self._base_ticks)
        self._mean = float(self._price)
        self._value = float(self._price)
        self._momentum = 0.0
        self._momentum_left = 0
        self._quiet_until = 0
        self._consumed: dict[tuple[LevelKind, int], int] = {}
        self._hours: list[tuple[float, float, float, float]] = []
        self._premium = 0.0
        self._interest = model.usd_a_minute * 200 / model.price / model.lot

    @property
    def first_day(self) -> int:
        """The epoch day at which the grid begins."""
        return self._first_day

    def day(self, day: int) -> DayGrid:
        """The grid of an epoch day at or after the first day; earlier days are an IndexError."""
        if day < self._first_day:
            raise IndexError(f"day {day} lies before the first day {self._first_day}")
        while len(self._days) <= day - self._first_day:
            self._days.append(self._walk(self._first_day + len(self._days)))
        return self._days[day - self._first_day]

    def _walk(self, day: int) -> DayGrid:
        model = self._model
        factor, regimes = market_day(self._seed, day)
        rng = generator(self._seed, model.name, day)
        own = rng.standard_normal(MINUTES_A_DAY)
        shocks = model.beta * (CORRELATION * factor + math.sqrt(1 - CORRELATION**2) * own)
        hourly = (rng.standard_normal(24) * VALUE_SIGMA).tolist()
        draws = rng.random((MINUTES_A_DAY, 10)).tolist()
        rows: list[tuple[int, int, int, int, int, int]] = []
        sigmas = [regime.sigma * model.beta for regime in regimes]
        premiums: list[float] = []
        runs: dict[int, StopRun] = {}
        levels = Levels()
        for minute, (shock, regime) in enumerate(zip(shocks.tolist(), regimes, strict=True)):
            if minute % 60 == 0:
                if minute:
                    self._close_hour(rows[-60:])
                levels = self._levels()
                self._value = self._fair_value(levels, hourly[minute // 60])
            row, run = self._step(
                (day - self._first_day) * MINUTES_A_DAY + minute, shock, regime, levels, draws[minute]
            )
            rows.append(row)
            premiums.append(self._premium)
            if run is not None:
                runs[minute] = run
        self._close_hour(rows[-60:])
        columns = np.array(rows, dtype=np.int64).T.copy()
        return DayGrid(
            open=columns[0],
            high=columns[1],
            low=columns[2],
            close=columns[3],
            lots=columns[4],
            interest_lots=columns[5],
            sigma=np.array(sigmas),
            premium=np.array(premiums),
            runs=runs,
        )

    def _levels(self) -> Levels:
        if not self._hours:
            return Levels()
        high, low, close, volume = np.array(self._hours, dtype=np.float64).T
        return visible_levels(high, low, close, volume)

    def _fair_value(self, levels: Levels, shock: float) -> float:
        """Where the next hour is drawn to: the last value, the heaviest node, and slowly the centre."""
        value = math.log(self._value) + shock
        if levels.nodes:
            value += 0.8 * (math.log(levels.nodes[0]) - value)
        value += (math.log(self._base_ticks) - value) / VALUE_RETURN_HOURS
        return math.exp(value)

    def _close_hour(self, rows: list[tuple[int, int, int, int, int, int]]) -> None:
        self._hours.append(
            (
                float(max(row[1] for row in rows)),
                float(min(row[2] for row in rows)),
                float(rows[-1][3]),
                float(sum(row[4] for row in rows)),
            )
        )
        del self._hours[:-HOURS_KEPT]

    def _step(
        self, index: int, shock: float, regime: Regime, levels: Levels, draws: list[float]
    ) -> tuple[tuple[int, int, int, int, int, int], StopRun | None]:
        start = self._price
        sigma = regime.sigma * self._model.beta
        move = sigma * shock + regime.drift + regime.pull * (self._mean / start - 1)
        clusters = [
            cluster
            for cluster in clusters_near(levels, start)
            if self._consumed.get((cluster.kind, cluster.side), 0) <= index
            and not (self._momentum_left and cluster.side * self._momentum < 0)
        ]
        if self._momentum_left:
            move += self._momentum
            self._momentum_left -= 1
        else:
            move += math.log(self._value / start) / VALUE_PULL_MINUTES
            move += _attraction(clusters, start)
        end = start * math.exp(max(-0.04, min(0.04, move)))
        top = _bridge_extreme(start, end, sigma, draws[0])
        bottom = 2 * start - _bridge_extreme(start, 2 * start - end, sigma, draws[1])
        run = self._stop_run(index, start, top, bottom, sigma, clusters, draws)
        if run is not None:
            end = self._after(run, draws)
            beyond = run.trigger * (1 + run.side * SWEEP * 1.5)
            wiggle = start * sigma * 0.2
            top = max(start, end, beyond) + wiggle * draws[0]
            bottom = min(start, end, beyond) - wiggle * draws[1]
        spread = spread_ticks(start, sigma)
        close = max(2, round(end))
        high = max(start, close, math.ceil(top))
        low = max(1, min(start, close, math.floor(bottom)))
        if high - low < 2 * spread + 2:
            high = low + 2 * spread + 2
        lots = self._volume(start, high - low, sigma, run, draws[2])
        self._remember(close, start, run, draws[3])
        return (start, high, low, close, lots, int(self._interest)), run

    def _stop_run(
        self,
        index: int,
        start: int,
        top: float,
        bottom: float,
        sigma: float,
        clusters: list[Cluster],
        draws: list[float],
    ) -> StopRun | None:
        """At most one cluster is run a minute: those the path crosses anyway first, near ones more often."""
        if index < self._quiet_until or not clusters:
            return None
        eager = 0.9 * min(1.0, sigma / 0.001)
        hazards: list[float] = []
        for cluster in clusters:
            reach = abs(cluster.trigger / start - 1)
            crossed = top > cluster.trigger * 1.0006 if cluster.side > 0 else bottom < cluster.trigger * 0.9994
            limit = BREAKOUT_REACH if cluster.kind is LevelKind.EXTREME else MAX_REACH
            hazard = 0.9 if crossed else eager * math.exp(-reach / 0.006) if reach < limit else 0.0
            hazards.append(0.0 if reach < 0.0006 else hazard * (0.04 if cluster.kind is LevelKind.ROUND else 1.0))
        total = sum(hazards)
        if draws[4] >= min(0.95, total):
            return None
        mark = draws[5] * total
        chosen = clusters[-1]
        for cluster, hazard in zip(clusters, hazards, strict=True):
            mark -= hazard
            if mark < 0:
                chosen = cluster
                break
        self._consumed[(chosen.kind, chosen.side)] = index + 6
        self._quiet_until = index + 2
        return StopRun(
            at_ms=12_000 + int(draws[6] * 26_000),
            trigger=chosen.trigger,
            side=chosen.side,
            trades=70 + int(draws[7] * 130),
            cascade=draws[8] < 0.12,
            kind=chosen.kind,
        )

    def _after(self, run: StopRun, draws: list[float]) -> float:
        """Where the minute of a stop run ends; sets the momentum of the minutes behind it."""
        side, size = run.side, draws[9]
        self._momentum_left = 4 + int(size * 9)
        if run.cascade:
            self._momentum = -side * 0.0008
            return run.trigger * (1 + side * (0.008 + 0.01 * size))
        if draws[8] < 0.36:
            self._momentum_left = 11 + int(size * 7)
            self._momentum = side * (0.0016 + 0.001 * draws[3])
            return run.trigger * (1 + side * (0.001 + 0.003 * size))
        if draws[8] < 0.75:
            self._momentum = side * (0.0004 + 0.001 * draws[3])
            return run.trigger * (1 + side * (0.0008 + 0.002 * size))
        self._momentum = -side * (0.0004 + 0.001 * draws[3])
        return run.trigger * (1 - side * (0.001 + 0.003 * size))

    def _volume(self, start: int, width: int, sigma: float, run: StopRun | None, draw: float) -> int:
        notional = self._model.usd_a_minute * (0.35 + 0.4 * width / (start * 0.0015)) * (0.6 + 0.8 * draw)
        if run is not None:
            notional *= 1.6
        price = start * self._model.tick
        return 3000 + int(notional / price / self._model.lot)

    def _remember(self, close: int, start: int, run: StopRun | None, draw: float) -> None:
        self._price = close
        self._mean += (close - self._mean) / 120
        self._premium += (close / start - 1) * 0.05 - self._premium / 60
        shrink = 0.97 if run is not None and run.cascade else 1.0
        self._interest *= shrink * (1 + 0.0015 * (draw - 0.5))
        target = self._model.usd_a_minute * 200 / self._model.price / self._model.lot
        self._interest += (target - self._interest) / 2000


def _attraction(clusters: list[Cluster], start: int) -> float:
    """Prices drift towards resting stops: a move a minute to the nearest cluster within 4 %."""
    pull, nearest = 0.0, 0.04
    for cluster in clusters:
        reach = abs(cluster.trigger / start - 1)
        if reach < nearest and cluster.kind not in (LevelKind.ROUND, LevelKind.EXTREME):
            pull, nearest = cluster.side * ATTRACTION, reach
    return pull


def spread_ticks(price_ticks: float, sigma: float) -> int:
    """The spread of a minute in ticks: it widens with volatility, at least one."""
    return max(1, round(price_ticks * sigma * 0.004))


def _bridge_extreme(start: float, end: float, sigma: float, draw: float) -> float:
    """The maximum of a Brownian bridge from start to end (inverse transform, absolute price scale)."""
    change = end - start
    spread = 2 * (sigma * start * 0.6) ** 2 * -math.log(max(draw, 1e-9))
    return start + (change + math.sqrt(change * change + spread)) / 2
