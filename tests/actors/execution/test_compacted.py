"""Execution before a journal that was compacted: the mirror goes on from the snapshot, and what the books lack is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from actors.execution.books import Written
from actors.execution.follower import JournalFollower
from actors.execution.journal import JournalMirror
from actors.execution.news import Batch, plan
from actors.execution.scribe import Scribe
from actors.execution.sides import Ending, Snapshot, ending
from actors.router.compaction import Compacted, compact_if_due
from protos import trading_pb2 as pb
from tests.actors.router.story import CONFIG, Story
from titan.errors import Transient
from titan.journal import Journal

DAY_MS = 86_400_000


class _Books:
    """Remembers what it was told to commit."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    async def write(self, batch: Batch) -> Written:
        self.batches.append(batch)
        return Written(rows=batch.rows)


class _Direct(Scribe):
    """Commits in the caller's task."""

    def __init__(self, books: _Books) -> None:
        super().__init__(books, lambda _: None, lambda *_: None)

    async def book(self, news: Sequence[object], cursor: int = 0) -> None:
        await self._writer.write(plan(news, cursor))  # type: ignore[arg-type]


class World:
    """A compacted journal, and what stood in it before."""

    def __init__(self, path: Path) -> None:
        self.story = Story(21)
        self.journal = Journal.open(path)
        self.journal.append(self.story.more(400))
        self.journal.mark_published(self.journal.last_seq)
        self.whole = JournalMirror("bybit", "main")
        self.whole.take(list(self.journal.rows()))
        done = compact_if_due(self.journal, CONFIG, self.story.ts_ms, 3 * DAY_MS, min_rows=10)
        assert done is not None
        self.done: Compacted = done
        self.books = _Books()

    async def ask(self, request: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        rows = self.journal.follow(request.from_seq, request.limit)
        return pb.JournalFollowReply(
            rows=[
                pb.JournalRow(term=r.term, seq=r.seq, kind=r.kind, payload=r.payload, hash=r.hash, ts_ms=r.ts_ms)
                for r in rows
            ],
            last_seq=self.journal.last_seq,
        )

    def follower(self, booked: int) -> JournalFollower:
        return JournalFollower("bybit", "main", self.ask, _Direct(self.books), booked)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "journal" / "titan_execution.db")
    yield made
    made.journal.close()


def _live(side: Snapshot) -> set[str]:
    return {one.client_order_id for one in side.orders if ending(one.state) is Ending.LIVE}


async def test_the_mirror_goes_on_from_the_snapshot(world: World) -> None:
    follower = world.follower(world.journal.last_seq)
    await follower.follow()
    seen, whole = follower.mirror.snapshot(), world.whole.snapshot()
    assert follower.mirror.seq == world.journal.last_seq
    assert seen.positions == whole.positions
    assert {unit: round(held, 12) for unit, held in seen.money.items()} == {
        unit: round(held, 12) for unit, held in whole.money.items()
    }
    assert _live(seen) == _live(whole)
    assert {one.fill_id for one in seen.fills} < {one.fill_id for one in whole.fills}
    assert follower.mirror.wallet_known
    assert (follower.restarts, world.books.batches) == (0, [])


async def test_books_that_have_the_snapshots_rows_take_what_came_after(world: World) -> None:
    follower = world.follower(world.done.base_seq)
    await follower.follow()
    assert follower.booked_seq == world.journal.last_seq
    booked = {fill.fill_id for batch in world.books.batches for fill in batch.fills}
    assert booked == {one.fill_id for one in follower.mirror.snapshot().fills}


async def test_books_that_lack_compacted_rows_say_how_to_get_them(world: World) -> None:
    follower = world.follower(world.done.base_seq - 1)
    with pytest.raises(Transient, match="titan ledger rebuild"):
        await follower.follow()
    assert str(world.done.base_seq) in follower.fault
    assert world.books.batches == []


async def test_a_follower_that_was_there_before_notices_nothing(world: World, tmp_path: Path) -> None:
    follower = world.follower(world.journal.last_seq)
    await follower.follow()
    world.journal.append(world.story.more(40))
    world.journal.mark_published(world.journal.last_seq)
    assert compact_if_due(world.journal, CONFIG, world.story.ts_ms, DAY_MS, min_rows=10) is not None
    await follower.follow()
    assert (follower.restarts, follower.fault) == (0, "")
    assert follower.mirror.seq == world.journal.last_seq


async def test_a_forged_snapshot_is_no_journal_to_follow(world: World) -> None:
    honest = world.ask

    async def lie(request: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        reply = await honest(request)
        reply.rows[0].payload = reply.rows[0].payload[:-3] + b"x" + reply.rows[0].payload[-2:]
        return reply

    follower = JournalFollower("bybit", "main", lie, _Direct(world.books), world.journal.last_seq)
    with pytest.raises(Transient, match="do not match their hashes"):
        await follower.follow()
