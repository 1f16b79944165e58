"""The books against a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from actors.execution.books import Books
from actors.execution.holdings import Instrument, rebuild
from actors.execution.ledger import balances, fill_transaction
from actors.execution.news import Adoption, AlertNews, AuditNews, FundingNews, News, RejectNews, WalletNews, plan
from tests.actors.execution.builders import PERP, fill, order
from titan.model import Fill, OrderState, Position, Side
from titan.positions import apply_fill
from titan.store import Migrator, connect, load_migrations

MIGRATIONS = Path(__file__).resolve().parents[3] / "ops" / "migrations"
BTC = Instrument("bybit", "main", PERP)


@pytest.fixture
async def pool(pg_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await connect(pg_dsn)
    await Migrator(opened, load_migrations(MIGRATIONS)).run()
    yield opened
    await opened.close()


def _history(count: int, seed: int) -> list[Fill]:
    chance = random.Random(seed)
    position = Position("bybit", "main", PERP)
    made = []
    for number in range(1, count + 1):
        # Back towards flat more often than not, so that round trips end.
        side = Side.SELL if (position.quantity > 0) == (chance.random() < 0.7) else Side.BUY
        quantity = Decimal(chance.randint(1, 5000)).scaleb(-3)
        price = Decimal(chance.randint(900_000, 1_100_000)).scaleb(-2)
        applied = apply_fill(position, side, quantity, price, Decimal(0))
        position = applied.position
        fee = (quantity * price * Decimal("0.00055")).quantize(Decimal("1e-8"))
        made.append(fill(number, side, quantity, price, fee=fee, pnl=applied.realized))
    return made


async def _balances(pool: asyncpg.Pool) -> dict[tuple[str, str], Decimal]:
    rows = await pool.fetch(
        "SELECT a.name, a.currency, -sum(e.direction * e.amount) AS held "
        "FROM ledger_entries e JOIN ledger_accounts a USING (account_id) GROUP BY 1, 2"
    )
    return {(row["name"], row["currency"]): row["held"] for row in rows}


async def test_the_books_hold_what_decimal_arithmetic_makes_to_the_last_digit(pool: asyncpg.Pool) -> None:
    history = _history(150, seed=1)
    books = Books(pool)
    written = await books.write(plan(history))
    expected = balances(map(fill_transaction, history))
    assert await _balances(pool) == {(a.name, a.currency): held for a, held in expected.items()}
    holding, trips = rebuild(BTC, history)
    assert await books.holdings() == [holding]
    assert len(trips) > 5
    assert list(written.round_trips) == trips
    assert await pool.fetchval("SELECT count(*) FROM round_trips") == len(trips)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_duplicates_reorderings_and_restarts_change_nothing(pool: asyncpg.Pool, seed: int) -> None:
    history = _history(40, seed)
    chance = random.Random(seed)
    heard = history * 2
    chance.shuffle(heard)
    while heard:
        books = Books(pool)
        take = chance.randint(1, 12)
        await books.write(plan(heard[:take]))
        heard = heard[take:]
    holding, trips = rebuild(BTC, history)
    assert await Books(pool).holdings() == [holding]
    expected = balances(map(fill_transaction, history))
    assert await _balances(pool) == {(a.name, a.currency): held for a, held in expected.items()}
    assert {row[0] for row in await pool.fetch("SELECT closing_fill_id FROM round_trips")} == {
        trip.closing_fill_id for trip in trips
    }


async def test_two_writers_at_once_book_each_fill_once(pool: asyncpg.Pool) -> None:
    history = _history(60, seed=9)
    one, two = Books(pool), Books(pool)
    written = await asyncio.gather(
        *(writer.write(plan(history[start : start + 5])) for start in range(0, 60, 5) for writer in (one, two))
    )
    assert sum(len(each.fills) for each in written) == 60
    assert await one.holdings() == [rebuild(BTC, history)[0]]


async def test_a_late_fill_is_told_and_makes_the_position_anew(pool: asyncpg.Pool) -> None:
    history = _history(10, seed=4)
    books = Books(pool)
    await books.write(plan(history[:4] + history[5:]))
    written = await books.write(plan([history[4]]))
    assert written.late == (BTC,)
    assert await books.holdings() == [rebuild(BTC, history)[0]]


async def test_a_false_profit_claim_is_told(pool: asyncpg.Pool) -> None:
    opened, closed = fill(1), fill(2, Side.SELL, price="110", pnl="9")
    assert (await Books(pool).write(plan([opened, closed]))).claims == ((closed.fill_id, "1.000000000000000000"),)


async def test_an_older_order_event_never_overwrites_a_newer_state(pool: asyncpg.Pool) -> None:
    books = Books(pool)
    await books.write(plan([order("a", OrderState.FILLED, filled="2", term=2, seq=10)]))
    await books.write(
        plan([order("a", OrderState.OPEN, term=2, seq=9), order("a", OrderState.CANCELED, term=1, seq=99)])
    )
    row = await pool.fetchrow("SELECT state, filled_quantity, term, journal_seq FROM orders")
    assert tuple(row) == ("FILLED", 2, 2, 10)
    history = await pool.fetch("SELECT term, journal_seq, state FROM order_events ORDER BY term, journal_seq")
    assert [tuple(each) for each in history] == [(1, 99, "CANCELED"), (2, 9, "OPEN"), (2, 10, "FILLED")]


async def test_a_newer_event_without_the_venues_id_keeps_the_known_one(pool: asyncpg.Pool) -> None:
    books = Books(pool)
    await books.write(plan([order("a", venue_order_id="v1", seq=1), order("b", seq=2, venue_order_id="")]))
    await books.write(plan([order("a", OrderState.UNKNOWN, venue_order_id="", seq=3)]))
    rows = await pool.fetch("SELECT client_order_id, venue_order_id, state FROM orders ORDER BY 1")
    assert [tuple(row) for row in rows] == [("a", "v1", "UNKNOWN"), ("b", "", "OPEN")]


async def test_a_batch_with_one_bad_number_leaves_no_row(pool: asyncpg.Pool) -> None:
    bad = replace(fill(2), price=Decimal("1e-19"))
    with pytest.raises(ValueError, match="price"):
        await Books(pool).write(plan([fill(1), order("a"), bad]))
    for table in ("fills", "orders", "ledger_transactions", "positions"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_the_database_itself_refuses_an_unbalanced_transaction(pool: asyncpg.Pool) -> None:
    await Books(pool).write(plan([fill(1, fee="1")]))
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await pool.execute(
            "INSERT INTO ledger_entries (tx_id, line, account_id, direction, amount) "
            "SELECT tx_id, 99, account_id, 1, 5 FROM ledger_entries LIMIT 1"
        )


@pytest.mark.parametrize(
    "attempt",
    [
        "UPDATE ledger_entries SET amount = amount + 1",
        "UPDATE ledger_entries SET direction = -direction",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "UPDATE ledger_transactions SET posted_ms = 0",
        "DELETE FROM ledger_transactions",
        "TRUNCATE ledger_transactions CASCADE",
        "UPDATE ledger_accounts SET currency = 'EUR' WHERE name LIKE 'fees:%'",
        "DELETE FROM ledger_accounts",
        "TRUNCATE ledger_accounts CASCADE",
    ],
)
async def test_what_was_posted_can_not_be_changed_removed_or_renamed(pool: asyncpg.Pool, attempt: str) -> None:
    await Books(pool).write(plan([fill(1, fee="1")]))
    before = await _balances(pool)
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await pool.execute(attempt)
    assert await _balances(pool) == before


@pytest.mark.parametrize(
    "lines",
    [
        [("USDT", 1, "5")],
        [("USDT", 1, "5"), ("USDT", -1, "4.999999999999999999")],
        # Equal amounts of two currencies balance nothing.
        [("USDT", 1, "5"), ("BTC", -1, "5")],
        [("USDT", 1, "5"), ("USDT", -1, "5"), ("BTC", 1, "0.000000000000000001")],
    ],
)
async def test_no_client_of_the_database_can_post_what_does_not_balance(
    pool: asyncpg.Pool, lines: list[tuple[str, int, str]]
) -> None:
    async def post() -> None:
        async with pool.acquire() as connection, connection.transaction():
            accounts = {
                unit: await connection.fetchval(
                    "INSERT INTO ledger_accounts (name, type, currency) VALUES ('x', 'asset', $1) RETURNING account_id",
                    unit,
                )
                for unit in {unit for unit, _, _ in lines}
            }
            posted = await connection.fetchval(
                "INSERT INTO ledger_transactions (correlation_id, event_type, description, posted_ms) "
                "VALUES ('x', 'X', '', 1) RETURNING tx_id"
            )
            for number, (unit, direction, amount) in enumerate(lines):
                values = (posted, number, accounts[unit], direction, Decimal(amount))
                await connection.execute("INSERT INTO ledger_entries VALUES ($1, $2, $3, $4, $5)", *values)

    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await post()
    assert await pool.fetchval("SELECT count(*) FROM ledger_entries") == 0


async def test_a_reading_of_the_wallet_is_booked_once(pool: asyncpg.Pool) -> None:
    books = Books(pool)
    first = WalletNews("bybit", "main", "USDT", Decimal("10000.5"), "first reading", 1, 1, 1)
    written = await books.write(plan([first]))
    again = await books.write(plan([first]))
    assert [written.wallet_moved, again.wallet_moved] == [True, False]
    assert (await _balances(pool))["cash:bybit:main", "USDT"] == Decimal("10000.5")


async def test_an_adopted_position_stands_between_the_fills_in_journal_order(pool: asyncpg.Pool) -> None:
    steps: list[News] = [
        fill(1, Side.BUY, "1", "100"),
        Adoption("bybit", "main", PERP, Decimal(5), Decimal(90), Decimal(1), "venue truth at start", 1, 2, 2),
        fill(3, Side.SELL, "2", "95", pnl="10"),
    ]
    for order_of_arrival in (steps, steps[::-1]):
        books = Books(pool)
        for step in order_of_arrival:
            await books.write(plan([step]))
        (held,) = await books.holdings()
        assert [held.quantity, held.average_price] == [3, 90]
        assert (await _balances(pool))[f"position:bybit:main:{PERP}", PERP] == 3
        await pool.execute(
            "SET session_replication_role = replica; "
            "TRUNCATE fills, adoptions, positions, ledger_entries, ledger_transactions CASCADE; "
            "RESET session_replication_role"
        )


async def test_funding_is_booked_once_to_position_and_wallet(pool: asyncpg.Pool) -> None:
    paid = FundingNews("f1", "bybit", "main", PERP, Decimal("1.5"), 7)
    books = Books(pool)
    await books.write(plan([fill(1), paid, paid]))
    await books.write(plan([paid]))
    (held,) = await books.holdings()
    assert held.funding == Decimal("1.5")
    assert (await _balances(pool))["cash:bybit:main", "USDT"] == Decimal("-1.5")


async def test_the_cursor_only_rises(pool: asyncpg.Pool) -> None:
    books = Books(pool)
    assert await books.cursor() == 0
    for seq in (7, 3):
        await books.write(plan([], cursor=seq))
    assert await books.cursor() == 7


async def test_alerts_refusals_and_acts_are_kept_once(pool: asyncpg.Pool) -> None:
    news: list[News] = [
        AlertNews("e1", "TRUTH_DRIFT", "CRITICAL", "execution", "it drifts", {"symbol": PERP}, 1),
        RejectNews("e2", "i1", "s1", PERP, "DISARMED", "not armed", 2),
        AuditNews("e3", "TRADING_STATE", "operator", "DISARMED -> ACTIVE: go", {"reason": "go"}, 3),
    ]
    books = Books(pool)
    await books.write(plan([*news, *news]))
    await books.write(plan(news))
    for table in ("alerts", "rejects", "audit_events"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 1
    assert await pool.fetchval("SELECT labels ->> 'symbol' FROM alerts") == PERP
