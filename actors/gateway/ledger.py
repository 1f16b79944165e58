"""The ledger as the gateway reads it: rows of PostgreSQL as messages, over a read-only pool opened on first use.

Guarantees: PostgreSQL away is Transient for the caller and `degraded` in health; order flow never notices.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from actors.gateway.core import LedgerCounters
from protos import brain_pb2, trading_pb2
from titan import codec
from titan.actor import Component
from titan.errors import Transient
from titan.ledger_access import LedgerLogin
from titan.model import Action, OrderRole, OrderState, OrderType, Phase, Side
from titan.money import text_of
from titan.store import connect, queries


def _phase(name: str) -> trading_pb2.Phase.ValueType:
    return codec.PHASE_TO_PB[Phase(name)] if name else trading_pb2.PHASE_UNSPECIFIED


def order_message(row: queries.OrderRow) -> trading_pb2.OrderEvent:
    """One order row as a message."""
    return trading_pb2.OrderEvent(
        journal_seq=row.journal_seq,
        term=row.term,
        client_order_id=row.client_order_id,
        venue_order_id=row.venue_order_id,
        intent_id=row.intent_id,
        signal_id=row.signal_id,
        role=codec.ROLE_TO_PB[OrderRole(row.role)],
        phase=_phase(row.phase),
        venue=row.venue,
        account=row.account,
        symbol=row.symbol,
        side=codec.SIDE_TO_PB[Side(row.side)],
        order_type=codec.ORDER_TYPE_TO_PB[OrderType(row.order_type)],
        quantity=text_of(row.quantity),
        price=text_of(row.price),
        trigger_price=text_of(row.trigger_price),
        reduce_only=row.reduce_only,
        state=codec.ORDER_STATE_TO_PB[OrderState(row.state)],
        filled_quantity=text_of(row.filled_quantity),
        average_price=text_of(row.average_price),
        code=row.code,
        detail=row.detail,
        ts_ms=row.updated_ms,
    )


def fill_message(row: queries.TradeRow) -> trading_pb2.Fill:
    """One fill row as a message."""
    return trading_pb2.Fill(
        fill_id=row.fill_id,
        venue_trade_id=row.venue_trade_id,
        client_order_id=row.client_order_id,
        intent_id=row.intent_id,
        signal_id=row.signal_id,
        phase=_phase(row.phase),
        role=codec.ROLE_TO_PB[OrderRole(row.role)],
        venue=row.venue,
        account=row.account,
        symbol=row.symbol,
        side=codec.SIDE_TO_PB[Side(row.side)],
        price=text_of(row.price),
        quantity=text_of(row.quantity),
        fee=text_of(row.fee),
        fee_currency=row.fee_currency,
        maker=row.maker,
        realized_pnl=text_of(row.realized_pnl),
        t_exchange_ms=row.t_exchange_ms,
        journal_seq=row.journal_seq,
    )


def decision_message(row: queries.DecisionRow) -> brain_pb2.Decision:
    """One decision row as a message."""
    return brain_pb2.Decision(
        decision_id=row.decision_id,
        signal_id=row.signal_id,
        phase=_phase(row.phase),
        symbol=row.symbol,
        side=codec.SIDE_TO_PB[Side(row.side)] if row.side else trading_pb2.SIDE_UNSPECIFIED,
        action=codec.ACTION_TO_PB[Action(row.action)] if row.action else trading_pb2.SIGNAL_ACTION_UNSPECIFIED,
        approved=row.approved,
        code=row.code,
        reason=row.reason,
        requested_size_usd=text_of(row.requested_size_usd),
        authorized_size_usd=text_of(row.authorized_size_usd),
        trap_type=row.trap_type,
        decision_ms=row.decision_ms,
        ts_ms=row.ts_ms,
    )


@contextmanager
def _migrated() -> Iterator[None]:
    """The guardian makes the tables and the rights on them; until then the ledger is away, not broken."""
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError) as error:
        raise Transient(f"the ledger is not set up yet: {error}") from error


class PostgresLedger:
    """Reads the ledger; opens its pool when first asked and again after a failure."""

    def __init__(self, login: LedgerLogin) -> None:
        self._login = login
        self._pool: asyncpg.Pool | None = None
        self._answered_ms = 0
        self._error = "not asked yet"

    async def _ready(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = await connect(self._login, application="titan-gateway", max_size=2, read_only=True)
        return self._pool

    def _note(self, error: Transient | None) -> None:
        if error is None:
            self._answered_ms, self._error = time.time_ns() // 1_000_000, ""
        else:
            self._error = str(error)

    async def orders(self, limit: int, *, open_only: bool) -> list[trading_pb2.OrderEvent]:
        """Orders, newest first. Raises Transient."""
        with _migrated():
            rows = await queries.list_orders(await self._ready(), limit, live_only=open_only)
        return [order_message(row) for row in rows]

    async def trades(self, date: str, limit: int) -> list[trading_pb2.Fill]:
        """Fills, newest first. Raises ValueError for a date that is none, Transient."""
        day = dt.date.fromisoformat(date) if date else None
        with _migrated():
            return [fill_message(row) for row in await queries.list_trades(await self._ready(), limit, date=day)]

    async def decisions(self, limit: int) -> list[brain_pb2.Decision]:
        """Decisions, newest first. Raises Transient."""
        with _migrated():
            return [decision_message(row) for row in await queries.list_decisions(await self._ready(), limit)]

    async def counters(self) -> LedgerCounters:
        """Totals of the books. Raises Transient."""
        try:
            with _migrated():
                sums = await queries.counters(await self._ready())
        except Transient as error:
            self._note(error)
            raise
        self._note(None)
        return LedgerCounters(
            decisions=dict(sums.decisions),
            orders=sums.orders,
            fills=sums.fills,
            round_trips=sums.round_trips,
            fees_usd=text_of(sums.fees),
            pnl_usd=text_of(sums.realized_pnl),
            as_of_ms=self._answered_ms,
        )

    def component(self) -> Component:
        """The ledger's line in health."""
        age_ms = max(0, time.time_ns() // 1_000_000 - self._answered_ms) if self._answered_ms else 0
        return Component("degraded" if self._error else "healthy", self._error or "answers", age_ms)

    async def close(self) -> None:
        """Gives the connections back."""
        if self._pool is not None:
            await self._pool.close()
