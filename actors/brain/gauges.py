"""The brain's gauges, set from what the core knows."""

from __future__ import annotations

from actors.brain.core import BrainCore
from actors.brain.exposure import DAY_MS
from actors.brain.posture import RiskLevel
from actors.brain.state import TRADING_PHASES
from titan.clock import Now
from titan.codes import TradingState, VetoCode
from titan.metrics import Metrics
from titan.model import Phase
from titan.money import ZERO

ANSWERS = ("approved", "rejected", "duplicate")
_LEVELS = {level: index for index, level in enumerate(RiskLevel)}


def zero_counters(metrics: Metrics) -> None:
    """Shows every counter of the brain from the start, by every phase and code there is."""
    phases = [phase.value.lower() for phase in Phase]
    metrics.zero("titan_brain_veto_total", [code for code in VetoCode if code is not VetoCode.APPROVED])
    metrics.zero("titan_brain_decisions_total", phases, ("true", "false"))
    metrics.zero("titan_signals_total", phases, ANSWERS)


def set_gauges(metrics: Metrics, core: BrainCore, now: Now) -> None:
    """Sets every gauge of the brain."""
    state = core.state
    view, equity = state.exposure.view, state.equity
    if view is not None and equity is not None:
        metrics.gauge("titan_brain_current_equity").set(float(equity))
        metrics.gauge("titan_brain_high_watermark").set(float(view.high_watermark))
        gross = sum((held.notional for held in view.positions.values()), ZERO)
        metrics.gauge("titan_brain_current_leverage").set(float(gross / equity) if equity > 0 else 0.0)
        drawdown = state.breaker.drawdown(equity, view.start_of_day, now.market_ms // DAY_MS)
        metrics.gauge("titan_brain_daily_drawdown_percent").set(max(0.0, float(drawdown) * 100.0))
    for phase in TRADING_PHASES:
        name = phase.value.lower()
        metrics.gauge("titan_brain_allocation_weight").labels(name).set(state.weights.of(phase))
        metrics.gauge("titan_brain_open_positions_count").labels(name).set(state.books.count(phase))
        metrics.gauge("titan_brain_performance_modifier").labels(name).set(
            state.performance.modifier(phase, now.market_ms)
        )
        metrics.gauge("titan_brain_sharpe_ratio").labels(name).set(state.performance.sharpe_of(phase, now.market_ms))
    metrics.gauge("titan_brain_circuit_breaker_active").set(float(state.breaker.active(now.market_ms)))
    metrics.gauge("titan_brain_arm_state").set(float(state.trading_state is TradingState.ACTIVE))
    metrics.gauge("titan_brain_policy_hash_match").set(float(state.hash_matches))
    metrics.gauge("titan_brain_risk_state").set(_LEVELS[state.posture.level])
    metrics.gauge("titan_brain_defcon").set(state.posture.defcon.rank)
    metrics.gauge("titan_brain_truth_confidence_score").labels("account").set(state.truth / 100.0)
    metrics.gauge("titan_brain_truth_age_seconds").set(max(0, now.wall_ms - state.truth_wall_ms) / 1000.0)
    for venue, count in state.routed.items():
        metrics.gauge("titan_brain_routed_total").labels(venue).set(count)
    for verdict, count in state.impacts.items():
        metrics.gauge("titan_brain_impact_total").labels(verdict.value).set(count)
