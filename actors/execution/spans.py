"""The last span of an order's way: a fill goes into the books.

Guarantees: what is written, and what a failure looks like, is the inner writer's own. Never: in the way when there is no tracer
(nobody makes one then).
"""

from __future__ import annotations

import time

from actors.execution.books import Written
from actors.execution.news import Batch
from actors.execution.scribe import Writer
from titan import tracing
from titan.tracing import Tracer


class TracedWriter:
    """Commits by another writer, and tells of every fill that it committed."""

    def __init__(self, inner: Writer, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def write(self, batch: Batch) -> Written:
        """Commits. Raises what the inner writer raises."""
        began_ns = time.time_ns()
        written = await self._inner.write(batch)
        ended_ns = time.time_ns()
        for fill in written.fills:
            told = {"symbol": fill.symbol, "price": str(fill.price), "quantity": str(fill.quantity)}
            up = (tracing.ORDER, fill.client_order_id)
            self._tracer.span(tracing.FILL, fill.signal_id, began_ns, ended_ns, key=fill.fill_id, parent=up, told=told)
        return written
