"""What the router asks of a venue, and the values a venue answers with.

Guarantees: prices, quantities and money come from the venue's own decimal strings. Errors are split by who can act:
`Rejected` (the venue said no), `Transient` (it certainly did not happen; may be retried), `Ambiguous` (it may have
happened; look it up, never resend). Never: a venue's vocabulary beyond this room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from titan.instruments import Instrument
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.money import ZERO


@dataclass(frozen=True, slots=True)
class VenueAck:
    """A venue took an order. `ts_ms` is the venue's own time of the answer."""

    client_order_id: str
    venue_order_id: str
    ts_ms: int = 0


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue shows it. `role` is what its shape tells: STOP, TARGET, or EXTERNAL for any other."""

    venue_order_id: str
    client_order_id: str
    parent_client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    role: OrderRole
    quantity: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    reduce_only: bool
    state: OrderState
    filled: Decimal
    average_price: Decimal
    created_ms: int
    updated_ms: int
    detail: str = ""


class ExecutionKind(StrEnum):
    """What moved a position or the wallet."""

    TRADE = "TRADE"
    FUNDING = "FUNDING"


@dataclass(frozen=True, slots=True)
class VenueExecution:
    """One trade or funding payment. `fee` is what the wallet paid (negative when it received)."""

    venue_trade_id: str
    venue_order_id: str
    client_order_id: str
    kind: ExecutionKind
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    ts_ms: int
    role: OrderRole = OrderRole.EXTERNAL
    order_type: OrderType = OrderType.MARKET
    order_quantity: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """A net position. `quantity` is signed base units."""

    symbol: str
    quantity: Decimal
    average_price: Decimal
    mark_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    leverage: Decimal
    updated_ms: int = 0


@dataclass(frozen=True, slots=True)
class VenueWallet:
    """The settlement currency of an account. `wallet` excludes unrealised profit."""

    currency: str
    wallet: Decimal
    unrealized_pnl: Decimal
    equity: Decimal
    available: Decimal


class ClientIdRule(StrEnum):
    """When a venue takes a client order id a second time; the router never relies on it, whatever it is."""

    REFUSED_WHILE_OPEN = "REFUSED_WHILE_OPEN"
    """Unique among open orders only: after the end of the first order the id is taken again."""


class Protection(StrEnum):
    """How the stop and the target of an entry reach the venue."""

    ATTACHED = "ATTACHED"
    """In the same request as the entry."""
    FIRST = "FIRST"
    """As reduce-only orders of their own, which stand before the entry is sent."""


class PostOnlyRefusal(StrEnum):
    """What becomes of a post-only order that would take liquidity."""

    REJECTED = "REJECTED"
    """The request is refused."""
    CANCELED = "CANCELED"
    """The order is taken and ends at once without a fill."""


@dataclass(frozen=True, slots=True)
class VenueCapabilities:
    """What differs between venues, as data: callers ask it instead of a venue's name.

    `time_in_force` names the venue's word for every order type that a client may send. `client_id_max` counts
    characters of the set `client_id_chars` (a regular expression's class). `amends` names what may change in place,
    `amends_waiting` the same for orders that wait for a trigger; what is not named is cancelled and sent anew.
    """

    time_in_force: Mapping[OrderType, str]
    client_id_max: int
    client_id_chars: str
    client_id_rule: ClientIdRule
    protection: Protection
    post_only_refusal: PostOnlyRefusal
    amends: frozenset[str]
    position_mode: str = "one-way"
    amends_waiting: frozenset[str] = frozenset()

    @property
    def order_types(self) -> frozenset[OrderType]:
        """The order types that can be sent."""
        return frozenset(self.time_in_force)


class Venue(Protocol):
    """One account on one venue. Every method raises Rejected, Transient or Ambiguous as the module says."""

    @property
    def name(self) -> str:
        """The venue's name."""
        ...

    @property
    def account(self) -> str:
        """The account's name."""
        ...

    @property
    def capabilities(self) -> VenueCapabilities:
        """What this venue can do and how."""
        ...

    async def load_instruments(self) -> Sequence[Instrument]:
        """Everything tradable, with its filters. Measures the venue's clock."""
        ...

    def remember(self, orders: Iterable[Order]) -> None:
        """Tells of unsettled orders that a former incarnation sent, for venues that keep no client id of some."""
        ...

    async def submit(self, order: Order) -> VenueAck:
        """Sends a new order with its client id; returns once the venue has taken it."""
        ...

    async def cancel(self, symbol: str, client_order_id: str, venue_order_id: str) -> None:
        """Cancels an open order. Rejected when the venue has no such open order."""
        ...

    async def amend(
        self,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        """Changes an open order in place; `quantity` is the whole, filled part included; None keeps a value.

        Rejected when the venue can't, or has no such order.
        """
        ...

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        """An order by the venue's id when given, else by client id: open orders, then history, then executions.

        None when the venue knows none.
        """
        ...

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every open order, conditional ones included."""
        ...

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        """Finished orders made in [since, until] of venue time; 0 means the venue's whole memory."""
        ...

    async def positions(self) -> Sequence[VenuePosition]:
        """Every position that is not flat."""
        ...

    async def wallet(self) -> VenueWallet:
        """The account's money."""
        ...

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        """All executions in [since, until] of venue time, oldest first, without gaps; 0 means the venue's whole memory."""
        ...

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Sets a symbol's leverage; setting what is set is no error."""
        ...

    async def open_stream(self) -> None:
        """Connects and authenticates the private stream; Transient when it can't."""
        ...

    async def watch_orders(self) -> Sequence[VenueOrder]:
        """Waits for the next changes of own orders. Transient when the stream broke; the next call reconnects."""
        ...

    async def watch_executions(self) -> Sequence[VenueExecution]:
        """Waits for the next own executions. Transient when the stream broke; the next call reconnects."""
        ...

    async def close(self) -> None:
        """Releases every connection."""
        ...
