"""Every alert that is asked for exists, is explained, names real metrics, fires when it should and not when it should not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from ops.build.observability import FOLDER, stale
from ops.build.tools import find
from ops.observability.boards import BOARDS
from ops.observability.render import RUNBOOK, Unknown, check_expression, expressions, groups, render
from ops.observability.rules import ALERTS, LEFT_OUT, RECORDINGS
from ops.observability.yamled import yaml

ROOT = Path(__file__).resolve().parents[3]
ASKED_FOR = {
    # The rule sets, by their names.
    "CircuitBreakerTriggered": "", "HighDrawdown": "", "CriticalDrawdown": "", "ServiceUnhealthy": "",
    "HighSignalProcessingLatency": "HighSignalLatency", "HighOrderExecutionLatency": "CriticalOrderLatency",
    "HighIPCLatency": "", "SlowDatabaseQueries": "", "LowCacheHitRate": "", "LowApprovalRate": "", "NoSignalsGenerated": "",
    "NoTrapsDetected": "", "LowOrderFillRate": "", "BinanceConnectionDown": "WebSocketDisconnected",
    "IPCConnectionFailed": "", "HighIPCMessageFailureRate": "IPCFailures", "HighCPUUsage": "", "HighMemoryUsage": "",
    "ServiceDown": "", "ExcessiveLeverage": "", "TooManyActivePositions": "", "ConfigurationReloadFailed": "",
    "HighErrorBudgetBurn": "", "ExecutionLatencyBreach": "", "BrainLatencyBreach": "", "MarketDataStale": "",
    "DrawdownWarning": "DrawdownNotice", "LowEquity": "", "DatabaseSlowQueries": "SlowDatabaseQueries",
    "WebSocketDisconnected": "", "BrokerConnectionLost": "", "DatabaseConnectionLost": "DatabaseFailure",
    "HighSignalRejectionRate": "", "TooManyOpenPositions": "TooManyActivePositions", "HighErrorRate": "",
    "LowDiskSpace": "", "DatabaseSizeGrowth": "", "ServiceRestartLoop": "", "TruthLayerConfidenceLow": "",
    # What is asked for in words.
    "System Down": "SystemDown", "Database Failure": "DatabaseFailure", "signal > 200 ms": "HighSignalLatency",
    "disk < 20 %": "LowDiskSpace", "disk < 10 %": "CriticalDiskSpace", "fill rate < 70 %": "CriticalOrderFillRate",
    "order latency > 500 ms": "HighOrderLatency", "equity < initial capital": "EquityBelowInitial",
    "signals > 20 a minute": "HighSignalRate", "backup older than 2 h": "BackupStale", "nightly > 26 h": "NightlyBackupStale",
    "JetStream pending > 1000": "NatsBacklog", "dead man's switch": "Watchdog", "InstanceDown": "ServiceDown",
    "HighDrift": "", "LowBalance": "LowEquity", "HighLatency": "HighOrderLatency", "MissingHeartbeat": "",
    # The twelve of survival.
    "policy_hash_mismatch": "PolicyHashMismatch", "unsigned_command_accepted": "UnsignedCommandSeen",
    "secret_missing_startup": "SecretMissingStartup", "exchange_connectivity_lost": "ExchangeConnectivityLost",
    "jetstream_disk_critical": "JetStreamDiskCritical", "drawdown_breach": "CriticalDrawdown",
    "leverage_breach": "ExcessiveLeverage", "circuit_breaker_tripped": "CircuitBreakerTriggered",
    "reconcile_mismatch": "HighDrift", "service_down": "ServiceDown", "event_lag_critical": "BooksBehind",
    "order_reject_spike": "OrderRejectSpike",
}  # fmt: skip


def anchors(text: str) -> set[str]:
    """The link targets of a Markdown page's headings."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}


def tool(name: str) -> Path:
    found = find(name)
    if found is None:
        pytest.skip(f"{name} is not here: run .venv/bin/python ops/build/tools.py")
    return found


def test_every_alert_that_is_asked_for_exists_or_is_left_out_with_a_reason() -> None:
    names = {alert.name for alert in ALERTS}
    assert {asked for asked, name in ASKED_FOR.items() if (name or asked) not in names | LEFT_OUT.keys()} == set()
    assert not names & LEFT_OUT.keys()
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())


def test_every_alert_is_unique_and_says_what_to_do() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    known = anchors((ROOT / RUNBOOK).read_text())
    assert sorted({alert.runbook for alert in ALERTS} - known) == []
    assert [alert.name for alert in ALERTS if not alert.fires or (not alert.quiet and alert.name != "Watchdog")] == []


def test_every_expression_names_what_is_exported() -> None:
    for alert in ALERTS:
        check_expression(alert.expr)
    for recording in RECORDINGS:
        check_expression(recording.expr)
    for _, expr in expressions():
        check_expression(expr)


