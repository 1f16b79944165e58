"""What people and dashboards read about the brain."""

from __future__ import annotations

import re
from typing import Any

from actors.brain.events import ModeRequested, PolicyAttested, TailSeen, TruthSeen
from actors.brain.gauges import set_gauges, zero_counters
from actors.brain.governance import Mode
from actors.brain.posture import RiskLevel
from actors.brain.status import components_of, mode_of, status_of
from protos import brain_pb2, trading_pb2
from tests.actors.brain.desk import POLICY_NOW, T0, Desk
from tests.actors.brain.world import SYMBOL, position_message
from titan.actor import Component
from titan.codes import VetoCode
from titan.metrics import Metrics


def answer(desk: Desk) -> dict[str, Any]:
    return status_of(desk.core, components_of(desk.core, desk.now), desk.now)


def statuses(desk: Desk) -> dict[str, str]:
    return {name: part.status for name, part in components_of(desk.core, desk.now).items()}


def test_a_ready_brain_is_healthy_and_normal() -> None:
    desk = Desk()
    assert set(statuses(desk).values()) == {"healthy"}
    status = answer(desk)
    assert (status["mode"], status["reasons"]) == ("NORMAL", [])
    assert status["details"]["policyHash"] == POLICY_NOW.hash
    assert status["details"]["budgets"]["SCAVENGER"]["state"] == "ACTIVE"
    assert len(status["details"]["stateHash"]) == 16


def test_a_brain_that_waits_for_the_router_says_so() -> None:
    desk = Desk(ready=False)
    assert statuses(desk) == {
        "router": "degraded",
        "policy": "degraded",
        "market": "degraded",
        "truth": "healthy",
        "breaker": "healthy",
    }
    assert answer(desk)["mode"] == "CAUTIOUS"
    assert "router: the router has not reported yet: openings are held" in answer(desk)["reasons"]


def test_each_part_degrades_by_its_own_cause() -> None:
    desk = Desk()
    desk.report(reconciled=False)
    assert statuses(desk)["router"] == "degraded"
    desk.advance(6000)
    parts = components_of(desk.core, desk.now)
    assert parts["router"].detail == "the router's report is stale: openings are held"
    assert parts["market"].detail == f"stale tickers: {SYMBOL}"
    assert (parts["router"].age_ms, parts["market"].age_ms) == (6000, 6000)
    desk.core.handle(PolicyAttested("0" * 64), desk.now)
    detail = components_of(desk.core, desk.now)["policy"].detail
    assert POLICY_NOW.hash in detail
    assert "0" * 64 in detail


def test_a_collapse_of_truth_shows_in_the_mode() -> None:
    desk = Desk()
    desk.core.handle(TruthSeen(trading_pb2.Truth(confidence=40)), desk.now)
    status = answer(desk)
    assert status["mode"] == "DEFENSIVE"
    assert "truth confidence 40% < 50%" in status["reasons"]
    assert statuses(desk)["truth"] == "degraded"


def test_a_tripped_breaker_shows_with_its_reason() -> None:
    desk = Desk()
    for _ in range(3):
        desk.lose()
    status = answer(desk)
    assert status["mode"] == "DEFENSIVE"
    assert status["details"]["circuitBreaker"]["trip"] == "SOFT"
    desk.report(equity="9000")
    assert answer(desk)["mode"] == "EMERGENCY"


def test_an_unhealthy_part_is_an_emergency() -> None:
    desk = Desk()
    assert mode_of(desk.core, {"x": Component("unhealthy")}, desk.now) is RiskLevel.EMERGENCY


def test_what_the_tail_policy_would_do_is_shown_in_shadow_too() -> None:
    desk = Desk()
    metrics = brain_pb2.PowerLawMetrics(symbol=SYMBOL, alpha=1.9, confidence=0.9, health="ok", calc_ts_ms=T0)
    desk.core.handle(TailSeen(metrics), desk.now)
    assert answer(desk)["details"]["tailPolicy"] == {"mode": "SHADOW", "symbols": {SYMBOL: ["ALPHA_CRITICAL"]}}


def test_every_veto_and_answer_stands_at_zero_from_the_start() -> None:
    metrics = Metrics()
    zero_counters(metrics)
    text = metrics.exposition().decode()
    told = re.findall(r'titan_brain_veto_total\{reason_code="(\w+)"\} 0\.0', text)
    assert sorted(told) == sorted({code.value for code in VetoCode} - {"APPROVED"})
    for phase in ("scavenger", "hunter", "sentinel", "manual"):
        assert f'titan_brain_decisions_total{{approved="false",phase_id="{phase}"}} 0.0' in text
        assert f'titan_signals_total{{outcome="rejected",phase="{phase}"}} 0.0' in text


def test_the_gauges_say_what_the_core_knows() -> None:
    desk, metrics = Desk(ready=False), Metrics()
    set_gauges(metrics, desk.core, desk.now)
    assert "titan_brain_current_equity " not in metrics.exposition().decode()
    desk.report(equity="9600", positions=[position_message("0.0192")])
    desk.core.handle(ModeRequested(Mode.DEFENSIVE, "ann"), desk.now)
    set_gauges(metrics, desk.core, desk.now)
    text = metrics.exposition().decode()
    for line in (
        "titan_brain_current_equity 9600.0",
        "titan_brain_current_leverage 0.1",
        "titan_brain_daily_drawdown_percent 4.0",
        'titan_brain_allocation_weight{phase_id="scavenger"} 0.2',
        "titan_brain_arm_state 1.0",
        "titan_brain_policy_hash_match 1.0",
        "titan_brain_risk_state 2.0",
        "titan_brain_defcon 2.0",
        'titan_brain_truth_confidence_score{scope="account"} 1.0',
    ):
        assert line in text.splitlines()
