"""Does something grow? Lines through what was sampled, with their confidence.

Guarantees: pure. A line is drawn within lives: a process that was replaced begins a life of its own, and what its successor
needs from the start is no growth. Never: a verdict from fewer samples than a line needs.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

HOUR_S = 3600.0
BIN_S = 60.0
LEAST_BINS = 4
_NORMAL_975 = statistics.NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Point:
    """One sample: when (seconds since the start), of which life, how much."""

    at_s: float
    life: int
    value: float


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth an hour with its 95 % interval, from `bins` minutes in `lives` lives over `span_s` seconds at most."""

    per_hour: float
    low: float
    high: float
    bins: int
    lives: int
    span_s: float

    def verdict(self, limit: float) -> str:
        """`flat` when no more than `limit` an hour is likely, `grows` when more is sure, else `unclear`."""
        if self.high <= limit:
            return "flat"
        return "grows" if self.low > limit else "unclear"


def _minutes(points: Sequence[Point]) -> dict[int, list[tuple[float, float]]]:
    """The median of each minute of each life: samples a few seconds apart say nearly the same."""
    held: dict[tuple[int, int], list[Point]] = defaultdict(list)
    for point in points:
        held[(point.life, int(point.at_s // BIN_S))].append(point)
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for (life, _), inside in sorted(held.items()):
        at = statistics.fmean(point.at_s for point in inside)
        found[life].append((at, statistics.median(point.value for point in inside)))
    return {life: minutes for life, minutes in found.items() if len(minutes) > 1}


def minutes_of(points: Sequence[Point]) -> list[tuple[int, int, float]]:
    """(life, second, median) of every minute that was sampled, for a report."""
    return [(life, round(at), round(value, 1)) for life, each in _minutes(points).items() for at, value in each]


def slope(points: Sequence[Point]) -> Slope | None:
    """The common slope of all lives by least squares, each with a level of its own; None for too little.

    The interval is Student's, widened by the residuals' first-order correlation (Cochrane and Orcutt 1949).
    """
    lives = _minutes(points)
    bins = sum(len(minutes) for minutes in lives.values())
    free = bins - len(lives) - 1
    if bins < LEAST_BINS or free < 1:
        return None
    centred = []
    for minutes in lives.values():
        at = statistics.fmean(minute[0] for minute in minutes)
        level = statistics.fmean(minute[1] for minute in minutes)
        centred.append([(minute[0] - at, minute[1] - level) for minute in minutes])
    spread = sum(t * t for life in centred for t, _ in life)
    if spread <= 0:
        return None
    rise = sum(t * y for life in centred for t, y in life) / spread
    left = [[y - rise * t for t, y in life] for life in centred]
    squares = sum(each * each for life in left for each in life)
    error = math.sqrt(squares / free / spread)
    if squares > 0:
        after = sum(a * b for life in left for a, b in pairwise(life))
        kept = min(0.9, max(0.0, after / squares))
        error *= math.sqrt((1 + kept) / (1 - kept))
    reach = _student(free) * error
    span = max(minutes[-1][0] - minutes[0][0] for minutes in lives.values())
    return Slope(rise * HOUR_S, (rise - reach) * HOUR_S, (rise + reach) * HOUR_S, bins, len(lives), span)


def _student(free: int) -> float:
    """Student's 97.5 % quantile, by its expansion around the normal one (Abramowitz and Stegun 26.7.5)."""
    if free < 3:
        return {1: 12.706, 2: 4.303}[free]
    z = _NORMAL_975
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / free + second / free**2 + third / free**3
