"""What the router's core asks of its shell, beside the effects every core has.

Guarantees: the shell performs effects in order; what stands after an `Append` happens only once its rows are written,
except for effects that lower risk. Never: behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from titan.codes import OperatorCode, TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.journal.rows import Row
from titan.model import Order
from titan.values import value


@value
class Append:
    """Write rows to the journal; their events go to the bus afterwards."""

    rows: tuple[Row, ...]


@value
class SendOrder:
    """Send an order to its venue. `t_wall_ns` is when the signal left its phase, 0 when unknown."""

    order: Order
    t_wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel an order at its venue."""

    order: Order


@dataclass(frozen=True, slots=True)
class AmendOrder:
    """Change an order in place at its venue; None keeps a value. `number` comes back with the outcome."""

    order: Order
    number: int
    price: Decimal | None = None
    quantity: Decimal | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class LookUp:
    """Search an order at its venue."""

    order: Order


@dataclass(frozen=True, slots=True)
class FetchExecutions:
    """Read executions by REST now; the stream left something open."""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """Read open orders, positions and wallet by REST now."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to an operator's command."""

    command_id: str
    reply: str
    verb: str
    accepted: bool
    prior: TradingState
    current: TradingState
    code: OperatorCode
    detail: str
    effects: tuple[str, ...] = ()
    causation_id: str = ""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The router's own account changed: publish it soon."""


STATE_CHANGED = StateChanged()


Effect = (
    Append
    | SendOrder
    | CancelOrder
    | AmendOrder
    | LookUp
    | FetchExecutions
    | FetchReport
    | Receipt
    | StateChanged
    | SetTimer
    | CancelTimer
    | RaiseAlert
)
