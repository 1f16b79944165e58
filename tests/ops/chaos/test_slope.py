"""Lines through what was sampled: what grows is told from what a new process needs, and from noise."""

from __future__ import annotations

import random
from collections.abc import Callable

from ops.chaos.slope import Point, slope


def sampled(level: Callable[[float], float], life: int = 0, begin: float = 0.0, minutes: int = 30) -> list[Point]:
    draw = random.Random(life)
    return [Point(begin + 10 * n, life, level(begin + 10 * n) + draw.gauss(0, 0.3)) for n in range(6 * minutes)]


def test_a_leak_of_twelve_megabytes_an_hour_is_measured_and_named() -> None:
    line = slope(sampled(lambda at: 200 + 12 * at / 3600))
    assert line is not None
    assert line.low < 12 < line.high
    assert line.high - line.low < 2
    assert line.verdict(4.0) == "grows"
    assert line.verdict(14.0) == "flat"


def test_noise_is_flat() -> None:
    line = slope(sampled(lambda _: 200.0))
    assert line is not None
    assert line.verdict(4.0) == "flat"


def test_lives_that_begin_higher_each_time_are_no_growth_within_one() -> None:
    points = [point for n in range(6) for point in sampled(lambda _, n=n: 200.0 + 20 * n, n, 600.0 * n, 10)]  # type: ignore[misc]
    line = slope(points)
    assert line is not None
    assert line.lives == 6
    assert abs(line.per_hour) < 4


def test_growth_in_every_short_life_is_seen_together() -> None:
    points = [
        point
        for n in range(6)
        for point in sampled(lambda at, n=n: 200.0 + 30 * (at - 600 * n) / 3600, n, 600.0 * n, 10)  # type: ignore[misc]
    ]
    line = slope(points)
    assert line is not None
    assert line.verdict(8.0) == "grows"


def test_a_drift_that_goes_to_and_fro_has_a_wide_interval_and_no_verdict() -> None:
    line = slope([Point(60.0 * n, 0, 200 + (20 if n % 8 < 4 else 0)) for n in range(14)])
    assert line is not None
    assert line.verdict(4.0) == "unclear"


def test_too_few_minutes_make_no_line() -> None:
    assert slope([]) is None
    assert slope(sampled(lambda _: 1.0, minutes=3)) is None
    assert slope([Point(60.0 * n, n, 1.0) for n in range(20)]) is None
