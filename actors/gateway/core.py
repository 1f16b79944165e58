"""What the gateway has heard, and the status it makes of it.

Guarantees: pure; every number comes from a message and carries the age of that message; what was never heard is
absent, not zero. Never: I/O, clocks, decisions.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from google.protobuf.message import Message
from prometheus_client.parser import text_string_to_metric_families

from protos import brain_pb2, control_pb2, market_pb2, system_pb2, trading_pb2
from titan.clock import Now

KEPT_EVENTS = 200
MAY_OPEN = frozenset({brain_pb2.BUDGET_STATE_ACTIVE, brain_pb2.BUDGET_STATE_THROTTLED})
EVENTS_METRIC = "titan_market_events_total"


@dataclass(frozen=True, slots=True)
class LedgerCounters:
    """Totals of the ledger, as the execution actor wrote them."""

    decisions: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    round_trips: int = 0
    fees_usd: str = "0"
    pnl_usd: str = "0"
    as_of_ms: int = 0


class ReadModel:
    """The last word of every part."""

    def __init__(self) -> None:
        self.router: trading_pb2.RouterState | None = None
        self.router_ms = 0
        self.actors: system_pb2.ActorsSnapshot | None = None
        self.truth: trading_pb2.Truth | None = None
        self.venue: market_pb2.VenueStatus | None = None
        self.venue_ms = 0
        self.brain_policy_hash = ""
        self.budgets: dict[int, brain_pb2.Budget] = {}
        self.counters = LedgerCounters()
        self.backlog: dict[str, int] = {}
        self.recent: deque[tuple[str, Message]] = deque(maxlen=KEPT_EVENTS)
        self._events_base = 0
        self._events_last = 0

    def apply(self, subject: str, message: Message, now: Now) -> None:
        """Takes one verified message."""
        match message:
            case trading_pb2.RouterState():
                if self.router is None or message.term >= self.router.term:
                    self.router, self.router_ms = message, now.wall_ms
            case system_pb2.ActorsSnapshot():
                self.actors = message
            case trading_pb2.Truth():
                self.truth = message
                self.recent.append((subject, message))
            case market_pb2.VenueStatus():
                self.venue, self.venue_ms = message, now.wall_ms
            case brain_pb2.Decision():
                self.recent.append((subject, message))
            case brain_pb2.Budget():
                self.brain_policy_hash = message.policy_hash or self.brain_policy_hash
                self.budgets[message.phase] = message
            case trading_pb2.TradingStateChanged():
                known = self.router
                if known is not None and (message.term, message.journal_seq) > (known.term, known.journal_seq):
                    known.trading_state, known.reason = message.current, message.reason
                self.recent.append((subject, message))
            case trading_pb2.Fill() | trading_pb2.Reject() | system_pb2.Alert() | system_pb2.ActorRestarted():
                self.recent.append((subject, message))
            case _:
                pass

    def apply_events_in(self, total: int) -> None:
        """Takes the market data actor's own count of market events; a restart of it begins at zero again."""
        if total < self._events_last:
            self._events_base += self._events_last
        self._events_last = total

    @property
    def events_in(self) -> int:
        """Market events seen since this gateway started to listen, across restarts of the market data actor."""
        return self._events_base + self._events_last

    def router_age_s(self, now: Now) -> float:
        """Age of the router's last word in wall seconds; -1 when it has not spoken yet."""
        return -1.0 if self.router is None else max(0.0, (now.wall_ms - self.router_ms) / 1000)

    def openings_held(self, now: Now) -> str:
        """Why no phase may open; empty when one may, or when the brain has not spoken yet."""
        if not self.budgets:
            return ""
        live = [budget for budget in self.budgets.values() if budget.expires_at_ms > now.wall_ms]
        if not live:
            return "the brain is silent, its last budgets have ended"
        if any(budget.state in MAY_OPEN for budget in live):
            return ""
        return live[0].reason

    def status(self, now: Now, frame: control_pb2.GetStatusResponse) -> control_pb2.GetStatusResponse:
        """Fills a status that already names profile, feed, speed, version and uptime."""
        status = control_pb2.GetStatusResponse()
        status.CopyFrom(frame)
        status.ts_ms, status.market_ts_ms = now.wall_ms, now.market_ms
        status.router_state_age_s = self.router_age_s(now)
        if self.router is not None:
            status.trading_state = self.router.trading_state
            status.trading_reason = self.router.reason
            status.policy_hash = self.router.policy_hash
            status.equity.CopyFrom(self.router.equity)
            status.positions.extend(self.router.positions)
            for key, value in self.router.affinity.items():
                status.router_affinity[key] = value
        status.brain_policy_hash = self.brain_policy_hash
        status.openings_held = self.openings_held(now)
        if self.actors is not None:
            for actor in self.actors.actors:
                shown = status.actors.add()
                shown.CopyFrom(actor)
                if shown.heartbeat_age_s >= 0:  # below zero: this incarnation has not been heard yet
                    shown.heartbeat_age_s += max(0.0, (now.wall_ms - self.actors.ts_ms) / 1000)
            for server in self.actors.servers:
                seen = status.servers.add()
                seen.CopyFrom(server)
                if seen.answer_age_s >= 0:  # below zero: it was never asked
                    seen.answer_age_s += max(0.0, (now.wall_ms - self.actors.ts_ms) / 1000)
        if self.venue is not None:
            heard_s = max(0.0, (now.wall_ms - self.venue_ms) / 1000)
            for stream in self.venue.streams:
                status.streams.add(
                    venue=self.venue.venue,
                    symbol=stream.symbol,
                    kind=stream.kind,
                    age_s=stream.age_ms / 1000 + heard_s,
                )
        if self.truth is not None:
            status.truth.CopyFrom(self.truth)
        for name, pending in self.backlog.items():
            status.backlog[name] = pending
        self._count(status.counters)
        return status

    def _count(self, counters: control_pb2.Counters) -> None:
        held = self.counters
        counters.events_in = self.events_in
        counters.signals = sum(held.decisions.values())
        counters.approved = held.decisions.get("APPROVED", 0)
        for code, number in held.decisions.items():
            if code != "APPROVED":
                counters.rejected[code] = number
        counters.orders = held.orders
        counters.fills = held.fills
        counters.round_trips = held.round_trips
        counters.fees_usd = held.fees_usd
        counters.pnl_usd = held.pnl_usd


def events_total(exposition: str) -> int:
    """The sum over all labels of the market event counter in a Prometheus text exposition."""
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(exposition)
            for sample in family.samples
            if sample.name == EVENTS_METRIC
        )
    )