@pytest.mark.parametrize(
    "expr", ["titan_no_such_metric > 1", 'titan_health_status{part="x"}', "titan_equity_usd_bucket"]
)
def test_an_expression_about_nothing_is_refused(expr: str) -> None:
    with pytest.raises(Unknown):
        check_expression(expr)


def test_the_generated_files_are_what_the_code_says(tmp_path: Path) -> None:
    files = render()
    assert stale(files) == []
    assert set(stale(files, tmp_path)) == set(files)
    written = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.suffix in (".yml", ".json")}
    assert written == set(files), "nothing stands there that nobody generates"


def test_the_four_dashboards_have_their_addresses_and_no_panel_overlaps() -> None:
    assert BOARDS[0].uid == "titan-trading-system"
    assert {board.title for board in BOARDS} >= {"Titan Overview", "System Health", "Risk Board"}
    for board in BOARDS:
        made = json.loads((FOLDER / "grafana" / "dashboards" / f"{board.uid}.json").read_text())
        cells: set[tuple[int, int]] = set()
        for panel in made["panels"]:
            at = panel["gridPos"]
            taken = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not taken & cells, panel["title"]
            assert at["x"] + at["w"] <= 24
            cells |= taken


def test_the_seed_dashboard_has_its_panels_and_thresholds() -> None:
    panels = {panel.title: panel for panel in BOARDS[0].panels}
    assert [at for at, _ in panels["Current Drawdown (%)"].steps] == [None, 3.0, 5.0, 7.0]
    assert [at for at, _ in panels["Signal Processing Rate"].steps] == [None, 10.0, 20.0]
    assert [at for at, _ in panels["Order Execution Latency"].steps] == [None, 0.1, 0.5, 1.0]
    assert [at for at, _ in panels["Order Fill Rate (%)"].steps] == [None, 70.0, 80.0, 90.0]
    assert {
        "System Health Status",
        "Account Equity (USD)",
        "Position P&L by Symbol",
        "Active Positions & Total Leverage",
    } <= set(panels)


def test_yaml_says_the_same_as_json(tmp_path: Path) -> None:
    value = {"a": [{"b": "x: y", "c": [1, True, "yes # no"]}, {"d": {"e f": 'quote " and \\'}}], "g": []}
    path = tmp_path / "x.yml"
    path.write_text(yaml({"rule_files": [], "scrape_configs": []}))
    assert '"x: y"' in yaml(value)
    loader = pytest.importorskip("yaml")
    assert loader.safe_load(yaml(value)) == value
    for name, text in render().items():
        if name.endswith(".yml"):
            assert loader.safe_load(text), name


@pytest.mark.parametrize("group", groups())
def test_each_alert_fires_and_keeps_quiet_as_promtool_sees_it(group: str) -> None:
    promtool = tool("promtool")
    done = subprocess.run(
        [promtool, "test", "rules", FOLDER / "prometheus" / "tests" / f"{group}.yml"],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_never_fires_fails_its_test(tmp_path: Path) -> None:
    promtool = tool("promtool")
    rules = (FOLDER / "prometheus" / "rules" / "money.yml").read_text()
    cases = (FOLDER / "prometheus" / "tests" / "money.yml").read_text()
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules" / "money.yml").write_text(
        rules.replace("titan_drawdown_percent > 7", "titan_drawdown_percent > 700")
    )
    first = cases.index('  - name: "CriticalDrawdown fires"')
    last = cases.index("  - name:", first + 10)
    head = cases[: cases.index("  - name:")]
    (tmp_path / "tests" / "money.yml").write_text(head + cases[first:last])
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests" / "money.yml"],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode != 0, "the mutation went through"


def test_every_panel_parses_as_promql(tmp_path: Path) -> None:
    promtool = tool("promtool")
    rules = [{"record": f"panel:{i}", "expr": expr} for i, (_, expr) in enumerate(expressions())]
    path = tmp_path / "panels.yml"
    path.write_text(yaml({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_prometheus_and_alertmanager_take_their_configurations(tmp_path: Path) -> None:
    checked = subprocess.run(
        [tool("promtool"), "check", "config", "--syntax-only", FOLDER / "prometheus" / "prometheus.yml"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    amtool = tool("amtool")
    config = FOLDER / "alertmanager" / "alertmanager.yml"
    done = subprocess.run([amtool, "check-config", config], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    routed = {
        ("sev=SEV-1", "severity=critical"): "pager,channel",
        ("sev=SEV-2", "severity=critical"): "pager,channel",
        ("sev=SEV-2", "severity=warning"): "channel",
        ("sev=SEV-3", "severity=warning"): "channel",
        ("sev=SEV-3", "severity=info"): "digest",
        ("alertname=Watchdog", "severity=info"): "watchdog",
    }
    for labels, receivers in routed.items():
        asked = subprocess.run(
            [amtool, "config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receivers}", *labels],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert asked.returncode == 0, f"{labels}: {asked.stdout}{asked.stderr}"
