"""Brackets, and the protection of positions: targets that share what an entry fills, stops that trail and come back.

A bracket is an entry whose terms have targets. Its stop goes to the venue with the entry itself (`Protection`); its targets
are reduce-only children of its intent that grow with what the entry fills. What should stand is computed from the journalled
orders alone and compared with what stands, so a restart goes on where it was.

Guarantees: (1) all targets of a symbol together never ask for more than is held; (2) when a position is flat, what was there
to close it is cancelled, however it became flat; (3) a target that vanishes is set again, and so is a stop that the venue does
not show any more, at the tighter of the prices it was known at, or the position is closed when the market is past it; (4) a
trailing stop moves only closer. Never: an order that could open or grow a position.
"""

from __future__ import annotations

from decimal import Decimal

from actors.router import children
from actors.router.amend_desk import AmendDesk
from actors.router.conditions import STOPS
from actors.router.effects import FetchReport
from actors.router.order_desk import OrderDesk
from actors.router.state import Quote, RouterConfig, RouterState
from actors.router.turn import Turn
from titan.effects import RaiseAlert
from titan.instruments import Instrument
from titan.model import Order, OrderRole, OrderState, OrderType, Target, Terms
from titan.money import ZERO
from titan.venues.base import Protection

AGAIN_MS = 1_000
REFUSED_IN_A_ROW = 3
TRAIL_STEPS = 20

_STANDS = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED})


