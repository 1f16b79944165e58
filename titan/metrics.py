"""The one registry of metrics: name, kind, labels, unit and help of everything Titan exports.

Guarantees: a name outside the table can't be used; the documentation, dashboards and alert rules are checked against
the table. A process exports only what it has touched. Never: a metric that nothing sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. `buckets` are upper bounds in the metric's unit, for histograms."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str
    buckets: tuple[float, ...] = ()


_SECONDS = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
_MILLISECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0, 1000.0)

METRICS: tuple[MetricSpec, ...] = (
    # Every actor, set by the common shell and the bus.
    MetricSpec("titan_process_cpu_seconds_total", "gauge", ("actor",), "seconds", "CPU time of the actor's process"),
    MetricSpec("titan_process_resident_memory_bytes", "gauge", ("actor",), "bytes", "Resident memory of the process"),
    MetricSpec(
        "titan_process_open_descriptors", "gauge", ("actor",), "descriptors", "Descriptors the process has open"
    ),
    MetricSpec("titan_event_loop_lag_seconds", "gauge", ("actor",), "seconds", "Delay of the actor's event loop"),
    MetricSpec("titan_dlq_total", "counter", ("reason",), "messages", "Messages put into the dead letter queue"),
    MetricSpec("titan_bus_duplicates_total", "counter", ("actor",), "messages", "Identical copies that were dropped"),
    MetricSpec("titan_ipc_connected", "gauge", ("lane",), "connections", "Lines that stand on a fast lane"),
    MetricSpec(
        "titan_ipc_messages_total", "counter", ("lane", "first"), "messages", "Messages by the way that was first"
    ),
    MetricSpec(
        "titan_ipc_missed_messages",
        "gauge",
        ("lane", "way"),
        "messages",
        "Messages since start that a way did not bring",
    ),
    MetricSpec("titan_bus_messages_total", "counter", ("actor", "direction"), "messages", "Bus messages by direction"),
    MetricSpec(
        "titan_http_requests_total", "counter", ("method", "route", "status_code"), "requests", "HTTP requests answered"
    ),
    MetricSpec(
        "titan_http_request_duration_seconds",
        "histogram",
        ("route",),
        "seconds",
        "Time to answer an HTTP request",
        (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    ),
    # Market data.
    MetricSpec("titan_cache_failures_total", "counter", ("actor",), "operations", "Cache operations that failed"),
    MetricSpec("titan_market_events_total", "counter", ("venue", "symbol", "kind"), "events", "Market data received"),
    MetricSpec(
        "titan_stream_age_seconds",
        "gauge",
        ("venue", "symbol", "kind"),
        "seconds",
        "Age of a stream's newest datum in wall time: an outage weighs the same at every speed of the market",
    ),
    MetricSpec("titan_venue_link_up", "gauge", ("venue",), "", "1 while the venue is connected and its data is fresh"),
    # Scavenger.
    MetricSpec("titan_signals_total", "counter", ("phase", "outcome"), "signals", "Signals by phase and outcome"),
    MetricSpec("titan_scavenger_active_traps_count", "gauge", ("trap_type",), "traps", "Traps that stand"),
    MetricSpec("titan_scavenger_binance_ticks_total", "counter", ("symbol",), "trades", "Trades seen on the tape"),
    MetricSpec("titan_scavenger_health_status", "gauge", ("component",), "", "1 unless the component is unhealthy"),
    MetricSpec(
        "titan_scavenger_ipc_messages_total", "counter", ("direction", "result"), "messages", "Signals handed over"
    ),
    MetricSpec(
        "titan_scavenger_signals_generated_total",
        "counter",
        ("symbol", "direction", "result"),
        "signals",
        "Traps fired",
    ),
    MetricSpec("titan_scavenger_tick_processing_rate", "gauge", (), "trades/s", "Trades a second, last five seconds"),
    MetricSpec(
        "titan_scavenger_trap_calculation_duration_ms",
        "histogram",
        ("calculation_type",),
        "milliseconds",
        "Time to compute the traps of a symbol",
        (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500),
    ),
    MetricSpec("titan_scavenger_traps_detected_total", "counter", ("trap_type", "symbol"), "traps", "Traps sprung"),
    MetricSpec(
        "titan_scavenger_validation_results_total",
        "counter",
        ("symbol", "result"),
        "traps",
        "What became of sprung traps",
    ),
    # Brain.
    MetricSpec("titan_brain_allocation_weight", "gauge", ("phase_id",), "", "Share of equity of a phase"),
    MetricSpec("titan_brain_arm_state", "gauge", (), "", "1 while the router's trading state is ACTIVE"),
    MetricSpec("titan_brain_circuit_breaker_active", "gauge", (), "", "1 while the breaker stops openings"),
    MetricSpec("titan_brain_current_equity", "gauge", (), "USD", "Equity as the router reports it"),
    MetricSpec("titan_brain_current_leverage", "gauge", (), "", "Gross notional over equity"),
    MetricSpec("titan_brain_daily_drawdown_percent", "gauge", (), "percent", "Loss since the day's start"),
    MetricSpec("titan_brain_decisions_total", "counter", ("phase_id", "approved"), "decisions", "Decisions on signals"),
    MetricSpec("titan_brain_defcon", "gauge", (), "", "Level of alarm: 0 NORMAL to 3 EMERGENCY"),
    MetricSpec("titan_brain_high_watermark", "gauge", (), "USD", "Highest equity as the router reports it"),
    MetricSpec("titan_brain_open_positions_count", "gauge", ("phase_id",), "positions", "Holdings of a phase"),
    MetricSpec("titan_brain_performance_modifier", "gauge", ("phase_id",), "", "Factor on a phase's sizes"),
    MetricSpec("titan_brain_policy_hash_match", "gauge", (), "", "1 while brain and router attest one policy"),
    MetricSpec("titan_brain_risk_state", "gauge", (), "", "Risk state: 0 NORMAL to 3 EMERGENCY"),
    MetricSpec("titan_brain_sharpe_ratio", "gauge", ("phase_id",), "", "Sharpe ratio of daily returns"),
    MetricSpec(
        "titan_brain_signal_processing_latency_ms",
        "histogram",
        ("phase_id", "approved"),
        "milliseconds",
        "From a signal's publication to its announced decision",
        (5, 10, 25, 50, 75, 100, 150, 200, 500, 1000),
    ),
    MetricSpec("titan_brain_truth_age_seconds", "gauge", (), "seconds", "Wall age of the last truth pass"),
    MetricSpec("titan_brain_truth_confidence_score", "gauge", ("scope",), "", "Confidence in the books, 0 to 1"),
    MetricSpec(
        "titan_brain_impact_total",
        "gauge",
        ("verdict",),
        "openings",
        "Openings by what the impact gate said of them since the brain started",
    ),
    MetricSpec("titan_brain_routed_total", "gauge", ("venue",), "intents", "Openings by venue since the brain started"),
    MetricSpec("titan_brain_veto_total", "counter", ("reason_code",), "decisions", "Vetoes by code"),
    MetricSpec(
        "titan_decision_latency_ms",
        "histogram",
        ("phase_id",),
        "milliseconds",
        "From a signal's receipt to its decision",
    ),
    # Execution.
    MetricSpec("titan_execution_books_batches_total", "counter", (), "transactions", "Transactions of the books"),
    MetricSpec(
        "titan_execution_books_rows_total", "counter", (), "rows", "Rows that came to the books, copies included"
    ),
    MetricSpec("titan_execution_journal_lag_rows", "gauge", (), "rows", "Journal rows that the books do not cover yet"),
    MetricSpec("titan_execution_truth_pass_seconds", "histogram", (), "seconds", "Duration of a truth pass"),
    MetricSpec("titan_backup_age_seconds", "gauge", (), "seconds", "Age of the last good backup of any kind"),
    MetricSpec(
        "titan_backup_kind_age_seconds",
        "gauge",
        ("kind",),
        "seconds",
        "Age of the last good journal, dump, base, or drill; +Inf is never",
    ),
    MetricSpec("titan_database_query_duration_ms", "histogram", ("operation",), "milliseconds", "Time of a query"),
    MetricSpec("titan_database_size_bytes", "gauge", (), "bytes", "Size of the ledger's database"),
    MetricSpec("titan_disk_free_percent", "gauge", (), "percent", "Free space of the disk under TITAN_HOME"),
    MetricSpec("titan_initial_capital_usd", "gauge", (), "USD", "Capital paid in, as the ledger has it"),
    MetricSpec("titan_nats_storage_percent", "gauge", (), "percent", "Use of the bus's disk quota"),
    MetricSpec("titan_wal_archive_failing", "gauge", (), "", "1 while the ledger's log can't be archived"),
    MetricSpec("titan_health_status", "gauge", ("component",), "", "1 healthy, 0.5 degraded, 0 unhealthy"),
    MetricSpec("titan_nats_pending_messages", "gauge", ("stream", "consumer"), "messages", "Not acknowledged yet"),
    MetricSpec("titan_truth_confidence", "gauge", (), "", "Confidence in the books, 0 to 100"),
    MetricSpec("titan_truth_drift_total", "counter", ("kind",), "differences", "Differences that truth passes found"),
    # Router.
    MetricSpec("titan_active_positions", "gauge", (), "positions", "Positions that are not flat"),
    MetricSpec("titan_total_leverage", "gauge", (), "", "Exposure over equity, pending entries included"),
    MetricSpec("titan_drawdown_percent", "gauge", (), "percent", "Equity below its high watermark"),
    MetricSpec("titan_equity_usd", "gauge", (), "USD", "Cash plus unrealised profit"),
    MetricSpec(
        "titan_execution_ack_latency_ms",
        "histogram",
        ("venue",),
        "milliseconds",
        "From an order's send to its venue's acknowledgement",
    ),
    MetricSpec("titan_execution_active_positions", "gauge", (), "positions", "Positions that are not flat"),
    MetricSpec("titan_execution_filled_orders_total", "gauge", (), "orders", "Own orders that filled whole"),
    MetricSpec(
        "titan_execution_parents",
        "gauge",
        ("style",),
        "intents",
        "Intents that are being worked by several orders",
    ),
    MetricSpec(
        "titan_execution_parents_ended_total",
        "gauge",
        ("style", "end"),
        "intents",
        "Intents that were worked by several orders, by how they ended since the router started",
    ),
    MetricSpec("titan_execution_risk_rejections_total", "counter", (), "intents", "Intents that became no order"),
    MetricSpec("titan_order_fill_rate", "gauge", (), "", "Own finished orders that filled whole, 0 to 1"),
    MetricSpec(
        "titan_order_latency_seconds",
        "histogram",
        (),
        "seconds",
        "From a signal's publication to its venue's acknowledgement",
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    ),
    MetricSpec("titan_position_pnl_usd", "gauge", ("symbol",), "USD", "Unrealised profit of a position"),
    MetricSpec("titan_risk_exposure_notional", "gauge", (), "USD", "Positions and pending entries at mark"),
    MetricSpec("titan_router_cpu", "gauge", ("core",), "", "1 for the cores the router's event loop may use"),
    MetricSpec("titan_router_leads", "gauge", (), "", "1 while this process leads its account, 0 while it stands by"),
    MetricSpec("titan_router_lease_term", "gauge", (), "", "Term of the lease as this process knows it"),
    MetricSpec(
        "titan_router_follow_lag_seconds",
        "gauge",
        (),
        "s",
        "Since when a standby's mirror is known to be whole, -1 never",
    ),
    MetricSpec("titan_router_promotion_seconds", "gauge", (), "s", "From the proof that nobody leads to trading"),
    MetricSpec("titan_router_intent_copies_total", "gauge", (), "intents", "Copies of an intent that were recognised"),
    MetricSpec("titan_router_journal_rows_total", "counter", ("kind",), "rows", "Journal rows written, by kind"),
    MetricSpec("titan_router_outbox_rows", "gauge", (), "rows", "Journal rows that wait for the bus"),
    MetricSpec(
        "titan_router_external_orders_total",
        "gauge",
        (),
        "orders",
        "Orders of the account that Titan did not make, as the journal holds them",
    ),
    MetricSpec("titan_router_unknown_orders", "gauge", (), "orders", "Orders whose send is in doubt"),
    MetricSpec("titan_trading_state", "gauge", ("state",), "", "1 for the trading state that binds, 0 for the others"),
    # Root supervisor.
    MetricSpec("titan_actor_heartbeat_age_seconds", "gauge", ("actor",), "seconds", "Time since the last sign of life"),
    MetricSpec(
        "titan_actor_recovery_seconds",
        "histogram",
        ("actor",),
        "seconds",
        "From the notice of an end to Ready again",
        (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0),
    ),
    MetricSpec(
        "titan_actor_restarts_total",
        "counter",
        ("actor", "reason"),
        "restarts",
        "Restarts: crash, graceful, sibling, memory",
    ),
    MetricSpec(
        "titan_server_answer_age_seconds", "gauge", ("server",), "seconds", "Time since a server last answered a probe"
    ),
)


class UnknownMetric(KeyError):
    """A metric that the registry does not declare."""


class Metrics:
    """The metrics of one process, created on first use from the table."""

    def __init__(self, specs: tuple[MetricSpec, ...] | None = None) -> None:
        self.registry = CollectorRegistry()
        self._specs = {spec.name: spec for spec in (METRICS if specs is None else specs)}
        self._live: dict[str, Counter | Gauge | Histogram] = {}

    def _spec(self, name: str, kind: Kind) -> MetricSpec:
        spec = self._specs.get(name)
        if spec is None or spec.kind != kind:
            raise UnknownMetric(f"{name} is not declared as a {kind} in titan.metrics.METRICS")
        return spec

    def counter(self, name: str) -> Counter:
        """The counter `name`. Raises UnknownMetric."""
        found = self._live.get(name)
        if found is None:
            spec = self._spec(name, "counter")
            found = self._live[name] = Counter(spec.name, spec.help, spec.labels, registry=self.registry)
        assert isinstance(found, Counter)
        return found

    def zero(self, name: str, *values: Iterable[str]) -> None:
        """Shows a counter at 0 for every combination of its labels' values, given label by label. Raises UnknownMetric.

        One that first appears with its first count shows Prometheus no increase, and the alert on it misses that count.
        """
        for labels in itertools.product(*values):
            self.counter(name).labels(*labels)

    def gauge(self, name: str) -> Gauge:
        """The gauge `name`. Raises UnknownMetric."""
        found = self._live.get(name)
        if found is None:
            spec = self._spec(name, "gauge")
            found = self._live[name] = Gauge(spec.name, spec.help, spec.labels, registry=self.registry)
        assert isinstance(found, Gauge)
        return found

    def histogram(self, name: str) -> Histogram:
        """The histogram `name`. Raises UnknownMetric."""
        found = self._live.get(name)
        if found is None:
            spec = self._spec(name, "histogram")
            buckets = spec.buckets or (_MILLISECONDS if spec.unit == "milliseconds" else _SECONDS)
            found = Histogram(spec.name, spec.help, spec.labels, registry=self.registry, buckets=buckets)
            self._live[name] = found
        assert isinstance(found, Histogram)
        return found

    def exposition(self) -> bytes:
        """Everything touched so far in Prometheus' text format."""
        return generate_latest(self.registry)
