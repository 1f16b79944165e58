"""Orders in slices: TWAP over time, iceberg over quantity.

Guarantees: the slices of a TWAP fall due at times that are a function of the parent's seed; one that could not be filled
is made up for by at most twice a slice at a time. Never: two slices at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256

from titan.algos.model import Child, Leg, Parent, Place, Step, Top
from titan.model import Execution, OrderType

CATCH_UP = 2
EXTRA_SLOTS = 2


def twap_lifetime_ms(execution: Execution) -> int:
    """The duration, and two more slots for what did not fill in the last slices."""
    return execution.duration_ms + EXTRA_SLOTS * max(1, execution.duration_ms // execution.slices)


def due_ms(parent: Parent, slot: int) -> int:
    """When a slot begins: evenly spread, moved by up to a quarter of the interval; the first and the extra ones are not moved."""
    execution = parent.execution
    interval = max(1, execution.duration_ms // execution.slices)
    at_ms = parent.started_ms + slot * interval
    if not 0 < slot < execution.slices:
        return at_ms
    chance = int.from_bytes(sha256(f"{parent.seed}:{slot}".encode()).digest()[:4]) / 2**32
    return at_ms + int((chance - 0.5) * interval / 2)


def slots_due(parent: Parent, at_ms: int) -> int:
    """How many slots have begun at a time."""
    return sum(due_ms(parent, slot) <= at_ms for slot in range(parent.execution.slices + EXTRA_SLOTS))


def twap(
    parent: Parent, children: Sequence[Child], live: Child | None, top: Top | None, left: Decimal, now_ms: int
) -> Step:
    """One order within the band a slot, of what should be done by now and is not."""
    execution, leg = parent.execution, parent.legs[0]
    begun = slots_due(parent, now_ms)
    wake_ms = due_ms(parent, begun) if begun < execution.slices + EXTRA_SLOTS else parent.until_ms
    if live is not None or (children and begun <= slots_due(parent, children[-1].placed_ms)):
        return Step(wake_ms=wake_ms)
    if top is None or not leg.within(top.far(leg.side)):
        return Step(wake_ms=wake_ms)
    planned = leg.quantity * min(begun, execution.slices) / execution.slices
    behind = planned - (leg.quantity - left)
    size = leg.grid.floor(min(behind, CATCH_UP * leg.quantity / execution.slices, left))
    if begun >= execution.slices:
        size = max(size, min(left, smallest(leg)))
    if not leg.grid.tradable(size, leg.worst):
        return Step(wake_ms=wake_ms)
    return Step((Place(0, OrderType.IOC, leg.side, with_rest(leg, size, left), leg.kept(leg.worst)),), wake_ms=wake_ms)


def iceberg(parent: Parent, live: Child | None, left: Decimal) -> Step:
    """Rests the displayed part at the limit; the next one when it is gone."""
    leg, display = parent.legs[0], parent.execution.display
    assert leg.limit is not None
    assert display is not None
    if live is not None:
        return Step(wake_ms=parent.until_ms)
    size = min(left, max(leg.grid.floor(display), smallest(leg)))
    act = Place(0, OrderType.LIMIT, leg.side, with_rest(leg, size, left), leg.kept(leg.limit))
    return Step((act,), wake_ms=parent.until_ms)


def smallest(leg: Leg) -> Decimal:
    """The smallest quantity that the venue takes at the worst price, on the lot."""
    grid = leg.grid
    lots = -(-grid.min_notional // (leg.worst * grid.lot)) if leg.worst > 0 else Decimal(1)
    if lots * grid.lot * leg.worst < grid.min_notional:
        lots += 1
    return max(grid.min_qty, lots * grid.lot, grid.lot)


def with_rest(leg: Leg, size: Decimal, left: Decimal) -> Decimal:
    """A slice, with the rest of the parent when that would be too small to be sent by itself."""
    rest = left - size
    return left if rest > 0 and not leg.grid.tradable(rest, leg.worst) else size
