"""Every subject, stream and key-value bucket of the bus.

Guarantees: no subject literal stands anywhere else; no two streams overlap; operator and halt commands are in none.
The documentation table and the access lists are generated from `SUBJECTS` and `STREAMS`.
Grammar: titan.{cmd|evt|data|signal|rpc|sys|dlq|ops}.{domain}.{action}.v1[.tokens]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

REMEMBERED = 4096

SIGNAL_SUBMIT = "titan.signal.submit.v1"

INTENT_PLACE_ALL = "titan.cmd.execution.>"
OPERATOR_ALL = "titan.cmd.operator.>"
OPERATOR_VERBS = ("arm", "disarm", "reduce", "halt", "resume", "flatten", "cancel_order", "amend_order")

ORDER_EVENT = "titan.evt.execution.order.v1"
FILL_ALL = "titan.evt.execution.fill.v1.>"
REJECT = "titan.evt.execution.reject.v1"
ROUTER_STATE = "titan.evt.execution.state.v1"
TRADING_STATE = "titan.evt.execution.trading_state.v1"
TRUTH = "titan.evt.execution.truth.v1"
EQUITY = "titan.evt.execution.equity.v1"
DECISION = "titan.evt.brain.decision.v1"
REGIME = "titan.evt.brain.regime.v1"
RISK_STATE = "titan.evt.risk.state.v1"
BUDGET = "titan.evt.budget.update.v1"
ACTOR_RESTARTED = "titan.evt.sys.actor_restarted.v1"
OPERATOR_ACTED = "titan.evt.sys.operator_acted.v1"
ALERT = "titan.evt.alert.raised.v1"
POSTURE_ALL = "titan.evt.phase.posture.v1.>"
DIAGNOSTICS_ALL = "titan.evt.phase.diagnostics.v1.>"
EVENTS_ALL = "titan.evt.>"

TICKER_ALL = "titan.data.market.ticker.v1.>"
CANDLE_ALL = "titan.data.market.candle.v1.>"
FUNDING_ALL = "titan.data.market.funding.v1.>"
OPEN_INTEREST_ALL = "titan.data.market.openinterest.v1.>"
LIQUIDATION_ALL = "titan.data.market.liquidation.v1.>"
TRADES_ALL = "titan.data.venues.trades.v1.>"
BOOK_ALL = "titan.data.venues.orderbooks.v1.>"
VENUE_STATUS = "titan.data.venues.status.v1"
POWERLAW_ALL = "titan.data.powerlaw.metrics.v1.>"

ACTORS = "titan.sys.actors.v1"
JOURNAL_TAIL_ALL = "titan.sys.journal.v1.>"
HEARTBEAT_ALL = "titan.sys.heartbeat.v1.>"

RPC_CANDLES = "titan.rpc.market.candles.v1"
RPC_POLICY_HASH = "titan.rpc.execution.policy_hash.v1"
RPC_TRUTH = "titan.rpc.execution.truth.v1"
RPC_JOURNAL = "titan.rpc.router.journal.v1"
RPC_ACTORS = "titan.rpc.sys.actors.v1"
RPC_RESTART = "titan.rpc.sys.restart.v1"

DLQ_ALL = "titan.dlq.>"


def token(symbol: str) -> str:
    """A symbol as one subject token: `BTC/USDT:USDT` becomes `BTC_USDT_USDT`."""
    return symbol.replace("/", "_").replace(":", "_")


@lru_cache(REMEMBERED)
def intent_place(venue: str, account: str, symbol: str) -> str:
    """Where the brain orders an intent."""
    return f"titan.cmd.execution.place.v1.{venue}.{account}.{token(symbol)}"


def operator(verb: str) -> str:
    """Where an operator commands. Raises ValueError for an unknown verb."""
    if verb not in OPERATOR_VERBS:
        raise ValueError(f"unknown operator verb {verb!r}; known: {', '.join(OPERATOR_VERBS)}")
    return f"titan.cmd.operator.{verb}.v1"


def fill(venue: str, account: str, symbol: str) -> str:
    """Where a fill is announced."""
    return f"titan.evt.execution.fill.v1.{venue}.{account}.{token(symbol)}"


def posture(phase: str) -> str:
    """Where a phase says how it stands."""
    return f"titan.evt.phase.posture.v1.{phase}"


def diagnostics(phase: str) -> str:
    """Where a phase says how it feels."""
    return f"titan.evt.phase.diagnostics.v1.{phase}"


def ticker(venue: str, symbol: str) -> str:
    """Last, mark, index and best quotes of an instrument."""
    return f"titan.data.market.ticker.v1.{venue}.{token(symbol)}"


def candle(venue: str, symbol: str) -> str:
    """Closed bars of an instrument, all intervals."""
    return f"titan.data.market.candle.v1.{venue}.{token(symbol)}"


def funding(venue: str, symbol: str) -> str:
    """Funding rates of an instrument."""
    return f"titan.data.market.funding.v1.{venue}.{token(symbol)}"


def open_interest(venue: str, symbol: str) -> str:
    """Open interest of an instrument."""
    return f"titan.data.market.openinterest.v1.{venue}.{token(symbol)}"


def trades(venue: str, symbol: str) -> str:
    """Trade batches of an instrument."""
    return f"titan.data.venues.trades.v1.{venue}.{token(symbol)}"


def book(venue: str, symbol: str) -> str:
    """Order book snapshots of an instrument."""
    return f"titan.data.venues.orderbooks.v1.{venue}.{token(symbol)}"


def journal_tail(venue: str, account: str) -> str:
    """Where an account's leading router sends what it journals, while somebody follows."""
    return f"titan.sys.journal.v1.{venue}.{account}"


