"""The four dashboards, as values."""

from __future__ import annotations

from ops.observability.model import LOGS, Dashboard, Panel, Query

P = "histogram_quantile({}, sum by (le) (rate({}_bucket[5m])))"
OK = ((None, "red"), (0.5, "yellow"), (1.0, "green"))
DRAWDOWN = ((None, "green"), (3.0, "yellow"), (5.0, "orange"), (7.0, "red"))
ON_OFF = ((None, "green"), (1.0, "red"))


def quantiles(metric: str, *ranks: float) -> tuple[Query, ...]:
    """One line a rank of a histogram."""
    return tuple(Query(P.format(rank, metric), f"p{rank * 100:g}") for rank in ranks)


TRADING = Dashboard(
    "titan-trading-system",
    "Titan Trading System - Production Monitoring",
    (
        Panel("System Health Status", "stat", (Query("titan_health_status", "{{component}}"),), steps=OK,
              text={"0": "unhealthy", "0.5": "degraded", "1": "healthy"}),
        Panel("Account Equity (USD)", "timeseries",
              (Query("titan_equity_usd", "equity"), Query("titan_initial_capital_usd", "paid in")), "currencyUSD"),
        Panel("Current Drawdown (%)", "gauge", (Query("titan_drawdown_percent"),), "percent", DRAWDOWN),
        Panel("Signal Processing Rate", "timeseries",
              (Query("sum by (outcome) (rate(titan_signals_total[5m])) * 60", "{{outcome}}"),), "cpm",
              ((None, "green"), (10.0, "yellow"), (20.0, "red"))),
        Panel("Order Execution Latency", "timeseries", quantiles("titan_order_latency_seconds", 0.95, 0.99), "s",
              ((None, "green"), (0.1, "yellow"), (0.5, "orange"), (1.0, "red"))),
        Panel("Position P&L by Symbol", "timeseries", (Query("titan_position_pnl_usd", "{{symbol}}"),), "currencyUSD"),
        Panel("Order Fill Rate (%)", "gauge", (Query("titan_order_fill_rate * 100"),), "percent",
              ((None, "red"), (70.0, "orange"), (80.0, "yellow"), (90.0, "green"))),
        Panel("Active Positions & Total Leverage", "stat",
              (Query("titan_active_positions", "positions"), Query("titan_total_leverage", "leverage"))),
        Panel("Signal Results Distribution", "piechart",
              (Query("sum by (outcome) (titan_signals_total)", "{{outcome}}"),)),
        Panel("CPU", "timeseries", (Query("rate(titan_process_cpu_seconds_total[5m]) * 100", "{{actor}}"),), "percent",
              ((None, "green"), (80.0, "red"))),
        Panel("Memory", "timeseries", (Query("titan_process_resident_memory_bytes", "{{actor}}"),), "bytes",
              ((None, "green"), (400e6, "yellow"), (500e6, "red"))),
        Panel("Alerts", "alertlist", (), width=12),
        Panel("Warnings and errors", LOGS, (Query('{job="titan", level=~"warning|error|critical"}'),), width=24),
    ),
)  # fmt: skip

OVERVIEW = Dashboard(
    "titan-overview",
    "Titan Overview",
    (
        Panel("Equity", "timeseries",
              (Query("titan_equity_usd", "router"), Query("titan_brain_high_watermark", "peak")), "currencyUSD"),
        Panel("Unrealised PnL", "timeseries", (Query("sum(titan_position_pnl_usd)", "all"),
                                               Query("titan_position_pnl_usd", "{{symbol}}")), "currencyUSD"),
        Panel("Exposure", "timeseries", (Query("titan_risk_exposure_notional", "notional"),), "currencyUSD"),
        Panel("Trading state", "stat", (Query("titan_trading_state == 1", "{{state}}"),), width=6),
        Panel("Positions", "stat", (Query("titan_active_positions"),), width=6),
        Panel("Allocation", "piechart", (Query("titan_brain_allocation_weight", "{{phase_id}}"),)),
        Panel("Decisions", "timeseries",
              (Query("sum by (approved) (rate(titan_brain_decisions_total[5m])) * 60", "approved {{approved}}"),), "cpm"),
        Panel("Vetoes by reason", "timeseries",
              (Query("sum by (reason_code) (increase(titan_brain_veto_total[1h]))", "{{reason_code}}"),)),
        Panel("Filled orders", "timeseries", (Query("titan_execution_filled_orders_total", "filled"),)),
        Panel("Traps that stand", "timeseries", (Query("titan_scavenger_active_traps_count", "{{trap_type}}"),)),
        Panel("Signals fired", "timeseries",
              (Query("sum by (result) (rate(titan_scavenger_signals_generated_total[5m])) * 60", "{{result}}"),), "cpm"),
    ),
)  # fmt: skip

