"""Metrics of several processes in one exposition."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from titan.exposition import merged
from titan.metrics import Metrics, MetricSpec

SPECS = (
    MetricSpec("t_total", "counter", ("reason",), "", "Things"),
    MetricSpec("t_level", "gauge", (), "", "Level"),
    MetricSpec("t_seconds", "histogram", (), "seconds", "Time", (1.0, 2.0)),
    MetricSpec("only_here", "gauge", (), "", "Here"),
)


def _samples(exposition: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }


def test_counters_and_histograms_add_up_and_the_first_gauge_stands() -> None:
    one, two = Metrics(SPECS), Metrics(SPECS)
    for metrics, number in ((one, 1), (two, 2)):
        metrics.counter("t_total").labels("x").inc(number)
        metrics.gauge("t_level").set(number)
        metrics.histogram("t_seconds").observe(number)
    two.gauge("only_here").set(5)
    found = _samples(merged((one.exposition(), two.exposition())))
    assert found["t_total", (("reason", "x"),)] == 3
    assert found["t_level", ()] == 1
    assert found["only_here", ()] == 5
    assert found["t_seconds_count", ()] == 2
    assert found["t_seconds_bucket", (("le", "1.0"),)] == 1


def test_each_family_is_headed_once() -> None:
    one, two = Metrics(SPECS), Metrics(SPECS)
    one.gauge("t_level").set(1)
    two.gauge("t_level").set(2)
    text = merged((one.exposition(), two.exposition())).decode()
    assert text.count("# TYPE t_level gauge") == 1


def test_nothing_gives_nothing() -> None:
    assert merged((b"", b"")) == b""
