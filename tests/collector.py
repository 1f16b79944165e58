"""A collector of traces on loopback: it speaks OTLP over HTTP, as the exporter does, and keeps what comes."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.doors import Door, serving


@dataclass(frozen=True)
class Span:
    """One span as it arrived. `key` is its own id, `parent` 0 for a root."""

    service: str
    name: str
    trace: int
    key: int
    parent: int
    began_ns: int
    ended_ns: int
    attributes: dict[str, object]


class Collector(ThreadingHTTPServer):
    """Everything that came, in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.spans: list[Span] = []

    @property
    def url(self) -> str:
        """Where exporters send."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def traces(self) -> dict[int, set[str]]:
        """The services of every trace."""
        found: dict[int, set[str]] = {}
        for span in list(self.spans):
            found.setdefault(span.trace, set()).add(span.service)
        return found


class _Door(Door):
    server: Collector

    def respond(self) -> None:
        body = self.body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for one in request.resource_spans:
            told = {each.key: each.value.string_value for each in one.resource.attributes}
            for scope in one.scope_spans:
                for span in scope.spans:
                    self.server.spans.append(
                        Span(
                            told["service.name"],
                            span.name,
                            int.from_bytes(span.trace_id, "big"),
                            int.from_bytes(span.span_id, "big"),
                            int.from_bytes(span.parent_span_id, "big"),
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes},
                        )
                    )
        self.answer(ExportTraceServiceResponse().SerializeToString(), Content_Type="application/x-protobuf")


@pytest.fixture(scope="module")
def one_collector() -> Iterator[Collector]:
    """A collector for a module."""
    with serving(Collector()) as server:
        yield server


@pytest.fixture
def collector(one_collector: Collector) -> Collector:
    """The module's collector, empty."""
    one_collector.spans.clear()
    return one_collector
