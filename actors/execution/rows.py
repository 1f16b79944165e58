"""Tables and the values that go into them; one place that knows the columns.

Guarantees: a number that the columns can't hold exactly is refused, unless it is an average or a profit, which is
rounded to 18 places openly. Never: a statement that can change a row by accident: what to do on conflict is part of
the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from actors.execution.holdings import Holding, Instrument, RoundTrip, Trip
from actors.execution.ledger import exact, rounded
from actors.execution.news import Adoption, DecisionNews, OrderNews
from titan.ids import ClientOrderId
from titan.model import Fill, OrderRole, Phase, Side

Values = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its columns with their types (`name type`), and what happens to a row that is there already."""

    name: str
    columns: str
    conflict: str

    def statement(self, returning: str) -> str:
        """INSERT of any number of rows, one array a column."""
        pairs = [column.split() for column in self.columns.split(",")]
        names = ", ".join(name for name, _ in pairs)
        # jsonb has no array form in the driver: it travels as text.
        picked = ", ".join(f"u.{name}::{kind}" for name, kind in pairs)
        arrays = ", ".join(
            f"${number}::{'text' if kind == 'jsonb' else kind}[]" for number, (_, kind) in enumerate(pairs, start=1)
        )
        statement = (
            f"INSERT INTO {self.name} ({names}) SELECT {picked} FROM unnest({arrays}) AS u ({names}) {self.conflict}"
        )
        return f"{statement} RETURNING {returning}" if returning else statement


async def insert(
    connection: asyncpg.Connection, table: Table, values: Iterable[Values], returning: str = ""
) -> list[Mapping[str, Any]]:
    """Inserts rows in one statement; returns what was asked for of the rows that were really written."""
    held = list(values)
    if not held:
        return []
    found: list[Mapping[str, Any]] = await connection.fetch(
        table.statement(returning), *map(list, zip(*held, strict=True))
    )
    return found


