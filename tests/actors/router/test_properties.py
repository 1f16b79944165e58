"""Whatever happens in whatever order: limits hold, nothing doubles, nothing is lost, a restart forgets nothing.

A small model venue accepts, fills, loses answers and repeats itself; the core is driven by what it would say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.router.effects import CancelOrder, Effect, SendOrder
from actors.router.events import (
    Acked,
    CancelFailed,
    Command,
    ExecutionsSeen,
    IntentArrived,
    LookedUp,
    OrdersSeen,
    SendFailed,
    Tick,
    TimerFired,
)
from tests.actors.router.support import BTC, Bottle, closing, d, execution, held, intent, shown, stored
from titan.codes import TradingState
from titan.effects import SetTimer
from titan.model import Order, OrderRole, OrderState, OrderType, Side, fill_id_of
from titan.money import ZERO
from titan.venues.base import VenueExecution, VenueOrder

SIDES = st.sampled_from(list(Side))
PICK = st.integers(0, 1_000)


class ModelVenue:
    """What a venue would hold: orders by client id, executions, a net position."""

    def __init__(self) -> None:
        self.orders: dict[str, tuple[Order, OrderState, Decimal]] = {}
        self.executions: list[VenueExecution] = []
        self.quantity = ZERO
        self.clock = 0
        self.reduced_only_ok = True

    def accept(self, order: Order) -> None:
        assert order.client_order_id not in self.orders, "one client id was sent twice and taken twice"
        self.orders[order.client_order_id] = (order, OrderState.OPEN, ZERO)

    def open_ids(self) -> list[str]:
        return [cid for cid, (_, state, _) in self.orders.items() if state is OrderState.OPEN]

    def fill(self, cid: str, quantity: Decimal, price: str) -> None:
        order, _, filled = self.orders[cid]
        if order.reduce_only:
            room = abs(self.quantity) if self.quantity * order.side.sign < 0 else ZERO
            quantity = min(quantity, room)
            if quantity <= 0:
                self.orders[cid] = (order, OrderState.CANCELED, filled)
                return
        quantity = min(quantity, order.quantity - filled)
        self.quantity += order.side.sign * quantity
        self.executions.append(execution(order, quantity, price, f"t{len(self.executions)}", fee="0.01"))
        filled += quantity
        self.orders[cid] = (order, OrderState.FILLED if filled == order.quantity else OrderState.OPEN, filled)

    def cancel(self, cid: str) -> bool:
        order, state, filled = self.orders[cid]
        if state is OrderState.OPEN:
            self.orders[cid] = (order, OrderState.CANCELED, filled)
            return True
        return False

    def show(self, cid: str) -> VenueOrder:
        order, state, filled = self.orders[cid]
        self.clock += 1
        return shown(order, state, str(filled), updated_ms=self.clock)


class RouterMachine(RuleBasedStateMachine):
    """The core under a venue that answers late, twice, out of order, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.bottle = Bottle().begin()
        self.venue = ModelVenue()
        self.flying: list[Order] = []
        self.cancelling: list[Order] = []
        self.timers: set[str] = set()
        self.names = 0
        self.sent: Counter[str] = Counter()
        self.doubted: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.note(self.bottle.effects)

    def note(self, effects: list[Effect]) -> None:
        state = self.bottle.state
        for effect in effects:
            if isinstance(effect, SendOrder):
                order = effect.order
                self.sent[order.client_order_id] += 1
                assert order.client_order_id not in self.doubted, "an order in doubt was sent again"
                held_now = state.position(self.bottle.config, BTC).quantity
                if order.role is OrderRole.CLOSE:
                    assert held_now * order.side.sign < 0 or order.client_order_id in state.resends
                    assert order.quantity <= abs(held_now) or order.client_order_id in state.resends
                if state.trading is not TradingState.ACTIVE:
                    assert order.reduce_only, "only reduce-only orders leave unless trading is ACTIVE"
                self.flying.append(order)
            elif isinstance(effect, CancelOrder):
                self.cancelling.append(effect.order)
            elif isinstance(effect, SetTimer):
                self.timers.add(effect.key)

    def tell(self, event: Any) -> None:
        self.note(self.bottle.tell(event))

    @rule(side=SIDES, usd=st.integers(50, 60_000), limit=st.booleans())
    def open(self, side: Side, usd: int, limit: bool) -> None:
        self.names += 1
        self.bottle.refresh()
        wanted = intent(f"i{self.names}", side=side, size_usd=str(usd), t_signal_ms=self.bottle.now.market_ms)
        if limit:
            wanted = replace(wanted, order_type=OrderType.LIMIT, limit_price=d(50_000))
        self.tell(IntentArrived(wanted))

    @rule(side=SIDES, quantity=st.none() | st.integers(1, 2_000))
    def close(self, side: Side, quantity: int | None) -> None:
        self.names += 1
        amount = None if quantity is None else str(Decimal(quantity) / 1000)
        self.tell(IntentArrived(closing(f"c{self.names}", side, amount, t_signal_ms=self.bottle.now.market_ms)))

    @rule(pick=PICK)
    def repeat_an_intent(self, pick: int) -> None:
        if self.names:
            name = f"i{pick % self.names + 1}"
            if name in self.bottle.state.intents:
                before = len(self.bottle.rows)
                self.tell(IntentArrived(intent(name, t_signal_ms=self.bottle.now.market_ms)))
                assert len(self.bottle.rows) == before

    def landing(self, pick: int) -> Order | None:
        return self.flying.pop(pick % len(self.flying)) if self.flying else None

    @rule(pick=PICK)
    def answer_a_send(self, pick: int) -> None:
        order = self.landing(pick)
        if order is not None:
            self.venue.accept(order)
            self.tell(Acked(order.client_order_id, f"v-{order.client_order_id}"))

    @rule(pick=PICK, accepted=st.booleans())
    def lose_the_answer(self, pick: int, accepted: bool) -> None:
        order = self.landing(pick)
        if order is not None:
            if accepted:
                self.venue.accept(order)
            self.doubted.add(order.client_order_id)
            self.tell(SendFailed(order.client_order_id, "in_doubt", "timed out"))

    @rule(pick=PICK, outcome=st.sampled_from(["refused", "never_left", "unjournalled"]))
    def refuse_a_send(self, pick: int, outcome: Any) -> None:
        order = self.landing(pick)
        if order is not None:
            self.tell(SendFailed(order.client_order_id, outcome, "no"))

    @rule(pick=PICK, quantity=st.integers(1, 900), price=st.sampled_from(["49990", "50000", "50010.5"]))
    def trade(self, pick: int, quantity: int, price: str) -> None:
        ids = self.venue.open_ids()
        if ids:
            self.venue.fill(ids[pick % len(ids)], Decimal(quantity) / 1000, price)

    @rule(pick=PICK)
    def show_an_order(self, pick: int) -> None:
        ids = list(self.venue.orders)
        if ids:
            self.tell(OrdersSeen((self.venue.show(ids[pick % len(ids)]),)))

    @rule(start=PICK, count=st.integers(1, 4), backwards=st.booleans())
    def show_executions(self, start: int, count: int, backwards: bool) -> None:
        if self.venue.executions:
            first = start % len(self.venue.executions)
            page = self.venue.executions[first : first + count]
            self.tell(ExecutionsSeen(tuple(reversed(page) if backwards else page)))

    @rule(pick=PICK)
    def answer_a_cancel(self, pick: int) -> None:
        if self.cancelling:
            order = self.cancelling.pop(pick % len(self.cancelling))
            known = order.client_order_id in self.venue.orders
            if not known or not self.venue.cancel(order.client_order_id):
                self.tell(CancelFailed(order.client_order_id, "refused", "not exists"))

    @rule(pick=PICK)
    def fire_a_timer(self, pick: int) -> None:
        keys = sorted(self.timers)
        if keys:
            key = keys[pick % len(keys)]
            self.timers.discard(key)
            self.tell(TimerFired(key))

    @rule(pick=PICK)
    def answer_a_look_up(self, pick: int) -> None:
        searched = list(self.bottle.state.lookups)
        if searched:
            cid = searched[pick % len(searched)]
            if any(order.client_order_id == cid for order in self.flying):
                return
            found = self.venue.show(cid) if cid in self.venue.orders else None
            self.tell(LookedUp(cid, found))

    @rule(verb=st.sampled_from(["arm", "disarm", "reduce", "halt", "resume", "flatten"]))
    def command(self, verb: str) -> None:
        self.names += 1
        self.tell(Command(verb, "test", "op", f"cmd{self.names}"))

    @rule(seconds=st.integers(1, 4))
    def pass_time(self, seconds: int) -> None:
        self.bottle.clock.advance(seconds * 1000)
        self.tell(Tick())

    @rule()
    def report(self) -> None:
        position = (held(str(self.venue.quantity)),) if self.venue.quantity else ()
        listed = tuple(self.venue.show(cid) for cid in self.venue.open_ids())
        self.tell(self.bottle.report(position, listed))

    @rule()
    def restart(self) -> None:
        """The process dies: what flew is in doubt now; the journal is all that is left."""
        before = self.bottle
        after = Bottle(config=before.config)
        after.clock = before.clock
        after.core.replay(stored(before.rows))
        after.rows = list(before.rows)
        self.bottle = after
        self.flying, self.cancelling, self.timers = [], [], set()
        known = {cid: self.venue.show(cid) for cid in self.venue.orders}
        missing = tuple((order.client_order_id, known.get(order.client_order_id)) for order in after.core.unsettled())
        after._take(after.core.start(after.now, 2))
        position = (held(str(self.venue.quantity)),) if self.venue.quantity else ()
        report = after.recovery(
            positions=position, executions=tuple(self.venue.executions), closed_orders=(), missing=missing
        )
        begun = len(after.effects)
        after.tell(report)
        self.note(after.effects[begun:])
        assert "position" not in {row.kind for row in after.rows}, "executions explain every position"

    @invariant()
    def nothing_doubles(self) -> None:
        state = self.bottle.state
        booked = [row for row in self.bottle.rows if row.kind == "fill"]
        assert len(booked) == len(state.fills)
        known = {fill_id_of("bybit", "main", done.venue_trade_id) for done in self.venue.executions}
        assert state.fills <= known

    @invariant()
    def booked_fills_make_the_position(self) -> None:
        state = self.bottle.state
        total = ZERO
        for done in self.venue.executions:
            if fill_id_of("bybit", "main", done.venue_trade_id) in state.fills:
                total += done.side.sign * done.quantity
        assert state.position(self.bottle.config, BTC).quantity == total

    @invariant()
    def limits_hold(self) -> None:
        state, policy = self.bottle.state, self.bottle.config.policy
        entries = [order for order in state.live_orders(BTC) if order.role is OrderRole.ENTRY]
        fresh = [order for order in entries if order.filled == 0 and order.client_order_id in state.live]
        assert len(fresh) <= policy.max_open_orders_per_symbol + len(self.doubted)
        # Everything that is booked or may still fill stays within the cap, at the price the guard judged it by.
        booked = {done.venue_trade_id for done in self.venue.executions} == {
            each.rpartition(":")[2] for each in state.fills
        }
        revived = any(order.detail for order in entries)
        if booked and not revived:
            assert state.worst(BTC) * d(50_000) <= policy.max_position_notional * 2

    @invariant()
    def closes_never_grow(self) -> None:
        for order in self.flying:
            if order.reduce_only:
                assert order.stop_price is None
                assert order.role in (OrderRole.CLOSE, OrderRole.FLATTEN, OrderRole.STOP)

    @invariant()
    def entries_are_protected(self) -> None:
        for order in self.bottle.state.orders.values():
            if order.role is OrderRole.ENTRY:
                assert order.stop_price is not None

    @invariant()
    def ended_orders_are_not_live(self) -> None:
        state = self.bottle.state
        assert all(not state.orders[cid].state.is_terminal for cid in state.live)
        assert all(order.state.is_terminal or cid in state.live for cid, order in state.orders.items())

    def teardown(self) -> None:
        """Quiet: everything is told, and the books are the venue's; a replay is the same again."""
        bottle = self.bottle
        for order in self.flying:
            self.venue.accept(order)
        self.flying = []
        bottle.tell(OrdersSeen(tuple(self.venue.show(cid) for cid in self.venue.orders)))
        bottle.tell(ExecutionsSeen(tuple(self.venue.executions)))
        bottle.tell(OrdersSeen(tuple(self.venue.show(cid) for cid in self.venue.orders)))
        state = bottle.state
        assert state.position(bottle.config, BTC).quantity == self.venue.quantity
        for cid, (_, status, filled) in self.venue.orders.items():
            assert state.orders[cid].filled == filled
            assert state.orders[cid].state.is_terminal == (status is not OrderState.OPEN), (cid, status)
        assert [row.seq for row in bottle.rows] == list(range(1, len(bottle.rows) + 1))
        again = bottle.replayed()
        assert again.positions == state.positions
        assert again.money.cash == state.money.cash
        assert again.live.keys() == state.live.keys()
        assert (again.trading, again.resume_to) == (state.trading, state.resume_to)


RouterMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRouterMachine = RouterMachine.TestCase
