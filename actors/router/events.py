"""Everything that can happen to the router's core.

Guarantees: values only. Never: behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from actors.router.state import Quote
from titan.model import Intent
from titan.values import value
from titan.venues.base import VenueExecution, VenueOrder, VenuePosition, VenueWallet


@value
class IntentArrived:
    """The brain orders. Signature, age of the envelope and subject were verified by the bus."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Acked:
    """The venue took an order."""

    client_order_id: str
    venue_order_id: str
    venue_ts_ms: int = 0


@dataclass(frozen=True, slots=True)
class SendFailed:
    """A send ended without an acknowledgement.

    `refused`: the venue said no. `never_left`: it certainly did not happen. `in_doubt`: it may have happened.
    `unjournalled`: it was held back, because its row could not be written. `fenced`: it was held back, because this router
    may not be the account's leader any more.
    """

    client_order_id: str
    outcome: Literal["refused", "never_left", "in_doubt", "unjournalled", "fenced"]
    detail: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class CancelFailed:
    """A cancel did not succeed, or may not have."""

    client_order_id: str
    outcome: Literal["refused", "never_left", "in_doubt"]
    detail: str


@dataclass(frozen=True, slots=True)
class Amended:
    """The venue took change `number` of an order."""

    client_order_id: str
    number: int


@dataclass(frozen=True, slots=True)
class AmendFailed:
    """A change did not succeed, or may not have."""

    client_order_id: str
    number: int
    outcome: Literal["refused", "never_left", "in_doubt"]
    detail: str


@dataclass(frozen=True, slots=True)
class OrdersSeen:
    """Orders as the venue's stream or REST showed them."""

    orders: tuple[VenueOrder, ...]


@dataclass(frozen=True, slots=True)
class ExecutionsSeen:
    """Executions as the venue's stream or REST showed them."""

    executions: tuple[VenueExecution, ...]


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The answer to a look-up: an order, or None for "no such order"; `error` when nobody answered."""

    client_order_id: str
    found: VenueOrder | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class VenueReport:
    """What the venue's REST says of open orders, positions and money; read after `asked_ms` (wall)."""

    open_orders: tuple[VenueOrder, ...]
    positions: tuple[VenuePosition, ...]
    wallet: VenueWallet
    asked_ms: int


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """A venue report with what happened while the router was away."""

    report: VenueReport
    closed_orders: tuple[VenueOrder, ...]
    executions: tuple[VenueExecution, ...]
    missing: tuple[tuple[str, VenueOrder | None], ...]
    halt_reason: str = ""


@dataclass(frozen=True, slots=True)
class QuoteSeen:
    """A ticker."""

    symbol: str
    quote: Quote


@dataclass(frozen=True, slots=True)
class BrainBeat:
    """The brain is alive."""


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A link the router depends on came or went."""

    name: Literal["venue stream", "venue", "bus", "journal", "lease"]
    up: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by the core."""

    key: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Once a second of wall time."""


@dataclass(frozen=True, slots=True)
class OrderAsk:
    """What a command about one order names; None keeps a value."""

    client_order_id: str
    price: Decimal | None = None
    quantity: Decimal | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's command. `reply` is handed back with the receipt; `plain` came as text, without a signature."""

    verb: str
    reason: str
    operator_id: str
    command_id: str
    plain: bool = False
    reply: str = ""
    order: OrderAsk | None = None


Event = (
    IntentArrived
    | Acked
    | SendFailed
    | CancelFailed
    | Amended
    | AmendFailed
    | OrdersSeen
    | ExecutionsSeen
    | LookedUp
    | VenueReport
    | RecoveryReport
    | QuoteSeen
    | BrainBeat
    | LinkChanged
    | TimerFired
    | Tick
    | Command
)
