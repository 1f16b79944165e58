"""All alerts and recordings, and why some that a reader may look for are not among them."""

from __future__ import annotations

from ops.observability.model import Alert, Recording
from ops.observability.rules_money import MONEY
from ops.observability.rules_system import LATENCY, SYSTEM

ALERTS: tuple[Alert, ...] = (*MONEY, *SYSTEM, *LATENCY)

RECORDINGS: tuple[Recording, ...] = (
    Recording("titan:uptime:ratio_30d", 'avg(avg_over_time(up{job=~"titan-(brain|execution)"}[30d]))'),
    Recording(
        "titan:signal_latency_ms:p95_5m",
        "histogram_quantile(0.95, sum by (le) (rate(titan_brain_signal_processing_latency_ms_bucket[5m])))",
    ),
    Recording(
        "titan:order_latency_seconds:p95_5m",
        "histogram_quantile(0.95, sum by (le) (rate(titan_order_latency_seconds_bucket[5m])))",
    ),
    Recording(
        "titan:database_query_ms:p50_5m",
        "histogram_quantile(0.5, sum by (le) (rate(titan_database_query_duration_ms_bucket[5m])))",
    ),
    Recording("titan:signals:per_minute", "sum(rate(titan_scavenger_signals_generated_total[5m])) * 60"),
)

LEFT_OUT: dict[str, str] = {
    "LowCacheHitRate": "the cache is written for readers and read by nothing on the way of an order",
    "HighIPCLatency": "both ways of a signal end in one decision, whose latency is watched whole (HighSignalLatency)",
    "ConfigurationReloadFailed": "configuration is read at the start only; a wrong one refuses the start (SystemDown)",
    "SecretMissingStartup": "live mode refuses to start without its secrets: SystemDown fires, the sentence is in the log",
    "HighErrorRate": "failures are counted where they are: requests (HighErrorBudgetBurn), messages (DeadLetters), "
    "actors (ServiceRestartLoop), orders (OrderRejectSpike)",
}
