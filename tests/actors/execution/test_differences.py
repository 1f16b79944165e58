"""Every kind of difference, made for real between a venue, a journal file and PostgreSQL: found, kept as a row, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from actors.execution.auditor import RECENT_MS, WINDOW_MS, Auditor
from actors.execution.books import Books
from actors.execution.core import Account, ExecutionCore, KeepTruth, TruthRun
from actors.execution.follower import JournalFollower
from actors.execution.rebuild import book_history
from actors.execution.records import Records
from actors.execution.scribe import Scribe
from actors.execution.venue import VenueSource
from actors.router import rows
from protos import trading_pb2 as pb
from tests.actors.execution.builders import PERP, fill, order
from tests.actors.execution.world import FakeVenue, fill_payload, order_payload, wallet_payload
from titan.clock import ManualClock
from titan.errors import Transient
from titan.journal import Journal, Row
from titan.model import OrderState, Position, Side
from titan.positions import apply_fill
from titan.store import MIGRATIONS, Migrator, connect, load_migrations
from titan.tasks import end_all

NOW_MS = 2_000_000_000_000


class World:
    """One account on three sides."""

    def __init__(self, pool: asyncpg.Pool, path: Path) -> None:
        self.pool = pool
        self.journal = Journal.open(path)
        self.venue = FakeVenue()
        self.books = Books(pool)
        self.scribe = Scribe(self.books, lambda _: None, lambda *_: None)
        self.clock = ManualClock(NOW_MS)
        account = Account("bybit", "main")
        self.core = ExecutionCore(account, "hash")
        self.records = Records(pool, account)
        follower = JournalFollower("bybit", "main", self._ask, self.scribe, 0)
        self.auditor = Auditor(account, self._source, follower, self.records, self.clock, 1)

    async def _source(self) -> VenueSource:
        return self.venue

    async def _ask(self, request: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        found = self.journal.follow(request.from_seq, request.limit)
        return pb.JournalFollowReply(
            rows=[
                pb.JournalRow(term=r.term, seq=r.seq, kind=r.kind, payload=r.payload, hash=r.hash, ts_ms=r.ts_ms)
                for r in found
            ],
            last_seq=self.journal.last_seq,
        )

    def write(self, kind: str, payload: dict[str, str | int | bool]) -> None:
        self.journal.append([Row(self.journal.last_seq + 1, kind, rows.encode(payload), NOW_MS)])

    def trade(self) -> None:
        """Four orders, each filled whole at the venue and in the journal."""
        self.write("wallet", wallet_payload(self.venue.money))
        position = Position("bybit", "main", PERP)
        for number in range(1, 5):
            side = Side.BUY if number != 2 else Side.SELL
            done = fill(number, side, "2", str(100 + number), fee="0.11", order=f"o{number}", ts_ms=NOW_MS - number)
            applied = apply_fill(position, side, done.quantity, done.price, done.fee)
            position = applied.position
            ended = order(f"o{number}", OrderState.FILLED, filled="2", ts_ms=NOW_MS - number)
            ended = replace(ended, order=replace(ended.order, side=side))
            self.venue.take(ended)
            self.write("fill", fill_payload(replace(done, realized_pnl=applied.realized)))
            self.write("order", order_payload(ended.order, NOW_MS))
            self.venue.trade(done, applied.realized - done.fee)

    async def passed(self, *, whole: bool = True) -> TruthRun:
        """One pass, concluded and kept."""
        effects = self.core.handle(await self.auditor.run("test", whole=whole), self.clock.now())
        self.clock.advance(1000)
        (kept,) = (each.run for each in effects if isinstance(each, KeepTruth))
        await self.records.keep_truth(kept)
        return kept

    async def rows(self) -> list[Any]:
        return list(await self.pool.fetch("SELECT * FROM truth_differences ORDER BY truth_id, line"))


@pytest.fixture
async def world(pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("actors.execution.auditor.SETTLE_S", 0.0)
    pool = await connect(pg_dsn)
    await Migrator(pool, load_migrations(MIGRATIONS)).run()
    made = World(pool, tmp_path / "journal.db")
    made.trade()
    writing = asyncio.create_task(made.scribe.run())
    yield made
    await end_all([writing])
    made.journal.close()
    await pool.close()


Change = Callable[[World], Awaitable[None]]


async def _order_gone(world: World) -> None:
    world.held = world.venue.orders.pop("v-o3")  # type: ignore[attr-defined]


async def _order_back(world: World) -> None:
    world.venue.orders["v-o3"] = world.held  # type: ignore[attr-defined]


async def _external_order(world: World) -> None:
    world.venue.take(order("somebody", OrderState.OPEN))


async def _external_order_gone(world: World) -> None:
    del world.venue.orders["v-somebody"]


async def _order_size(world: World) -> None:
    world.venue.orders["v-o1"] = replace(world.venue.orders["v-o1"], quantity=Decimal(3))


async def _order_size_back(world: World) -> None:
    world.venue.orders["v-o1"] = replace(world.venue.orders["v-o1"], quantity=Decimal(2))


def _foreign_fill() -> Any:
    return fill(77, Side.BUY, "1", "100", fee="0.05", order="o1", ts_ms=NOW_MS - 9)


async def _venue_traded_alone(world: World) -> None:
    world.venue.trade(_foreign_fill(), Decimal("-0.05"))


async def _journal_learns_of_it(world: World) -> None:
    world.write("fill", fill_payload(_foreign_fill()))


async def _venue_forgets_a_fill(world: World) -> None:
    world.held = world.venue.done.pop()  # type: ignore[attr-defined]
    world.venue.held -= 2
    world.venue.money += Decimal("0.11")


async def _venue_remembers(world: World) -> None:
    world.venue.done.append(world.held)  # type: ignore[attr-defined]
    world.venue.held += 2
    world.venue.money -= Decimal("0.11")


async def _ledger_loses_a_fill(world: World) -> None:
    await world.pool.execute("DELETE FROM fills WHERE fill_id = 'bybit:main:t1'")


async def _ledger_loses_an_order(world: World) -> None:
    await world.pool.execute("DELETE FROM orders WHERE client_order_id = 'o2'")


async def _ledger_is_filled_again(world: World) -> None:
    await book_history(world.pool, "bybit", "main", world.journal.rows())


async def _fill_quantity(world: World) -> None:
    world.venue.done[0] = replace(world.venue.done[0], quantity=Decimal(5))


async def _fill_quantity_back(world: World) -> None:
    world.venue.done[0] = replace(world.venue.done[0], quantity=Decimal(2))


async def _position_off(world: World) -> None:
    world.venue.held += Decimal("0.001")


async def _position_back(world: World) -> None:
    world.venue.held -= Decimal("0.001")


async def _balance_off(world: World) -> None:
    world.venue.money += Decimal("5.5")


async def _transfer_is_journalled(world: World) -> None:
    world.write("wallet", wallet_payload(world.venue.money, "1"))


@pytest.mark.parametrize(
    ("kind", "key", "make", "mend"),
    [
        ("ORDER_MISSING_AT_VENUE", "v-o3", _order_gone, _order_back),
        ("ORDER_MISSING_IN_JOURNAL", "v-somebody", _external_order, _external_order_gone),
        ("ORDER_MISSING_IN_LEDGER", "v-o2", _ledger_loses_an_order, _ledger_is_filled_again),
        ("ORDER_DIFFERS", "v-o1", _order_size, _order_size_back),
        ("FILL_MISSING_AT_VENUE", "bybit:main:t4", _venue_forgets_a_fill, _venue_remembers),
        ("FILL_MISSING_IN_JOURNAL", "bybit:main:t77", _venue_traded_alone, _journal_learns_of_it),
        ("FILL_MISSING_IN_LEDGER", "bybit:main:t1", _ledger_loses_a_fill, _ledger_is_filled_again),
        ("FILL_DIFFERS", "bybit:main:t1", _fill_quantity, _fill_quantity_back),
        ("POSITION_DIFFERS", PERP, _position_off, _position_back),
        ("BALANCE_DIFFERS", "USDT", _balance_off, _transfer_is_journalled),
    ],
)
async def test_a_difference_is_found_alone_kept_with_its_evidence_and_ended_when_it_is_mended(
    world: World, kind: str, key: str, make: Change, mend: Change
) -> None:
    clean = await world.passed()
    assert (clean.complete, clean.drifts, clean.confidence) == (True, (), 100)
    await make(world)
    first = await world.passed()
    wanted = [(kind, key)]
    if make is _ledger_loses_a_fill:
        # Its table of positions still has what the fill made.
        wanted.append(("POSITION_DIFFERS", PERP))
    assert [(drift.kind.value, drift.key) for drift in first.drifts] == wanted
    second = await world.passed()
    assert (first.confidence, second.confidence) == (100 - 20 * len(wanted), 100 - 40 * len(wanted))
    seen = await world.rows()
    assert [(row["kind"], row["key"], row["resolution"]) for row in seen] == [(*each, "") for each in wanted] * 2
    assert seen[0]["difference_id"] == seen[len(wanted)]["difference_id"]
    assert seen[0]["difference_id"] == first.drifts[0].difference_id("bybit", "main")
    assert seen[0]["evidence_sha256"] == first.drifts[0].evidence
    await mend(world)
    mended = await world.passed()
    assert (mended.drifts, mended.confidence) == ((), second.confidence + 1)
    ended = await world.rows()
    assert {row["resolution"] for row in ended} == {f"the sides agree since pass {mended.truth_id}"}
    assert {row["resolved_ms"] for row in ended} == {mended.ts_ms}


async def test_a_pass_that_could_not_be_completed_ends_no_difference(world: World) -> None:
    await world.passed()
    await _position_off(world)
    await world.passed()
    world.venue.error = Transient("away")
    failed = await world.passed()
    assert not failed.complete
    assert [row["resolution"] for row in await world.rows()] == [""]


async def test_the_mirror_of_a_long_journal_stays_as_small_as_its_window(world: World) -> None:
    await world.passed()
    held = len(world.auditor._follower.mirror)
    old = NOW_MS - 30 * 86_400_000
    for number in range(100, 400):
        world.write("fill", fill_payload(fill(number, Side.BUY, "1", "100", order="o1", ts_ms=old + number)))
        done = order(f"old{number}", OrderState.REJECTED, ts_ms=old, venue_order_id="")
        world.write("order", order_payload(done.order, old))
        world.venue.held += 1
    await world.passed()
    found = await world.passed()
    assert found.drifts == ()
    assert len(world.auditor._follower.mirror) == held


async def test_a_scheduled_pass_after_a_clean_one_compares_what_is_recent(world: World) -> None:
    whole = await world.passed(whole=False)
    assert (whole.orders_compared, whole.since_ms, whole.drifts) == (4, NOW_MS - WINDOW_MS, ())
    world.clock.advance(2 * RECENT_MS)
    recent = await world.passed(whole=False)
    assert (recent.orders_compared, recent.since_ms) == (4, NOW_MS - RECENT_MS), "an hour before the last clean pass"
    later = await world.passed(whole=False)
    assert (later.orders_compared, later.since_ms) == (0, NOW_MS + 1000 + RECENT_MS)
    asked = await world.passed()
    assert (asked.orders_compared, asked.drifts) == (4, ())


async def test_after_a_difference_every_pass_is_whole_until_one_is_clean(world: World) -> None:
    await world.passed(whole=False)
    world.clock.advance(2 * RECENT_MS)
    await world.passed(whole=False)
    gone = world.venue.orders.popitem()
    assert (await world.passed(whole=False)).drifts == (), "what ended long ago is looked at once an hour"
    assert len((await world.passed()).drifts) == 1
    assert len((await world.passed(whole=False)).drifts) == 1
    world.venue.orders.update([gone])
    assert (await world.passed(whole=False)).orders_compared == 4
    assert (await world.passed(whole=False)).orders_compared == 0


async def test_once_an_hour_a_scheduled_pass_is_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.passed(whole=False)
    world.clock.advance(2 * RECENT_MS)
    await world.passed(whole=False)
    monkeypatch.setattr("actors.execution.auditor.WHOLE_EVERY_S", 0.0)
    assert (await world.passed(whole=False)).orders_compared == 4


async def test_a_pass_that_could_not_be_completed_lengthens_the_next_one(world: World) -> None:
    await world.passed(whole=False)
    world.clock.advance(RECENT_MS)
    world.venue.error = Transient("away")
    assert not (await world.passed(whole=False)).complete
    world.venue.error = None
    world.clock.advance(RECENT_MS)
    assert (await world.passed(whole=False)).since_ms == NOW_MS - RECENT_MS
