"""What must hold, looked at while it happens: after every step, at every departure of an order, at every journal row.

Guarantees: the venue's ledger is the oracle; a violation is kept once, by its invariant and key. The whole world is judged
again at the end by `titan.invariants`. Never: a change of the world.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from actors.router import rows as kinds
from actors.router.core import RouterCore
from actors.router.lease import LONGEST_SEND_MS
from actors.router.state import RouterState
from protos import brain_pb2
from simulation.plan import Fault
from titan.codes import TradingState
from titan.invariants import Invariant, Violation
from titan.journal.rows import StoredRow
from titan.model import Order, OrderState
from titan.orders import TRANSITIONS, OrderEventKind
from titan.paper.orders import ExecType

if TYPE_CHECKING:
    from simulation.performer import SimPerformer
    from simulation.router import SimRouter
    from simulation.world import World

# The poll reads every five seconds; an answer and a look-up later the books must have it. A read that is never answered is
# given up after the client's five seconds, and asked again.
QUIET_MS = 6_500
EARLY_MS = 1_500
_EVENTS = {kind.value: kind for kind in OrderEventKind}


class Checks:
    """The watch over one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.found: dict[tuple[str, str], Violation] = {}
        self.transitions: set[tuple[str, str]] = set()
        self.approved: dict[str, tuple[str, int]] = {}
        self.excused: set[str] = set()
        self.given: set[bytes] = set()
        self._states: dict[str, str] = {}
        self._trading = TradingState.DISARMED
        self._fills: set[str] = set()
        self._fundings: set[str] = set()
        self._left: dict[str, str] = {}
        self._early: dict[str, int] = {}
        self._differs_since: int | None = None
        self._before: RouterCore | None = None
        self._departed: dict[int, tuple[int, str]] = {}
        self.terms: list[tuple[int, int, int | None]] = []

    def violation(self, invariant: Invariant, key: str, text: str) -> None:
        """Keeps what is off."""
        known = (invariant.value, key)
        if known not in self.found:
            self.found[known] = Violation(invariant, key, text, {"at_ms": str(self._world.engine.t_ms)})
            self._world.engine.note(f"violation {invariant.value} {key}")

    # the journal

    def row(self, row: StoredRow) -> None:
        """A row was written."""
        self._world.engine.note(f"row {row.seq} {row.hash.hex()[:16]}")
        payload = kinds.decode(row.payload)
        match row.kind:
            case kinds.ORDER:
                self._order_row(str(payload["client_order_id"]), str(payload["event"]), str(payload["state"]))
            case kinds.FILL:
                self._fill_row(payload)
            case kinds.FUNDING:
                self._fundings.add(str(payload["venue_trade_id"]))
            case kinds.TRADING:
                self._trading = TradingState(str(payload["current"]))
            case _:
                pass

    def _order_row(self, cid: str, event: str, state: str) -> None:
        before = self._states.get(cid)
        kind = _EVENTS.get(event)
        if kind is not None and before is not None:
            self.transitions.add((before, event))
            if TRANSITIONS.get((OrderState(before), kind)) != OrderState(state):
                self.violation(Invariant.APPROVED, f"illegal:{cid}", f"{cid} went from {before} by {event} to {state}")
        elif event == "NEW" and before is not None:
            self.violation(Invariant.ONE_ORDER, f"again:{cid}", f"order {cid} was begun twice in the journal")
        self._states[cid] = state
        self._early.pop(cid, None)
        if event == OrderEventKind.CANCEL.value:
            self._early[cid] = self._world.engine.t_ms

    def _too_early(self) -> None:
        """Orders that the journal ended and the venue did not."""
        world = self._world
        for cid, since in list(self._early.items()):
            orders = world.venue.books.orders
            if not any(orders[each].status.is_open for each in world.venue.books.by_link.get(cid, ())):
                del self._early[cid]
            elif world.engine.t_ms - since > EARLY_MS and not self._hidden():
                self.violation(
                    Invariant.NONE_LOST, f"early:{cid}", f"order {cid} is CANCELED in the journal and open at the venue"
                )

    def _hidden(self) -> bool:
        """Whether the venue did not show orders that it had: then a router may give one up."""
        return bool({Fault.LAG.value, Fault.VEILED.value} & self._world.faults.keys())

    def _fill_row(self, payload: kinds.Payload) -> None:
        trade = str(payload["venue_trade_id"])
        if trade in self._fills:
            self.violation(Invariant.FILLS_ONCE, f"twice:{trade}", f"fill {trade} was booked twice in the journal")
        self._fills.add(trade)

    def cut(self, rows: list[StoredRow]) -> None:
        """A power loss took the tail: what the journal says now is what counts."""
        self._before = None
        self._fills.clear()
        self._fundings.clear()
        known = dict(self._states)
        self._states.clear()
        self._trading = TradingState.DISARMED
        for row in rows:
            payload = kinds.decode(row.payload)
            if row.kind == kinds.ORDER:
                self._states[str(payload["client_order_id"])] = str(payload["state"])
            elif row.kind == kinds.FILL:
                self._fills.add(str(payload["venue_trade_id"]))
            elif row.kind == kinds.FUNDING:
                self._fundings.add(str(payload["venue_trade_id"]))
            elif row.kind == kinds.TRADING:
                self._trading = TradingState(str(payload["current"]))
        self.excused |= set(known) - set(self._states)

    def replayed(self, router: SimRouter) -> None:
        """A router read its journal: it must know exactly what the one before it knew."""
        if self._before is not None:
            self._same(self._before.state, router.core.state, f"term {router.term}")
        self._before = None

    def began(self, router: SimRouter) -> None:
        """A router can send from now on: on another machine than its journal's last holder only once the lease is its own."""
        world, now = self._world, self._world.engine.t_ms
        apart = {
            each.term
            for each in world.routers
            if each is not router
            and each.performs
            and each.holder.place != router.holder.place
            # Its lease has run out, and it knows: on another place that is as good as dead.
            and not each.lease.may_raise(now)
            and not each.lease.may_lower(now)
        }
        self.terms = [(t, b, now if e is None and t in apart else e) for t, b, e in self.terms]
        self.terms.append((router.term, now, None))

    def died(self, router: SimRouter) -> None:
        """A router is dead; between two events its memory and its journal must be one."""
        now = self._world.engine.t_ms
        self.terms = [(t, b, now if t == router.term and e is None else e) for t, b, e in self.terms]
        if router.term == self._world.journal.term and router.performs:
            whole = router.clean and not router.unwritten
            self._before = router.core if whole and router.leads else None
        for cid in router.session.in_flight:
            self._left.setdefault(cid, "unknown")

    def _same(self, live: RouterState, replayed: RouterState, when: str) -> None:
        for what, ours, theirs in (
            ("cash", live.money.cash, replayed.money.cash),
            ("fills", live.fills, replayed.fills),
            ("intents", live.intents, replayed.intents),
            ("trading state", live.trading, replayed.trading),
            ("fill cursor", live.cursor_ms, replayed.cursor_ms),
            ("traded", live.traded, replayed.traded),
            ("counts", (live.finished, live.filled), (replayed.finished, replayed.filled)),
            ("positions", _money_of(live), _money_of(replayed)),
            ("orders", _orders_of(live), _orders_of(replayed)),
        ):
            if ours != theirs:
                self.violation(
                    Invariant.MONEY_ADDS_UP,
                    f"replay:{what}",
                    f"{when}: replayed {what} are not the live ones: {_difference(ours, theirs)}",
                )

    def mirrors(self, router: SimRouter, standby: SimRouter) -> None:
        """The standby's mirror is the leader's state."""
        self._same(router.core.state, standby.mirror.core.state, "in the standby's mirror")

    def replay_equals(self, router: SimRouter) -> None:
        """The journal read from its first row makes the state that lives."""
        fresh = RouterCore(router.config, router.term)
        fresh.replay(self._world.journal.rows())
        self._same(router.core.state, fresh.state, "at the end")

    # departures

    def leaves(self, router: SimPerformer, order: Order, *, cancel: bool = False, unwritten: bool = False) -> None:
        """An order, or a cancel, leaves a router's process now."""
        world, cid = self._world, order.client_order_id
        self._alone(router, cid)
        if cancel:
            return
        world.engine.note(f"send {cid}")
        if cid not in self._states and not (unwritten and order.reduce_only):
            self.violation(Invariant.APPROVED, f"unwritten:{cid}", f"order {cid} leaves before its row is written")
        if not order.reduce_only and self._trading is not TradingState.ACTIVE:
            self.violation(
                Invariant.APPROVED,
                f"state:{cid}",
                f"{order.side.value} {order.quantity} {order.symbol} ({cid}) leaves while trading is {self._trading.value}",
            )
        if self._left.get(cid, "never_left") not in ("never_left", "unwritten"):
            self.violation(
                Invariant.ONE_ORDER, f"resent:{cid}", f"order {cid} is sent again though its first send is in doubt"
            )
        # What lowers risk leaves without its row when the disk is full: a crash forgets it, a copy of its intent does not.
        known = unwritten or self._left.get(cid) == "unwritten"
        self._left[cid] = "unwritten" if known else "unknown"

    def _alone(self, router: SimPerformer, cid: str) -> None:
        """Nobody else can send: here the other is dead, elsewhere what it sent last is too old for the venue by now."""
        world, now, place = self._world, self._world.engine.t_ms, router.lease.me.place
        living = [
            each
            for each in world.routers
            if each is not router and each.alive and each.performs and each.holder.place == place
        ]
        late = [
            term
            for term, (at_ms, where) in self._departed.items()
            if term > router.term or (term < router.term and where != place and now - at_ms < LONGEST_SEND_MS)
        ]
        if living or late or router.term != world.journal.term:
            self.violation(
                Invariant.ONE_ROUTER,
                f"sends:{router.term}:{cid}",
                f"the router of term {router.term} sends {cid} while term {world.journal.term} rules, {len(living)} other "
                f"leaders live beside it, and sends of terms {late} may still arrive",
            )
        self._departed[router.term] = (now, place)

    def outcome(self, cid: str, outcome: str) -> None:
        """What the router was told of a send."""
        if self._left.get(cid) != "unwritten":
            self._left[cid] = outcome

    def placed(self, venue_order_id: str, order: Order) -> None:
        """The venue took an order."""
        world = self._world
        world.engine.note(f"placed {venue_order_id}")
        under = world.venue.books.by_link.get(order.client_order_id, [])
        if len(under) > 1 and self._left.get(order.client_order_id) != "unwritten":
            self.violation(
                Invariant.ONE_ORDER,
                f"venue:{order.client_order_id}",
                f"the venue has {len(under)} orders under the client order id {order.client_order_id}",
            )

    def arrived(self, payload: bytes) -> None:
        """An intent reached a router's core: somebody must have given it."""
        if payload not in self.given:
            self.violation(Invariant.APPROVED, "stranger", "an intent that nobody gave reached the router's core")

    def decided(self, decision: brain_pb2.Decision) -> None:
        """The brain answered a signal."""
        if decision.approved:
            self.approved[decision.signal_id] = (decision.decision_id, self._world.engine.now().wall_ms)

    # every step

    def step(self) -> None:
        """What can be seen after every event: positions, and processes that failed."""
        world = self._world
        router = world.router
        if self._early:
            self._too_early()
        if router is None or not router.leads or router.paused or router.term != world.journal.term:
            self._differs_since = None
            return
        state = router.core.state
        if state.effective is not TradingState.ACTIVE or all(
            state.held(symbol) == size for symbol, size in world.venue.sizes()
        ):
            self._differs_since = None
            return
        now = world.engine.t_ms
        since = max(self._differs_since or now, world.venue.last_execution_ms, world.venue.unanswered_until_ms)
        self._differs_since = since
        if now - since > QUIET_MS:
            held = {symbol: (state.held(symbol), size) for symbol, size in world.venue.sizes()}
            self.violation(
                Invariant.POSITIONS_AGREE,
                "quiet",
                f"trading is ACTIVE and router and venue differ after {now - since} ms of quiet: {held}",
            )

    def failed(self, name: str, failure: str) -> None:
        """A handler raised: no input may do that to a core."""
        lines = failure.strip().splitlines()
        self.violation(Invariant.RECOVERS, f"raised:{name}:{lines[0][:60]}", f"{name} raised {failure}")

    def unbooked(self) -> list[str]:
        """Trades and fundings of the venue that the journal does not have."""
        return [
            each.exec_id
            for each in self._world.venue.books.executions
            if each.exec_id not in (self._fundings if each.exec_type is ExecType.FUNDING else self._fills)
        ]

    @property
    def trading(self) -> TradingState:
        """What the journal's last word on trading is."""
        return self._trading


def _orders_of(state: RouterState) -> dict[str, Order]:
    # The venue's time of an order alone makes no row: it only tells which of two frames is older.
    return {cid: replace(order, venue_ts_ms=0) for cid, order in state.orders.items()}


def _money_of(state: RouterState) -> dict[str, tuple[Decimal, ...]]:
    return {
        symbol: (each.quantity, each.average_price, each.realized_pnl, each.fees, each.funding)
        for symbol, each in state.positions.items()
    }


def _difference(ours: object, theirs: object) -> str:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted(set(ours) | set(theirs))
        for key in keys:
            if ours.get(key) != theirs.get(key):
                return f"{key}: {ours.get(key)} and {theirs.get(key)}"
    if isinstance(ours, set) and isinstance(theirs, set):
        return f"{sorted(ours ^ theirs)[:3]}"
    return f"{ours} and {theirs}"
