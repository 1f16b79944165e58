"""Intents that are worked by several orders, as the router remembers them.

Guarantees: everything here is a function of journal rows (`parent` rows and the orders that name the same intent), but for
what is only a mark for the next look. Never: a decision; those are in `titan.algos`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from titan.journal.parents import END
from titan.journal.values import ParentLeg, ParentRow
from titan.model import Order, OrderRole, Side
from titan.money import ZERO


@dataclass(slots=True)
class Worked:
    """One such intent. `row` is its last row, `children` its orders in the order of their making."""

    row: ParentRow
    children: list[str] = field(default_factory=list)
    wake_ms: int | None = None

    @property
    def raising(self) -> bool:
        """Whether it may still add to a position."""
        return not self.row.reduces and self.row.end is None

    def leg_of(self, order: Order) -> int:
        """Which leg an order belongs to."""
        return next(number for number, leg in enumerate(self.row.legs) if leg.symbol == order.symbol)

    def unwinds(self, order: Order) -> bool:
        """Whether an order takes back what its leg has traded."""
        return order.role is OrderRole.CLOSE and not self.row.reduces

    def unplaced(self, orders: Mapping[str, Order], symbol: str) -> tuple[Side, Decimal] | None:
        """What it may still add to a symbol beyond its orders; None when nothing."""
        if not self.raising:
            return None
        for number, leg in enumerate(self.row.legs):
            if leg.symbol == symbol:
                left = self._unplaced(orders, number, leg)
                return (leg.side, left) if left > 0 else None
        return None

    def _unplaced(self, orders: Mapping[str, Order], number: int, leg: ParentLeg) -> Decimal:
        made = [orders[cid] for cid in self.children]
        gone = sum((_taken(each) for each in made if self.leg_of(each) == number and not self.unwinds(each)), ZERO)
        if len(self.row.legs) > 1 and made:
            # The first leg is entered once; its hedge follows what it filled or may still fill.
            lead = sum((_taken(each) for each in made if self.leg_of(each) == 0 and not self.unwinds(each)), ZERO)
            return ZERO if number == 0 else max(ZERO, lead - gone)
        return max(ZERO, leg.quantity - gone)


def _taken(order: Order) -> Decimal:
    return order.filled if order.state.is_terminal else max(order.quantity, order.filled)


def note(parents: dict[str, Worked], moved: dict[str, None], order: Order, *, first: bool) -> None:
    """An order was written: if it is a child, its parent is looked at next."""
    parent = parents.get(order.intent_id)
    if parent is None:
        return
    moved[order.intent_id] = None
    if first and order.role in (OrderRole.ENTRY, OrderRole.CLOSE):
        parent.children.append(order.client_order_id)


def put(parents: dict[str, Worked], moved: dict[str, None], row: ParentRow, orders: Iterable[Order] = ()) -> None:
    """A parent stands as a row says; one that has ended is forgotten. `orders` are those that were there before it (a snapshot's)."""
    intent_id = row.intent.intent_id
    if row.event == END:
        parents.pop(intent_id, None)
        moved.pop(intent_id, None)
        return
    known = parents.get(intent_id)
    if known is not None:
        known.row = row
        return
    parents[intent_id] = Worked(row)
    moved[intent_id] = None
    for order in orders:
        note(parents, moved, order, first=True)
