"""I4, the part about quantities: what the orders of one intent can still make is never more than the intent.

Judged at the row that begins an order, from what was known then: an order that is over counts what it filled, any other its
whole quantity. So what a venue trades by itself afterwards (a late fill, an overfill) breaks nothing here, and a router that
orders more because of it does; only a hedge follows what its other leg was really filled. Guarantees: pure; brackets (stops,
targets) and flattening are no part of an intent's size. Never: a judgement of an intent whose first order the rows do not have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeAlias

from titan.invariants.facts import Invariant, Violation
from titan.invariants.story import NEW, OrderRow, Story
from titan.model import OrderRole, Side
from titan.money import ZERO

Leg: TypeAlias = tuple[str, str, Side]

_SIZED = frozenset({OrderRole.ENTRY.value, OrderRole.CLOSE.value})


def within_intent(story: Story) -> Iterator[Violation]:
    """Every order of an intent fits beside its brothers."""
    if not story.whole:
        return
    sizes: dict[Leg, Decimal] = dict(story.granted)
    known: dict[Leg, dict[str, OrderRow]] = defaultdict(dict)
    for row in story.orders:
        if row.role not in _SIZED or not row.intent_id:
            continue
        leg = (row.intent_id, row.symbol, row.side)
        brothers = known[leg]
        # One child number twice is I1's finding.
        if row.event == NEW and all(each.child != row.child for each in brothers.values()):
            size = _size(story, sizes, known, row, leg)
            spoken_for = sum((_may_fill(each, row) for each in brothers.values()), ZERO)
            if size is not None and spoken_for + row.quantity > size:
                yield Violation(
                    Invariant.APPROVED,
                    f"children:{row.client_order_id}",
                    f"row {row.seq} begins child {row.child} of intent {row.intent_id} for {row.quantity} {row.symbol} beside "
                    f"{spoken_for} that may fill: more than the {size} of the intent",
                    {"row": str(row.seq), "client_order_id": row.client_order_id, "intent_id": row.intent_id},
                )
        brothers[row.client_order_id] = row


def _size(
    story: Story, sizes: dict[Leg, Decimal], known: dict[Leg, dict[str, OrderRow]], row: OrderRow, leg: Leg
) -> Decimal | None:
    """What a leg of an intent may trade; None when the rows do not say."""
    if leg in sizes:
        return max([sizes[leg], *_to_hedge(story, sizes[leg], known, leg)])
    other: Leg = (row.intent_id, row.symbol, row.side.opposite)
    if other in story.granted:
        # A naked leg that is taken back: no more than it filled.
        return sum((each.filled for each in known[other].values()), ZERO)
    if row.child == 0:
        return sizes.setdefault(leg, row.quantity)
    return None


def _to_hedge(story: Story, size: Decimal, known: dict[Leg, dict[str, OrderRow]], leg: Leg) -> Iterator[Decimal]:
    """What a leg of this size must trade for what the other leg of its intent was filled."""
    intent_id, symbol, _ = leg
    for other, granted in story.granted.items():
        if other[0] == intent_id and other[1] != symbol and granted:
            yield size * sum((each.filled for each in known[other].values()), ZERO) / granted


def _may_fill(brother: OrderRow, row: OrderRow) -> Decimal:
    """What an earlier order has filled, or may still fill."""
    # A stop's replacement stands before the old one goes: both only close.
    makes_way = row.reduce_only and row.replaces == brother.client_order_id
    return brother.filled if brother.state.is_terminal or makes_way else max(brother.quantity, brother.filled)
