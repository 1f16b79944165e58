"""What PostgreSQL holds, read for the invariants through a connection of its own.

Guarantees: one reading is one snapshot of the database. Never: a write, or a wait without a limit.
"""

from __future__ import annotations

import asyncio

import asyncpg

from titan.errors import Transient
from titan.invariants import Approval, LedgerFill, LedgerOrder, LedgerPosition, LedgerTruth
from titan.model import Side

WITHIN_S = 5.0
UNBALANCED = """
SELECT t.correlation_id FROM ledger_transactions t JOIN ledger_entries e USING (tx_id)
JOIN ledger_accounts a USING (account_id)
GROUP BY t.correlation_id, a.currency HAVING sum(e.direction * e.amount) <> 0
"""


async def read_ledger(dsn: str) -> tuple[LedgerTruth, tuple[str, ...]]:
    """The books, and the messages of all alerts. Raises Transient while the database is away."""
    try:
        async with asyncio.timeout(WITHIN_S):
            connection = await asyncpg.connect(dsn)
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    return await _read(connection)
            finally:
                connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Transient(f"PostgreSQL does not answer: {error!r}") from error


async def read_decisions(dsn: str) -> dict[str, int]:
    """How often the brain decided what. Raises Transient while the database is away."""
    try:
        async with asyncio.timeout(WITHIN_S):
            connection = await asyncpg.connect(dsn)
            try:
                rows = await connection.fetch(
                    "SELECT phase || ' ' || code AS said, count(*) AS times FROM brain_decisions GROUP BY 1 ORDER BY 2 DESC"
                )
            finally:
                connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Transient(f"PostgreSQL does not answer: {error!r}") from error
    return {str(row["said"]): int(row["times"]) for row in rows}


async def _read(connection: asyncpg.Connection) -> tuple[LedgerTruth, tuple[str, ...]]:
    fills = await connection.fetch("SELECT venue_trade_id, symbol, side, price, quantity, fee FROM fills")
    orders = await connection.fetch("SELECT client_order_id, state, filled_quantity FROM orders")
    positions = await connection.fetch("SELECT symbol, quantity, realized_pnl, fees, funding FROM positions")
    decided = await connection.fetch(
        "SELECT decision_id, signal_id, (extract(epoch FROM booked_at) * 1000)::bigint AS heard_ms "
        "FROM brain_decisions WHERE approved"
    )
    unbalanced = await connection.fetch(UNBALANCED)
    alerts = await connection.fetch("SELECT code || ': ' || message AS said FROM alerts")
    truth = LedgerTruth(
        fills=tuple(
            LedgerFill(
                row["venue_trade_id"], row["symbol"], Side(row["side"]), row["price"], row["quantity"], row["fee"]
            )
            for row in fills
        ),
        orders=tuple(LedgerOrder(row["client_order_id"], row["state"], row["filled_quantity"]) for row in orders),
        positions=tuple(
            LedgerPosition(row["symbol"], row["quantity"], row["realized_pnl"], row["fees"], row["funding"])
            for row in positions
        ),
        approvals=tuple(Approval(row["decision_id"], row["signal_id"], row["heard_ms"]) for row in decided),
        unbalanced=tuple(row["correlation_id"] for row in unbalanced),
    )
    return truth, tuple(row["said"] for row in alerts)