ORDERS = Table(
    "orders",
    "venue text, account text, client_order_id text, venue_order_id text, intent_id text, signal_id text, child int, "
    "role text, phase text, symbol text, side text, order_type text, quantity numeric, price numeric, "
    "trigger_price numeric, reduce_only bool, state text, filled_quantity numeric, average_price numeric, code text, "
    "detail text, term bigint, journal_seq bigint, first_ms bigint, updated_ms bigint, venue_ts_ms bigint",
    "ON CONFLICT (venue, account, client_order_id) DO UPDATE SET "
    "venue_order_id = coalesce(nullif(excluded.venue_order_id, ''), orders.venue_order_id), "
    "intent_id = excluded.intent_id, signal_id = excluded.signal_id, child = excluded.child, role = excluded.role, "
    "phase = excluded.phase, quantity = excluded.quantity, price = excluded.price, "
    "trigger_price = excluded.trigger_price, reduce_only = excluded.reduce_only, state = excluded.state, "
    "filled_quantity = excluded.filled_quantity, average_price = excluded.average_price, code = excluded.code, "
    "detail = excluded.detail, term = excluded.term, journal_seq = excluded.journal_seq, "
    "updated_ms = excluded.updated_ms, venue_ts_ms = excluded.venue_ts_ms "
    "WHERE (orders.term, orders.journal_seq) < (excluded.term, excluded.journal_seq)",
)
ORDER_EVENTS = Table(
    "order_events",
    "term bigint, journal_seq bigint, venue text, account text, client_order_id text, venue_order_id text, state text, "
    "filled_quantity numeric, average_price numeric, code text, detail text, ts_ms bigint, venue_ts_ms bigint",
    "ON CONFLICT DO NOTHING",
)
FILLS = Table(
    "fills",
    "fill_id text, venue_trade_id text, venue text, account text, client_order_id text, venue_order_id text, "
    "intent_id text, signal_id text, role text, phase text, symbol text, side text, price numeric, quantity numeric, "
    "fee numeric, fee_currency text, maker bool, realized_pnl numeric, t_exchange_ms bigint, t_ingress_ms bigint, "
    "journal_seq bigint, term bigint",
    "ON CONFLICT (fill_id) DO NOTHING",
)
ADOPTIONS = Table(
    "adoptions",
    "term bigint, journal_seq bigint, venue text, account text, symbol text, quantity numeric, average_price numeric, "
    "previous_quantity numeric, reason text, ts_ms bigint",
    "ON CONFLICT (term, journal_seq) DO NOTHING",
)
POSITIONS = Table(
    "positions",
    "venue text, account text, symbol text, quantity numeric, average_price numeric, realized_pnl numeric, "
    "fees numeric, funding numeric, last_seq bigint, updated_ms bigint, trip_phase text, trip_opened_ms bigint, "
    "trip_entry_quantity numeric, trip_entry_value numeric, trip_exit_quantity numeric, trip_exit_value numeric, "
    "trip_pnl numeric, trip_fees numeric",
    "ON CONFLICT (venue, account, symbol) DO UPDATE SET quantity = excluded.quantity, "
    "average_price = excluded.average_price, realized_pnl = excluded.realized_pnl, fees = excluded.fees, "
    "funding = excluded.funding, last_seq = excluded.last_seq, updated_ms = excluded.updated_ms, "
    "trip_phase = excluded.trip_phase, trip_opened_ms = excluded.trip_opened_ms, "
    "trip_entry_quantity = excluded.trip_entry_quantity, trip_entry_value = excluded.trip_entry_value, "
    "trip_exit_quantity = excluded.trip_exit_quantity, trip_exit_value = excluded.trip_exit_value, "
    "trip_pnl = excluded.trip_pnl, trip_fees = excluded.trip_fees",
)
ROUND_TRIPS = Table(
    "round_trips",
    "closing_fill_id text, venue text, account text, symbol text, phase text, side text, quantity numeric, "
    "entry_price numeric, exit_price numeric, realized_pnl numeric, fees numeric, opened_ms bigint, closed_ms bigint",
    "ON CONFLICT (closing_fill_id) DO NOTHING",
)
LEDGER_ACCOUNTS = Table(
    "ledger_accounts", "name text, type text, currency text", "ON CONFLICT (name, currency) DO NOTHING"
)
LEDGER_TRANSACTIONS = Table(
    "ledger_transactions",
    "correlation_id text, event_type text, description text, posted_ms bigint",
    "ON CONFLICT (correlation_id) DO NOTHING",
)
LEDGER_ENTRIES = Table(
    "ledger_entries", "tx_id bigint, line smallint, account_id bigint, direction smallint, amount numeric", ""
)
DECISIONS = Table(
    "brain_decisions",
    "decision_id text, signal_id text, phase text, symbol text, side text, action text, approved bool, code text, "
    "reason text, requested_size_usd numeric, authorized_size_usd numeric, weight_scavenger float8, "
    "weight_hunter float8, weight_sentinel float8, current_leverage float8, projected_leverage float8, "
    "trap_type text, policy_hash text, decision_ms float8, ts_ms bigint",
    "ON CONFLICT (decision_id) DO NOTHING",
)
REJECTS = Table(
    "rejects",
    "reject_id text, intent_id text, signal_id text, symbol text, code text, detail text, ts_ms bigint",
    "ON CONFLICT (reject_id) DO NOTHING",
)
ALERTS = Table(
    "alerts",
    "event_id text, code text, severity text, source text, message text, labels jsonb, ts_ms bigint",
    "ON CONFLICT (event_id) DO NOTHING",
)
AUDIT_EVENTS = Table(
    "audit_events",
    "event_id text, kind text, actor text, summary text, detail jsonb, ts_ms bigint",
    "ON CONFLICT (event_id, ts_ms) DO NOTHING",
)

TRUTH_DIFFERENCES = Table(
    "truth_differences",
    "truth_id text, line int, kind text, key text, venue_value text, journal_value text, ledger_value text, "
    "difference_id text, evidence_sha256 text",
    "ON CONFLICT DO NOTHING",
)


def _optional(value: Decimal | None, what: str) -> Decimal | None:
    return None if value is None else exact(value, what)


def order_values(news: OrderNews, first_ms: int) -> Values:
    """A row of `orders`. Raises ValueError."""
    order = news.order
    return (
        order.venue,
        order.account,
        order.client_order_id,
        order.venue_order_id,
        order.intent_id,
        order.signal_id,
        order.child,
        order.role.value,
        order.phase.value if order.phase is not None else "",
        order.symbol,
        order.side.value,
        order.order_type.value,
        exact(order.quantity, "quantity"),
        _optional(order.price, "price"),
        _optional(order.trigger_price, "trigger price"),
        order.reduce_only,
        order.state.value,
        exact(order.filled, "filled quantity"),
        rounded(order.average_price),
        order.code.value,
        order.detail,
        news.term,
        news.seq,
        first_ms,
        news.ts_ms,
        order.venue_ts_ms,
    )


def order_event_values(news: OrderNews) -> Values:
    """A row of `order_events`. Raises ValueError."""
    order = news.order
    return (
        news.term,
        news.seq,
        order.venue,
        order.account,
        order.client_order_id,
        order.venue_order_id,
        order.state.value,
        exact(order.filled, "filled quantity"),
        rounded(order.average_price),
        order.code.value,
        order.detail,
        news.ts_ms,
        order.venue_ts_ms,
    )


