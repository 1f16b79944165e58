"""What Execution knows of the parts it depends on, as lines of its health answer.

Guarantees: every line carries the age of what it says. Never: a question asked for the answer's sake.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from actors.execution.auditor import Auditor
from actors.execution.core import ExecutionCore
from actors.execution.follower import JournalFollower
from actors.execution.scribe import Scribe
from protos import market_pb2
from titan.actor import Component
from titan.clock import Now

ROUTER_LATE_MS = 5_000
STREAM_LATE_S = 60.0
JOURNAL_LATE_S = 10.0
LOW_CONFIDENCE = 80


class Knowledge:
    """What was seen last, and when."""

    def __init__(self) -> None:
        self.starting = "starting"
        self.scribe: Scribe | None = None
        self.follower: JournalFollower | None = None
        self.auditor: Auditor | None = None
        self.journal_error = "not followed yet"
        self._followed_at: float | None = None
        self._stream: market_pb2.VenueStatus | None = None
        self._stream_at: float | None = None

    def heard_stream(self, status: market_pb2.VenueStatus) -> None:
        """Market data told how the venue's stream is."""
        self._stream, self._stream_at = status, time.monotonic()

    def followed(self) -> None:
        """The journal was followed to its end."""
        self.journal_error, self._followed_at = "", time.monotonic()

    @property
    def followed_age_s(self) -> float | None:
        """Seconds since the journal was followed to its end; None before."""
        return None if self._followed_at is None else time.monotonic() - self._followed_at

    def stream(self) -> Component:
        """The venue's public stream, as market data tells it."""
        if self._stream is None or self._stream_at is None:
            return Component("degraded", "market data has told nothing yet")
        age_s = time.monotonic() - self._stream_at
        reconnects = f"{self._stream.reconnects_15m} reconnects in 15 min"
        if age_s > STREAM_LATE_S:
            return Component("unhealthy", f"market data is silent for {age_s:.0f} s", int(age_s * 1000))
        if self._stream.state == market_pb2.VENUE_LINK_STATE_CONNECTED:
            return Component("healthy", f"connected, {reconnects}", int(age_s * 1000))
        lost = self._stream.state == market_pb2.VENUE_LINK_STATE_DISCONNECTED
        return Component("unhealthy" if lost else "degraded", reconnects, int(age_s * 1000))


def components(knowledge: Knowledge, core: ExecutionCore, now: Now) -> Mapping[str, Component]:
    """Every part, by the names that runbooks use."""
    return {
        "websocket": knowledge.stream(),
        "database": _database(knowledge),
        "broker": _broker(knowledge, core, now),
        "ipc": _ipc(core, now),
        "journal": _journal(knowledge, core),
        "truth": _truth(core, now),
    }


def _database(knowledge: Knowledge) -> Component:
    scribe = knowledge.scribe
    if scribe is None:
        return Component("unhealthy", f"ledger not open: {knowledge.starting}")
    age_ms = int((time.monotonic() - scribe.answered_at) * 1000)
    if scribe.error:
        return Component("unhealthy", f"the books wait, trading goes on: {scribe.error}", age_ms)
    return Component("healthy", "last commit went through", age_ms)


def _broker(knowledge: Knowledge, core: ExecutionCore, now: Now) -> Component:
    """The router speaks for the venue session that trades; our own reading session is named beside it."""
    heard = core.router_heard
    if heard is None or core.router is None:
        return Component("unhealthy", "the router has not spoken yet")
    age_ms = max(0, now.wall_ms - heard.wall_ms)
    if age_ms > ROUTER_LATE_MS:
        return Component("unhealthy", f"the router is silent for {age_ms / 1000:.1f} s", age_ms)
    reading = knowledge.auditor.venue_error if knowledge.auditor is not None else ""
    if reading:
        return Component("degraded", f"the venue can't be read for the comparison: {reading}", age_ms)
    if not core.router.reconciled:
        return Component("degraded", "the router is not reconciled with the venue", age_ms)
    return Component("healthy", "the router is reconciled with the venue", age_ms)


def _ipc(core: ExecutionCore, now: Now) -> Component:
    """The fast lane by which the router gets its intents; without it the bus carries them alone."""
    heard = core.router_heard
    if heard is None or core.router is None:
        return Component("degraded", "the router has not spoken yet")
    age_ms = max(0, now.wall_ms - heard.wall_ms)
    if not core.router.ipc_status:
        return Component("healthy", "off: intents travel on the bus only", age_ms)
    return Component("healthy" if core.router.ipc_status == "healthy" else "degraded", core.router.ipc_detail, age_ms)


def _journal(knowledge: Knowledge, core: ExecutionCore) -> Component:
    follower, age_s = knowledge.follower, knowledge.followed_age_s
    if follower is None or age_s is None:
        return Component("degraded", knowledge.journal_error)
    lag = max(0, core.journal_seq - follower.booked_seq)
    said = f"booked up to row {follower.booked_seq}, {lag} behind"
    if age_s > JOURNAL_LATE_S:
        return Component(
            "degraded", f"{said}; not followed for {age_s:.0f} s: {knowledge.journal_error}", int(age_s * 1000)
        )
    return Component("healthy", f"{said}; {follower.fault}" if follower.fault else said, int(age_s * 1000))


def _truth(core: ExecutionCore, now: Now) -> Component:
    run = core.truth
    if run is None:
        return Component("healthy", f"no pass yet, confidence {core.confidence}")
    age_ms = max(0, now.wall_ms - run.ts_ms)
    said = f"{len(run.drifts)} differences, confidence {run.confidence}"
    if not run.complete:
        return Component("degraded", f"the last pass is incomplete: {run.error}", age_ms)
    return Component("degraded" if run.drifts or run.confidence < LOW_CONFIDENCE else "healthy", said, age_ms)
