"""Follows each order through its life: sends, acknowledgements, doubts, look-ups, adoption of what the venue made.

Guarantees: an order in doubt is searched and never resent; only a send that certainly never left, of an order that
lowers risk, is tried again with the same client id; an order unknown to the journal is adopted, never ignored.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from actors.router import adoption, books, children, rows
from actors.router.effects import STATE_CHANGED, CancelOrder, FetchExecutions, LookUp, SendOrder
from actors.router.events import Acked, CancelFailed, LookedUp, SendFailed
from actors.router.order_news import BEFORE_OPEN, expired, news_of
from actors.router.state import RAISING, LookUpState, RouterConfig, RouterState
from actors.router.turn import Turn
from titan.codes import ExternalPolicy, RejectCode, TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.model import TERMINAL, Order, OrderRole, OrderState
from titan.money import ZERO
from titan.orders import TRANSITIONS, OrderEventKind, next_state
from titan.venues.base import VenueExecution, VenueOrder

LOOKUP_DELAYS_MS = (200, 500, 1_000, 2_000, 3_000, 3_500)
LOOKUP_ANSWERS = 5
LOOKUP_PATIENCE_MS = 10_000
RESEND_DELAYS_MS = (100, 250, 500, 1_000, 2_000)
CANCEL_AGAIN_MS = 2_000
STUCK_MS = 15_000
FILLS_TIMER = "fills"
FILLS_BEHIND_MS = 200
FILLS_AGAIN_MS = 1_000
EXPIRED = "its time was over"
NOT_KNOWN = "the venue knew no such order"

_HELD_BACK = {"unjournalled": RejectCode.JOURNAL_FAILED, "fenced": RejectCode.NOT_LEADER}


class OrderDesk:
    """The orders of one account."""

    def __init__(self, state: RouterState, config: RouterConfig) -> None:
        self._state = state
        self._config = config
        self._cancelled_ms: dict[str, int] = {}
        self._behind: dict[str, Decimal] = {}
        self.news: dict[str, None] = {}
        """Orders that changed in this turn, for those who follow them."""

    # sending

    def send(
        self, turn: Turn, order: Order, approval: dict[str, rows.Scalar] | None = None, t_wall_ns: int = 0
    ) -> None:
        """Journals a new order, then sends it."""
        self._put(turn, order, "NEW", approval)
        turn.do(SendOrder(order, t_wall_ns))
        turn.effects.append(STATE_CHANGED)

    def send_child(self, turn: Turn, child: Order, parent: Order) -> None:
        """Sends a child order (`children.child_of`) as approved by its parent."""
        self.send(turn, child, children.approval_fields(self._config, parent))

    def acked(self, turn: Turn, event: Acked) -> None:
        """The venue took it."""
        order = self._state.orders.get(event.client_order_id)
        if order is None:
            return
        self._forget_doubts(turn, order.client_order_id)
        known = order.venue_order_id == event.venue_order_id
        if order.state in BEFORE_OPEN:
            named = replace(order, venue_order_id=event.venue_order_id, code=RejectCode.NONE, detail="")
            order = self.advance(turn, named, OrderEventKind.ACK)
        elif not known:
            order = self._put(turn, replace(order, venue_order_id=event.venue_order_id), "NAMED")
        rare = self._config.rare
        if rare.on and rare.takes("look up what was acknowledged"):
            turn.do(LookUp(order))
        self._enforce(turn, order)

    def send_failed(self, turn: Turn, event: SendFailed) -> None:
        """The send ended without an acknowledgement."""
        order = self._state.orders.get(event.client_order_id)
        if order is None or order.state not in (OrderState.PENDING, OrderState.UNKNOWN):
            return
        if event.outcome == "in_doubt":
            self.advance(turn, replace(order, detail=event.detail), OrderEventKind.TIMEOUT)
            turn.do(
                RaiseAlert(
                    "ORDER_UNKNOWN",
                    "WARNING",
                    f"{order.client_order_id} {order.side.value} {order.quantity} {order.symbol}: {event.detail}; "
                    "it is looked up and not sent again",
                )
            )
            self.look_up(turn, order.client_order_id)
            return
        if event.outcome == "never_left" and order.reduce_only and order.state is not OrderState.UNKNOWN:
            tries = self._state.resends.get(order.client_order_id, 0)
            if tries < len(RESEND_DELAYS_MS):
                self._state.resends[order.client_order_id] = tries + 1
                wished = 0 if event.retry_after_s is None else int(event.retry_after_s * 1000)
                turn.do(SetTimer(f"resend:{order.client_order_id}", max(RESEND_DELAYS_MS[tries], wished)))
                return
        code = _HELD_BACK.get(event.outcome, RejectCode.VENUE_REJECTED)
        self.advance(turn, replace(order, code=code, detail=event.detail), OrderEventKind.REFUSE)
        self._forget_doubts(turn, order.client_order_id)

    def resend(self, turn: Turn, cid: str) -> None:
        """Sends an order again that certainly never left."""
        order = self._state.orders.get(cid)
        if order is not None and order.state is OrderState.PENDING:
            turn.do(SendOrder(order))

    # cancelling

    def cancel(self, turn: Turn, order: Order) -> None:
        """Asks the venue to cancel, and looks afterwards in case its stream says nothing."""
        self._cancelled_ms[order.client_order_id] = turn.now.wall_ms
        turn.do(CancelOrder(order))
        rare = self._config.rare
        if rare.on and rare.takes("cancel twice"):
            turn.do(CancelOrder(order))
        turn.do(SetTimer(f"lookup:{order.client_order_id}", 1_000))

    def cancelling(self, cid: str, after_ms: int = -1) -> bool:
        """Whether a cancel of it is on its way that was asked for after an instant (wall)."""
        return self._cancelled_ms.get(cid, -1) > after_ms

    def behind(self, order: Order) -> bool:
        """Whether the venue showed more of it filled than is booked."""
        return self._behind.get(order.client_order_id, ZERO) > order.filled

    def lost(self, order: Order) -> bool:
        """Whether its end is a guess: the venue did not know it any more."""
        return order.detail.startswith(NOT_KNOWN)

    def cancel_failed(self, turn: Turn, event: CancelFailed) -> None:
        """The venue refused or did not answer: what it knows of the order decides."""
        order = self._state.orders.get(event.client_order_id)
        if order is None or order.state.is_terminal:
            return
        if event.outcome == "never_left":
            self._cancelled_ms.pop(order.client_order_id, None)
        else:
            turn.do(LookUp(order))

    def raising(self, *, strangers: bool) -> list[Order]:
        """Live orders that could raise risk: our entries, and with `strangers` what others made on the account."""
        roles = (
            RAISING if strangers or self._config.external is not ExternalPolicy.FLAG else frozenset({OrderRole.ENTRY})
        )
        return [order for order in self._state.live_orders() if order.role in roles and not order.reduce_only]

    def cancel_raising(self, turn: Turn, *, strangers: bool) -> list[Order]:
        """Cancels live orders that could raise risk; returns them."""
        found = self.raising(strangers=strangers)
        for order in found:
            self.cancel(turn, order)
        return found

    def tick(self, turn: Turn) -> None:
        """Repeats cancels that have not worked yet, and searches orders nobody speaks of any more."""
        now = turn.now.wall_ms
        if self._state.trading is not TradingState.ACTIVE:
            self._cancel_again(turn, self.raising(strangers=self._state.trading is TradingState.HALTED))
        elif self._config.external is ExternalPolicy.CANCEL:
            self._cancel_again(turn, [each for each in self.raising(strangers=True) if each.role is OrderRole.EXTERNAL])
        for cid in list(self._state.live):
            order = self._state.orders[cid]
            if expired(order, turn.now) and self._expire(turn, order):
                continue
            if order.state in (OrderState.PENDING, OrderState.UNKNOWN):
                silent = now - self._state.touched_ms.get(cid, 0)
                if silent >= STUCK_MS and cid not in self._state.lookups and cid not in self._state.resends:
                    self.look_up(turn, cid)

    def _cancel_again(self, turn: Turn, orders: list[Order]) -> None:
        for order in orders:
            if turn.now.wall_ms - self._cancelled_ms.get(order.client_order_id, 0) >= CANCEL_AGAIN_MS:
                self.cancel(turn, order)

    def _expire(self, turn: Turn, order: Order) -> bool:
        """Ends an order whose time is over: at once when it never left, by a cancel when it stands at the venue."""
        cid = order.client_order_id
        if order.state is OrderState.PENDING and cid in self._state.resends:
            turn.do(CancelTimer(f"resend:{cid}"))
            self.advance(turn, replace(order, detail=EXPIRED), OrderEventKind.EXPIRE)
            self._forget_doubts(turn, cid)
            return True
        stands = order.state in (OrderState.OPEN, OrderState.PARTIALLY_FILLED)
        if stands and turn.now.wall_ms - self._cancelled_ms.get(cid, 0) >= CANCEL_AGAIN_MS:
            self.cancel(turn, order)
        return stands

    # searching

    def look_up(self, turn: Turn, cid: str) -> None:
        """Begins the search for an order."""
        if cid not in self._state.lookups:
            self._state.lookups[cid] = LookUpState(turn.now.wall_ms)
            rare = self._config.rare
            early = rare.on and rare.takes("look up at once")
            turn.do(SetTimer(f"lookup:{cid}", 0 if early else LOOKUP_DELAYS_MS[0]))

    def look_up_due(self, turn: Turn, cid: str) -> None:
        """The next question is due."""
        order = self._state.orders.get(cid)
        if order is None or order.state.is_terminal:
            self._state.lookups.pop(cid, None)
            return
        search = self._state.lookups.get(cid)
        if search is not None:
            search.asked += 1
            step = min(search.asked, len(LOOKUP_DELAYS_MS) - 1)
            turn.do(SetTimer(f"lookup:{cid}", LOOKUP_DELAYS_MS[step]))
        turn.do(LookUp(order))

    def looked_up(self, turn: Turn, event: LookedUp) -> None:
        """The venue answered, or could not."""
        cid = event.client_order_id
        order = self._state.orders.get(cid)
        if order is None or event.error:
            return
        if event.found is not None:
            self._forget_doubts(turn, cid)
            self.see(turn, event.found)
            return
        if order.state.is_terminal:
            return
        search = self._state.lookups.get(cid)
        if search is None:
            self.look_up(turn, cid)
            return
        search.answers += 1
        waited = turn.now.wall_ms - search.began_ms
        if search.answers < LOOKUP_ANSWERS or waited < LOOKUP_PATIENCE_MS:
            return
        detail = f"{NOT_KNOWN} in {search.answers} look-ups over {waited / 1000:.1f} s"
        self._forget_doubts(turn, cid)
        if (order.state, OrderEventKind.NOT_FOUND) in TRANSITIONS:
            refused = replace(order, code=RejectCode.NOT_AT_VENUE, detail=detail)
            self.advance(turn, refused, OrderEventKind.NOT_FOUND)
        else:
            lost = replace(order, code=RejectCode.NOT_AT_VENUE, detail=detail)
            self.advance(turn, lost, OrderEventKind.CANCEL)
            turn.do(RaiseAlert("ORDER_LOST", "CRITICAL", f"{cid} was open and is gone: {detail}"))

    # what the venue shows

    def find(self, client_id: str, venue_order_id: str) -> Order | None:
        """An order by the venue's id, else by ours."""
        cid = self._state.by_venue_id.get(venue_order_id) or client_id
        return self._state.orders.get(cid)

    def see(self, turn: Turn, seen: VenueOrder, *, fetch: bool = True) -> Order:
        """Takes in an order as the venue shows it; adopts it when it is unknown."""
        order = self.find(seen.client_order_id, seen.venue_order_id)
        if order is None:
            order = self._adopt(turn, adoption.from_order(self._state, self._config, seen, turn.now))
        elif seen.state.is_terminal or not (seen.updated_ms and seen.updated_ms < order.venue_ts_ms):
            # An end is the last word, whatever the venue's clock says of it.
            order = self._update(turn, order, seen)
        if fetch and seen.filled > order.filled:
            self._behind[order.client_order_id] = seen.filled
            rare = self._config.rare
            late = rare.on and rare.takes("miss fills for longer")
            turn.do(SetTimer(FILLS_TIMER, 10 * FILLS_BEHIND_MS if late else FILLS_BEHIND_MS))
        self._enforce(turn, order)
        return order

    def fills_due(self, turn: Turn) -> None:
        """Reads executions when the stream has not brought the fills that orders showed."""
        self._behind = {cid: filled for cid, filled in self._behind.items() if self._state.orders[cid].filled < filled}
        if self._behind:
            turn.do(SetTimer(FILLS_TIMER, FILLS_AGAIN_MS))
            turn.do(FetchExecutions())

    def adopt_execution(self, turn: Turn, done: VenueExecution) -> Order:
        """Makes the record of an order of which only an execution is known."""
        return self._adopt(turn, adoption.from_execution(self._state, self._config, done, turn.now))

    def _adopt(self, turn: Turn, record: Order) -> Order:
        if record.role in adoption.PROTECTIVE or record.intent_id:
            return self._put(turn, record, "ADOPT")
        policy = self._config.external
        done = {
            ExternalPolicy.ADOPT: "it is adopted: kept, counted, and cancelled when ours are",
            ExternalPolicy.FLAG: "it is kept as EXTERNAL and counted",
            ExternalPolicy.CANCEL: "it closes only, so it stands" if record.reduce_only else "it is cancelled",
        }[policy]
        turn.do(
            RaiseAlert(
                "EXTERNAL_ORDER",
                "INFO" if policy is ExternalPolicy.ADOPT else "WARNING",
                f"the venue has order {record.venue_order_id} of {record.symbol} that the journal does not know; {done}",
            )
        )
        kept = self._put(turn, replace(record, detail=record.detail or f"external, {policy.value.lower()}"), "ADOPT")
        if policy is ExternalPolicy.CANCEL and not kept.reduce_only and not kept.state.is_terminal:
            self.cancel(turn, kept)
        return kept

    def _update(self, turn: Turn, order: Order, seen: VenueOrder) -> Order:
        protective = order.role in adoption.PROTECTIVE
        resized = ZERO < seen.quantity != order.quantity and seen.quantity >= order.filled
        resized = resized and not order.state.is_terminal
        # A change may have reached the venue before the fill that ended the order: its last view names the last price.
        last = seen.state.is_terminal or not order.state.is_terminal
        repriced = seen.price is not None and order.order_type.names_price and last
        shown = replace(
            order,
            venue_order_id=order.venue_order_id or seen.venue_order_id,
            quantity=seen.quantity if resized else order.quantity,
            price=seen.price if repriced else order.price,
            trigger_price=seen.trigger_price if protective or order.order_type.waits else order.trigger_price,
            venue_ts_ms=max(seen.updated_ms, order.venue_ts_ms),
        )
        if order.state is OrderState.REJECTED and seen.state is OrderState.CANCELED:
            shown = self.advance(turn, replace(shown, code=RejectCode.NONE, detail=""), OrderEventKind.ACK)
        kind = news_of(shown, seen)
        if kind is None:
            if replace(shown, venue_ts_ms=order.venue_ts_ms) != order:
                return self._put(turn, shown, "AMENDED")
            books.put_order(self._state, shown)
            return shown
        self._forget_doubts(turn, order.client_order_id)
        if kind is OrderEventKind.ACK:
            shown = replace(shown, code=RejectCode.NONE, detail="")
        elif kind is OrderEventKind.CANCEL:
            if expired(order, turn.now):
                kind = OrderEventKind.EXPIRE
            shown = replace(shown, detail=EXPIRED if kind is OrderEventKind.EXPIRE else seen.detail)
        elif kind is OrderEventKind.REFUSE:
            shown = replace(shown, code=RejectCode.VENUE_REJECTED, detail=seen.detail)
        return self.advance(turn, shown, kind)

    # keeping

    def advance(self, turn: Turn, order: Order, kind: OrderEventKind) -> Order:
        """Moves an order through the transition table, and journals it. Raises IllegalTransition."""
        after = next_state(order.state, kind)
        return self._put(turn, replace(order, state=after, updated_ms=turn.now.wall_ms), kind.value)

    def note(self, turn: Turn, order: Order, event: str, fields: dict[str, rows.Scalar]) -> None:
        """Journals what was asked of an order, or what became of that, beside the order as it stands."""
        self._put(turn, order, event, fields)

    def put(self, turn: Turn, order: Order, event: str) -> Order:
        """Journals an order with new values in its old state."""
        return self._put(turn, order, event)

    def _put(self, turn: Turn, order: Order, event: str, approval: dict[str, rows.Scalar] | None = None) -> Order:
        books.put_order(self._state, order)
        cid = order.client_order_id
        self._state.touched_ms[cid] = turn.now.wall_ms
        payload = rows.order_payload(order, event, turn.now.wall_ms)
        if approval is not None:
            payload.update(approval)
        turn.write(rows.ORDER, payload)
        if order.state in TERMINAL:
            self._cancelled_ms.pop(cid, None)
            self._state.touched_ms.pop(cid, None)
        if event != "NEW":
            self.news[cid] = None
            turn.do(STATE_CHANGED)
        return order

    def _forget_doubts(self, turn: Turn, cid: str) -> None:
        self._state.resends.pop(cid, None)
        if self._state.lookups.pop(cid, None) is not None:
            turn.do(CancelTimer(f"lookup:{cid}"))

    def _enforce(self, turn: Turn, order: Order) -> None:
        """An entry does not stay at the venue unless trading is ACTIVE; under HALT nothing that raises risk does."""
        trading = self._state.trading
        if trading is TradingState.ACTIVE or order.state.is_terminal or order.reduce_only:
            return
        unwanted = order.role is OrderRole.ENTRY or (trading is TradingState.HALTED and order.role in RAISING)
        if unwanted and order.client_order_id not in self._cancelled_ms:
            self.cancel(turn, order)
