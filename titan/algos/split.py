"""Splits a quantity over venues by weight.

Guarantees: the portions add up to the whole exactly; the order of the targets decides nothing but which of them takes the
remainder, and that order is by name; a portion that a venue would refuse as too small goes to another.
Source: reference/execution.md section 1.10.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from titan.money import ZERO, floor_to
from titan.values import value

WEIGHT_STEP = Decimal("0.0001")


class Unsplittable(ValueError):
    """No target can take the quantity."""


@value
class Target:
    """Where a portion may go. `lot` and `min_qty` are in the unit of the quantity, `min_notional` in that times the price."""

    name: str
    weight: Decimal
    lot: Decimal
    min_qty: Decimal = ZERO
    min_notional: Decimal = ZERO

    def takes(self, quantity: Decimal, price: Decimal) -> bool:
        """Whether a portion is large enough here."""
        return quantity > 0 and quantity >= self.min_qty and quantity * price >= self.min_notional


def split(quantity: Decimal, targets: Iterable[Target], price: Decimal) -> list[tuple[str, Decimal]]:
    """Portions by target, in order of name: quantity x the weight rounded to four places, floored to the lot; the last takes
    the rest. A target whose portion is too small leaves it to the others, the lightest target first.

    Raises Unsplittable when no target has a weight, or the whole is too small for the last one left.
    """
    wanted = sorted((each for each in targets if each.weight > 0), key=lambda each: each.name)
    if not wanted:
        raise Unsplittable("no target has a weight above zero")
    while True:
        portions = _portions(quantity, wanted)
        small = [each for each, portion in zip(wanted, portions, strict=True) if not each.takes(portion, price)]
        if not small:
            return [(each.name, portion) for each, portion in zip(wanted, portions, strict=True)]
        if len(wanted) == 1:
            raise Unsplittable(f"{quantity} at {price} is below the minimum of {wanted[0].name}")
        wanted.remove(min(small, key=lambda each: (each.weight, each.name)))


def _portions(quantity: Decimal, targets: list[Target]) -> list[Decimal]:
    whole = sum((each.weight for each in targets), ZERO)
    portions = []
    for each in targets[:-1]:
        share = (each.weight / whole).quantize(WEIGHT_STEP, rounding=ROUND_HALF_EVEN)
        portions.append(floor_to(quantity * share, each.lot))
    return [*portions, quantity - sum(portions, ZERO)]
