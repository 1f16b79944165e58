"""Entries that are changed while they fill, and their targets, against a small model of a venue.

Whatever is filled, lost, refused, repeated or restarted in whatever order: an intent never fills more than was approved, its
targets never trade more than was bought, and once everything is told the targets stand for exactly what is held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.router import children
from actors.router.effects import AmendOrder, CancelOrder, Effect, LookUp, SendOrder
from actors.router.events import (
    Acked,
    Amended,
    AmendFailed,
    CancelFailed,
    ExecutionsSeen,
    LookedUp,
    OrdersSeen,
    SendFailed,
    Tick,
    TimerFired,
)
from actors.router.state import ABLE
from actors.router.turn import Turn
from tests.actors.router.support import BTC, Bottle, config, d, execution, held, intent, shown, stored
from titan.effects import SetTimer
from titan.model import Order, OrderRole, OrderState, OrderType, Target, Terms
from titan.money import ZERO
from titan.venues.base import Protection, VenueExecution, VenueOrder

PICK = st.integers(0, 1_000)
APPROVED = d("0.1")
TERMS = Terms(targets=(Target(d(51000), d("0.5")), Target(d(52000), d("0.3")), Target(d(53000), d("0.2"))))
UNABLE = replace(ABLE, amends=frozenset(), amends_waiting=frozenset(), protection=Protection.FIRST)


@dataclass
class _Held:
    """An order as the venue has it."""

    order: Order
    quantity: Decimal
    price: Decimal | None
    filled: Decimal = ZERO
    live: bool = True


class Venue:
    """Takes, changes, cancels and fills; reduce-only orders never flip the position and shrink with it."""

    def __init__(self) -> None:
        self.orders: dict[str, _Held] = {}
        self.done: list[VenueExecution] = []
        self.position = ZERO
        self.clock = 0

    def take(self, order: Order) -> bool:
        assert order.client_order_id not in self.orders, "one client id was sent twice"
        if order.reduce_only and self.position <= 0:
            return False
        self.orders[order.client_order_id] = _Held(order, order.quantity, order.price)
        self._trim()
        return True

    def change(self, wanted: AmendOrder) -> bool:
        mine = self.orders[wanted.order.client_order_id]
        quantity = mine.quantity if wanted.quantity is None else wanted.quantity
        if not mine.live or quantity <= mine.filled:
            return False
        mine.quantity, mine.price = quantity, mine.price if wanted.price is None else wanted.price
        self._trim()
        return True

    def cancel(self, cid: str) -> bool:
        mine = self.orders.get(cid)
        if mine is None or not mine.live:
            return False
        mine.live = False
        return True

    def fill(self, cid: str, quantity: Decimal) -> None:
        mine = self.orders[cid]
        quantity = min(quantity, mine.quantity - mine.filled) if mine.live else ZERO
        if mine.order.reduce_only:
            quantity = min(quantity, self.position)
        if quantity <= 0:
            return
        mine.filled += quantity
        mine.live = mine.filled < mine.quantity
        self.position += mine.order.side.sign * quantity
        self.done.append(execution(mine.order, quantity, "50000", f"t{len(self.done)}"))
        self._trim()

    def _trim(self) -> None:
        for mine in self.orders.values():
            if mine.live and mine.order.reduce_only:
                mine.quantity = min(mine.quantity, mine.filled + self.position)
                mine.live = mine.quantity > mine.filled

    def show(self, cid: str) -> VenueOrder:
        mine = self.orders[cid]
        self.clock += 1
        partly = OrderState.PARTIALLY_FILLED if mine.filled else OrderState.OPEN
        ended = OrderState.FILLED if mine.filled >= mine.quantity else OrderState.CANCELED
        state = partly if mine.live else ended
        seen = shown(mine.order, state, str(mine.filled), updated_ms=self.clock)
        return replace(seen, quantity=mine.quantity, price=mine.price)


class BracketMachine(RuleBasedStateMachine):
    """One bracket, changed while it fills."""

    @initialize(able=st.booleans(), acked=st.booleans())
    def begin(self, able: bool, acked: bool) -> None:
        self.bottle = Bottle(config(can=ABLE if able else UNABLE)).begin()
        self.venue = Venue()
        self.flying: list[Effect] = []
        self.timers: set[str] = set()
        wanted = intent(order_type=OrderType.LIMIT, limit_price=d(50000), terms=TERMS)
        self.entry = self.bottle.send(wanted)
        self.note(self.bottle.effects)
        if acked:
            self.deliver(self.flying.pop())

    def note(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendOrder | AmendOrder | CancelOrder | LookUp):
                self.flying.append(effect)
            elif isinstance(effect, SetTimer):
                self.timers.add(effect.key)

    def tell(self, event: Any) -> None:
        self.note(self.bottle.tell(event))

    def entries(self) -> list[Order]:
        family = children.of(self.bottle.state, self.entry.intent_id)
        return [order for order in family if order.role is OrderRole.ENTRY]

    # what the router asks, and what becomes of it

    @rule(pick=PICK, lost=st.booleans(), arrives=st.booleans())
    def land(self, pick: int, lost: bool, arrives: bool) -> None:
        if self.flying:
            self.deliver(self.flying.pop(pick % len(self.flying)), lost=lost, arrives=arrives)

    def deliver(self, effect: Effect, *, lost: bool = False, arrives: bool = True) -> None:
        if isinstance(effect, LookUp):
            self.look_up(effect.order.client_order_id)
            return
        assert isinstance(effect, SendOrder | AmendOrder | CancelOrder)
        cid = effect.order.client_order_id
        if lost and not arrives:
            taken = False
        elif isinstance(effect, SendOrder):
            taken = self.venue.take(effect.order)
        elif isinstance(effect, AmendOrder):
            taken = cid in self.venue.orders and self.venue.change(effect)
        else:
            taken = self.venue.cancel(cid)
        if isinstance(effect, SendOrder):
            doubt = SendFailed(cid, "in_doubt", "lost")
            answer: Any = Acked(cid, f"v-{cid}") if taken else SendFailed(cid, "refused", "no position")
        elif isinstance(effect, AmendOrder):
            doubt = AmendFailed(cid, effect.number, "in_doubt", "lost")  # type: ignore[assignment]
            answer = Amended(cid, effect.number) if taken else AmendFailed(cid, effect.number, "refused", "no")
        else:
            doubt = CancelFailed(cid, "in_doubt", "lost")  # type: ignore[assignment]
            answer = None if taken else CancelFailed(cid, "refused", "no such order")
        if lost:
            self.tell(doubt)
        elif answer is not None:
            self.tell(answer)

    def look_up(self, cid: str) -> None:
        on_its_way = any(isinstance(each, SendOrder) and each.order.client_order_id == cid for each in self.flying)
        if not on_its_way:
            self.tell(LookedUp(cid, self.venue.show(cid) if cid in self.venue.orders else None))

    # the market, the stream, time

    @rule(pick=PICK, size=st.integers(1, 60))
    def trade(self, pick: int, size: int) -> None:
        live = [cid for cid, mine in self.venue.orders.items() if mine.live]
        if live:
            self.venue.fill(live[pick % len(live)], Decimal(size) / 1000)

    @rule(pick=PICK)
    def show_an_order(self, pick: int) -> None:
        known = list(self.venue.orders)
        if known:
            self.tell(OrdersSeen((self.venue.show(known[pick % len(known)]),)))

    @rule(start=PICK, count=st.integers(1, 3))
    def show_executions(self, start: int, count: int) -> None:
        if self.venue.done:
            first = start % len(self.venue.done)
            self.tell(ExecutionsSeen(tuple(self.venue.done[first : first + count])))

    @rule(pick=PICK)
    def cancelled_by_hand(self, pick: int) -> None:
        live = [cid for cid, mine in self.venue.orders.items() if mine.live and mine.order.reduce_only]
        if live:
            self.venue.cancel(live[pick % len(live)])

    @rule(pick=PICK)
    def fire_a_timer(self, pick: int) -> None:
        if self.timers:
            key = sorted(self.timers)[pick % len(self.timers)]
            self.timers.discard(key)
            self.tell(TimerFired(key))

    @rule(seconds=st.integers(1, 4))
    def pass_time(self, seconds: int) -> None:
        self.bottle.clock.advance(seconds * 1000)
        self.bottle.refresh()
        self.tell(Tick())

    # who asks for changes

    @rule(price=st.integers(49_600, 50_100), size=st.none() | st.integers(1, 120))
    def change_the_entry(self, price: int, size: int | None) -> None:
        turn = Turn(self.bottle.state, self.bottle.now)
        quantity = None if size is None else Decimal(size) / 1000
        self.bottle.core._amends.change(turn, self.entries()[-1], price=Decimal(price), quantity=quantity)
        self.note(self.bottle._take(turn.finish()))

    @rule(price=st.integers(49_600, 50_100), size=st.integers(1, 60), lost=st.booleans(), told=st.booleans())
    def fill_while_it_changes(self, price: int, size: int, lost: bool, told: bool) -> None:
        """The race that matters: a fill between the request and its arrival, and the order told of before the fill."""
        cid = self.entries()[-1].client_order_id
        if cid not in self.venue.orders:
            return
        self.change_the_entry(price, None)
        self.venue.fill(cid, Decimal(size) / 1000)
        if self.flying:
            self.deliver(self.flying.pop(), lost=lost)
        if told:
            self.tell(OrdersSeen((self.venue.show(cid),)))

    @precondition(lambda self: not any(isinstance(each, AmendOrder) for each in self.flying))
    @rule()
    def restart(self) -> None:
        before = self.bottle
        after = Bottle(config=before.config)
        after.clock = before.clock
        after.core.replay(stored(before.rows))
        after.rows = list(before.rows)
        self.bottle, self.flying, self.timers = after, [], set()
        after._take(after.core.start(after.now, 2))
        missing = tuple(
            (order.client_order_id, self.venue.show(order.client_order_id))
            if order.client_order_id in self.venue.orders
            else (order.client_order_id, None)
            for order in after.core.unsettled()
        )
        begun = len(after.effects)
        after.tell(
            after.recovery(
                positions=(held(str(self.venue.position)),) if self.venue.position else (),
                executions=tuple(self.venue.done),
                missing=missing,
            )
        )
        after.refresh()
        self.note(after.effects[begun:])

    # what must hold

    @invariant()
    def an_intent_never_asks_for_more_than_was_approved(self) -> None:
        mine = [each for each in self.venue.orders.values() if each.order.role is OrderRole.ENTRY]
        asked = sum(((each.quantity if each.live else each.filled) for each in mine), ZERO)
        assert asked <= APPROVED

    @invariant()
    def a_position_is_never_turned(self) -> None:
        assert self.venue.position >= 0

    @invariant()
    def nothing_that_closes_can_open(self) -> None:
        assert all(each.order.reduce_only for each in self.venue.orders.values() if each.order.role is OrderRole.TARGET)

    def teardown(self) -> None:
        """Quiet: everything arrives and is told; then targets stand for what is held, unless they were given up."""
        if not hasattr(self, "entry"):
            # Hypothesis gave up on this example before it began.
            return
        for _ in range(30):
            while self.flying:
                self.deliver(self.flying.pop(0))
            self.tell(ExecutionsSeen(tuple(self.venue.done)))
            self.tell(OrdersSeen(tuple(self.venue.show(cid) for cid in self.venue.orders)))
            for key in sorted(self.timers):
                self.timers.discard(key)
                self.tell(TimerFired(key))
            self.bottle.clock.advance(5_000)
            self.bottle.refresh()
            self.tell(Tick())
        state = self.bottle.state
        assert state.held(BTC) == self.venue.position
        assert not state.changes
        assert {cid for cid, mine in self.venue.orders.items() if mine.live} == set(state.live)
        standing = sum(
            (
                mine.quantity - mine.filled
                for mine in self.venue.orders.values()
                if mine.live and mine.order.reduce_only
            ),
            ZERO,
        )
        if not state.given_up:
            assert standing == self.venue.position
        again = self.bottle.replayed()
        assert _told(again.orders) == _told(state.orders)
        assert again.children == state.children
        assert again.live.keys() == state.live.keys()


def _told(orders: dict[str, Order]) -> dict[str, Order]:
    """Orders without the time of the venue's last word, which alone is worth no row."""
    return {cid: replace(order, venue_ts_ms=0) for cid, order in orders.items()}


BracketMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBracketMachine = BracketMachine.TestCase
