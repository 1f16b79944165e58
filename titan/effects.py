"""What a core may ask its shell to do, beside the effects of its own.

Guarantees: an effect is a value; a core that returns it has done nothing yet. Never: behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf.message import Message

from titan.values import value

Severity = Literal["CRITICAL", "WARNING", "INFO"]


@value
class Publish:
    """Put a message on the bus. `durable` waits for the stream's acknowledgement."""

    subject: str
    message: Message
    correlation_id: str = ""
    causation_id: str = ""
    idempotency_key: str = ""
    durable: bool = False
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Call the core again with `key` after `after_ms` on the named clock; a second call with the key replaces it."""

    key: str
    after_ms: int
    clock: Literal["wall", "market"] = "wall"


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget the timer `key`."""

    key: str


@dataclass(frozen=True, slots=True)
class RaiseAlert:
    """Tell a person."""

    code: str
    severity: Severity
    message: str
    labels: Mapping[str, str] = field(default_factory=dict)
