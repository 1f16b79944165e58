"""The venue's side of the comparison: every order and execution, positions and wallet, read by REST only.

Guarantees: positions and wallet belong to the executions that are listed, because they are read again when something
traded meanwhile; an order that moved between two lists is taken from the later one. Never: an order, a
cancel, or a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from actors.execution.sides import FillView, OrderView, Snapshot
from titan.errors import Transient
from titan.instruments import Instrument
from titan.model import OrderRole, fill_id_of
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder, VenuePosition, VenueWallet

READINGS = 25
_PROTECTIVE = (OrderRole.STOP, OrderRole.TARGET)


class VenueSource(Protocol):
    """The reading half of `titan.venues.base.Venue`."""

    async def load_instruments(self) -> Sequence[Instrument]:
        """Everything tradable; the venue's spellings are known afterwards."""
        ...

    async def close(self) -> None:
        """Releases every connection."""
        ...

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every open order."""
        ...

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        """Finished orders by venue time."""
        ...

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        """Executions by venue time."""
        ...

    async def positions(self) -> Sequence[VenuePosition]:
        """Every position that is not flat."""
        ...

    async def wallet(self) -> VenueWallet:
        """The account's money."""
        ...

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        """One order, wherever the venue keeps it."""
        ...


async def read_venue(
    source: VenueSource, venue: str, account: str, since_ms: int, until_ms: int, sought: Iterable[OrderView] = ()
) -> Snapshot:
    """What the venue says of [since, until] of its own time; `sought` orders are asked for one by one as well.

    Raises Transient when the account never stood still long enough, and what the venue raises.
    """
    done = {one.venue_trade_id: one for one in await source.executions(since_ms, until_ms)}
    for _ in range(READINGS):
        await _add_newest(source, done, since_ms, until_ms)
        known = len(done)
        positions, wallet = await asyncio.gather(source.positions(), source.wallet())
        await _add_newest(source, done, since_ms, until_ms)
        if len(done) == known:
            break
    else:
        raise Transient(f"the account traded during each of {READINGS} readings of its positions")
    orders = {one.venue_order_id: one for one in await source.open_orders()}
    orders.update({one.venue_order_id: one for one in await source.closed_orders(since_ms, until_ms)})
    for view in sought:
        found = await source.find_order(view.symbol, view.client_order_id, view.venue_order_id)
        if found is not None:
            orders.setdefault(found.venue_order_id, found)
    return Snapshot(
        orders=tuple(map(order_view, orders.values())),
        fills=tuple(fill_view(one, venue, account) for one in done.values() if one.kind is ExecutionKind.TRADE),
        positions={one.symbol: one.quantity for one in positions},
        money={wallet.currency: wallet.wallet},
    )


async def _add_newest(source: VenueSource, done: dict[str, VenueExecution], since_ms: int, until_ms: int) -> None:
    """Adds what traded since the last execution that is known."""
    last_ms = max((one.ts_ms for one in done.values()), default=since_ms)
    done.update({one.venue_trade_id: one for one in await source.executions(last_ms, until_ms)})


def order_view(order: VenueOrder) -> OrderView:
    """A venue's order in the words of the comparison."""
    return OrderView(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        state=order.state,
        filled=order.filled,
        venue_made=not order.client_order_id and order.role in _PROTECTIVE,
        created_ms=order.created_ms,
    )


def fill_view(done: VenueExecution, venue: str, account: str) -> FillView:
    """A venue's trade in the words of the comparison."""
    return FillView(
        fill_id=fill_id_of(venue, account, done.venue_trade_id),
        venue_order_id=done.venue_order_id,
        symbol=done.symbol,
        side=done.side,
        price=done.price,
        quantity=done.quantity,
        fee=done.fee,
        fee_currency=done.fee_currency,
        ts_ms=done.ts_ms,
    )
