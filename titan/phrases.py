"""The phrases that runbooks and alerts on logs search for, and what makes each be said.

Guarantees: a phrase is written the same wherever it is said; each names what it is about in its fields, never a secret.
Never: a line a message; an event that says nothing to a person has no phrase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from google.protobuf.message import Message

from protos import system_pb2
from protos import trading_pb2 as pb


class Phrase(StrEnum):
    """What an operator greps."""

    SYSTEM_ARMED = "SYSTEM ARMED BY OPERATOR"
    SYSTEM_DISARMED = "SYSTEM DISARMED BY OPERATOR"
    SYSTEM_HALTED = "SYSTEM HALTED"
    EXECUTION_ARMED = "EXECUTION ARMED"
    EXECUTION_DISARMED = "EXECUTION DISARMED"
    EXECUTION_HALTED = "EXECUTION HALTED"
    ORDER_REJECTED = "Order rejected"
    RATE_LIMIT = "rate limit"
    CIRCUIT_BREAKER = "Circuit breaker"
    TRUTH_LOW = "Truth Confidence < 0.5"
    WEBSOCKET_CONNECTED = "websocket connected"
    WEBSOCKET_DISCONNECTED = "websocket disconnected"


@dataclass(frozen=True, slots=True)
class Line:
    """One line for the log."""

    phrase: Phrase
    fields: dict[str, str] = field(default_factory=dict)


_EXECUTION = {
    pb.TRADING_STATE_ACTIVE: Phrase.EXECUTION_ARMED,
    pb.TRADING_STATE_DISARMED: Phrase.EXECUTION_DISARMED,
    pb.TRADING_STATE_HALTED: Phrase.EXECUTION_HALTED,
}
_SYSTEM = {
    "ACTIVE": Phrase.SYSTEM_ARMED,
    "DISARMED": Phrase.SYSTEM_DISARMED,
    "HALTED": Phrase.SYSTEM_HALTED,
}
_LOW_CONFIDENCE = 50


def lines_of(message: Message) -> tuple[Line, ...]:
    """What Execution says of an event it has booked."""
    match message:
        case pb.TradingStateChanged() if message.current in _EXECUTION:
            return (Line(_EXECUTION[message.current], {"reason": message.reason, "operator": message.operator_id}),)
        case pb.Reject():
            return rejected(message.code, message.detail, message.symbol)
        case system_pb2.Alert() if "BREAKER" in message.code:
            return (Line(Phrase.CIRCUIT_BREAKER, {"code": message.code, "detail": message.message}),)
        case pb.Truth() if message.complete and message.confidence < _LOW_CONFIDENCE:
            return (Line(Phrase.TRUTH_LOW, {"confidence": f"{message.confidence / 100:.2f}"}),)
        case _:
            return ()


def rejected(code: str, detail: str, symbol: str) -> tuple[Line, ...]:
    """An intent or an order that was refused; the venue's limit of requests has a phrase of its own besides."""
    fields = {"code": code, "detail": detail, "symbol": symbol}
    said = (Line(Phrase.ORDER_REJECTED, fields),)
    text = f"{code} {detail}".lower().replace("_", " ")
    limited = "rate limit" in text or "too many" in text
    return (*said, Line(Phrase.RATE_LIMIT, fields)) if limited else said


def system_line(state: str, reason: str) -> Line | None:
    """What the brain says when the trading state becomes another; None for a state without a phrase."""
    phrase = _SYSTEM.get(state)
    return None if phrase is None else Line(phrase, {"reason": reason})
