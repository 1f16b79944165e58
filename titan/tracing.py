"""Spans of the way of an order, for an OpenTelemetry collector.

Guarantees: the ids of a trace and of its spans are functions of the signal's id, which every envelope on its way carries as its
correlation id: the actors' spans meet in one trace, and nothing else has to travel. Spans leave from a thread of their own,
and are dropped when the collector does not keep up. Without an address there is no tracer and OpenTelemetry is not imported.
Never: an order that waits for a span.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from titan.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SIGNAL, DECISION, ORDER, FILL = "signal", "decision", "order", "fill"
QUEUE = 4_096
EXPORT_EVERY_MS = 1_000
EXPORT_WITHIN_S = 5.0


def trace_id_of(signal_id: str) -> int:
    """The trace of a signal: 128 bits of SHA-256 over its id."""
    return int.from_bytes(hashlib.sha256(signal_id.encode()).digest()[:16], "big")


def span_id_of(signal_id: str, name: str, key: str = "") -> int:
    """A span of a signal's trace; `key` tells orders and fills of one signal apart."""
    return int.from_bytes(hashlib.sha256(f"{signal_id}\x1f{name}\x1f{key}".encode()).digest()[:8], "big")


class Tracer:
    """The spans of one service. Raises ConfigError when the exporter is not installed."""

    def __init__(self, service: str, url: str, exporter: SpanExporter | None = None) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.id_generator import IdGenerator

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_WITHIN_S)
        except ImportError as error:
            raise ConfigError(
                f"TITAN_TRACES_URL is set and the exporter is not installed ({error}): install titan[tracing] or unset it"
            ) from error

        class Ids(IdGenerator):
            """Hands out the ids that were laid ready."""

            def generate_span_id(self) -> int:
                return tracer.next_span

            def generate_trace_id(self) -> int:
                return tracer.next_trace

        tracer = self
        self.next_span = self.next_trace = 0
        self._api: Any = trace
        self._provider = TracerProvider(
            id_generator=Ids(),
            resource=Resource({"service.name": service, "service.namespace": "titan"}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=QUEUE, schedule_delay_millis=EXPORT_EVERY_MS)
        )
        self._tracer = self._provider.get_tracer("titan")

    def span(
        self,
        name: str,
        signal_id: str,
        began_ns: int,
        ended_ns: int,
        *,
        key: str = "",
        parent: tuple[str, str] | None = None,
        told: Mapping[str, str | bool] | None = None,
    ) -> None:
        """Tells of something that is over. `parent` is the name and the key of the span it came from; times are wall ns."""
        api = self._api
        self.next_trace, self.next_span = trace_id_of(signal_id), span_id_of(signal_id, name, key)
        context = None
        if parent is not None:
            above = api.SpanContext(
                self.next_trace, span_id_of(signal_id, *parent), True, api.TraceFlags(api.TraceFlags.SAMPLED)
            )
            context = api.set_span_in_context(api.NonRecordingSpan(above))
        span = self._tracer.start_span(
            name, context=context, start_time=began_ns, attributes={"titan.signal_id": signal_id, **(told or {})}
        )
        span.end(end_time=max(began_ns, ended_ns))

    def close(self) -> None:
        """Sends what waits, and ends the thread."""
        self._provider.shutdown()


def open_tracer(service: str, url: str) -> Tracer | None:
    """A service's tracer; None without an address. Raises ConfigError when the exporter is not installed."""
    return Tracer(service, url) if url else None