HEALTH = Dashboard(
    "titan-system-health",
    "System Health",
    (
        Panel("Listeners", "stat", (Query('up{job=~"titan-.*"}', "{{job}}"),), steps=((None, "red"), (1.0, "green"))),
        Panel("Components", "stat", (Query("titan_health_status", "{{component}}"),), steps=OK),
        Panel("CPU", "timeseries", (Query("rate(titan_process_cpu_seconds_total[5m]) * 100", "{{actor}}"),), "percent"),
        Panel("RAM", "timeseries", (Query("titan_process_resident_memory_bytes", "{{actor}}"),), "bytes"),
        Panel("Event loop lag", "timeseries", (Query("titan_event_loop_lag_seconds", "{{actor}}"),), "s"),
        Panel("NATS lag", "timeseries", (Query("titan_nats_pending_messages", "{{consumer}}"),)),
        Panel("Bus traffic", "timeseries",
              (Query("sum by (actor, direction) (rate(titan_bus_messages_total[1m]))", "{{actor}} {{direction}}"),), "mps"),
        Panel("Heartbeat age", "timeseries", (Query("titan_actor_heartbeat_age_seconds", "{{actor}}"),), "s"),
        Panel("Restarts", "timeseries",
              (Query("sum by (actor, reason) (increase(titan_actor_restarts_total[1h]))", "{{actor}} {{reason}}"),)),
        Panel("Recovery", "timeseries", quantiles("titan_actor_recovery_seconds", 0.5, 0.99), "s"),
        Panel("Stream age", "timeseries", (Query("max by (symbol, kind) (titan_stream_age_seconds)", "{{symbol}} {{kind}}"),), "s"),
        Panel("Dead letters", "timeseries", (Query("sum by (reason) (increase(titan_dlq_total[1h]))", "{{reason}}"),)),
        Panel("Database queries", "timeseries", quantiles("titan_database_query_duration_ms", 0.5, 0.95), "ms"),
        Panel("Database size", "timeseries", (Query("titan_database_size_bytes"),), "bytes", width=6),
        Panel("Disk free", "gauge", (Query("titan_disk_free_percent"),), "percent",
              ((None, "red"), (10.0, "orange"), (20.0, "green")), width=6),
        Panel("Bus storage", "gauge", (Query("titan_nats_storage_percent"),), "percent",
              ((None, "green"), (70.0, "yellow"), (85.0, "red")), width=6),
        Panel("Backup age", "stat", (Query("titan_backup_kind_age_seconds", "{{kind}}"),), "s",
              ((None, "green"), (7200.0, "yellow"), (93600.0, "red")), width=6),
        Panel("Journal", "timeseries",
              (Query("titan_execution_journal_lag_rows", "books behind"), Query("titan_router_outbox_rows", "outbox"))),
        Panel("HTTP", "timeseries",
              (Query("sum by (job, status_code) (rate(titan_http_requests_total[5m]))", "{{job}} {{status_code}}"),), "reqps"),
        Panel("Logs of the machinery", LOGS, (Query('{job="titan", actor=~"root|guardian|execution|market_data"}'),), width=24),
    ),
)  # fmt: skip

RISK = Dashboard(
    "titan-risk-board",
    "Risk Board",
    (
        Panel("Circuit breaker", "stat", (Query("titan_brain_circuit_breaker_active"),), steps=ON_OFF, width=6,
              text={"0": "closed", "1": "TRIPPED"}),
        Panel("Risk state", "stat", (Query("titan_brain_risk_state"),), width=6,
              steps=((None, "green"), (1.0, "yellow"), (2.0, "orange"), (3.0, "red")),
              text={"0": "NORMAL", "1": "CAUTIOUS", "2": "DEFENSIVE", "3": "EMERGENCY"}),
        Panel("Defcon", "stat", (Query("titan_brain_defcon"),), width=6,
              steps=((None, "green"), (1.0, "yellow"), (2.0, "orange"), (3.0, "red"))),
        Panel("Armed", "stat", (Query("titan_brain_arm_state"),), width=6, text={"0": "no", "1": "yes"}),
        Panel("Drawdown from peak", "gauge", (Query("titan_drawdown_percent"),), "percent", DRAWDOWN),
        Panel("Loss of the day", "gauge", (Query("titan_brain_daily_drawdown_percent"),), "percent", DRAWDOWN),
        Panel("Drawdown", "timeseries",
              (Query("titan_drawdown_percent", "from peak"), Query("titan_brain_daily_drawdown_percent", "today")), "percent", DRAWDOWN),
        Panel("Leverage", "timeseries", (Query("titan_total_leverage", "router"), Query("titan_brain_current_leverage", "brain")),
              steps=((None, "green"), (40.0, "yellow"), (50.0, "red"))),
        Panel("Exposure", "timeseries", (Query("titan_risk_exposure_notional"),), "currencyUSD"),
        Panel("Truth confidence", "gauge", (Query("titan_truth_confidence"),), "percent",
              ((None, "red"), (50.0, "orange"), (80.0, "green"))),
        Panel("Differences", "timeseries", (Query("sum by (kind) (increase(titan_truth_drift_total[1h]))", "{{kind}}"),)),
        Panel("Orders in doubt", "stat", (Query("titan_router_unknown_orders"),), steps=ON_OFF, width=6),
        Panel("One policy", "stat", (Query("titan_brain_policy_hash_match"),), width=6,
              steps=((None, "red"), (1.0, "green")), text={"0": "NO", "1": "yes"}),
        Panel("Refused by the guard", "timeseries",
              (Query("increase(titan_execution_risk_rejections_total[1h])", "intents"),)),
        Panel("Sharpe by phase", "timeseries", (Query("titan_brain_sharpe_ratio", "{{phase_id}}"),)),
        Panel("Holdings by phase", "timeseries", (Query("titan_brain_open_positions_count", "{{phase_id}}"),)),
        Panel("Factor on sizes", "timeseries", (Query("titan_brain_performance_modifier", "{{phase_id}}"),)),
    ),
)  # fmt: skip

BOARDS = (TRADING, OVERVIEW, HEALTH, RISK)
