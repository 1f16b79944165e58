"""I1, I4 and I5: what may leave, that it leaves once, and that it comes to an end.

Guarantees: pure. Never: an opinion on prices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from titan.codes import TradingState
from titan.ids import is_our_client_order_id
from titan.invariants.children import within_intent
from titan.invariants.facts import Invariant, VenueOrder, Violation, World
from titan.invariants.story import ADOPT, NEW, OrderRow, Story
from titan.model import OrderRole, OrderState

_DECIDED = frozenset({OrderRole.ENTRY.value, OrderRole.CLOSE.value})
_UNDER_WAY = frozenset({OrderState.PENDING, OrderState.SENT})


def one_order(world: World, story: Story) -> Iterator[Violation]:
    """I1: no intent reaches a venue as two orders; a client order id is used once."""
    written: dict[str, int] = {}
    for row in story.orders:
        if row.event != NEW:
            continue
        if row.client_order_id in written:
            yield Violation(
                Invariant.ONE_ORDER,
                f"journal:{row.client_order_id}",
                f"the client order id {row.client_order_id} was begun twice in the journal",
                {"rows": f"{written[row.client_order_id]}, {row.seq}", "intent_id": row.intent_id},
            )
        written[row.client_order_id] = row.seq
    if world.venue is None:
        return
    by_client: dict[str, list[VenueOrder]] = defaultdict(list)
    by_intent: dict[tuple[str, int, str], list[VenueOrder]] = defaultdict(list)
    for order in world.venue.orders:
        if not order.client_order_id:
            continue
        by_client[order.client_order_id].append(order)
        known = story.first.get(order.client_order_id)
        if known is not None and known.intent_id:
            by_intent[known.intent_id, known.child, known.venue].append(order)
    for client_id, found in by_client.items():
        if len(found) > 1:
            yield Violation(
                Invariant.ONE_ORDER,
                f"venue:{client_id}",
                f"the venue has {len(found)} orders under the client order id {client_id}",
                {"venue_order_ids": ", ".join(each.venue_order_id for each in found)},
            )
    for (intent, child, _venue), found in by_intent.items():
        if len({each.client_order_id for each in found}) > 1:
            yield Violation(
                Invariant.ONE_ORDER,
                f"intent:{intent}:{child}",
                f"child {child} of intent {intent} reached the venue as {len(found)} orders",
                {"client_order_ids": ", ".join(each.client_order_id for each in found)},
            )


def approved(world: World, story: Story) -> Iterator[Violation]:
    """I4: what left was approved, as it left and no more of it, and the trading state admitted it."""
    for row in story.orders:
        if row.event == NEW:
            yield from _admitted(row)
    yield from within_intent(story)
    if world.venue is None or not story.whole:
        return
    for order in world.venue.orders:
        client_id = order.client_order_id
        if not is_our_client_order_id(client_id) or client_id in world.excused:
            continue
        known = story.first.get(client_id)
        where = {"client_order_id": client_id, "venue_order_id": order.venue_order_id}
        if known is None or known.event == ADOPT:
            yield Violation(
                Invariant.APPROVED,
                f"unwritten:{client_id}",
                f"order {client_id} is at the venue and was never written before it left",
                where,
            )
        elif order.side is not known.side or order.symbol != known.symbol:
            yield Violation(
                Invariant.APPROVED,
                f"other:{client_id}",
                f"order {client_id} is {order.side} {order.symbol} at the venue, {known.side} {known.symbol} was approved",
                where,
            )
        elif order.quantity > known.quantity and not known.reduce_only:
            # What only closes may grow with the position it closes.
            yield Violation(
                Invariant.APPROVED,
                f"larger:{client_id}",
                f"order {client_id} has {order.quantity} at the venue, {known.quantity} was approved",
                where,
            )
        elif known.reduce_only and not order.reduce_only:
            yield Violation(
                Invariant.APPROVED,
                f"opens:{client_id}",
                f"order {client_id} may open at the venue, a reduce-only order was approved",
                where,
            )


def _admitted(row: OrderRow) -> Iterator[Violation]:
    where = {"row": str(row.seq), "client_order_id": row.client_order_id, "intent_id": row.intent_id}
    if row.role in _DECIDED and not (row.decision_id and row.policy_hash):
        yield Violation(
            Invariant.APPROVED,
            f"unapproved:{row.client_order_id}",
            f"row {row.seq} begins order {row.client_order_id} without the decision and the policy that approved it",
            where,
        )
    if not row.reduce_only and row.trading and row.trading != TradingState.ACTIVE:
        yield Violation(
            Invariant.APPROVED,
            f"state:{row.client_order_id}",
            f"row {row.seq} begins order {row.client_order_id}, which may raise risk, while trading was {row.trading}",
            where,
        )


def none_lost(world: World, story: Story) -> Iterator[Violation]:
    """I5: every intent that was accepted ends, or stands UNKNOWN with an alert."""
    at_venue = {} if world.venue is None else _by_id(world.venue.orders)
    for client_id, row in story.last.items():
        yield from _open_ended(world, row)
        order = at_venue.get(row.venue_order_id) or at_venue.get(client_id)
        if order is None or row.state in _UNDER_WAY or row.state is OrderState.UNKNOWN:
            continue
        if order.live is not row.state.is_terminal:
            continue
        if not order.live and order.filled > row.filled:
            # Its fills are on their way, and the order ends with them: a lost one is I2's.
            continue
        word = "is live" if order.live else "has ended"
        yield Violation(
            Invariant.NONE_LOST,
            f"venue:{client_id}",
            f"order {client_id} {word} at the venue and is {row.state} in the journal",
            {"row": str(row.seq), "venue_order_id": order.venue_order_id, "detail": row.event},
        )
    yield from _unheard(world, story)


def _open_ended(world: World, row: OrderRow) -> Iterator[Violation]:
    where = {"row": str(row.seq), "client_order_id": row.client_order_id, "intent_id": row.intent_id}
    if row.state in _UNDER_WAY and world.now_ms - row.ts_ms > world.patience_ms:
        seconds = (world.now_ms - row.ts_ms) / 1000
        yield Violation(
            Invariant.NONE_LOST,
            f"stuck:{row.client_order_id}",
            f"order {row.client_order_id} has been {row.state} for {seconds:.0f} s and nobody looks for it",
            where,
        )
    if row.state is OrderState.UNKNOWN and not any(row.client_order_id in alert for alert in world.alerts):
        yield Violation(
            Invariant.NONE_LOST,
            f"silent:{row.client_order_id}",
            f"order {row.client_order_id} stands UNKNOWN and no alert says so",
            where,
        )


def _unheard(world: World, story: Story) -> Iterator[Violation]:
    if world.ledger is None or not story.whole:
        return
    heard = {row.signal_id for row in story.orders} | story.rejected_signals | world.excused
    for approval in world.ledger.approvals:
        waited = world.now_ms - approval.heard_ms
        if approval.signal_id not in heard and waited > world.patience_ms:
            yield Violation(
                Invariant.NONE_LOST,
                f"approval:{approval.decision_id}",
                f"the approved intent of signal {approval.signal_id} has neither an order nor a reject in the journal",
                {"decision_id": approval.decision_id, "waited_ms": str(waited)},
            )


def _by_id(orders: tuple[VenueOrder, ...]) -> dict[str, VenueOrder]:
    found = {order.client_order_id: order for order in orders if order.client_order_id}
    return found | {order.venue_order_id: order for order in orders}
