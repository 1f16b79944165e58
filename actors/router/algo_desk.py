"""Works intents that carry an execution style: turns what `titan.algos` asks for into orders of the router.

Guarantees: the parent's row stands before its first order; every order of it that raises risk passes the guard's checks at
the moment it is made; when trading leaves ACTIVE nothing that raises is begun any more, a naked leg is taken back, and what
lowers goes on; after a restart a parent goes on from its rows once the venue agreed. Never: an order beside one in doubt.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

from actors.router import books, children, rows
from actors.router.guard import Opening, admits, examine
from actors.router.order_desk import CANCEL_AGAIN_MS, OrderDesk
from actors.router.parents import Worked
from actors.router.refusal import Refusal
from actors.router.state import RouterConfig, RouterState
from actors.router.turn import Turn
from titan.algos import Cancel, Child, ChildStatus, Finish, Grid, Leg, Parent, Place, Top, step
from titan.algos.engine import completed, lifetime_ms, problem
from titan.clock import market_limit_ms
from titan.codes import AlgoEnd, RejectCode, TradingState
from titan.effects import CancelTimer, RaiseAlert, SetTimer
from titan.ids import client_order_id
from titan.journal.parents import END, STOP, WORK
from titan.journal.values import ParentLeg, ParentRow
from titan.model import Action, Intent, Order, OrderRole, OrderState, OrderType, Side, Style
from titan.money import BPS, ZERO

ALGO_TIMER = "algo"
SHORTEST_WALL_MS = 250
AGAIN_WALL_MS = 500
SOONEST_WALL_MS = 20
_BEFORE_ACK = frozenset({OrderState.PENDING, OrderState.SENT, OrderState.UNKNOWN})
# What may be otherwise in a moment: the next order waits for it.
_PASSING = frozenset(
    {
        RejectCode.NOT_READY,
        RejectCode.HEARTBEAT_STALE,
        RejectCode.MARKET_DATA_STALE,
        RejectCode.OPEN_ORDERS,
        RejectCode.JOURNAL_FAILED,
    }
)
_limit_ms = lru_cache(maxsize=16)(market_limit_ms)


class AlgoDesk:
    """The parents of one account."""

    def __init__(self, state: RouterState, config: RouterConfig, orders: OrderDesk) -> None:
        self._state = state
        self._config = config
        self._orders = orders
        self._trading = state.trading

    # accepting

    def open(self, turn: Turn, intent: Intent, sized: Opening) -> Refusal | None:
        """Takes an opening that passed the guard as a whole."""
        refusal = self._impossible(intent)
        if refusal is not None:
            return refusal
        assert intent.execution is not None
        assert intent.reference_price is not None
        lead = self._leg(intent, intent.reference_price, sized)
        if intent.execution.style is not Style.BASIS:
            self._begin(turn, intent, (lead,), reduces=sized.reduces)
            return None
        hedge = self._hedge(intent, sized, turn)
        if isinstance(hedge, Refusal):
            return hedge
        quantity = min(lead.quantity, hedge.quantity)
        lead, hedge = replace(lead, quantity=quantity), replace(hedge, quantity=quantity)
        for leg in (lead, hedge):
            if not self._grid(leg.symbol).tradable(quantity, leg.worst):
                return Refusal(RejectCode.BELOW_MINIMUM, f"{quantity} {leg.symbol} are below the venue's minimum")
        self._begin(turn, intent, (lead, hedge), reduces=False)
        return None

    def close(self, turn: Turn, intent: Intent, quantity: Decimal) -> Refusal | None:
        """Takes a close of a quantity that is held."""
        assert intent.execution is not None
        if intent.execution.style is Style.BASIS:
            return Refusal(RejectCode.INVALID_INTENT, "a basis order opens two legs; close them one by one")
        refusal = self._impossible(intent)
        if refusal is not None:
            return refusal
        reference = intent.reference_price or self._state.price(intent.symbol)
        assert reference is not None, "a position has a price"
        opening = Opening(quantity, reference, intent.limit_price, None, None, self._state.held(intent.symbol), True)
        self._begin(turn, intent, (self._leg(intent, reference, opening),), reduces=True)
        return None

    def _impossible(self, intent: Intent) -> Refusal | None:
        assert intent.execution is not None
        if intent.terms is not None:
            return Refusal(RejectCode.INVALID_INTENT, "an execution style takes no trigger, trail, expiry or targets")
        wanted = completed(intent.execution, self._shortest_ms)
        wrong = problem(wanted, limited=intent.limit_price is not None)
        return Refusal(RejectCode.INVALID_INTENT, wrong) if wrong else None

    @property
    def _shortest_ms(self) -> int:
        return max(1, int(SHORTEST_WALL_MS * self._config.speed))

    def _leg(self, intent: Intent, reference: Decimal, sized: Opening) -> ParentLeg:
        bps = Decimal(intent.max_slippage_bps or self._config.policy.max_slippage_bps)
        worst = reference * (1 + intent.side.sign * bps / BPS)
        limit = sized.limit_price
        if limit is not None:
            worst = min(worst, limit) if intent.side is Side.BUY else max(worst, limit)
        return ParentLeg(
            symbol=intent.symbol,
            side=intent.side,
            quantity=sized.quantity,
            worst=worst,
            limit=limit,
            stop_price=sized.stop_price,
            target_price=sized.target_price,
        )

    def _hedge(self, intent: Intent, sized: Opening, turn: Turn) -> ParentLeg | Refusal:
        work = intent.execution
        assert work is not None
        assert work.hedge_reference_price is not None
        if work.hedge_symbol == intent.symbol:
            return Refusal(RejectCode.INVALID_INTENT, f"the hedge of {intent.symbol} must be another symbol")
        wanted = self._intent_of(intent, 1)
        size = sized.quantity * work.hedge_reference_price
        other = examine(replace(wanted, size_usd=2 * size), self._state, self._config, turn.now)
        if isinstance(other, Refusal):
            return Refusal(other.code, f"hedge: {other.detail}")
        if other.reduces or sized.reduces:
            return Refusal(
                RejectCode.INVALID_INTENT, "a basis order opens both legs; one of them would close a position"
            )
        return self._leg(wanted, work.hedge_reference_price, other)

    def _intent_of(self, intent: Intent, leg: int) -> Intent:
        """The intent as it is meant for a leg."""
        work = intent.execution
        if leg == 0 or work is None:
            return intent
        return replace(
            intent,
            symbol=work.hedge_symbol,
            side=intent.side.opposite,
            order_type=OrderType.MARKET,
            limit_price=None,
            reference_price=work.hedge_reference_price,
            stop_price=work.hedge_stop_price,
            target_price=None,
        )

    def _begin(self, turn: Turn, intent: Intent, legs: tuple[ParentLeg, ...], *, reduces: bool) -> None:
        assert intent.execution is not None
        work = completed(intent.execution, self._shortest_ms)
        now = turn.now.market_ms
        row = ParentRow(
            replace(intent, execution=work),
            legs,
            reduces,
            now,
            now + lifetime_ms(work),
            WORK,
            None,
            "",
            turn.now.wall_ms,
        )
        self._put(turn, row)

    # working

    def run(self, turn: Turn, *, everyone: bool = False) -> None:
        """Looks at every parent that something happened to, at all of them when trading changed or `everyone` is said."""
        state = self._state
        if everyone or state.trading is not self._trading:
            self._trading = state.trading
            state.moved.update(dict.fromkeys(state.parents))
        if not state.ready:
            return
        while state.moved:
            intent_id = next(iter(state.moved))
            del state.moved[intent_id]
            parent = state.parents.get(intent_id)
            if parent is not None:
                self._look(turn, parent)

    def quoted(self, symbol: str) -> None:
        """A symbol has new prices."""
        for intent_id, parent in self._state.parents.items():
            if any(leg.symbol == symbol for leg in parent.row.legs):
                self._state.moved[intent_id] = None

    def due(self, intent_id: str) -> None:
        """A parent asked to be looked at now."""
        parent = self._state.parents.get(intent_id)
        if parent is not None:
            parent.wake_ms = None
            self._state.moved[intent_id] = None

    def overtake(self, turn: Turn, intent: Intent) -> None:
        """A close has arrived: what still opens the other way on its symbol begins nothing any more."""
        for parent in list(self._state.parents.values()):
            opens = any(leg.symbol == intent.symbol and leg.side is not intent.side for leg in parent.row.legs)
            if opens and parent.raising:
                self._stop(turn, parent, AlgoEnd.OVERTAKEN, f"{intent.intent_id} closes {intent.symbol}")
                self._state.moved[parent.row.intent.intent_id] = None

    def _look(self, turn: Turn, parent: Worked) -> None:
        trading = self._state.trading
        if parent.raising and trading is not TradingState.ACTIVE:
            self._stop(turn, parent, AlgoEnd.STOPPED, f"{trading.value}: {self._state.trading_reason}")
        made_so_far = [self._child(turn, parent, cid) for cid in parent.children]
        tops = [self._top(turn, leg.symbol) for leg in parent.row.legs]
        made = step(self._parent(parent), made_so_far, tops, turn.now.market_ms)
        wake_ms = made.wake_ms
        for act in made.acts:
            match act:
                case Place():
                    if not self._place(turn, parent, act):
                        wake_ms = turn.now.market_ms + int(AGAIN_WALL_MS * self._config.speed)
                case Cancel():
                    self._orders.cancel(turn, self._state.orders[parent.children[act.number]])
                case Finish():
                    self._finish(turn, parent, act.end, act.detail)
        if parent.row.event != END:
            self._wake(turn, parent, wake_ms)

    def _wake(self, turn: Turn, parent: Worked, wake_ms: int | None) -> None:
        if wake_ms is None or wake_ms == parent.wake_ms:
            return
        parent.wake_ms = wake_ms
        after_ms = max(int(SOONEST_WALL_MS * self._config.speed), wake_ms - turn.now.market_ms)
        turn.do(SetTimer(f"{ALGO_TIMER}:{parent.row.intent.intent_id}", after_ms, "market"))

    def _parent(self, parent: Worked) -> Parent:
        row = parent.row
        assert row.intent.execution is not None
        legs = tuple(
            Leg(each.symbol, each.side, each.quantity, each.worst, self._grid(each.symbol), each.limit)
            for each in row.legs
        )
        takes = row.reduces and row.intent.action is Action.CLOSE and row.intent.order_type is OrderType.MARKET
        return Parent(
            row.intent.execution,
            legs,
            row.started_ms,
            row.until_ms,
            row.intent.intent_id,
            row.end,
            takes_the_rest=takes,
        )

    def _grid(self, symbol: str) -> Grid:
        found = self._config.instruments.find(self._config.venue, symbol)
        assert found is not None, f"{symbol} was listed when the intent was accepted"
        return Grid(found.tick, found.lot, found.min_qty, found.min_notional)

    def _top(self, turn: Turn, symbol: str) -> Top | None:
        quote = self._state.quotes.get(symbol)
        limit = _limit_ms(self._config.policy.max_staleness_ms, self._config.speed)
        if quote is None or quote.bid <= 0 or quote.ask <= 0 or turn.now.market_ms - quote.ts_ms > limit:
            return None
        return Top(quote.bid, quote.ask)

    def _child(self, turn: Turn, parent: Worked, cid: str) -> Child:
        order = self._state.orders[cid]
        if order.state in _BEFORE_ACK or self._orders.behind(order):
            status = ChildStatus.DOUBT
        else:
            status = ChildStatus.ENDED if order.state.is_terminal else ChildStatus.LIVE
        # Orders are dated by the wall; the market's clock has run beside it at one speed.
        age_ms = int((turn.now.wall_ms - order.created_ms) * self._config.speed)
        return Child(
            number=parent.children.index(cid),
            leg=parent.leg_of(order),
            order_type=order.order_type,
            quantity=order.quantity,
            filled=order.filled,
            price=order.price,
            status=status,
            placed_ms=turn.now.market_ms - age_ms,
            cancelling=self._orders.cancelling(cid, turn.now.wall_ms - CANCEL_AGAIN_MS),
            unwinds=parent.unwinds(order),
            refused=order.state is OrderState.REJECTED and not order.filled,
        )

    # ordering

    def _place(self, turn: Turn, parent: Worked, act: Place) -> bool:
        """Sends a child; False when it is held back for now, or when nothing is left to do."""
        if self._state.may_lack_rows(parent.row.ts_ms, turn.now.wall_ms) and not act.unwinds:
            return False
        row, leg = parent.row, parent.row.legs[act.leg]
        intent = self._intent_of(row.intent, act.leg)
        lowers = row.reduces or act.unwinds
        quantity = act.quantity
        if lowers:
            quantity = min(quantity, self._room(leg.symbol, act.side))
            if quantity <= 0:
                self._finish(turn, parent, AlgoEnd.NOTHING_LEFT, f"no {leg.symbol} is held that it could take off")
                return False
        else:
            price = act.price or leg.worst
            refusal = admits(intent, price, act.price, self._state, self._config, turn.now)
            if refusal is not None:
                self._held_back(turn, parent, refusal)
                return False
        intent_id = row.intent.intent_id
        first = client_order_id(intent_id, 0) not in self._state.orders
        number = 0 if first else children.next_child(self._state, intent_id)
        order = Order(
            client_order_id=children.child_id(intent_id, number),
            intent_id=intent_id,
            signal_id=row.intent.signal_id,
            child=number,
            role=OrderRole.CLOSE if lowers else OrderRole.ENTRY,
            phase=row.intent.phase,
            venue=self._config.venue,
            account=self._config.account,
            symbol=leg.symbol,
            side=act.side,
            order_type=act.order_type,
            quantity=quantity,
            price=act.price,
            trigger_price=None,
            stop_price=None if lowers else leg.stop_price,
            target_price=None if lowers else leg.target_price,
            reduce_only=lowers,
            created_ms=turn.now.wall_ms,
            updated_ms=turn.now.wall_ms,
        )
        if not lowers and act.order_type is OrderType.IOC and intent.reference_price is not None:
            self._state.expected[order.client_order_id] = intent.reference_price
        self._orders.send(turn, order, rows.approval_fields(intent), 0 if parent.children else intent.t_wall_ns)
        return True

    def _room(self, symbol: str, side: Side) -> Decimal:
        held = self._state.held(symbol)
        against = (held > 0) == (side is Side.SELL) and held != 0
        return abs(held) - self._state.closing(symbol) if against else ZERO

    def _held_back(self, turn: Turn, parent: Worked, refusal: Refusal) -> None:
        """Waits for what passes; gives up for what does not."""
        impeded = refusal.code is RejectCode.REDUCING and self._state.trading is TradingState.ACTIVE
        if refusal.code in _PASSING or impeded:
            return
        self._stop(turn, parent, AlgoEnd.FORBIDDEN, f"{refusal.code.value}: {refusal.detail}")
        self._state.moved[parent.row.intent.intent_id] = None

    # ending

    def _stop(self, turn: Turn, parent: Worked, end: AlgoEnd, detail: str) -> None:
        if parent.row.end is None:
            self._put(turn, replace(parent.row, event=STOP, end=end, detail=detail, ts_ms=turn.now.wall_ms))

    def _finish(self, turn: Turn, parent: Worked, end: AlgoEnd, detail: str) -> None:
        row, intent = parent.row, parent.row.intent
        assert intent.execution is not None
        why = f"{detail} ({row.detail})" if row.detail else detail
        if not parent.children:
            # An intent that became no order is refused like any other, so that whoever approved it knows.
            turn.write(
                rows.REJECT,
                rows.reject_payload(
                    intent,
                    RejectCode.EXECUTION_ENDED,
                    f"{end.value}: {why}",
                    self._config.policy_hash,
                    turn.now.wall_ms,
                ),
            )
        self._put(turn, replace(row, event=END, end=end, detail=why, ts_ms=turn.now.wall_ms))
        key = intent.execution.style, end
        self._state.ended[key] = self._state.ended.get(key, 0) + 1
        turn.do(CancelTimer(f"{ALGO_TIMER}:{intent.intent_id}"))
        if end is AlgoEnd.NAKED:
            turn.do(RaiseAlert("LEG_NAKED", "CRITICAL", f"{intent.intent_id}: {why}; close it by hand or flatten"))

    def _put(self, turn: Turn, row: ParentRow) -> None:
        books.put_parent(self._state, row)
        turn.write(rows.PARENT, rows.parent_payload(row))
