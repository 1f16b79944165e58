"""The ledger made again from the journal in a real PostgreSQL: equal to the last decimal, and every tampering found."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from actors.execution.books import Books
from actors.execution.journal import JournalMirror
from actors.execution.news import News, plan
from actors.execution.rebuild import Compared, book_history, check
from tests.actors.router.story import Story
from titan.journal import Journal
from titan.journal.archive import history
from titan.store import MIGRATIONS, Migrator, connect, load_migrations

EVERYTHING = ("fills", "order_events", "adoptions", "ledger_transactions", "orders", "positions", "round_trips")


@pytest.fixture
async def pool(pg_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(pg_dsn)
    await Migrator(opened, load_migrations(MIGRATIONS)).run()
    yield opened
    await opened.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "journal" / "titan_execution.db")
    yield opened
    opened.close()


async def lived(pool: asyncpg.Pool, journal: Journal, story: Story, count: int) -> None:
    """Writes rows, and books them the way a bus tells them: late, twice, in other orders, cut into other batches."""
    journal.append(story.more(count))
    chance = random.Random(count)
    mirror = JournalMirror("bybit", "main")
    told: list[News] = mirror.take(list(journal.rows()))
    heard = told + chance.sample(told, len(told) // 3)
    for start in range(0, len(heard), 40):
        part = heard[start : start + 40]
        chance.shuffle(part)
        for cut in range(0, len(part), 7):
            await Books(pool).write(plan(part[cut : cut + 7]))
    await Books(pool).write(plan([], cursor=journal.last_seq))


async def checked(dsn: str, journal: Journal) -> Compared:
    return await check(dsn, "bybit", "main", history(journal.path))


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_ledger_made_from_the_journal_is_equal_to_the_last_decimal(
    pool: asyncpg.Pool, pg_dsn: str, journal: Journal, seed: int
) -> None:
    story = Story(seed)
    await lived(pool, journal, story, 400)
    found = await checked(pg_dsn, journal)
    assert found.unequal == ()
    assert found.upto_seq == journal.last_seq
    assert set(found.rows) == set(EVERYTHING)
    assert min(found.rows.values()) > 0
    assert found.rows["fills"] == await pool.fetchval("SELECT count(*) FROM fills") > 30
    cash = story.state.money.cash
    assert cash is not None
    # The router does not round at the 18th decimal place, the books do.
    assert abs(found.totals["cash USDT"] - cash) < Decimal("1e-12")
    said = found.totals
    assert said["cash USDT"] == said["capital USDT"] + said["pnl USDT"] - said["fees USDT"] - said["funding USDT"]
    assert await pool.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'titan_rebuild'") == 0


async def test_what_the_ledger_books_while_it_is_checked_is_no_difference(
    pool: asyncpg.Pool, pg_dsn: str, journal: Journal
) -> None:
    story = Story(3)
    await lived(pool, journal, story, 200)
    before = journal.last_seq
    journal.append(story.more(60))
    news = JournalMirror("bybit", "main").take(list(journal.rows()))
    await Books(pool).write(plan(news))
    found = await checked(pg_dsn, journal)
    assert (found.upto_seq, found.unequal) == (before, ())


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("fills", "DELETE FROM fills WHERE fill_id = (SELECT min(fill_id) FROM fills)"),
        ("fills", "UPDATE fills SET fee = fee + 0.000000000000000001 WHERE fill_id = (SELECT min(fill_id) FROM fills)"),
        (
            "orders",
            "UPDATE orders SET state = 'EXPIRED' WHERE client_order_id = (SELECT min(client_order_id) FROM orders)",
        ),
        ("order_events", "DELETE FROM order_events WHERE journal_seq < 6"),
        ("positions", "UPDATE positions SET quantity = quantity + 1"),
        ("positions", "UPDATE positions SET funding = funding + 0.000000000000000001"),
        ("round_trips", "UPDATE round_trips SET realized_pnl = 0"),
        (
            "ledger_transactions",
            "INSERT INTO ledger_transactions VALUES (DEFAULT, 'fill:forged', 'FILL', '', 1)",
        ),
    ],
)
async def test_a_ledger_that_was_tampered_with_is_told_by_table_and_key(
    pool: asyncpg.Pool, pg_dsn: str, journal: Journal, table: str, statement: str
) -> None:
    await lived(pool, journal, Story(1), 250)
    await pool.execute(statement)
    found = await checked(pg_dsn, journal)
    assert {each.table for each in found.unequal} == {table}
    assert all(each.key and each.ledger != each.journal for each in found.unequal)


async def test_a_ledger_ahead_of_its_journal_is_refused(pool: asyncpg.Pool, pg_dsn: str, journal: Journal) -> None:
    await lived(pool, journal, Story(5), 50)
    await Books(pool).write(plan([], cursor=journal.last_seq + 9))
    with pytest.raises(ValueError, match=f"up to {journal.last_seq + 9}, the journal ends at row {journal.last_seq}"):
        await checked(pg_dsn, journal)
    assert await pool.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'titan_rebuild'") == 0


async def test_a_lost_ledger_is_booked_again_from_the_history(
    pool: asyncpg.Pool, pg_dsn: str, journal: Journal
) -> None:
    journal.append(Story(6).more(300))
    assert await book_history(pool, "bybit", "main", history(journal.path)) == journal.last_seq
    assert await book_history(pool, "bybit", "main", history(journal.path)) == journal.last_seq
    assert (await checked(pg_dsn, journal)).unequal == ()
