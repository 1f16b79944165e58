"""What the brain's core is told, and what it asks of its shell beside the kernel's effects."""

from __future__ import annotations

from dataclasses import dataclass

from actors.brain.governance import Mode
from protos import brain_pb2, market_pb2, trading_pb2
from titan.effects import Publish, RaiseAlert, SetTimer
from titan.values import value

BUDGET_TIMER = "budgets"


@value
class SignalReceived:
    """A phase proposes; signature, subject and age of the envelope are already verified."""

    message: trading_pb2.Signal


@dataclass(frozen=True, slots=True)
class RouterReported:
    """The router's account of itself."""

    message: trading_pb2.RouterState


@dataclass(frozen=True, slots=True)
class TradingStateSeen:
    """The router changed its trading state."""

    message: trading_pb2.TradingStateChanged


@dataclass(frozen=True, slots=True)
class FillSeen:
    """An order filled."""

    message: trading_pb2.Fill


@dataclass(frozen=True, slots=True)
class RejectSeen:
    """The router refused an intent."""

    message: trading_pb2.Reject


@dataclass(frozen=True, slots=True)
class TickerSeen:
    """The market moved."""

    message: market_pb2.Ticker


@dataclass(frozen=True, slots=True)
class TruthSeen:
    """A truth pass ended."""

    message: trading_pb2.Truth


@dataclass(frozen=True, slots=True)
class TailSeen:
    """New tail metrics of an instrument."""

    message: brain_pb2.PowerLawMetrics


@dataclass(frozen=True, slots=True)
class PolicyAttested:
    """The router answered the handshake with its policy's hash."""

    policy_hash: str


@dataclass(frozen=True, slots=True)
class ModeRequested:
    """A person asks for more caution, or for less."""

    mode: Mode
    operator_id: str


@dataclass(frozen=True, slots=True)
class BreakerResetRequested:
    """A person switches the breaker off."""

    operator_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the core set is due."""

    key: str


Event = (
    SignalReceived
    | RouterReported
    | TradingStateSeen
    | FillSeen
    | RejectSeen
    | TickerSeen
    | TruthSeen
    | TailSeen
    | PolicyAttested
    | ModeRequested
    | BreakerResetRequested
    | TimerFired
)


@value
class Announce:
    """Publish a decision, with the wall time it took filled in."""

    decision: brain_pb2.Decision


@dataclass(frozen=True, slots=True)
class CountDuplicate:
    """A signal came again; it has its decision already."""

    phase: str


@dataclass(frozen=True, slots=True)
class Save:
    """Keep the core's snapshot: something changed that must survive a crash."""


Effect = Publish | SetTimer | RaiseAlert | Announce | CountDuplicate | Save