def heartbeat(service: str) -> str:
    """The pulse of one actor."""
    return f"titan.sys.heartbeat.v1.{service}"


def dead_letter(service: str) -> str:
    """Where a service puts what it could not accept."""
    return f"titan.dlq.{service}.v1"


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A fast lane: the services that send a subject's messages over a socket too, and who listens."""

    name: str
    subject: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]

    def carries(self, subject: str) -> bool:
        """Whether a message on `subject` travels on this lane."""
        return subject == self.subject or (self.subject[-1] == ">" and subject.startswith(self.subject[:-1]))


# An operator's own intents stay on the bus: they must not overtake the state that a receipt has just named.
LANES = (
    LaneRow("signals", SIGNAL_SUBMIT, ("scavenger", "hunter", "sentinel"), ("brain",)),
    LaneRow("intents", INTENT_PLACE_ALL, ("brain",), ("router", "router_standby")),
)


@dataclass(frozen=True, slots=True)
class SubjectSpec:
    """One row of the registry. Patterns end with `>` where tokens follow; `root` is the supervisor, `command` the operator's
    tool. A subject without publishers or subscribers is a contract for those to come."""

    pattern: str
    payload: str
    publishers: tuple[str, ...]
    subscribers: tuple[str, ...]
    signed: bool = True


_ALL = ("market_data", "scavenger", "brain", "router", "execution", "gateway", "root")

