"""Prometheus itself watches a running Titan: every metric is there, every alert can be evaluated, a halt makes one fire."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.build.tools import find
from ops.drill.drills import DRILLS
from ops.drill.report import Report, now_text
from ops.drill.stage import Stage
from ops.drill.trades import Trades
from ops.drill.watch import NEEDED, Watch, watching
from ops.observability.render import NAME, SUFFIXES, expressions
from tests.collector import Collector, Span, one_collector
from tests.e2e.running import Running
from tests.waiting import eventually
from titan.metrics import METRICS

pytestmark = pytest.mark.e2e
__all__ = ["one_collector"]
LATE = {
    # Set by the first signal, order or round trip of a seeded market, whenever that comes.
    "titan_order_latency_seconds", "titan_execution_ack_latency_ms", "titan_position_pnl_usd", "titan_order_fill_rate",
    "titan_decision_latency_ms", "titan_brain_signal_processing_latency_ms", "titan_router_follow_lag_seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def traces_url(one_collector: Collector) -> str:
    return one_collector.url


@pytest.fixture(scope="module")
def watch(running: Running) -> Iterator[Watch]:
    """A real Prometheus over the run; no alert waits before it fires."""
    if any(find(name) is None for name in NEEDED):
        pytest.skip(f"{' or '.join(NEEDED)} is not here: run .venv/bin/python ops/build/tools.py")
    # On paper there is no second router.
    with watching(running.runtime, standby=False, patient=False, interval="3s") as made:
        eventually(made.all_up, "every listener is scraped", 90)
        yield made


@pytest.mark.timeout(240)
def test_prometheus_sees_every_metric_of_the_registry(running: Running, watch: Watch) -> None:
    def lacking() -> set[str]:
        return watch.lacking() - LATE

    try:
        eventually(lambda: not lacking(), "every metric that a healthy run sets", 60)
    except AssertionError as error:
        raise AssertionError(f"{error}; lacking: {sorted(lacking())}") from error
    unknown = {
        name
        for name in watch.ask("/api/v1/label/__name__/values")
        if NAME.fullmatch(name) and not name.endswith(("_created", *SUFFIXES))
    } - {spec.name for spec in METRICS}
    assert unknown == set(), "exported, but not in the registry"
    assert {spec.name for spec in METRICS} >= LATE


@pytest.mark.timeout(120)
def test_every_alert_and_every_panel_can_be_evaluated(watch: Watch) -> None:
    eventually(lambda: not watch.ill(), "the rules were evaluated", 30)
    for _, expr in expressions():
        watch.value(expr)


@pytest.mark.timeout(120)
def test_a_halt_fires_the_alert_of_the_kill_switch_and_resume_ends_it(running: Running, watch: Watch) -> None:
    def firing(name: str) -> bool:
        return name in watch.firing()

    assert not firing("KillSwitchActive")
    running.json("halt", "drill")
    eventually(lambda: firing("KillSwitchActive"), "the alert fires", 30)
    running.json("resume", "drill over")
    eventually(lambda: not firing("KillSwitchActive"), "the alert ends", 30)
    running.json("arm", "drill over")
    assert firing("Watchdog"), "the watch shows that it lives"
    assert firing("BackupStale"), "a home without a backup says so"
    running.json("backup", "--what", "journal")
    eventually(lambda: not firing("BackupStale"), "the alert ends with the first backup", 30)
    assert Path(running.home / "backups").is_dir()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["kill-switch", "postgres-outage", "nats-outage", "redis-outage", "rotate-database"])
def test_a_drill_passes_on_the_running_titan(running: Running, name: str) -> None:
    report = Report(name, now_text())
    began = time.monotonic()
    DRILLS[name].run(Stage(running.home, {}), report)
    report.end(began)
    assert report.passed
    print(f"{name}: {report.seconds:.1f} s, {report.measures}")


@pytest.mark.timeout(120)
def test_the_way_of_an_order_is_one_trace_through_all_actors(running: Running, one_collector: Collector) -> None:
    way = {"gateway", "brain", "router", "execution"}
    trades = Trades(Stage(running.home, {}))

    def traced() -> list[Span]:
        trades.trade()
        whole = [trace for trace, services in one_collector.traces().items() if services >= way]
        return [span for span in list(one_collector.spans) if span.trace in whole[:1]]

    spans = {span.key: span for span in eventually(traced, "a trace from the gateway to the books", 60)}
    for span in spans.values():
        if span.parent:
            assert spans[span.parent].began_ns <= span.ended_ns, "what came first began first"
    above = {span.service: spans[span.parent].service for span in spans.values() if span.parent}
    assert above == {"brain": "gateway", "router": "brain", "execution": "router"}


def test_brain_and_router_log_the_same_line_with_the_hash_of_the_policy(running: Running) -> None:
    said = {}
    for actor in ("brain", "router"):
        lines = [json.loads(line) for line in (running.home / "logs" / f"{actor}.jsonl").read_text().splitlines()]
        said[actor] = {line["policy_hash"] for line in lines if line.get("event") == "risk policy"}
    assert said["brain"] == said["router"]
    assert said["brain"] == {running.status()["policy_hash"]}
