"""What must hold whatever fails, I1 to I10, as one pure question: `check(world)`.

Entry points: `World` (a reading of venue, journal, Postgres and states), `check` (everything that is off in it),
`persisting` (what is off in two readings). Guarantees: the same world gives the same violations, in a fixed order; a part
that was not looked at is not judged. A reading of a running system catches it in mid-step: judge only what persists over
readings some seconds apart. Never: I/O, clocks, a correction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from titan.invariants import books, orders, record, tree
from titan.invariants.facts import (
    MEANING,
    Approval,
    Child,
    Escalated,
    Invariant,
    Leader,
    LedgerFill,
    LedgerOrder,
    LedgerPosition,
    LedgerTruth,
    Limit,
    Live,
    Recovery,
    Remembered,
    Restart,
    VenueFill,
    VenueFunding,
    VenueOrder,
    VenueTruth,
    Violation,
    World,
)
from titan.invariants.story import Story, read

__all__ = [
    "MEANING",
    "Approval",
    "Child",
    "Escalated",
    "Invariant",
    "Leader",
    "LedgerFill",
    "LedgerOrder",
    "LedgerPosition",
    "LedgerTruth",
    "Limit",
    "Live",
    "Recovery",
    "Remembered",
    "Restart",
    "Story",
    "VenueFill",
    "VenueFunding",
    "VenueOrder",
    "VenueTruth",
    "Violation",
    "World",
    "check",
    "persisting",
    "read",
]

Check = Callable[[World, Story], Iterable[Violation]]

CHECKS: dict[Invariant, Check] = {
    Invariant.ONE_ORDER: orders.one_order,
    Invariant.FILLS_ONCE: books.fills_once,
    Invariant.POSITIONS_AGREE: books.positions_agree,
    Invariant.APPROVED: orders.approved,
    Invariant.NONE_LOST: orders.none_lost,
    Invariant.MONEY_ADDS_UP: books.money_adds_up,
    Invariant.JOURNAL_WHOLE: record.journal_whole,
    Invariant.RECOVERS: record.recovers,
    Invariant.ONE_ROUTER: record.one_router,
    Invariant.LOOPS_STAY_ALONE: tree.loops_stay_alone,
}


def check(world: World, only: Iterable[Invariant] = ()) -> tuple[Violation, ...]:
    """Everything that is off in one reading, by invariant; `only` names the invariants to ask, all without it."""
    story = read(world.rows)
    asked = tuple(only) or tuple(CHECKS)
    return tuple(violation for invariant in asked for violation in CHECKS[invariant](world, story))


def persisting(before: Iterable[Violation], now: Iterable[Violation]) -> tuple[Violation, ...]:
    """What is off in both readings, as the later one shows it."""
    known = {(each.invariant, each.key) for each in before}
    return tuple(each for each in now if (each.invariant, each.key) in known)
