"""The registry of metrics refuses what it does not declare, and exports what was touched."""

from __future__ import annotations

import pytest

from titan.metrics import Metrics, MetricSpec, UnknownMetric

SPECS = (
    MetricSpec("titan_things_total", "counter", ("kind",), "things", "Things"),
    MetricSpec("titan_level", "gauge", (), "", "Level"),
    MetricSpec("titan_wait_ms", "histogram", (), "milliseconds", "Wait"),
    MetricSpec("titan_turn_seconds", "histogram", (), "seconds", "Turn", (1.0, 2.0)),
)


def test_a_name_outside_the_table_or_of_another_kind_is_refused() -> None:
    metrics = Metrics(SPECS)
    with pytest.raises(UnknownMetric, match="titan_other is not declared as a gauge"):
        metrics.gauge("titan_other")
    with pytest.raises(UnknownMetric, match="titan_level is not declared as a counter"):
        metrics.counter("titan_level")


def test_only_what_was_touched_is_exported_each_with_its_own_buckets() -> None:
    metrics = Metrics(SPECS)
    metrics.counter("titan_things_total").labels("a").inc()
    metrics.counter("titan_things_total").labels("a").inc()
    metrics.histogram("titan_wait_ms").observe(3)
    metrics.histogram("titan_turn_seconds").observe(1.5)
    text = metrics.exposition().decode()
    assert 'titan_things_total{kind="a"} 2.0' in text
    assert 'titan_wait_ms_bucket{le="5.0"} 1.0' in text
    assert 'titan_turn_seconds_bucket{le="2.0"} 1.0' in text
    assert "titan_level" not in text


def test_what_never_happened_stands_at_zero_so_that_the_first_time_is_an_increase() -> None:
    metrics = Metrics(SPECS)
    metrics.zero("titan_things_total", ("a", "b"))
    metrics.counter("titan_things_total").labels("b").inc()
    text = metrics.exposition().decode()
    assert 'titan_things_total{kind="a"} 0.0' in text
    assert 'titan_things_total{kind="b"} 1.0' in text
    with pytest.raises(UnknownMetric):
        metrics.zero("titan_level", ("a",))


def test_every_combination_of_two_labels_stands_at_zero() -> None:
    metrics = Metrics((MetricSpec("titan_pairs_total", "counter", ("way", "end"), "things", "Pairs"),))
    metrics.zero("titan_pairs_total", ("in", "out"), ("sent", "failed"))
    text = metrics.exposition().decode()
    assert {line for line in text.splitlines() if line.startswith("titan_pairs_total{")} == {
        f'titan_pairs_total{{end="{end}",way="{way}"}} 0.0' for way in ("in", "out") for end in ("sent", "failed")
    }


def test_a_gauge_shows_its_last_value() -> None:
    metrics = Metrics(SPECS)
    metrics.gauge("titan_level").set(1)
    metrics.gauge("titan_level").set(4)
    assert "titan_level 4.0" in metrics.exposition().decode()