def fill_values(fill: Fill) -> Values:
    """A row of `fills`. Raises ValueError."""
    return (
        fill.fill_id,
        fill.venue_trade_id,
        fill.venue,
        fill.account,
        fill.client_order_id,
        fill.venue_order_id,
        fill.intent_id,
        fill.signal_id,
        fill.role.value,
        fill.phase.value if fill.phase is not None else "",
        fill.symbol,
        fill.side.value,
        exact(fill.price, "price"),
        exact(fill.quantity, "quantity"),
        exact(fill.fee, "fee"),
        fill.fee_currency,
        fill.maker,
        rounded(fill.realized_pnl),
        fill.t_exchange_ms,
        fill.t_ingress_ms,
        fill.journal_seq,
        fill.term,
    )


def fill(row: Mapping[str, Any]) -> Fill:
    """The fill that a row holds."""
    return Fill(
        fill_id=row["fill_id"],
        venue_trade_id=row["venue_trade_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        venue_order_id=row["venue_order_id"],
        venue=row["venue"],
        account=row["account"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        price=row["price"],
        quantity=row["quantity"],
        fee=row["fee"],
        fee_currency=row["fee_currency"],
        maker=row["maker"],
        t_exchange_ms=row["t_exchange_ms"],
        intent_id=row["intent_id"],
        signal_id=row["signal_id"],
        phase=Phase(row["phase"]) if row["phase"] else None,
        role=OrderRole(row["role"]),
        t_ingress_ms=row["t_ingress_ms"],
        journal_seq=row["journal_seq"],
        term=row["term"],
        realized_pnl=row["realized_pnl"],
    )


def adoption_values(news: Adoption) -> Values:
    """A row of `adoptions`. Raises ValueError."""
    return (
        news.term,
        news.seq,
        news.venue,
        news.account,
        news.symbol,
        exact(news.quantity, "position"),
        rounded(news.average_price),
        exact(news.previous_quantity, "position"),
        news.reason,
        news.ts_ms,
    )


def adoption(row: Mapping[str, Any]) -> Adoption:
    """The adoption that a row holds."""
    return Adoption(
        venue=row["venue"],
        account=row["account"],
        symbol=row["symbol"],
        quantity=row["quantity"],
        average_price=row["average_price"],
        previous_quantity=row["previous_quantity"],
        reason=row["reason"],
        term=row["term"],
        seq=row["journal_seq"],
        ts_ms=row["ts_ms"],
    )


def position_values(holding: Holding) -> Values:
    """A row of `positions`. Raises ValueError."""
    trip = holding.trip
    return (
        holding.instrument.venue,
        holding.instrument.account,
        holding.instrument.symbol,
        exact(holding.quantity, "position"),
        holding.average_price,
        holding.realized_pnl,
        holding.fees,
        holding.funding,
        holding.last_seq,
        holding.updated_ms,
        trip.phase,
        trip.opened_ms,
        trip.entry_quantity,
        trip.entry_value,
        trip.exit_quantity,
        trip.exit_value,
        trip.pnl,
        trip.fees,
    )


def holding(row: Mapping[str, Any]) -> Holding:
    """The holding that a row of `positions` keeps."""
    return Holding(
        instrument=Instrument(row["venue"], row["account"], row["symbol"]),
        quantity=row["quantity"],
        average_price=row["average_price"],
        realized_pnl=row["realized_pnl"],
        fees=row["fees"],
        funding=row["funding"],
        last_seq=row["last_seq"],
        updated_ms=row["updated_ms"],
        trip=Trip(
            phase=row["trip_phase"],
            opened_ms=row["trip_opened_ms"],
            entry_quantity=row["trip_entry_quantity"],
            entry_value=row["trip_entry_value"],
            exit_quantity=row["trip_exit_quantity"],
            exit_value=row["trip_exit_value"],
            pnl=row["trip_pnl"],
            fees=row["trip_fees"],
        ),
    )


def round_trip_values(trip: RoundTrip) -> Values:
    """A row of `round_trips`."""
    return (
        trip.closing_fill_id,
        trip.instrument.venue,
        trip.instrument.account,
        trip.instrument.symbol,
        trip.phase,
        trip.side.value,
        trip.quantity,
        trip.entry_price,
        trip.exit_price,
        trip.realized_pnl,
        trip.fees,
        trip.opened_ms,
        trip.closed_ms,
    )


def decision_values(news: DecisionNews) -> Values:
    """A row of `brain_decisions`."""
    return (
        news.decision_id,
        news.signal_id,
        news.phase,
        news.symbol,
        news.side,
        news.action,
        news.approved,
        news.code,
        news.reason,
        rounded(news.requested_size_usd),
        rounded(news.authorized_size_usd),
        news.weight_scavenger,
        news.weight_hunter,
        news.weight_sentinel,
        news.current_leverage,
        news.projected_leverage,
        news.trap_type,
        news.policy_hash,
        news.decision_ms,
        news.ts_ms,
    )
