"""The registry of metrics and the code say the same: nothing is declared that nobody sets, nothing set that nobody declared."""

from __future__ import annotations

import ast
import re

from tests.house.test_rooms import ROOMS, ROOT, modules
from titan.metrics import METRICS

METHODS = {"counter", "gauge", "histogram"}
NAME = re.compile(r"titan_[a-z0-9_]+")
REGISTRY = ROOT / "titan" / "metrics.py"
PUBLISHED_NAMES = {
    "titan_health_status": ("component",),
    "titan_signals_total": ("phase", "outcome"),
    "titan_order_latency_seconds": (),
    "titan_position_pnl_usd": ("symbol",),
    "titan_equity_usd": (),
    "titan_order_fill_rate": (),
    "titan_drawdown_percent": (),
    "titan_process_cpu_seconds_total": ("actor",),
    "titan_process_resident_memory_bytes": ("actor",),
    "titan_risk_exposure_notional": (),
    "titan_decision_latency_ms": ("phase_id",),
    "titan_execution_ack_latency_ms": ("venue",),
    "titan_event_loop_lag_seconds": ("actor",),
    "titan_nats_pending_messages": ("stream", "consumer"),
    "titan_actor_restarts_total": ("actor", "reason"),
    "titan_actor_heartbeat_age_seconds": ("actor",),
    "titan_actor_recovery_seconds": ("actor",),
    "titan_trading_state": ("state",),
    "titan_router_cpu": ("core",),
    "titan_stream_age_seconds": ("venue", "symbol", "kind"),
    "titan_truth_confidence": (),
    "titan_truth_drift_total": ("kind",),
    "titan_dlq_total": ("reason",),
}


def mentioned() -> set[str]:
    """Every metric's name that a module other than the registry holds as a string."""
    found = set()
    for path in modules(*ROOMS):
        if path != REGISTRY:
            tree = ast.parse(path.read_text())
            found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return {text for text in found if NAME.fullmatch(text)}


def asked() -> set[tuple[str, str]]:
    """(kind, name) of every metric asked of the registry by a literal name."""
    found = set()
    for path in modules(*ROOMS):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr=kind), args=[ast.Constant(value=str(name)), *_]) if (
                    kind in METHODS
                ):
                    found.add((kind, name))
    return found


def test_every_declared_metric_is_set_somewhere() -> None:
    assert {spec.name for spec in METRICS} - mentioned() == set()


def test_every_metric_asked_for_is_declared_with_that_kind() -> None:
    used = asked()
    assert len(used) > len(METRICS) // 2
    assert used - {(spec.kind, spec.name) for spec in METRICS} == set()


def test_the_published_names_exist_with_their_labels() -> None:
    declared = {spec.name: spec.labels for spec in METRICS}
    assert {name: declared.get(name) for name in PUBLISHED_NAMES} == PUBLISHED_NAMES


def test_no_metric_is_declared_twice_or_without_words() -> None:
    names = [spec.name for spec in METRICS]
    assert sorted(set(names)) == sorted(names)
    assert [spec.name for spec in METRICS if not spec.help or not NAME.fullmatch(spec.name)] == []
