"""Rows, percentiles and verdicts."""

from __future__ import annotations

import pytest

from ops.bench import Row, Target
from ops.bench.result import microseconds, row


def test_percentiles_are_measured_values_by_nearest_rank() -> None:
    made = row("wait", "ms", [float(value) for value in range(100, 0, -1)])
    assert (made.p50, made.p99, made.max, made.n) == (50.0, 99.0, 100.0, 100)


def test_one_sample_is_every_percentile() -> None:
    made = row("wait", "ms", [7.0])
    assert (made.p50, made.p99, made.max, made.n) == (7.0, 7.0, 7.0, 1)


def test_where_more_is_better_p99_is_what_nearly_all_samples_reach() -> None:
    made = row("rate", "1/s", [float(value) for value in range(1, 201)], Target(p50=50, better="high"))
    assert (made.p50, made.p99, made.max) == (100.0, 3.0, 200.0)


def test_a_row_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="wait: nothing was measured"):
        row("wait", "ms", [])


def test_a_limit_is_met_when_it_is_reached_exactly_and_missed_beyond() -> None:
    limit = Target(p50=10, p99=20)
    assert row("wait", "ms", [10.0, 20.0], limit).verdict == "met"
    assert row("wait", "ms", [10.0, 20.1], limit).verdict == "missed"


def test_a_rate_below_its_target_is_missed() -> None:
    assert row("rate", "1/s", [49.0], Target(p50=50, better="high")).verdict == "missed"
    assert row("rate", "1/s", [51.0], Target(p50=50, better="high")).verdict == "met"


def test_a_row_without_a_target_has_no_verdict() -> None:
    free = Row("wait", "ms", 1.0, 2.0, 3.0, 4)
    assert (free.verdict, free.target_text) == ("", "")


def test_a_direction_without_a_limit_is_no_verdict() -> None:
    assert row("rate", "1/s", [1.0], Target(better="high")).verdict == ""


def test_a_target_is_shown_with_its_direction() -> None:
    assert row("wait", "ms", [1.0], Target(p50=1.5, p99=6)).target_text == "p50 ≤ 1.5, p99 ≤ 6"
    assert row("rate", "1/s", [1.0], Target(p50=50_000, better="high")).target_text == "p50 ≥ 50,000"


def test_nanoseconds_become_microseconds() -> None:
    assert microseconds([1500]) == [1.5]
