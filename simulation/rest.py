"""Whether a world has come to rest, and the last judgement of it.

Guarantees: the judgement is `titan.invariants`' own over everything the world knows, and beside it: nothing in doubt is
left, nothing that the venue has is unknown, what a receipt promised stands. Never: a change of the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.router import rows as kinds
from simulation.plan import Fault
from simulation.venue import CANONICAL
from titan import invariants
from titan.invariants import Invariant
from titan.model import OrderState, Side
from titan.paper import orders as paper

if TYPE_CHECKING:
    from simulation.world import World

NO_ROWS = frozenset({Fault.DISK_FULL.value, Fault.SPLIT.value})
IN_DOUBT = frozenset({OrderState.PENDING, OrderState.SENT, OrderState.UNKNOWN})


def unrest(world: World) -> str:
    """What keeps the world from being at rest; empty when nothing does."""
    router, brain = world.router, world.brain
    if router is None or not router.alive or not router.leads:
        return "no router leads"
    if any(each.performs for each in world.routers if each.alive and each is not router):
        return "two routers lead"
    if world.plan.standby and (behind := _standby_behind(world)):
        return behind
    if brain is None or not brain.alive or not brain.ready:
        return "the brain is not ready"
    state = router.core.state
    doubtful = [cid for cid in state.live if state.orders[cid].state in IN_DOUBT]
    if doubtful or state.lookups:
        return f"orders in doubt: {', '.join(doubtful or state.lookups)}"
    if state.impediments:
        return f"impediments: {state.impediments}"
    if router.unwritten or router.unannounced:
        return "rows wait"
    for symbol, size in world.venue.sizes():
        if state.held(symbol) != size:
            return f"{symbol}: router {state.held(symbol)}, venue {size}"
    if world.checks.unbooked():
        return f"fills not in the journal: {world.checks.unbooked()[:3]}"
    if world.plan.full:
        execution = world.execution
        if execution is None or not execution.ready:
            return "execution is not ready"
        if world.tables.booked_seq < world.journal.last_seq:
            return f"the books are at row {world.tables.booked_seq} of {world.journal.last_seq}"
    open_here = {order.venue_order_id for order in state.live_orders()}
    open_there = set(world.venue.core.open_orders)
    if open_here != open_there:
        return f"open orders: router without {sorted(open_there - open_here)}, venue without {sorted(open_here - open_there)}"
    return ""


def _standby_behind(world: World) -> str:
    standby, journal = world.standby, world.journal
    if standby is None or not standby.ready:
        return "the standby does not follow"
    if (standby.mirror.seq, standby.mirror.head) != (journal.last_seq, journal.head):
        return f"the standby is at row {standby.mirror.seq} of {journal.last_seq}"
    return ""


def settled(world: World) -> bool:
    """Whether nothing is left to do."""
    return not unrest(world)


def judge(world: World, *, at_rest: bool) -> None:
    """The last judgement."""
    checks = world.checks
    if not at_rest:
        checks.violation(Invariant.RECOVERS, "restless", f"the world does not come to rest: {unrest(world)}")
        return
    router = world.router
    assert router is not None
    checks.replay_equals(router)
    if world.standby is not None:
        checks.mirrors(router, world.standby)
    for found in invariants.check(_reading(world)):
        if not _excused(world, found):
            checks.violation(found.invariant, found.key, found.text)
    if error := world.journal.verify():
        checks.violation(Invariant.JOURNAL_WHOLE, "chain", error)
    _promises(world)


def _excused(world: World, found: invariants.Violation) -> bool:
    """What follows from the fault itself and is no fault of the routers.

    Rows that a power loss took are learned again from the venue: the corrections that this needs are expected.
    """
    if world.cut_rows and found.key.startswith(("adopted:", "wallet:", "other:", "postgres", "cash:")):
        return True
    if found.key.startswith("unwritten:"):
        # A journal that can't be written (a full disk, a storage that is away) stops no order that lowers risk.
        placed = world.venue.books.by_link.get(found.key.removeprefix("unwritten:"), [])
        return bool(NO_ROWS & world.faults.keys()) and all(
            world.venue.books.orders[each].reduce_only for each in placed
        )
    return False


def _promises(world: World) -> None:
    """A state that a receipt promised stands until another receipt, a supervisor or a breaker changes it."""
    promised = world.operators.promised
    if promised is None or world.router is None:
        return
    wanted, at_seq = promised
    if any(row.kind == kinds.TRADING for row in world.journal.rows(at_seq)):
        return
    stands = world.router.core.state.trading
    if stands is not wanted:
        world.checks.violation(
            Invariant.RECOVERS, "promise", f"a receipt said {wanted.value}, and the router is {stands.value} now"
        )


def _reading(world: World) -> invariants.World:
    router, venue = world.router, world.venue
    assert router is not None
    state = router.core.state
    trades = [each for each in venue.books.executions if each.exec_type is not paper.ExecType.FUNDING]
    funding = [each for each in venue.books.executions if each.exec_type is paper.ExecType.FUNDING]
    now_ms = world.engine.now().wall_ms
    leaders = tuple(
        invariants.Leader(term, began, ended, f"of term {term}") for term, began, ended in world.checks.terms
    )
    truth = invariants.VenueTruth(
        orders=tuple(
            invariants.VenueOrder(
                order.order_id,
                order.link_id,
                CANONICAL[order.symbol],
                Side.BUY if order.side is paper.Side.BUY else Side.SELL,
                order.qty,
                order.cum_qty,
                order.reduce_only,
                order.status.is_open,
            )
            for order in venue.books.orders.values()
        ),
        fills=tuple(
            invariants.VenueFill(
                each.exec_id,
                each.order_id,
                CANONICAL[each.symbol],
                Side.BUY if each.side is paper.Side.BUY else Side.SELL,
                each.price,
                each.qty,
                each.fee,
            )
            for each in trades
        ),
        fundings=tuple(invariants.VenueFunding(each.exec_id, CANONICAL[each.symbol], each.fee) for each in funding),
        positions={symbol: size for symbol, size in venue.sizes() if size},
        wallet=venue.core.account.wallet,
        averages={each.symbol: each.average_price for each in venue.positions()},
    )
    live = invariants.Live(state.effective, {s: state.held(s) for s, _ in venue.sizes()}, state.money.cash)
    return invariants.World(
        now_ms=now_ms,
        rows=tuple(world.journal.rows()),
        venue=truth,
        ledger=_ledger(world),
        live=live,
        alerts=tuple(world.alerts),
        leaders=leaders,
        limits=world.supervision.limits,
        restarts=tuple(world.supervision.restarts),
        escalations=tuple(
            invariants.Escalated(supervisor, at_ms) for supervisor, _, _, at_ms in world.supervision.escalations
        ),
        excused=frozenset(world.checks.excused),
    )


def _ledger(world: World) -> invariants.LedgerTruth | None:
    if not world.plan.full:
        return None
    return invariants.LedgerTruth(
        fills=tuple(
            invariants.LedgerFill(fill.venue_trade_id, fill.symbol, fill.side, fill.price, fill.quantity, fill.fee)
            for fill in world.tables.fills()
        ),
        positions=tuple(
            invariants.LedgerPosition(each.instrument.symbol, each.quantity, each.realized_pnl, each.fees, each.funding)
            for each in world.tables.holdings.values()
        ),
    )
