"""The journal read as a story: orders with their approval, fills, trading states, terms.

Guarantees: reads rows of any writer of the same shapes; a row that can't be read is named, never skipped in silence.
Never: a judgement; those are in the invariants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

import orjson

from titan.journal.parents import parent_of
from titan.journal.rows import SNAPSHOT, StoredRow
from titan.model import OrderState, Side
from titan.money import ZERO, dec

Payload: TypeAlias = Mapping[str, str | int | bool]

NEW, ADOPT = "NEW", "ADOPT"


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One `order` row."""

    seq: int
    term: int
    ts_ms: int
    event: str
    client_order_id: str
    venue_order_id: str
    intent_id: str
    signal_id: str
    child: int
    venue: str
    role: str
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    reduce_only: bool
    state: OrderState
    decision_id: str
    policy_hash: str
    trading: str
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class FillRow:
    """One `fill` row."""

    seq: int
    venue_trade_id: str
    client_order_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    realized_pnl: Decimal


@dataclass(frozen=True, slots=True)
class FundingRow:
    """One `funding` row."""

    seq: int
    venue_trade_id: str
    symbol: str
    paid: Decimal


@dataclass(frozen=True, slots=True)
class WalletRow:
    """One `wallet` row; `previous` is None when there was no cash before it."""

    seq: int
    wallet: Decimal
    previous: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True)
class AdoptedPosition:
    """One `position` row: the venue's quantity taken over where executions explain another."""

    seq: int
    symbol: str
    quantity: Decimal
    previous: Decimal
    average_price: Decimal


@dataclass(frozen=True, slots=True)
class StartRow:
    """One `start` row: a router took a term."""

    seq: int
    term: int
    pid: int
    ts_ms: int


@dataclass(slots=True)
class Story:
    """Everything the rows say. `trading` of an order row is the state in force when it was written.

    `granted` says what an intent that is worked by several orders may trade of each symbol and side.

    `whole` is False when the rows begin with a snapshot: then what came before it is unknown, and what needs the whole
    history is not judged.
    """

    orders: list[OrderRow] = field(default_factory=list)
    fills: list[FillRow] = field(default_factory=list)
    fundings: list[FundingRow] = field(default_factory=list)
    wallets: list[WalletRow] = field(default_factory=list)
    adoptions: list[AdoptedPosition] = field(default_factory=list)
    starts: list[StartRow] = field(default_factory=list)
    rejected_signals: set[str] = field(default_factory=set)
    last: dict[str, OrderRow] = field(default_factory=dict)
    first: dict[str, OrderRow] = field(default_factory=dict)
    money_rows: list[FillRow | FundingRow | WalletRow | AdoptedPosition] = field(default_factory=list)
    granted: dict[tuple[str, str, Side], Decimal] = field(default_factory=dict)
    trading: str = "DISARMED"
    whole: bool = True
    unreadable: list[tuple[int, str]] = field(default_factory=list)


def read(rows: Iterable[StoredRow]) -> Story:
    """The story of a journal, oldest row first."""
    story = Story()
    for row in rows:
        if row.kind == SNAPSHOT:
            story.whole, story.trading = False, ""
            continue
        try:
            payload: Payload = orjson.loads(row.payload)
            _take(story, row, payload)
        except (ValueError, KeyError, TypeError) as error:
            story.unreadable.append((row.seq, f"{row.kind}: {error!r}"))
    return story


def _take(story: Story, row: StoredRow, payload: Payload) -> None:
    match row.kind:
        case "order":
            order = _order(row, payload, story.trading)
            story.orders.append(order)
            story.first.setdefault(order.client_order_id, order)
            story.last[order.client_order_id] = order
        case "fill":
            fill = _fill(row, payload)
            story.fills.append(fill)
            story.money_rows.append(fill)
        case "funding":
            funding = FundingRow(
                row.seq, _text(payload, "venue_trade_id"), _text(payload, "symbol"), _dec(payload, "paid")
            )
            story.fundings.append(funding)
            story.money_rows.append(funding)
        case "wallet":
            before = _text(payload, "previous")
            wallet = WalletRow(
                row.seq, _dec(payload, "wallet"), dec(before) if before else None, _text(payload, "reason")
            )
            story.wallets.append(wallet)
            story.money_rows.append(wallet)
        case "position":
            adopted = AdoptedPosition(
                row.seq,
                _text(payload, "symbol"),
                _dec(payload, "quantity"),
                _dec(payload, "previous_quantity"),
                _dec(payload, "average_price"),
            )
            story.adoptions.append(adopted)
            story.money_rows.append(adopted)
        case "trading":
            story.trading = _text(payload, "current")
        case "reject":
            story.rejected_signals.add(_text(payload, "signal_id"))
        case "parent":
            parent = parent_of(payload)
            for leg in parent.legs:
                story.granted.setdefault((parent.intent.intent_id, leg.symbol, leg.side), leg.quantity)
        case "start":
            story.starts.append(StartRow(row.seq, row.term, int(payload.get("pid", 0)), row.ts_ms))
        case _:
            pass


def _order(row: StoredRow, payload: Payload, trading: str) -> OrderRow:
    return OrderRow(
        seq=row.seq,
        term=row.term,
        ts_ms=row.ts_ms,
        event=_text(payload, "event"),
        client_order_id=_text(payload, "client_order_id"),
        venue_order_id=_text(payload, "venue_order_id"),
        intent_id=_text(payload, "intent_id"),
        signal_id=_text(payload, "signal_id"),
        child=int(payload["child"]),
        venue=_text(payload, "venue"),
        role=_text(payload, "role"),
        symbol=_text(payload, "symbol"),
        side=Side(_text(payload, "side")),
        quantity=_dec(payload, "quantity"),
        filled=_dec(payload, "filled"),
        reduce_only=bool(payload["reduce_only"]),
        state=OrderState(_text(payload, "state")),
        decision_id=str(payload.get("approved_decision_id", "")),
        policy_hash=str(payload.get("approved_policy_hash", "")),
        trading=trading,
        replaces=str(payload.get("replaces", "")),
    )


def _fill(row: StoredRow, payload: Payload) -> FillRow:
    symbol, currency = _text(payload, "symbol"), _text(payload, "fee_currency")
    price, fee = _dec(payload, "price"), _dec(payload, "fee")
    return FillRow(
        seq=row.seq,
        venue_trade_id=_text(payload, "venue_trade_id"),
        client_order_id=_text(payload, "client_order_id"),
        symbol=symbol,
        side=Side(_text(payload, "side")),
        price=price,
        quantity=_dec(payload, "quantity"),
        # A fee in the coin that a spot pair trades is valued at the fill's price, as the books do.
        fee=fee * price if currency and currency == symbol.partition("/")[0] else fee,
        realized_pnl=_dec(payload, "realized_pnl"),
    )


def _text(payload: Payload, name: str) -> str:
    return str(payload[name])


def _dec(payload: Payload, name: str) -> Decimal:
    value = payload[name]
    return ZERO if value == "" else dec(str(value))
