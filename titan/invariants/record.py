"""I7, I8 and I9: the journal itself, what came back, and who was allowed to write.

Guarantees: pure. Never: a repair.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from titan.invariants.facts import Invariant, Leader, Violation, World
from titan.invariants.story import Story
from titan.journal.rows import GENESIS, SNAPSHOT, fault


def journal_whole(world: World, story: Story) -> Iterator[Violation]:
    """I7: rows follow each other without a gap, each chained to the one before; every one can be read."""
    previous, last = GENESIS, 0
    for row in world.rows:
        where = {"row": str(row.seq), "term": str(row.term), "kind": row.kind}
        error = fault(row, last, previous)
        if not error and row.kind == SNAPSHOT and last:
            error = f"row {row.seq} is a snapshot after row {last}: rows are missing"
        if error:
            yield Violation(Invariant.JOURNAL_WHOLE, f"chain:{row.seq}", error, where)
        previous, last = row.hash, row.seq
    for seq, why in story.unreadable:
        yield Violation(
            Invariant.JOURNAL_WHOLE, f"unreadable:{seq}", f"row {seq} can't be read: {why}", {"row": str(seq)}
        )


def recovers(world: World, _story: Story) -> Iterator[Violation]:
    """I8: recovery ends within its target, and no row that was ever seen is missing or another one now."""
    for each in world.recoveries:
        if each.seconds is None:
            yield Violation(Invariant.RECOVERS, f"never:{each.what}", f"{each.what} never came back")
        elif each.seconds > each.target_s:
            yield Violation(
                Invariant.RECOVERS,
                f"late:{each.what}",
                f"{each.what} came back after {each.seconds:.2f} s, {each.target_s:g} s allowed",
                {"seconds": f"{each.seconds:.3f}"},
            )
    if not world.remembered:
        return
    kept = {row.seq: row.hash for row in world.rows}
    for memory in world.remembered:
        if kept.get(memory.seq) != memory.hash:
            word = "is gone" if memory.seq not in kept else "is another one now"
            yield Violation(
                Invariant.RECOVERS,
                f"forgotten:{memory.seq}",
                f"journal row {memory.seq}, which was seen before, {word}",
                {"row": str(memory.seq)},
            )


def one_router(world: World, story: Story) -> Iterator[Violation]:
    """I9: terms only rise, every row carries the term in force, and no two routers could send at once."""
    term = 0
    for row in world.rows:
        where = {"row": str(row.seq), "term": str(row.term), "kind": row.kind}
        if row.kind == SNAPSHOT:
            term = max(term, row.term)
        elif row.kind == "start":
            if row.term <= term:
                yield Violation(
                    Invariant.ONE_ROUTER,
                    f"start:{row.seq}",
                    f"row {row.seq} starts term {row.term} after term {term}",
                    where,
                )
            term = max(term, row.term)
        elif row.term != term:
            word = "a stale router wrote it" if row.term < term else "no start of that term stands before it"
            yield Violation(
                Invariant.ONE_ROUTER,
                f"row:{row.seq}",
                f"row {row.seq} has term {row.term}, {term} rules: {word}",
                where,
            )
    for earlier, later in pairwise(sorted(world.leaders, key=lambda each: (each.began_ms, each.term))):
        if earlier.ended_ms is None or earlier.ended_ms > later.began_ms:
            yield Violation(
                Invariant.ONE_ROUTER,
                f"leaders:{earlier.term}:{later.term}",
                f"{_who(later)} began to send while {_who(earlier)} still could",
                {"began_ms": str(later.began_ms), "earlier_ended_ms": str(earlier.ended_ms)},
            )


def _who(leader: Leader) -> str:
    return f"router {leader.name or '?'} of term {leader.term}"
