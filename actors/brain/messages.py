"""The brain's values as protobuf messages, and the messages it reads as values. Straight lines, no decisions."""

from __future__ import annotations

from decimal import Decimal

from actors.brain.allocation import Weights
from actors.brain.budgets import BudgetState, PhaseBudget
from actors.brain.gate import RiskMetrics
from actors.brain.posture import RiskLevel
from actors.brain.regime import Cluster, Regime, Tail
from protos import brain_pb2 as pb
from protos import trading_pb2
from titan.codec import PHASE_TO_PB
from titan.codes import VetoCode
from titan.ids import deterministic_ulid
from titan.model import Action, Phase, Signal
from titan.money import text_of

_REGIMES = {regime: pb.RegimeKind.Value(f"REGIME_KIND_{regime.value}") for regime in Regime}
_LEVELS = {level: pb.RiskState.Value(f"RISK_STATE_{level.value}") for level in RiskLevel}
_STATES = {state: pb.BudgetState.Value(f"BUDGET_STATE_{state.value}") for state in BudgetState}
_CLUSTERS = {
    pb.VOLATILITY_CLUSTER_STABLE: Cluster.STABLE,
    pb.VOLATILITY_CLUSTER_EXPANDING: Cluster.EXPANDING,
    pb.VOLATILITY_CLUSTER_CONTRACTING: Cluster.CONTRACTING,
}
_ACTIONS = {Action.OPEN: trading_pb2.SIGNAL_ACTION_OPEN, Action.CLOSE: trading_pb2.SIGNAL_ACTION_CLOSE}


def decision_message(
    message: trading_pb2.Signal,
    *,
    decision_id: str,
    action: Action | None,
    code: VetoCode,
    reason: str,
    size: Decimal,
    weights: Weights,
    risk: RiskMetrics,
    policy_hash: str,
    market_ms: int,
) -> pb.Decision:
    """The answer to a signal; `action` None keeps what the signal said."""
    return pb.Decision(
        decision_id=decision_id,
        signal_id=message.signal_id,
        phase=message.phase,
        symbol=message.symbol,
        side=message.side,
        approved=code is VetoCode.APPROVED,
        code=code.value,
        reason=reason,
        requested_size_usd=message.requested_size_usd,
        authorized_size_usd=text_of(size),
        weight_scavenger=weights.scavenger,
        weight_hunter=weights.hunter,
        weight_sentinel=weights.sentinel,
        current_leverage=risk.current_leverage,
        projected_leverage=risk.projected_leverage,
        ts_ms=market_ms,
        policy_hash=policy_hash,
        trap_type=message.trap_type,
        action=message.action if action is None else _ACTIONS[action],
    )


def decision_id_of(signal: Signal) -> str:
    """The id of the one decision on a signal."""
    return deterministic_ulid(signal.t_signal_ms, "decision", signal.signal_id)


def budget_message(
    phase: Phase, budget: PhaseBudget, equity: Decimal | None, wall_ms: int, ttl_ms: int, policy_hash: str
) -> pb.Budget:
    """A phase's budget that ends at `wall_ms` + `ttl_ms`, with the policy it was made under."""
    return pb.Budget(
        phase=PHASE_TO_PB[phase],
        budget_id=deterministic_ulid(wall_ms, "budget", phase.value),
        ts_ms=wall_ms,
        expires_at_ms=wall_ms + ttl_ms,
        state=_STATES[budget.state],
        max_notional_usd=text_of(budget.max_notional),
        max_leverage=float(budget.max_leverage),
        max_drawdown_usd=text_of(budget.max_drawdown),
        max_order_rate=budget.max_order_rate,
        reason=budget.reason,
        equity_usd=text_of(equity),
        policy_hash=policy_hash,
    )


def regime_message(regime: Regime, alpha: float, source: str, market_ms: int) -> pb.Regime:
    """The regime and where it comes from."""
    return pb.Regime(regime=_REGIMES[regime], alpha=alpha, source=source, ts_ms=market_ms)


def risk_state_message(level: RiskLevel, reasons: tuple[str, ...], market_ms: int) -> pb.RiskStateChanged:
    """The risk state and why."""
    return pb.RiskStateChanged(state=_LEVELS[level], reason="; ".join(reasons) or "all clear", ts_ms=market_ms)


def tail_of(message: pb.PowerLawMetrics) -> Tail:
    """Tail metrics as a value. Raises ValueError for figures that make no sense."""
    alpha = message.alpha if message.HasField("alpha") else None
    exceedance = message.exceedance if message.HasField("exceedance") else None
    if alpha is not None and not 0.0 < alpha < 1000.0:
        raise ValueError(f"tail index alpha must be above zero, got {alpha}")
    if not 0.0 <= message.confidence <= 1.0:
        raise ValueError(f"tail confidence must be between 0 and 1, got {message.confidence}")
    return Tail(
        alpha=alpha,
        cluster=_CLUSTERS.get(message.cluster, Cluster.UNKNOWN),
        confidence=message.confidence,
        exceedance=exceedance,
        health=message.health,
        calc_ts_ms=message.calc_ts_ms,
    )


def halt_message(reason: str, wall_ms: int) -> trading_pb2.OperatorCommand:
    """The brain's order to the router to halt."""
    return trading_pb2.OperatorCommand(
        command_id=deterministic_ulid(wall_ms, "halt", reason),
        action="halt",
        reason=reason,
        operator_id="brain",
        ts_ms=wall_ms,
    )
