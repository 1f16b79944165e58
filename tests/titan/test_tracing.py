"""The spans of an order's way meet in one trace at a real collector's door, and cost nothing without one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.collector import Collector, collector, one_collector
from titan import tracing
from titan.errors import ConfigError
from titan.tracing import Tracer, open_tracer, span_id_of, trace_id_of

MS = 1_000_000
__all__ = ["collector", "one_collector"]


def test_spans_of_several_services_are_one_trace(collector: Collector) -> None:
    phase, brain, router, books = (
        Tracer(name, collector.url) for name in ("scavenger", "brain", "router", "execution")
    )
    phase.span(tracing.SIGNAL, "s-1", 1000 * MS, 1001 * MS, told={"symbol": "BTC/USDT:USDT"})
    brain.span(tracing.DECISION, "s-1", 1002 * MS, 1003 * MS, parent=(tracing.SIGNAL, ""), told={"approved": True})
    for child in ("a", "b"):
        router.span(tracing.ORDER, "s-1", 1004 * MS, 1009 * MS, key=child, parent=(tracing.DECISION, ""))
    books.span(tracing.FILL, "s-1", 1010 * MS, 1012 * MS, key="f", parent=(tracing.ORDER, "b"))
    for tracer in (phase, brain, router, books):
        tracer.close()
    spans = {(span.service, span.name, span.key): span for span in collector.spans}
    assert len(spans) == 5
    assert {span.trace for span in spans.values()} == {trace_id_of("s-1")}
    up = {key[:2]: span.parent for key, span in spans.items()}
    assert up["scavenger", "signal"] == 0
    assert up["brain", "decision"] == span_id_of("s-1", tracing.SIGNAL)
    assert up["router", "order"] == span_id_of("s-1", tracing.DECISION)
    assert up["execution", "fill"] == span_id_of("s-1", tracing.ORDER, "b")
    decision = spans["brain", "decision", span_id_of("s-1", tracing.DECISION)]
    assert (decision.began_ns, decision.ended_ns) == (1002 * MS, 1003 * MS)
    assert decision.attributes == {"titan.signal_id": "s-1", "approved": True}


def test_another_signal_is_another_trace() -> None:
    assert trace_id_of("s-1") != trace_id_of("s-2")
    assert span_id_of("s-1", "order", "a") != span_id_of("s-1", "order", "b")


def test_a_span_never_ends_before_it_began(collector: Collector) -> None:
    tracer = Tracer("brain", collector.url)
    tracer.span(tracing.DECISION, "s-1", 5 * MS, 4 * MS)
    tracer.close()
    (span,) = collector.spans
    assert span.ended_ns == span.began_ns


def test_without_an_address_nothing_of_it_is_loaded() -> None:
    assert open_tracer("router", "") is None
    program = (
        "import sys, titan.tracing as t; t.open_tracer('router', ''); "
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_exporter_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"install titan\[tracing\]"):
        open_tracer("router", "http://127.0.0.1:9/v1/traces")
