"""The other half of the books: equity curve, truth passes, and the ledger's side of the comparison.

Guarantees: the ledger's side is read in one snapshot of the database; a point or pass is kept once. Errors: Transient
while the database is away. Never: a change of fills, orders or entries (that is `books`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import asyncpg

from actors.execution import rows
from actors.execution.core import Account, Remembered, TruthRun
from actors.execution.equity import EquityPoint
from actors.execution.journal import fill_view, order_view
from actors.execution.sides import FillView, OrderView, Snapshot
from actors.execution.truth import FULL_CONFIDENCE
from titan.ids import ClientOrderId
from titan.model import Order, OrderRole, OrderState, OrderType, Phase, Side
from titan.money import ZERO
from titan.store import database_errors

OPENED = "opened_ms"
_BALANCES = (
    "SELECT a.name, a.currency, -sum(e.direction * e.amount) AS held "
    "FROM ledger_entries e JOIN ledger_accounts a USING (account_id) "
    "WHERE a.name = $1 OR a.name LIKE $2 ESCAPE '\\' GROUP BY a.name, a.currency"
)
_ORDERS = (
    "SELECT * FROM orders WHERE (venue, account) = ($1, $2) AND "
    "(venue_ts_ms >= $3 OR state NOT IN ('FILLED', 'CANCELED', 'REJECTED', 'EXPIRED') "
    "OR (venue_ts_ms = 0 AND updated_ms >= $4))"
)
_RESOLVE = (
    "UPDATE truth_differences AS d SET resolution = $4, resolved_ms = $5 FROM truth_runs AS r "
    "WHERE r.truth_id = d.truth_id AND r.venue = $1 AND d.resolution = '' AND NOT EXISTS "
    "(SELECT 1 FROM unnest($2::text[], $3::text[]) AS still (kind, key) WHERE still.kind = d.kind AND still.key = d.key)"
)


class Records:
    """Reads and writes on a pool for one account."""

    def __init__(self, pool: asyncpg.Pool, account: Account) -> None:
        self._pool = pool
        self._account = account
        self._cash_name = f"cash:{account.venue}:{account.name}"
        self._capital = f"capital:{account.venue}:{account.name}"
        self._leg_prefix = f"position:{account.venue}:{account.name}:"

    async def remembered(self) -> Remembered:
        """What the books knew last."""
        with database_errors("be read"):
            holdings = await self._pool.fetch("SELECT * FROM positions")
            confidence = await self._pool.fetchval("SELECT confidence FROM truth_runs ORDER BY ts_ms DESC LIMIT 1")
            point = await self._pool.fetchrow(
                "SELECT * FROM equity_curve WHERE (venue, account, currency) = ($1, $2, $3) ORDER BY ts_ms DESC LIMIT 1",
                self._account.venue,
                self._account.name,
                self._account.currency,
            )
        return Remembered(
            holdings=tuple(map(rows.holding, holdings)),
            cash=await self.cash(),
            equity=None if point is None else EquityPoint(**point),
            confidence=FULL_CONFIDENCE if confidence is None else confidence,
        )

    async def cash(self) -> Decimal | None:
        """The wallet in the double entries; None before the books were opened."""
        with database_errors("be read"):
            opened = await self._pool.fetchval(
                "SELECT true FROM ledger_accounts WHERE name = $1 AND currency = $2",
                self._capital,
                self._account.currency,
            )
            if not opened:
                return None
            held = await self._pool.fetchval(
                "SELECT -sum(e.direction * e.amount) FROM ledger_entries e JOIN ledger_accounts a USING (account_id) "
                "WHERE a.name = $1 AND a.currency = $2",
                self._cash_name,
                self._account.currency,
            )
        return ZERO if held is None else Decimal(held)

    async def opened_ms(self, now_ms: int) -> int:
        """The venue's time at which these books were opened; `now_ms` when they are opened now."""
        with database_errors("be opened"):
            return int(
                await self._pool.fetchval(
                    "INSERT INTO books_state (key, value) VALUES ($1, $2) "
                    "ON CONFLICT (key) DO UPDATE SET value = books_state.value RETURNING value",
                    OPENED,
                    now_ms,
                )
            )

    async def snapshot(self, since_ms: int = 0, since_wall_ms: int = 0) -> Snapshot:
        """The ledger's side, from one snapshot of the database, without what is older (see `Snapshot.since`)."""
        place = (self._account.venue, self._account.name)
        with database_errors("be compared"):
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                orders = await connection.fetch(_ORDERS, *place, since_ms, since_wall_ms)
                fills = await connection.fetch(
                    "SELECT * FROM fills WHERE (venue, account) = ($1, $2) AND t_exchange_ms >= $3", *place, since_ms
                )
                held = await connection.fetch(
                    "SELECT symbol, quantity FROM positions WHERE (venue, account) = ($1, $2) AND quantity <> 0", *place
                )
                escaped = self._leg_prefix.replace("_", r"\_").replace("%", r"\%")
                balances = await connection.fetch(_BALANCES, self._cash_name, f"{escaped}%")
        return Snapshot(
            orders=tuple(map(_order_view, orders)),
            fills=tuple(map(_fill_view, fills)),
            positions={row["symbol"]: row["quantity"] for row in held},
            money={row["currency"]: row["held"] for row in balances if row["name"] == self._cash_name},
            legs={
                row["currency"]: row["held"] for row in balances if row["name"] != self._cash_name and row["held"] != 0
            },
        )

    async def keep_equity(self, point: EquityPoint) -> None:
        """Adds a point to the curve."""
        with database_errors("take an equity point"):
            await self._pool.execute(
                "INSERT INTO equity_curve (venue, account, currency, ts_ms, market_ts_ms, wallet, unrealized_pnl, equity, "
                "start_of_day, high_watermark) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
                point.venue,
                point.account,
                point.currency,
                point.ts_ms,
                point.market_ts_ms,
                point.wallet,
                point.unrealized_pnl,
                point.equity,
                point.start_of_day,
                point.high_watermark,
            )

    async def keep_truth(self, run: TruthRun) -> None:
        """Adds a pass and its differences, and the end of those that it no longer found."""
        with database_errors("take a truth pass"):
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "INSERT INTO truth_runs (truth_id, ts_ms, duration_ms, requested_by, venue, orders_compared, "
                    "fills_compared, differences, confidence, complete, error, policy_hash, evidence_sha256) "
                    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
                    run.truth_id,
                    run.ts_ms,
                    run.duration_ms,
                    run.requested_by,
                    run.venue,
                    run.orders_compared,
                    run.fills_compared,
                    len(run.drifts),
                    run.confidence,
                    run.complete,
                    run.error,
                    run.policy_hash,
                    run.evidence_sha256,
                )
                await rows.insert(
                    connection,
                    rows.TRUTH_DIFFERENCES,
                    (
                        (
                            run.truth_id,
                            line,
                            drift.kind.value,
                            drift.key,
                            drift.venue,
                            drift.journal,
                            drift.ledger,
                            drift.difference_id(self._account.venue, self._account.name),
                            drift.evidence,
                        )
                        for line, drift in enumerate(run.drifts)
                    ),
                )
                if run.complete and not run.venue_only:
                    await connection.execute(
                        _RESOLVE,
                        run.venue,
                        [drift.kind.value for drift in run.drifts],
                        [drift.key for drift in run.drifts],
                        f"the sides agree since pass {run.truth_id}",
                        run.ts_ms,
                    )


def _fill_view(row: Mapping[str, Any]) -> FillView:
    return fill_view(rows.fill(row))


def _order_view(row: Mapping[str, Any]) -> OrderView:
    return order_view(
        Order(
            client_order_id=ClientOrderId(row["client_order_id"]),
            intent_id=row["intent_id"],
            signal_id=row["signal_id"],
            child=row["child"],
            role=OrderRole(row["role"]),
            phase=Phase(row["phase"]) if row["phase"] else None,
            venue=row["venue"],
            account=row["account"],
            symbol=row["symbol"],
            side=Side(row["side"]),
            order_type=OrderType(row["order_type"]),
            quantity=row["quantity"],
            price=row["price"],
            trigger_price=row["trigger_price"],
            stop_price=None,
            target_price=None,
            reduce_only=row["reduce_only"],
            state=OrderState(row["state"]),
            venue_order_id=row["venue_order_id"],
            filled=row["filled_quantity"],
            average_price=row["average_price"],
            venue_ts_ms=row["venue_ts_ms"],
        ),
        row["updated_ms"],
    )
