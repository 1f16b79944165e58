"""The words of execution styles: a parent order, its legs and children, and what a step may ask for.

Guarantees: immutable values; prices and quantities are Decimal; times are market milliseconds. A child is what the
journal says of an order, so a step after a restart sees what a step before it saw. Never: behaviour with a memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from titan.codes import AlgoEnd
from titan.model import Execution, OrderType, Side
from titan.money import ZERO, floor_to

MAX_CHILDREN = 500


@dataclass(frozen=True, slots=True)
class Grid:
    """The steps and minima of an instrument: `tick` and `min_notional` in quote, `lot` and `min_qty` in base units."""

    tick: Decimal
    lot: Decimal
    min_qty: Decimal
    min_notional: Decimal

    def tradable(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether the venue takes an order of this size."""
        return quantity > 0 and quantity >= self.min_qty and quantity * price >= self.min_notional

    def floor(self, quantity: Decimal) -> Decimal:
        """The largest tradable multiple of the lot not above `quantity`."""
        return floor_to(quantity, self.lot)


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of a parent. `worst` is the last price it may trade at; `limit` is where it rests, None for the market's best."""

    symbol: str
    side: Side
    quantity: Decimal
    worst: Decimal
    grid: Grid
    limit: Decimal | None = None

    def within(self, price: Decimal) -> bool:
        """Whether a price is not beyond the worst."""
        return price <= self.worst if self.side is Side.BUY else price >= self.worst

    def kept(self, price: Decimal) -> Decimal:
        """A price on the tick, moved inside the worst where it is beyond it."""
        if not self.within(price):
            price = self.worst
        # Towards the passive side: a buy never rounds up, a sell never down.
        down = floor_to(price, self.grid.tick)
        return down if self.side is Side.BUY or down == price else down + self.grid.tick


@dataclass(frozen=True, slots=True)
class Parent:
    """An intent that is worked by several orders. `stopping` is why it may begin nothing any more, None while it may.

    `takes_the_rest` says that what the style did not trade leaves as one market order: for what lowers risk.
    """

    execution: Execution
    legs: tuple[Leg, ...]
    started_ms: int
    until_ms: int
    seed: str
    stopping: AlgoEnd | None = None
    takes_the_rest: bool = False


class ChildStatus(StrEnum):
    """What is known of a child."""

    LIVE = "LIVE"  # at the venue, as far as anybody knows
    DOUBT = "DOUBT"  # sent or about to be, without an answer; or ended, with fills that were shown and not booked yet
    ENDED = "ENDED"  # nothing of it is open and all its fills are known


@dataclass(frozen=True, slots=True)
class Child:
    """One order of a parent. `cancelling` says that a cancel is on its way; `unwinds` that it takes a leg back."""

    number: int
    leg: int
    order_type: OrderType
    quantity: Decimal
    filled: Decimal
    price: Decimal | None
    status: ChildStatus
    placed_ms: int
    cancelling: bool = False
    unwinds: bool = False
    refused: bool = False

    @property
    def open_quantity(self) -> Decimal:
        """What it may still trade."""
        return ZERO if self.status is ChildStatus.ENDED else max(ZERO, self.quantity - self.filled)


@dataclass(frozen=True, slots=True)
class Top:
    """Best bid and ask of an instrument."""

    bid: Decimal
    ask: Decimal

    def near(self, side: Side) -> Decimal:
        """Where an order of this side rests first."""
        return self.bid if side is Side.BUY else self.ask

    def far(self, side: Side) -> Decimal:
        """What an order of this side would take."""
        return self.ask if side is Side.BUY else self.bid


@dataclass(frozen=True, slots=True)
class Place:
    """Send a new child. `unwinds` makes it a reduce-only order against what its leg has bought or sold."""

    leg: int
    order_type: OrderType
    side: Side
    quantity: Decimal
    price: Decimal | None
    unwinds: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a child."""

    number: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The parent is over: no child of it is open or in doubt."""

    end: AlgoEnd
    detail: str


Act: TypeAlias = Place | Cancel | Finish


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now, and when to look again even if nothing happens (market time; None: only when something happens)."""

    acts: tuple[Act, ...] = ()
    wake_ms: int | None = None


def filled(children: Sequence[Child], leg: int) -> Decimal:
    """Net quantity that a leg has traded in its own direction: what unwinding took back does not count."""
    return sum((-each.filled if each.unwinds else each.filled for each in children if each.leg == leg), ZERO)
