"""The router's state as gauges.

Guarantees: every gauge is set from the state alone, at every account the router gives of itself. Never: a decision.
"""

from __future__ import annotations

from collections import Counter

from actors.router import view
from actors.router.state import RouterConfig, RouterState
from titan.codes import AlgoEnd, TradingState
from titan.metrics import Metrics
from titan.model import Style


def show(metrics: Metrics, state: RouterState, config: RouterConfig, outbox_rows: int) -> None:
    """Sets every gauge of the router but those of its cores."""
    gauge = metrics.gauge
    equity = state.equity()
    if equity is not None:
        gauge("titan_equity_usd").set(float(equity))
        peak = max(state.money.high_watermark, equity)
        gauge("titan_drawdown_percent").set(float((peak - equity) / peak * 100) if peak > 0 else 0.0)
    gauge("titan_risk_exposure_notional").set(float(state.exposure()))
    for position in view.positions(state, config):
        gauge("titan_position_pnl_usd").labels(position.symbol).set(float(position.unrealized_pnl))
    held = sum(not each.is_flat for each in state.positions.values())
    gauge("titan_execution_active_positions").set(held)
    gauge("titan_active_positions").set(held)
    if equity is not None and equity > 0:
        gauge("titan_total_leverage").set(float(state.exposure() / equity))
    gauge("titan_execution_filled_orders_total").set(state.filled)
    if state.finished:
        gauge("titan_order_fill_rate").set(state.filled / state.finished)
    gauge("titan_router_intent_copies_total").set(state.duplicates)
    gauge("titan_router_outbox_rows").set(outbox_rows)
    gauge("titan_router_external_orders_total").set(state.externals)
    gauge("titan_router_unknown_orders").set(len(state.lookups))
    working = Counter(
        parent.row.intent.execution.style for parent in state.parents.values() if parent.row.intent.execution
    )
    for style in Style:
        gauge("titan_execution_parents").labels(style.value).set(working[style])
        # There from the first account on, also where no intent was ever worked by several orders.
        gauge("titan_execution_parents_ended_total").labels(style.value, AlgoEnd.FILLED.value).set(0)
    for (style, end), count in state.ended.items():
        gauge("titan_execution_parents_ended_total").labels(style.value, end.value).set(count)
    for each in TradingState:
        gauge("titan_trading_state").labels(each.value).set(each is state.effective)
