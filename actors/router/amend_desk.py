"""Changes of an order that is at the venue: amended in place where the venue can, cancelled and replaced where not.

`AmendDesk.change` is the way in, for the bracket, for execution algorithms and for operators. What was asked for is
journalled before it is sent; the order keeps its old values until the venue says otherwise.

Guarantees: (1) one change of an order at a time; (2) a change never raises an entry's quantity, and a worse price needs
what an opening needs; (3) a fill during a change never leads to more than was wanted: a replacement leaves only after
the old order is known to be over and its fills are booked, with what they left (a stop's stands before the old one goes:
both only close); (4) a change in doubt is looked up and
not sent again, what the venue shows is what counts; (5) after a restart the venue is asked, and a replacement that had
not left is forgotten: its intent ends with the old order; (6) after a change that failed, the order `rests`, each time longer:
whoever changes orders by himself waits, an operator need not. Never: I/O.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from actors.router import children, rows
from actors.router.conditions import STOPS
from actors.router.effects import STATE_CHANGED, AmendOrder, LookUp
from actors.router.events import Amended, AmendFailed, LookedUp
from actors.router.order_desk import OrderDesk
from actors.router.refusal import Refusal
from actors.router.state import Change, RouterConfig, RouterState
from actors.router.turn import Turn
from titan.codes import RejectCode, TradingState
from titan.effects import CancelTimer, SetTimer
from titan.model import Order, OrderRole, OrderState, Side, Terms
from titan.money import ZERO, text_of

AMEND_TIMER = "amend"
DOUBT_DELAYS_MS = (200, 500, 1_000, 2_000)
PATIENCE_MS = 15_000
REST_MS = 250
LONGEST_REST_MS = 8_000

_OPEN = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED})


class AmendDesk:
    """The changes under way."""

    def __init__(self, state: RouterState, config: RouterConfig, orders: OrderDesk) -> None:
        self._state = state
        self._config = config
        self._orders = orders
        self._rests: dict[str, tuple[int, int]] = {}

    # asking

    def rests(self, turn: Turn, order: Order) -> bool:
        """Whether a change of it is on its way, or one failed so lately that the next would only fail again."""
        cid = order.client_order_id
        return cid in self._state.changes or turn.now.wall_ms < self._rests.get(cid, (0, 0))[1]

    def change(
        self,
        turn: Turn,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> Refusal | None:
        """Asks for another price, whole quantity (filled part included) or trigger; None keeps a value.

        Returns why not, or None when it is on its way: then `state.changes` holds it until it is done, and a
        replacement appears as the intent's next child, whose terms name the order it `replaces`.
        """
        order = self._state.orders.get(order.client_order_id, order)
        wanted = self._on_grid(order, price, quantity, trigger_price)
        if isinstance(wanted, Refusal):
            return wanted
        refusal = self._refusal(order, wanted)
        if refusal is not None:
            return refusal
        cid = order.client_order_id
        self._state.changes[cid] = wanted
        if wanted.replacing:
            self._write(turn, order, wanted, "REPLACE")
            if _protects(order):
                wanted.ahead = self._replace(turn, order, wanted)
            else:
                self._orders.cancel(turn, order)
        else:
            self._write(turn, order, wanted, "AMEND")
            turn.do(AmendOrder(order, wanted.number, wanted.price, wanted.quantity, wanted.trigger_price))
        turn.do(SetTimer(f"{AMEND_TIMER}:{cid}", PATIENCE_MS))
        return None

    def _on_grid(
        self, order: Order, price: Decimal | None, quantity: Decimal | None, trigger_price: Decimal | None
    ) -> Change | Refusal:
        """The change in the venue's steps, without what stays the same."""
        instrument = self._config.instruments.find(order.venue, order.symbol)
        if instrument is None:
            return Refusal(RejectCode.UNKNOWN_INSTRUMENT, f"{order.venue} lists no {order.symbol}")
        if price is not None:
            price = instrument.round_price(price)
        if trigger_price is not None:
            trigger_price = instrument.round_price(trigger_price)
        if quantity is not None:
            quantity = instrument.floor_qty(quantity)
            if quantity < instrument.min_qty:
                detail = f"{quantity} {instrument.base} is below the minimum {instrument.min_qty}"
                return Refusal(RejectCode.BELOW_MINIMUM, detail)
        price = None if price == order.price else price
        quantity = None if quantity == order.quantity else quantity
        trigger_price = None if trigger_price == order.trigger_price else trigger_price
        asked = {
            name
            for name, value in (("price", price), ("quantity", quantity), ("trigger_price", trigger_price))
            if value is not None
        }
        can = self._config.can.amends_waiting if order.order_type.waits else self._config.can.amends
        self._state.change_number += 1
        return Change(
            self._state.change_number, price, quantity, trigger_price, not asked <= can, order.filled, bool(asked)
        )

    def _refusal(self, order: Order, wanted: Change) -> Refusal | None:
        cid, no = order.client_order_id, RejectCode.NOT_AMENDABLE
        if not wanted.changes_anything:
            return Refusal(no, f"{cid} is like that already")
        if order.state not in _OPEN:
            return Refusal(no, f"{cid} is {order.state.value}; only an order that stands at the venue can be changed")
        if cid in self._state.changes:
            return Refusal(no, f"a change of {cid} is on its way")
        if self._orders.cancelling(cid):
            return Refusal(no, f"{cid} is being cancelled")
        if wanted.price is not None and not order.order_type.names_price:
            return Refusal(no, f"a {order.order_type.value} order has no limit price")
        if wanted.trigger_price is not None and not order.order_type.waits:
            return Refusal(no, f"a {order.order_type.value} order has no trigger")
        if any(value is not None and value <= 0 for value in (wanted.price, wanted.trigger_price)):
            return Refusal(no, "a price is above zero")
        if wanted.quantity is not None and wanted.quantity <= order.filled:
            return Refusal(no, f"{order.filled} of {cid} are filled already, {wanted.quantity} would not be more")
        if order.reduce_only and order.order_type in STOPS and not _closer(order, wanted):
            return Refusal(
                no, f"a stop moves only closer to the market and stays whole; {cid} is at {order.trigger_price}"
            )
        if wanted.replacing and order.order_type not in self._config.can.order_types:
            return Refusal(
                RejectCode.ORDER_TYPE_UNSUPPORTED,
                f"{order.venue} takes no {order.order_type.value} to replace {cid} by",
            )
        return None if order.reduce_only else self._raises(order, wanted)

    def _raises(self, order: Order, wanted: Change) -> Refusal | None:
        """Why a change of an order that may raise risk is refused: an entry never grows, and is still an opening."""
        state, policy = self._state, self._config.policy
        if wanted.quantity is not None and wanted.quantity > order.quantity:
            detail = f"an entry never grows: {order.quantity} were approved, {wanted.quantity} are asked for"
            return Refusal(RejectCode.NOT_AMENDABLE, detail)
        if state.effective is not TradingState.ACTIVE:
            return Refusal(RejectCode.NOT_AMENDABLE, f"{state.effective.value}: {state.reason}")
        price = wanted.price if wanted.price is not None else wanted.trigger_price
        if price is None:
            return None
        buying = order.side is Side.BUY
        if order.stop_price is not None and not (price > order.stop_price if buying else price < order.stop_price):
            return Refusal(RejectCode.STOP_WRONG_SIDE, f"stop {order.stop_price} does not protect an entry at {price}")
        _, buys, sells = state.pending(order.symbol)
        held = state.held(order.symbol)
        notional = (held + buys if buying else sells - held) * price
        if notional > policy.max_position_notional:
            detail = f"{order.symbol} would reach {notional:.2f} USD, {policy.max_position_notional} allowed"
            return Refusal(RejectCode.POSITION_NOTIONAL, detail)
        return None

    def _write(self, turn: Turn, order: Order, wanted: Change, event: str) -> None:
        fields: dict[str, rows.Scalar] = {
            "wanted_price": text_of(wanted.price),
            "wanted_quantity": text_of(wanted.quantity),
            "wanted_trigger_price": text_of(wanted.trigger_price),
        }
        self._orders.note(turn, order, event, fields)

    # answers

    def amended(self, turn: Turn, event: Amended) -> None:
        """The venue took the change."""
        wanted = self._of(event.client_order_id, event.number)
        if wanted is None:
            return
        order = self._done(turn, event.client_order_id)
        self._rests.pop(order.client_order_id, None)
        if order.state.is_terminal:
            return
        quantity = order.quantity if wanted.quantity is None else max(wanted.quantity, order.filled)
        order = self._orders.put(
            turn,
            replace(
                order,
                price=order.price if wanted.price is None else wanted.price,
                quantity=quantity,
                trigger_price=order.trigger_price if wanted.trigger_price is None else wanted.trigger_price,
            ),
            "AMENDED",
        )
        if order.filled >= quantity:
            # Filled up to the new quantity while the change was on its way: only the venue knows whether it is over.
            turn.do(LookUp(order))

    def failed(self, turn: Turn, event: AmendFailed) -> None:
        """The venue refused it, it never left, or nobody knows."""
        wanted = self._of(event.client_order_id, event.number)
        if wanted is None:
            return
        order = self._state.orders[event.client_order_id]
        if event.outcome == "in_doubt":
            wanted.doubts += 1
            self._orders.note(turn, order, "AMEND_IN_DOUBT", {"amend_detail": event.detail})
            turn.do(SetTimer(f"{AMEND_TIMER}:{order.client_order_id}", DOUBT_DELAYS_MS[0]))
            return
        cid = order.client_order_id
        failures = self._rests.get(cid, (0, 0))[0]
        self._rests[cid] = (failures + 1, turn.now.wall_ms + min(REST_MS << min(failures, 5), LONGEST_REST_MS))
        self._done(turn, cid)
        self._orders.note(turn, order, "AMEND_FAILED", {"amend_detail": event.detail})
        if event.outcome == "refused":
            # Often because it is over: what the venue knows decides.
            turn.do(LookUp(order))

    def looked_up(self, turn: Turn, event: LookedUp) -> None:
        """The venue shows what a change in doubt came to; the order has it already."""
        wanted = self._state.changes.get(event.client_order_id)
        if wanted is not None and wanted.doubts and event.found is not None:
            self._done(turn, event.client_order_id)

    def due(self, turn: Turn, cid: str) -> None:
        """A change is in doubt, or has had no answer for too long."""
        wanted = self._state.changes.get(cid)
        if wanted is None:
            return
        order = self._state.orders[cid]
        turn.do(LookUp(order))
        if wanted.replacing and not wanted.ahead:
            # The cancel is repeated while it does not work; a replacement is never sent beside its order.
            self._orders.cancel(turn, order)
        wanted.doubts += 1
        delay = DOUBT_DELAYS_MS[min(wanted.doubts, len(DOUBT_DELAYS_MS)) - 1]
        turn.do(SetTimer(f"{AMEND_TIMER}:{cid}", delay))

    def _of(self, cid: str, number: int) -> Change | None:
        wanted = self._state.changes.get(cid)
        return wanted if wanted is not None and wanted.number == number and not wanted.replacing else None

    def _done(self, turn: Turn, cid: str) -> Order:
        del self._state.changes[cid]
        turn.do(CancelTimer(f"{AMEND_TIMER}:{cid}"))
        turn.do(STATE_CHANGED)
        return self._state.orders[cid]

    # replacing

    def follow(self, turn: Turn, order: Order) -> None:
        """An order changed: one that is over ends its change, and its replacement leaves once its fills are booked."""
        if order.terms is not None and order.terms.replaces in self._state.changes:
            self._stood(turn, order)
        if order.state.is_terminal:
            self._rests.pop(order.client_order_id, None)
        wanted = self._state.changes.get(order.client_order_id)
        if wanted is None or not order.state.is_terminal:
            return
        cancelled = order.state in (OrderState.CANCELED, OrderState.EXPIRED)
        if wanted.replacing and cancelled and self._orders.behind(order):
            return
        self._done(turn, order.client_order_id)
        if (
            wanted.replacing
            and not wanted.ahead
            and order.state is OrderState.CANCELED
            and not self._orders.lost(order)
        ):
            self._replace(turn, order, wanted)

    def _stood(self, turn: Turn, child: Order) -> None:
        """A stop's replacement stands, so the old one goes; or it came to nothing, and the old one stays."""
        assert child.terms is not None
        old = self._state.orders[child.terms.replaces]
        if self._state.changes[old.client_order_id].ahead != child.client_order_id:
            return
        if child.state in _OPEN or child.filled > 0:
            self._done(turn, old.client_order_id)
            self._orders.cancel(turn, old)
        elif child.state.is_terminal:
            self._done(turn, old.client_order_id)

    def _replace(self, turn: Turn, order: Order, wanted: Change) -> str:
        """Sends what stands in for an order; its client id, empty when nothing is left to do."""
        left = (order.quantity if wanted.quantity is None else wanted.quantity) - order.filled
        if order.reduce_only:
            held = self._state.held(order.symbol)
            room = abs(held) if held * order.side.sign < 0 else ZERO
            if order.role is OrderRole.CLOSE:
                room -= self._state.closing(order.symbol)
            left = min(left, room)
        elif self._state.effective is not TradingState.ACTIVE:
            return ""
        elif order.role is OrderRole.ENTRY:
            left = min(left, self._unfilled(order))
        instrument = self._config.instruments.find(order.venue, order.symbol)
        if instrument is None or left < instrument.min_qty:
            return ""
        child = children.child_of(
            self._state,
            order,
            turn.now,
            quantity=left,
            price=order.price if wanted.price is None else wanted.price,
            trigger_price=order.trigger_price if wanted.trigger_price is None else wanted.trigger_price,
            terms=replace(order.terms or Terms(), replaces=order.client_order_id),
        )
        self._orders.send_child(turn, child, order)
        return child.client_order_id

    def _unfilled(self, order: Order) -> Decimal:
        """What an entry's intent has left beside all its children: one may have filled after the venue confirmed its cancel."""
        parent = self._state.parents.get(order.intent_id)
        legs = () if parent is None else parent.row.legs
        brothers = [
            each
            for each in children.of(self._state, order.intent_id)
            if each.role is order.role and each.symbol == order.symbol
        ]
        first = brothers[0] if brothers else order
        size = next((leg.quantity for leg in legs if leg.symbol == order.symbol), first.quantity)
        spoken_for = (each.filled if each.state.is_terminal else max(each.quantity, each.filled) for each in brothers)
        return size - sum(spoken_for, ZERO)


def _closer(order: Order, wanted: Change) -> bool:
    """Whether a changed stop protects no less than before."""
    if wanted.trigger_price is None or order.trigger_price is None:
        return wanted.trigger_price is None
    return (wanted.trigger_price - order.trigger_price) * order.side.sign < 0


def _protects(order: Order) -> bool:
    """Whether a position would be bare without it."""
    return order.reduce_only and order.order_type in STOPS
