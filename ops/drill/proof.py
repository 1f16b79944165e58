"""Nothing lost, nothing doubled: venue, journal and ledger of a stage read whole and held against the invariants.

Guarantees: the oracle is the venue's own durable record; a violation that only time heals is given time. Never: the word of an
actor for what the venue, the journal or the ledger can say.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from decimal import Decimal

from ops.chaos.books import read_ledger
from ops.chaos.venue import VenueAdmin
from ops.drill.stage import Broken, Stage
from titan.errors import Transient
from titan.invariants import Invariant, LedgerTruth, VenueTruth, Violation, World, check
from titan.journal.archive import history
from titan.runtime import Runtime

KEPT = (
    Invariant.ONE_ORDER,
    Invariant.FILLS_ONCE,
    Invariant.POSITIONS_AGREE,
    Invariant.APPROVED,
    Invariant.NONE_LOST,
    Invariant.MONEY_ADDS_UP,
    Invariant.JOURNAL_WHOLE,
)
WITHIN_S = 60.0
PAUSE_S = 1.0
PATIENCE_MS = 5_000
"""How long a send may be open, and an approval unheard, while nothing trades."""


@dataclass(frozen=True, slots=True)
class Books:
    """What was found whole: orders and fills of the venue, approvals of the brain, the account's money.

    `ids` are the client order ids at the venue and the signals that were approved.
    """

    orders: int
    fills: int
    approvals: int
    wallet: Decimal
    ids: frozenset[str]

    def __str__(self) -> str:
        return f"{self.approvals} approvals, {self.orders} orders, {self.fills} fills, wallet {self.wallet}"


def nothing_lost(stage: Stage, within_s: float = WITHIN_S, destroyed: frozenset[str] = frozenset()) -> Books:
    """Every approval ended, every order is there once, every fill is booked once, the money adds up. Raises Broken.

    What stands in `destroyed` was written before a drill itself destroyed the journal, and needs no approval in it any more.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            world = replace(asyncio.run(reading(stage.runtime)), excused=destroyed)
            found = check(world, KEPT)
        except Transient as error:
            if time.monotonic() > deadline:
                raise Broken(f"the books can't be read: {error}") from error
        else:
            if not found:
                return _books(world)
            if time.monotonic() > deadline:
                raise Broken(f"{len(found)} violations: {'; '.join(_words(each) for each in found[:5])}")
        time.sleep(PAUSE_S)


async def reading(runtime: Runtime) -> World:
    """One reading of all three, one after the other. Raises Transient, JournalFailed, JournalCorrupt."""
    ledger, alerts = await read_ledger(runtime.ledger("reader").url)
    rows = tuple(await asyncio.to_thread(history, runtime.journal_path))
    venue = await VenueAdmin(runtime.venue.admin_url, runtime.symbols).truth()
    return World(
        now_ms=time.time_ns() // 1_000_000,
        rows=rows,
        venue=venue,
        ledger=ledger,
        alerts=alerts,
        patience_ms=PATIENCE_MS,
    )


def _books(world: World) -> Books:
    venue, ledger = world.venue or VenueTruth(), world.ledger or LedgerTruth()
    ids = {order.client_order_id for order in venue.orders} | {approval.signal_id for approval in ledger.approvals}
    return Books(len(venue.orders), len(venue.fills), len(ledger.approvals), venue.wallet or Decimal(0), frozenset(ids))


def _words(violation: Violation) -> str:
    return f"{violation.invariant} {violation.text}"
