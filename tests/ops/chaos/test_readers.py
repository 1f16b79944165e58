"""What a campaign reads, against the real things: a paper venue, a journal file, a database with the real tables."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.chaos import storages
from ops.chaos.books import read_decisions, read_ledger
from ops.chaos.eyes import Memory
from ops.chaos.fault import Skip
from ops.chaos.story import said
from ops.chaos.venue import VenueAdmin
from tests.titan.invariants.world import NOW_MS, Book, closed, opened
from tests.titan.paper.live import LiveVenue, live_venue
from titan.errors import Transient
from titan.journal import Journal, Row, read_rows
from titan.model import Side
from titan.store import Migrator, connect, load_migrations

SYMBOL = "BTC/USDT:USDT"
MIGRATIONS = Path(__file__).resolve().parents[3] / "ops" / "migrations"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[LiveVenue]:
    async with live_venue(tmp_path) as found:
        yield found


def admin_of(live: LiveVenue) -> VenueAdmin:
    return VenueAdmin(f"http://127.0.0.1:{live.admin_port}", (SYMBOL,))


async def test_the_venues_ledger_is_read_in_our_own_words(live: LiveVenue) -> None:
    exchange = live.client()
    await exchange.load_markets()
    await exchange.create_order(SYMBOL, "limit", "buy", 0.1, 101, {"orderLinkId": "tt-fill"})
    await exchange.create_order(SYMBOL, "limit", "sell", 0.1, 110, {"orderLinkId": "tt-rest"})
    truth = await admin_of(live).truth()
    resting = next(order for order in truth.orders if order.client_order_id == "tt-rest")
    assert (resting.live, resting.side, resting.symbol, resting.filled) == (True, Side.SELL, SYMBOL, Decimal(0))
    done = next(order for order in truth.orders if order.client_order_id == "tt-fill")
    assert (done.live, done.filled) == (False, Decimal("0.1"))
    assert sum(fill.quantity for fill in truth.fills) == Decimal("0.1") == truth.positions[SYMBOL]
    assert truth.wallet == Decimal(100_000) - sum(fill.fee for fill in truth.fills)


async def test_a_market_jumps_and_one_that_no_market_makes_is_refused(live: LiveVenue) -> None:
    venue = admin_of(live)
    await venue.jump(SYMBOL, Decimal("0.5"))
    assert live.venue.jumps
    with pytest.raises(ValueError, match=r"factor 20 must be from 0\.1 to 10"):
        await venue.jump(SYMBOL, Decimal(20))


async def test_switches_are_set_counted_and_cleared(live: LiveVenue) -> None:
    venue = admin_of(live)
    assert await venue.answers()
    await venue.switch("reject", on="place", count=1)
    assert (await venue.standing(), await venue.acted()) == (1, 0)
    await venue.clear()
    assert await venue.standing() == 0
    with pytest.raises(ValueError, match="unknown kind 'fire'"):
        await venue.switch("fire", count=1)


async def test_a_venue_that_is_away_is_said_so() -> None:
    venue = VenueAdmin("http://127.0.0.1:9", (SYMBOL,))
    assert not await venue.answers()
    with pytest.raises(Transient, match="does not answer"):
        await venue.truth()


async def test_the_books_are_read_from_the_real_tables(pg_dsn: str) -> None:
    pool = await connect(pg_dsn)
    await Migrator(pool, load_migrations(MIGRATIONS)).run()
    await pool.close()
    ledger, alerts = await read_ledger(pg_dsn)
    assert (ledger.fills, ledger.orders, ledger.positions, ledger.approvals, ledger.unbalanced) == ((), (), (), (), ())
    assert alerts == ()
    assert await read_decisions(pg_dsn) == {}


async def test_a_database_that_is_away_is_said_so() -> None:
    with pytest.raises(Transient, match="PostgreSQL does not answer"):
        await read_ledger("postgresql://nobody@127.0.0.1:9/titan")


def written(path: Path) -> Journal:
    book = Book()
    opened(book)
    closed(book)
    journal = Journal.open(path)
    journal.append([Row(row.seq, row.kind, row.payload, NOW_MS) for row in book.rows])
    return journal


def arena() -> Any:
    memory = Memory()
    return SimpleNamespace(draw=random.Random(3), memory=memory)


def test_a_flipped_bit_is_found_in_every_place_that_is_tried(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.db")
    assert storages._flip(cast("Any", arena()), journal.path) == ""
    journal.close()


def test_a_check_that_misses_a_flipped_bit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = written(tmp_path / "journal.db")
    monkeypatch.setattr(storages, "verify_file", lambda _: SimpleNamespace(error=""))
    assert "was not found" in storages._flip(cast("Any", arena()), journal.path)
    journal.close()


def test_a_torn_tail_is_cut_excused_and_forgotten(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal.db")
    rows = read_rows(journal.path, 0)
    journal.close()
    torn = arena()
    torn.memory.rows.extend(rows)
    torn.look_forward = lambda: None
    assert storages._tear(cast("Any", torn), journal.path) == storages.TORN_ROWS
    assert [row.seq for row in read_rows(journal.path, 0)] == [row.seq for row in torn.memory.rows] == list(range(1, 8))
    assert torn.memory.excused == {said(rows[7], "client_order_id"), said(rows[7], "signal_id")}
    again = Journal.open(journal.path)
    assert again.opened.lost_rows == storages.TORN_ROWS
    again.close()


def test_a_young_journal_is_left_alone(tmp_path: Path) -> None:
    young = arena()
    young.look_forward = lambda: None
    with pytest.raises(Skip, match="too young"):
        storages._tear(cast("Any", young), tmp_path / "journal.db")