class BracketDesk:
    """What stands at the venue to close positions."""

    def __init__(self, state: RouterState, config: RouterConfig, orders: OrderDesk, amends: AmendDesk) -> None:
        self._state = state
        self._config = config
        self._orders = orders
        self._amends = amends
        self._best: dict[str, Decimal] = {}

    # when to look

    def follow(self, turn: Turn, order: Order) -> None:
        """An order changed: its bracket, and what closes its position, may have to change with it."""
        if order.filled and order.role is OrderRole.ENTRY and order.terms is not None and order.terms.targets:
            # Also a late fill of an entry that was over: its bracket is not.
            self._state.brackets[order.intent_id] = None
        if order.intent_id in self._state.brackets:
            self._settle(turn, order.intent_id)
        if order.filled and self._state.held(order.symbol) == 0:
            self._sweep(turn, order.symbol)
        elif order.state.is_terminal and order.role is OrderRole.STOP and order.state is not OrderState.FILLED:
            # Cancelled by hand, refused or lost: whether the position is bare now, only the venue knows.
            turn.do(FetchReport())

    def tick(self, turn: Turn) -> None:
        """Looks at everything once a second, for what nobody told."""
        for intent_id in list(self._state.brackets):
            self._settle(turn, intent_id)
        closing = {order.symbol for order in self._state.live_orders() if order.reduce_only}
        for symbol in sorted(closing):
            if self._state.held(symbol) == 0:
                self._sweep(turn, symbol)

    # targets

    def _settle(self, turn: Turn, intent_id: str) -> None:
        """Makes the targets of one bracket what they should be."""
        family = children.of(self._state, intent_id)
        entries = [order for order in family if order.role is OrderRole.ENTRY]
        first = entries[0]
        instrument = self._config.instruments.find(first.venue, first.symbol)
        if instrument is None or first.terms is None:
            return
        filled = sum((order.filled for order in entries), ZERO)
        legs = [order for order in family if order.role is OrderRole.TARGET and order.terms is not None]
        taken = sum((order.filled for order in legs), ZERO)
        held = self._state.held(first.symbol) * first.side.sign
        room = max(ZERO, min(filled - taken, held - self._others(first.symbol, intent_id)))
        over = room == 0 and all(order.state.is_terminal for order in entries)
        assigned = ZERO
        for leg, target in enumerate(first.terms.targets, start=1):
            last = leg == len(first.terms.targets)
            share = filled - assigned if last else instrument.floor_qty(filled * target.share)
            assigned += share
            own = [order for order in legs if order.terms is not None and order.terms.leg == leg]
            wanted = min(room, max(ZERO, share - sum((order.filled for order in own), ZERO)))
            if wanted < instrument.min_qty:
                wanted = ZERO
            room -= wanted
            self._set_leg(turn, first, leg, target, own, wanted)
        if over and not any(not order.state.is_terminal for order in legs):
            self._state.brackets.pop(intent_id, None)

    def _others(self, symbol: str, intent_id: str) -> Decimal:
        """What the targets of other brackets of the symbol ask for."""
        live = self._state.live_orders(symbol)
        return sum(
            (
                order.remaining
                for order in live
                if order.role is OrderRole.TARGET and self._is_of_other(order, intent_id)
            ),
            ZERO,
        )

    def _is_of_other(self, order: Order, intent_id: str) -> bool:
        return order.terms is not None and order.terms.leg > 0 and order.intent_id != intent_id

    def _set_leg(self, turn: Turn, entry: Order, leg: int, target: Target, own: list[Order], wanted: Decimal) -> None:
        live = next((order for order in own if not order.state.is_terminal), None)
        if live is not None:
            if live.state not in _STANDS or live.client_order_id in self._state.changes:
                return
            if wanted == 0:
                self._cancel(turn, live)
            elif wanted != live.remaining and not self._amends.rests(turn, live):
                # What can't be changed now is looked at again with the next news, and every second.
                self._amends.change(turn, live, quantity=live.filled + wanted)
            return
        if wanted == 0 or not self._due(turn, entry, leg, own):
            return
        instrument = self._config.instruments.find(entry.venue, entry.symbol)
        assert instrument is not None
        price = instrument.round_price(target.price)
        market = target.market and OrderType.TAKE_PROFIT_MARKET in self._config.can.order_types
        child = children.child_of(
            self._state,
            entry,
            turn.now,
            quantity=wanted,
            price=None if market else price,
            trigger_price=price if market else None,
            order_type=OrderType.TAKE_PROFIT_MARKET if market else OrderType.LIMIT,
            side=entry.side.opposite,
            role=OrderRole.TARGET,
            terms=Terms(leg=leg),
        )
        self._orders.send_child(turn, child, entry)

    def _due(self, turn: Turn, entry: Order, leg: int, own: list[Order]) -> bool:
        """Whether a target may be sent (again): at once for the first time, then after a pause, not for ever."""
        if not own:
            return not self._state.may_lack_rows(entry.created_ms, turn.now.wall_ms)
        refused = 0
        for order in reversed(own):
            if order.state is not OrderState.REJECTED:
                break
            refused += 1
        if refused >= REFUSED_IN_A_ROW:
            key = f"{entry.intent_id}:{leg}"
            if key not in self._state.given_up:
                self._state.given_up.add(key)
                text = (
                    f"target {leg} of {entry.client_order_id} ({entry.symbol}) was refused {refused} times, "
                    f"last: {own[-1].detail}; the stop stands, close it by hand or flatten"
                )
                turn.do(RaiseAlert("TARGET_REFUSED", "CRITICAL", text))
            return False
        return turn.now.wall_ms - own[-1].updated_ms >= AGAIN_MS << refused

    # flat

    def _sweep(self, turn: Turn, symbol: str) -> None:
        """Cancels what waits to close a position that is gone, unless an entry may still make one."""
        live = self._state.live_orders(symbol)
        if symbol in self._state.suspects or any(not order.reduce_only for order in live):
            return
        for order in live:
            if order.state in _STANDS and not self._is_the_venues(order):
                self._cancel(turn, order)

    def _is_the_venues(self, order: Order) -> bool:
        """Whether the venue made it with the position and ends it with the position."""
        attached = self._config.can.protection is Protection.ATTACHED
        return attached and order.child == 0 and order.role in (OrderRole.STOP, OrderRole.TARGET)

    def _cancel(self, turn: Turn, order: Order) -> None:
        if not self._orders.cancelling(order.client_order_id):
            self._orders.cancel(turn, order)

    # stops

    def repair(self, turn: Turn, symbol: str, quantity: Decimal) -> str:
        """Sets the stop of a bare position again; says what was done, empty when nothing can be."""
        entry = self._state.orders.get(self._state.last_entry.get(symbol, ""))
        instrument = self._config.instruments.find(self._config.venue, symbol)
        if entry is None or instrument is None or quantity * entry.side.sign <= 0:
            return ""
        size = abs(quantity)
        if self._state.flattening or self._state.closing(symbol) >= size:
            return "it is being closed"
        if any(
            order.reduce_only and order.order_type in STOPS and not self._orders.cancelling(order.client_order_id)
            for order in self._state.live_orders(symbol)
        ):
            return "a stop is on its way"
        price = self._stop_price(entry)
        if price is None or size < instrument.min_qty:
            return ""
        quote = self._state.quotes.get(symbol)
        long = quantity > 0
        passed = quote is not None and (quote.bid <= price if long else quote.ask >= price)
        if not passed and OrderType.STOP_MARKET not in self._config.can.order_types:
            return ""
        child = children.child_of(
            self._state,
            entry,
            turn.now,
            quantity=size,
            trigger_price=None if passed else price,
            order_type=OrderType.MARKET if passed else OrderType.STOP_MARKET,
            side=entry.side.opposite,
            role=OrderRole.STOP,
        )
        self._orders.send_child(turn, child, entry)
        return f"the market is past {price}: it is closed" if passed else f"a stop at {price} is set again"

    def _stop_price(self, entry: Order) -> Decimal | None:
        """The tighter of the entry's stop and where its stop last stood."""
        last = self._state.last_stop.get(entry.symbol)
        known = [entry.stop_price]
        if last is not None and last.side is entry.side.opposite and last.intent_id == entry.intent_id:
            known.append(last.trigger_price)
        prices = [price for price in known if price is not None]
        if not prices:
            return None
        return max(prices) if entry.side.sign > 0 else min(prices)

    # trailing

    def quoted(self, turn: Turn, symbol: str, quote: Quote) -> None:
        """Moves the trailing stops of a symbol behind its price."""
        instrument = self._config.instruments.find(self._config.venue, symbol)
        if instrument is None or quote.bid <= 0 or quote.ask <= 0:
            return
        for order in self._state.live_orders(symbol):
            trail = self._state.trails.get(order.intent_id)
            if trail is not None and order.reduce_only and order.order_type in STOPS and order.state in _STANDS:
                self._trail(turn, order, trail, quote, instrument)

    def _trail(self, turn: Turn, order: Order, trail: Decimal, quote: Quote, instrument: Instrument) -> None:
        if order.trigger_price is None or self._amends.rests(turn, order):
            return
        falls = order.side.sign < 0
        seen = quote.bid if falls else quote.ask
        best = self._best.get(order.intent_id, seen)
        best = self._best[order.intent_id] = max(best, seen) if falls else min(best, seen)
        wanted = instrument.round_price(best - trail if falls else best + trail)
        gained = wanted - order.trigger_price if falls else order.trigger_price - wanted
        # Not every tick is worth a request; a stop beyond the market would fire at once, which is what it is for.
        if gained >= max(instrument.tick, trail / TRAIL_STEPS):
            self._amends.change(turn, order, trigger_price=wanted)
