"""Prometheus itself watches a running Titan: every metric is there, every alert can be evaluated, a halt makes one fire."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ops.build.observability import FOLDER
from ops.build.tools import find
from ops.drill.drills import DRILLS
from ops.drill.report import Report, now_text
from ops.drill.stage import Stage
from ops.observability.render import NAME, PORT_NAMES, SUFFIXES, expressions, prometheus
from ops.observability.rules import ALERTS, RECORDINGS
from tests.e2e.running import Running
from tests.waiting import eventually
from titan.metrics import METRICS
from titan.testing import free_ports

pytestmark = pytest.mark.e2e
LATE = {
    # Set by events that a healthy minute of paper trading need not have.
    "titan_dlq_total", "titan_truth_drift_total", "titan_actor_recovery_seconds", "titan_actor_restarts_total",
    "titan_cache_failures_total", "titan_bus_duplicates_total", "titan_brain_veto_total", "titan_execution_risk_rejections_total",
    # Set by the first signal, order or round trip of a seeded market, whenever that comes.
    "titan_order_latency_seconds", "titan_execution_ack_latency_ms", "titan_position_pnl_usd", "titan_order_fill_rate",
    "titan_brain_decisions_total", "titan_decision_latency_ms", "titan_brain_signal_processing_latency_ms", "titan_signals_total",
    "titan_scavenger_traps_detected_total", "titan_scavenger_signals_generated_total", "titan_scavenger_validation_results_total",
    "titan_scavenger_ipc_messages_total", "titan_ipc_messages_total", "titan_router_follow_lag_seconds",
}  # fmt: skip


class Prometheus:
    """A server that scrapes a run."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}", timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def value(self, expr: str) -> list[Any]:
        return list(self.ask(f"/api/v1/query?query={quote(expr)}")["result"])

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture(scope="module")
def watch(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program = find("prometheus")
    if program is None:
        pytest.skip("prometheus is not here: run .venv/bin/python ops/build/tools.py")
    folder = tmp_path_factory.mktemp("prometheus")
    ports = running.runtime.ports
    # On paper there is no second router.
    targets = {job: f"127.0.0.1:{ports[name]}" for job, name in PORT_NAMES.items() if job != "titan-router-standby"}
    rules = folder / "rules"
    rules.mkdir()
    for path in (FOLDER / "prometheus" / "rules").glob("*.yml"):
        (rules / path.name).write_text(re.sub(r"\n\s+for: \S+", "", path.read_text()))
    (folder / "prometheus.yml").write_text(prometheus(targets, f"{rules}/*.yml", "", interval="3s"))
    (port,) = free_ports(1)
    arguments = [
        f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
    try:
        server = Prometheus(port)
        eventually(server.ready, "Prometheus is ready", 30)
        eventually(lambda: len(server.value("up == 1")) == len(targets), "every listener is scraped", 90)
        yield server
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.timeout(240)
def test_prometheus_sees_every_metric_of_the_registry(running: Running, watch: Prometheus) -> None:
    def lacking() -> set[str]:
        known = set(watch.ask("/api/v1/label/__name__/values"))
        return {
            spec.name
            for spec in METRICS
            if spec.name not in known and not any(f"{spec.name}{suffix}" in known for suffix in SUFFIXES)
        } - LATE

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
def test_every_alert_and_every_panel_can_be_evaluated(watch: Prometheus) -> None:
    groups = eventually(
        lambda: [g for g in watch.ask("/api/v1/rules")["groups"] if all(r["health"] == "ok" for r in g["rules"])],
        "the rules were evaluated",
        30,
    )
    evaluated = {rule["name"] for group in groups for rule in group["rules"]}
    assert evaluated == {alert.name for alert in ALERTS} | {recording.name for recording in RECORDINGS}
    for _, expr in expressions():
        watch.value(expr)


@pytest.mark.timeout(120)
def test_a_halt_fires_the_alert_of_the_kill_switch_and_resume_ends_it(running: Running, watch: Prometheus) -> None:
    def firing(name: str) -> bool:
        return bool(watch.value(f'ALERTS{{alertname="{name}",alertstate="firing"}}'))

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
@pytest.mark.parametrize("name", ["kill-switch", "postgres-outage", "nats-outage", "rotate-database"])
def test_a_drill_passes_on_the_running_titan(running: Running, name: str) -> None:
    report = Report(name, now_text())
    began = time.monotonic()
    DRILLS[name].run(Stage(running.home, {}), report)
    report.end(began)
    assert report.passed
    print(f"{name}: {report.seconds:.1f} s, {report.measures}")
