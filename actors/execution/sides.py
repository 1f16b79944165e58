"""What each side of the comparison says, in words that venue, journal and ledger share.

Guarantees: values only; positions and money are whole, while orders and fills may be limited in time. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from titan.model import OrderState, Side
from titan.money import ZERO


class Ending(StrEnum):
    """How far an order got, in the words that every venue shares."""

    LIVE = "LIVE"
    FILLED = "FILLED"
    DEAD = "DEAD"


def ending(state: OrderState) -> Ending:
    """Live, filled, or ended without being filled whole."""
    if state is OrderState.FILLED:
        return Ending.FILLED
    return Ending.DEAD if state.is_terminal else Ending.LIVE


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as one side knows it. `venue_made` marks protection that the venue made for an entry by itself.

    `created_ms` is the venue's time of its making, in journal and ledger of its last change; 0 where nobody knows it.
    `changed_ms` is the wall time of its last row; 0 at the venue.
    """

    client_order_id: str
    venue_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None
    state: OrderState
    filled: Decimal
    venue_made: bool = False
    created_ms: int = 0
    changed_ms: int = 0

    def recent(self, since_ms: int, since_wall_ms: int) -> bool:
        """Whether it may still trade, or ended since then; one that the venue never dated is judged by wall time."""
        if ending(self.state) is Ending.LIVE:
            return True
        return self.created_ms >= since_ms if self.created_ms else self.changed_ms >= since_wall_ms

    @property
    def may_be_nowhere(self) -> bool:
        """Whether the venue need not know it: it never left, or whether it left is still being looked up."""
        if self.venue_order_id or self.filled:
            return False
        return self.state in _NEED_NOT_BE_AT_VENUE


_NEED_NOT_BE_AT_VENUE = frozenset(
    {OrderState.PENDING, OrderState.UNKNOWN, OrderState.REJECTED, OrderState.EXPIRED, OrderState.CANCELED}
)


@dataclass(frozen=True, slots=True)
class FillView:
    """A fill as one side knows it. `cash` is what it did to the wallet; the venue does not say it."""

    fill_id: str
    venue_order_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    cash: Decimal = ZERO
    ts_ms: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One side at one time. `positions` are signed; `money` is the wallet by currency, without unrealised profit.

    `legs` are the positions a second time, from the double entries; only the ledger has them.
    """

    orders: tuple[OrderView, ...] = ()
    fills: tuple[FillView, ...] = ()
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    money: Mapping[str, Decimal] = field(default_factory=dict)
    legs: Mapping[str, Decimal] | None = None

    def since(self, since_ms: int, since_wall_ms: int = 0) -> Snapshot:
        """Without the fills and the ended orders from before `since_ms` of the venue's time (or of wall time)."""
        return replace(
            self,
            orders=tuple(one for one in self.orders if one.recent(since_ms, since_wall_ms)),
            fills=tuple(one for one in self.fills if one.ts_ms >= since_ms),
        )


def within(venue: Snapshot, journal: Snapshot, ledger: Snapshot, opened_ms: int) -> Snapshot:
    """The venue's side without what happened before the books were opened and what only the venue knows of it."""
    known_orders = {
        key
        for side in (journal, ledger)
        for one in side.orders
        for key in (one.venue_order_id, one.client_order_id)
        if key
    }
    known_fills = {one.fill_id for side in (journal, ledger) for one in side.fills}
    return replace(
        venue,
        orders=tuple(
            one
            for one in venue.orders
            if one.created_ms >= opened_ms or one.venue_order_id in known_orders or one.client_order_id in known_orders
        ),
        fills=tuple(one for one in venue.fills if one.ts_ms >= opened_ms or one.fill_id in known_fills),
    )