SUBJECTS: tuple[SubjectSpec, ...] = (
    SubjectSpec(SIGNAL_SUBMIT, "Signal", ("scavenger", "gateway"), ("brain",)),
    SubjectSpec("titan.cmd.execution.place.v1.>", "Intent", ("brain",), ("router",)),
    SubjectSpec(
        OPERATOR_ALL,
        "OperatorCommand or plain text",
        ("gateway", "brain", "root", "execution", "command"),
        ("router",),
    ),
    SubjectSpec(ORDER_EVENT, "OrderEvent", ("router",), ("execution", "gateway")),
    SubjectSpec(FILL_ALL, "Fill", ("router",), ("execution", "brain", "scavenger", "gateway")),
    SubjectSpec(REJECT, "Reject", ("router",), ("execution", "brain", "gateway", "scavenger")),
    SubjectSpec(ROUTER_STATE, "RouterState", ("router",), ("brain", "execution", "gateway", "scavenger")),
    SubjectSpec(TRADING_STATE, "TradingStateChanged", ("router",), ("brain", "execution", "gateway")),
    SubjectSpec(TRUTH, "Truth", ("execution",), ("brain", "gateway")),
    SubjectSpec(EQUITY, "Equity", ("execution",), ("gateway",)),
    SubjectSpec(DECISION, "Decision", ("brain",), ("execution", "gateway", "scavenger")),
    SubjectSpec(REGIME, "Regime", ("brain",), ("gateway",)),
    SubjectSpec(RISK_STATE, "RiskStateChanged", ("brain",), ("gateway",)),
    SubjectSpec(BUDGET, "Budget", ("brain",), ("scavenger", "gateway")),
    SubjectSpec(POSTURE_ALL, "PhasePosture", ("scavenger",), ("gateway",)),
    SubjectSpec(DIAGNOSTICS_ALL, "PhaseDiagnostics", ("scavenger",), ("gateway",)),
    SubjectSpec(ACTOR_RESTARTED, "ActorRestarted", ("root",), ("execution", "gateway")),
    SubjectSpec(OPERATOR_ACTED, "OperatorActed", ("gateway",), ("execution", "gateway")),
    SubjectSpec(ALERT, "Alert", _ALL, ("execution", "gateway")),
    SubjectSpec(TICKER_ALL, "Ticker", ("market_data",), ("brain", "router", "scavenger")),
    SubjectSpec(CANDLE_ALL, "Candle", ("market_data",), ("scavenger",)),
    SubjectSpec(FUNDING_ALL, "FundingRate", ("market_data",), ()),
    SubjectSpec(OPEN_INTEREST_ALL, "OpenInterest", ("market_data",), ()),
    SubjectSpec(LIQUIDATION_ALL, "Liquidation", (), ()),
    SubjectSpec(TRADES_ALL, "TradeBatch", ("market_data",), ("scavenger",)),
    SubjectSpec(BOOK_ALL, "Book", ("market_data",), ()),
    SubjectSpec(VENUE_STATUS, "VenueStatus", ("market_data",), ("execution", "gateway")),
    SubjectSpec(POWERLAW_ALL, "PowerLawMetrics", (), ("brain", "scavenger")),
    SubjectSpec(HEARTBEAT_ALL, "Heartbeat", _ALL, ("root", "router", "execution", "gateway"), signed=False),
    SubjectSpec(ACTORS, "ActorsSnapshot", ("root",), ("gateway",)),
    SubjectSpec(JOURNAL_TAIL_ALL, "JournalTail", ("router",), ("router",)),
    SubjectSpec(RPC_CANDLES, "CandlesRequest -> CandlesReply", ("scavenger",), ("market_data",)),
    SubjectSpec(RPC_POLICY_HASH, "PolicyHashRequest -> PolicyHashReply", ("brain", "gateway"), ("router",)),
    SubjectSpec(RPC_TRUTH, "TruthRequest -> Truth", ("gateway", "brain"), ("execution",)),
    SubjectSpec(RPC_JOURNAL, "JournalFollowRequest -> JournalFollowReply", ("execution", "router"), ("router",)),
    SubjectSpec(RPC_ACTORS, "ActorsRequest -> ActorsSnapshot", ("gateway",), ("root",)),
    SubjectSpec(RPC_RESTART, "RestartActorRequest -> RestartActorReply", ("gateway",), ("root",)),
    SubjectSpec(DLQ_ALL, "DeadLetter", _ALL, (), signed=False),
)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One JetStream stream. Ages in seconds, sizes in bytes; 0 means no limit."""

    name: str
    subjects: tuple[str, ...]
    storage: Literal["file", "memory"]
    retention: Literal["limits", "workqueue"]
    max_age_s: int
    max_bytes: int
    duplicate_window_s: int


_MB = 1024 * 1024

STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec("TITAN_CMD", (INTENT_PLACE_ALL,), "file", "workqueue", 7 * 86_400, 256 * _MB, 60),
    StreamSpec("TITAN_EVT", (EVENTS_ALL,), "file", "limits", 30 * 86_400, 10_240 * _MB, 120),
    StreamSpec("TITAN_DATA", ("titan.data.>",), "memory", "limits", 900, 64 * _MB, 120),
    StreamSpec("TITAN_SIGNAL", ("titan.signal.>",), "file", "limits", 86_400, 1024 * _MB, 120),
    StreamSpec("TITAN_DLQ", (DLQ_ALL,), "file", "limits", 30 * 86_400, 1024 * _MB, 120),
)


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """One durable consumer: who reads what of a stream."""

    service: str
    stream: str
    durable: str
    filter: str


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """One key-value bucket and the services that keep things in it."""

    name: str
    services: tuple[str, ...]


CONSUMERS: tuple[ConsumerSpec, ...] = (
    ConsumerSpec("router", "TITAN_CMD", "EXECUTION_CORE", INTENT_PLACE_ALL),
    ConsumerSpec("brain", "TITAN_EVT", "BRAIN_RISK", FILL_ALL),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_ORDERS", ORDER_EVENT),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_FILLS", FILL_ALL),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_REJECTS", REJECT),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_TRADING_STATE", TRADING_STATE),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_DECISIONS", DECISION),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_ALERTS", ALERT),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_RESTARTS", ACTOR_RESTARTED),
    ConsumerSpec("execution", "TITAN_EVT", "EXECUTION_OPERATORS", OPERATOR_ACTED),
)

BUCKETS: tuple[BucketSpec, ...] = (
    BucketSpec("titan_brain", ("brain",)),
    BucketSpec("titan_lease", ("router",)),
    BucketSpec("titan_supervision", ("root",)),
)

BACKLOG_READERS = ("gateway",)
"""Who may list the durable consumers of every stream."""


def matches(pattern: str, subject: str) -> bool:
    """Whether a concrete subject falls under a NATS pattern with `*` and a trailing `>`."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(given) > index
        if index >= len(given) or part not in ("*", given[index]):
            return False
    return len(wanted) == len(given)
