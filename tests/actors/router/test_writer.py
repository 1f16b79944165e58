"""Journal writer and outbox: rows survive a full disk, events wait for the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.router.events import LinkChanged
from actors.router.outbox import Outbox
from actors.router.writer import JournalWriter
from tests.actors.router.support import Bottle, intent
from titan.codes import RejectCode
from titan.errors import Transient
from titan.journal import Journal, Row
from titan.logs import get_logger
from titan.metrics import Metrics


class FakeBus:
    """Takes messages, or is away."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.away = 0

    async def publish_durable(self, subject: str, message: object, **given: Any) -> str:
        if self.away:
            self.away -= 1
            raise Transient("no acknowledgement")
        self.sent.append((subject, given["envelope_id"]))
        return str(given["envelope_id"])


class BrokenBus(FakeBus):
    async def publish_durable(self, subject: str, message: object, **given: Any) -> str:
        raise RuntimeError("a defect")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "j.db")
    yield opened
    opened.close()


def outbox_of(bus: FakeBus, journal: Journal) -> Outbox:
    return Outbox(bus, journal, get_logger("test"))  # type: ignore[arg-type]  # the part of a bus that an outbox uses


def fill_disk(journal: Journal) -> None:
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")


def empty_disk(journal: Journal) -> None:
    journal._database.execute("PRAGMA max_page_count = 1000000")


def write(journal: Journal, outbox: Outbox, rows: Sequence[Row]) -> None:
    """Writes rows and tells of them."""
    writer = JournalWriter(journal, outbox, Metrics(), lambda up, detail: None)
    writer.append(rows)
    writer.tell()


def big(seq: int) -> Row:
    return Row(seq, "start", b'{"x":"' + b"y" * 20_000 + b'"}', 1)


async def test_rows_that_could_not_be_written_are_written_first_when_it_is_possible(journal: Journal) -> None:
    told: list[tuple[bool, str]] = []
    outbox = outbox_of(FakeBus(), journal)
    writer = JournalWriter(journal, outbox, Metrics(), lambda up, detail: told.append((up, detail)))
    writer.append([big(1)])
    fill_disk(journal)
    writer.append([big(2)])
    assert not writer.healthy
    writer.append([big(3)])
    writer.retry()
    writer.tell()
    assert (writer.waiting, journal.last_seq, len(outbox)) == (2, 1, 1)
    empty_disk(journal)
    writer.retry()
    assert (writer.healthy, journal.last_seq, len(outbox)) == (True, 3, 3)
    assert [up for up, _ in told] == [False, True]
    assert "can't be written" in told[0][1]
    writer.retry()
    assert journal.verify().error == ""


async def test_a_full_disk_stops_openings_and_an_unwritten_one_is_not_sent(journal: Journal) -> None:
    """The core's side of what the shell does on a failed append."""
    bottle = Bottle().begin()

    def changed(up: bool, detail: str) -> None:
        bottle.tell(LinkChanged("journal", up, detail))

    writer = JournalWriter(journal, outbox_of(FakeBus(), journal), Metrics(), changed)
    writer.append(bottle.rows)
    fill_disk(journal)
    effects = bottle.intend(intent("x" * 5_000))
    writer.append([row for effect in effects for row in getattr(effect, "rows", ())])
    assert not writer.healthy
    bottle.intend(intent("second"))
    assert bottle.last_row("reject")["code"] == RejectCode.JOURNAL_FAILED


async def test_events_are_announced_in_order_and_remembered(journal: Journal) -> None:
    bus, bottle = FakeBus(), Bottle().begin()
    bottle.open()
    outbox = outbox_of(bus, journal)
    write(journal, outbox, bottle.rows)
    task = asyncio.create_task(outbox.run())
    assert await outbox.drained(5)
    task.cancel()
    outbox.note()
    assert journal.published_seq == journal.last_seq
    assert len(bus.sent) == 5


async def test_nobody_is_told_of_a_row_before_it_is_asked_for_and_then_in_order(journal: Journal) -> None:
    told: list[int] = []
    outbox = outbox_of(FakeBus(), journal)
    writer = JournalWriter(
        journal, outbox, Metrics(), lambda up, detail: None, lambda rows: told.extend(row.seq for row in rows)
    )
    for seq in (1, 2):
        writer.append([big(seq)])
    assert (writer.untold, journal.last_seq, len(outbox), told) == (True, 2, 0, [])
    writer.tell()
    writer.tell()
    assert (writer.untold, len(outbox), told) == (False, 2, [1, 2])


async def test_events_wait_for_a_bus_that_is_away(journal: Journal) -> None:
    bus, bottle = FakeBus(), Bottle().begin()
    bus.away = 3
    bottle.open()
    outbox = outbox_of(bus, journal)
    write(journal, outbox, bottle.rows)
    task = asyncio.create_task(outbox.run())
    assert await outbox.drained(5)
    task.cancel()
    assert len(bus.sent) == 5
    assert len(set(bus.sent)) == 5


async def test_what_was_not_announced_is_announced_after_a_restart_with_the_same_ids(
    journal: Journal, tmp_path: Path
) -> None:
    bottle, first, second = Bottle().begin(), FakeBus(), FakeBus()
    bottle.open()
    outbox = outbox_of(first, journal)
    write(journal, outbox, bottle.rows)
    task = asyncio.create_task(outbox.run())
    assert await outbox.drained(5)
    task.cancel()
    # The mark is lost with the process: everything is told again, and recognised by its ids.
    again = outbox_of(second, journal)
    again.put(journal.rows(0))
    task = asyncio.create_task(again.run())
    assert await again.drained(5)
    task.cancel()
    assert second.sent == first.sent


async def test_a_bus_that_never_comes_back_is_not_waited_for_at_the_end(journal: Journal) -> None:
    bus, bottle = FakeBus(), Bottle().begin()
    bus.away = 10_000
    outbox = outbox_of(bus, journal)
    write(journal, outbox, bottle.rows)
    task = asyncio.create_task(outbox.run())
    assert not await outbox.drained(0.05)
    task.cancel()
    outbox.note()
    assert journal.published_seq == 0


async def test_a_defect_in_announcing_ends_the_task(journal: Journal) -> None:
    bottle = Bottle().begin()
    outbox = outbox_of(BrokenBus(), journal)
    write(journal, outbox, bottle.rows)
    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(outbox.run(), 5)


async def test_a_mark_that_cannot_be_kept_is_no_reason_to_stop(journal: Journal) -> None:
    bus, bottle = FakeBus(), Bottle().begin()
    outbox = outbox_of(bus, journal)
    write(journal, outbox, bottle.rows)
    journal._database.execute("PRAGMA query_only = 1")
    task = asyncio.create_task(outbox.run())
    assert await outbox.drained(5)
    task.cancel()
    outbox.note()
    journal._database.execute("PRAGMA query_only = 0")
    assert (len(bus.sent), journal.published_seq) == (1, 0)
