"""The scribe: together when it can be, alone when it must be, never before the commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.execution import scribe as module
from actors.execution.books import Written
from actors.execution.news import Batch
from actors.execution.scribe import Scribe
from tests.actors.execution.builders import fill
from titan.errors import Transient
from titan.tasks import end_all


class Paper:
    """Books that commit when they are let, and refuse fill t13."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.away = False
        self.batches: list[Batch] = []

    async def write(self, batch: Batch) -> Written:
        await self.open.wait()
        if self.away:
            raise Transient("connection refused")
        if any(each.venue_trade_id == "t13" for each in batch.fills):
            raise ValueError("thirteen")
        self.batches.append(batch)
        return Written(rows=batch.rows)


class Desk:
    """A running scribe with its paper."""

    def __init__(self) -> None:
        self.paper = Paper()
        self.written: list[Written] = []
        self.store: list[tuple[bool, str]] = []
        self.scribe = Scribe(self.paper, self.written.append, lambda up, said: self.store.append((up, said)))
        self.task = asyncio.create_task(self.scribe.run())


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    await end_all([made.task])


async def test_news_that_wait_are_committed_together(desk: Desk) -> None:
    desk.paper.open.clear()
    calls = [asyncio.create_task(desk.scribe.book((fill(number),))) for number in range(1, 9)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(call.done() for call in calls)
    desk.paper.open.set()
    await asyncio.gather(*calls)
    assert sum(len(batch.fills) for batch in desk.paper.batches) == 8
    assert len(desk.paper.batches) <= 2


async def test_a_batch_holds_at_most_two_hundred_rows(desk: Desk) -> None:
    await asyncio.gather(*(desk.scribe.book((fill(1000 + number),)) for number in range(450)))
    assert [len(batch.fills) for batch in desk.paper.batches] == [200, 200, 50]
    assert [desk.scribe.batches, desk.scribe.rows] == [3, 450]


async def test_bad_news_fail_alone(desk: Desk) -> None:
    outcomes = await asyncio.gather(
        *(desk.scribe.book((fill(number),)) for number in (12, 13, 14)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]
    assert {each.venue_trade_id for batch in desk.paper.batches for each in batch.fills} == {"t12", "t14"}


async def test_while_the_database_is_away_every_call_is_told_when_to_come_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.02)
    monkeypatch.setattr(module, "MAX_BACKOFF_S", 0.04)
    desk.paper.away = True
    with pytest.raises(Transient, match="connection refused") as first:
        await desk.scribe.book((fill(1),))
    assert first.value.retry_after_s == 0.02
    with pytest.raises(Transient):
        await desk.scribe.book((fill(2),))
    assert desk.scribe.error == "connection refused"
    assert desk.scribe._queue == []
    desk.paper.away = False

    async def booked() -> bool:
        try:
            await desk.scribe.book((fill(1),))
        except Transient:
            return False
        return True

    while not await booked():
        await asyncio.sleep(0.01)
    assert desk.scribe.up
    assert desk.store[0] == (False, "connection refused")
    assert desk.store[-1] == (True, "")


async def test_whoever_waits_when_the_scribe_ends_is_told_so(desk: Desk) -> None:
    desk.paper.open.clear()
    calls = [asyncio.create_task(desk.scribe.book((fill(number),))) for number in (1, 2)]
    await asyncio.sleep(0)
    late = asyncio.create_task(desk.scribe.book((fill(3),)))
    await asyncio.sleep(0)
    await end_all([desk.task])
    outcomes = await asyncio.gather(*calls, late, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Transient] * 3
    with pytest.raises(Transient, match="being closed"):
        await desk.scribe.book((fill(4),))
