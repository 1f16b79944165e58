"""What the journal's rows say: their kinds, and the one decoder of their canonical JSON into typed values.

Kinds: `start` (a router took a term), `order` (one order after one event; the first carries the intent that approved
it), `parent` (an intent that is worked by several orders, after one event), `fill`, `funding`, `reject` (an intent that
became no order), `trading` (trading state), `wallet` (cash as the venue told it), `position` (a position adopted from the
venue), `day` (start of day and high watermark), `snapshot` (what all rows before it made; the first row of a compacted
journal).
Guarantees: any bytes give a value or one ValueError that names the row; numbers are exact decimals, written as text; a
key that a newer Titan adds is passed over, one that is missing or of a wrong type is refused. The version is
`titan.journal.rows.FORMAT`. Never: I/O, a float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import orjson

from titan.codes import RejectCode, TradingState
from titan.ids import ClientOrderId
from titan.journal.fields import Payload, Scalar
from titan.journal.fields import flag as _flag
from titan.journal.fields import items as _list
from titan.journal.fields import maybe as _maybe
from titan.journal.fields import members as _object
from titan.journal.fields import number as _number
from titan.journal.fields import text as _text
from titan.journal.fields import whole as _whole
from titan.journal.parents import parent_of
from titan.journal.rows import SEAL_BYTES, SNAPSHOT
from titan.journal.values import (
    Approval,
    Content,
    DayRow,
    FillRow,
    FundingRow,
    OrderRow,
    ParentRow,
    PositionRow,
    RejectRow,
    SnapshotRow,
    StartRow,
    TradingRow,
    WalletRow,
)
from titan.model import Fill, Order, OrderRole, OrderState, OrderType, Phase, Position, Side, Target, Terms
from titan.money import dec, text_of

START = "start"
ORDER = "order"
PARENT = "parent"
FILL = "fill"
FUNDING = "funding"
REJECT = "reject"
TRADING = "trading"
WALLET = "wallet"
POSITION = "position"
DAY = "day"


class AnyRow(Protocol):
    """A row of the file (`StoredRow`) or of the wire (`JournalRow`)."""

    @property
    def seq(self) -> int:
        """Place in the journal, from 1."""

    @property
    def term(self) -> int:
        """The writer's fencing term."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""

    @property
    def payload(self) -> bytes:
        """Canonical JSON."""

    @property
    def ts_ms(self) -> int:
        """Wall time of the writing."""


def parse(row: AnyRow) -> Content:
    """What a row says. Raises ValueError, which names the row, for one that is unreadable or of an unknown kind."""
    reader = _READERS.get(row.kind)
    if reader is None:
        raise ValueError(f"journal row {row.seq} is of unknown kind {row.kind!r}; a newer Titan wrote it")
    try:
        return reader(row, decode(row.payload[SEAL_BYTES:] if row.kind == SNAPSHOT else row.payload))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"journal row {row.seq} ({row.kind}) can't be read: {error!r}") from error


def decode(payload: bytes) -> dict[str, Scalar]:
    """The fields of a row. Raises ValueError for anything but one JSON object."""
    loaded: dict[str, Scalar] = orjson.loads(payload)
    if not isinstance(loaded, dict):
        raise ValueError(f"a row's payload is a JSON object, got {type(loaded).__name__}")  # noqa: TRY004 - as for no JSON
    return loaded


def order_of(payload: Payload) -> Order:
    """The order of an `order` row. Raises ValueError or KeyError for a row that is none."""
    text, whole, number = _text, _whole, _number
    phase = text(payload, "phase")
    return Order(
        client_order_id=ClientOrderId(text(payload, "client_order_id")),
        intent_id=text(payload, "intent_id"),
        signal_id=text(payload, "signal_id"),
        child=whole(payload, "child"),
        role=OrderRole(text(payload, "role")),
        phase=Phase(phase) if phase else None,
        venue=text(payload, "venue"),
        account=text(payload, "account"),
        symbol=text(payload, "symbol"),
        side=Side(text(payload, "side")),
        order_type=OrderType(text(payload, "order_type")),
        quantity=number(payload, "quantity"),
        price=_maybe(payload, "price"),
        trigger_price=_maybe(payload, "trigger_price"),
        stop_price=_maybe(payload, "stop_price"),
        target_price=_maybe(payload, "target_price"),
        reduce_only=_flag(payload, "reduce_only"),
        state=OrderState(text(payload, "state")),
        venue_order_id=text(payload, "venue_order_id"),
        filled=number(payload, "filled"),
        average_price=number(payload, "average_price"),
        code=RejectCode(text(payload, "code")),
        detail=text(payload, "detail"),
        created_ms=whole(payload, "created_ms"),
        updated_ms=whole(payload, "updated_ms"),
        venue_ts_ms=whole(payload, "venue_ts_ms"),
        terms=_terms(payload) if "leg" in payload else None,
    )


def _terms(payload: Payload) -> Terms:
    """The terms of an order that has some; other orders' rows have none of these keys."""
    return Terms(
        trigger_price=None,
        trail=_maybe(payload, "trail"),
        expires_ms=_whole(payload, "expires_ms"),
        targets=targets_of(_text(payload, "targets")),
        leg=_whole(payload, "leg"),
        replaces=_text(payload, "replaces"),
    )


def targets_text(targets: tuple[Target, ...]) -> str:
    """Targets as text: `price:share`, with `:market` behind it for a market order, separated by blanks."""
    return " ".join(
        f"{text_of(each.price)}:{text_of(each.share)}{':market' if each.market else ''}" for each in targets
    )


def targets_of(text: str) -> tuple[Target, ...]:
    """What `targets_text` wrote. Raises ValueError."""
    found = []
    for each in text.split():
        price, share, *market = each.split(":")
        if market not in ([], ["market"]):
            raise ValueError(f"a target is price:share or price:share:market, got {each!r}")
        found.append(Target(dec(price), dec(share), bool(market)))
    return tuple(found)


def fill_of(payload: Payload, seq: int = 0, term: int = 0) -> Fill:
    """The fill of a `fill` row. Raises ValueError or KeyError for a row that is none."""
    text, whole, number = _text, _whole, _number
    phase = text(payload, "phase")
    return Fill(
        fill_id=text(payload, "fill_id"),
        venue_trade_id=text(payload, "venue_trade_id"),
        client_order_id=ClientOrderId(text(payload, "client_order_id")),
        venue_order_id=text(payload, "venue_order_id"),
        venue=text(payload, "venue"),
        account=text(payload, "account"),
        symbol=text(payload, "symbol"),
        side=Side(text(payload, "side")),
        price=number(payload, "price"),
        quantity=number(payload, "quantity"),
        fee=number(payload, "fee"),
        fee_currency=text(payload, "fee_currency"),
        maker=_flag(payload, "maker"),
        t_exchange_ms=whole(payload, "t_exchange_ms"),
        intent_id=text(payload, "intent_id"),
        signal_id=text(payload, "signal_id"),
        phase=Phase(phase) if phase else None,
        role=OrderRole(text(payload, "role")),
        t_ingress_ms=whole(payload, "t_ingress_ms"),
        journal_seq=seq,
        term=term,
        realized_pnl=number(payload, "realized_pnl"),
    )


def _start(_: AnyRow, payload: Payload) -> StartRow:
    return StartRow(
        venue=_text(payload, "venue"),
        account=_text(payload, "account"),
        policy_hash=_text(payload, "policy_hash"),
        pid=_whole(payload, "pid"),
        started_ms=_whole(payload, "started_ms"),
        ts_ms=_whole(payload, "ts_ms"),
    )


def _order(_: AnyRow, payload: Payload) -> OrderRow:
    approval = None
    if "approved_decision_id" in payload:
        approval = Approval(
            decision_id=_text(payload, "approved_decision_id"),
            policy_hash=_text(payload, "approved_policy_hash"),
            size_usd=_number(payload, "approved_size_usd"),
            leverage=_number(payload, "approved_leverage"),
            reference_price=_maybe(payload, "approved_reference_price"),
            t_decision_ms=_whole(payload, "approved_t_decision_ms"),
            t_signal_ms=_whole(payload, "approved_t_signal_ms"),
            trap_type=_text(payload, "approved_trap_type"),
        )
    return OrderRow(order_of(payload), _text(payload, "event"), _whole(payload, "ts_ms"), approval)


def _fill(row: AnyRow, payload: Payload) -> FillRow:
    return FillRow(fill_of(payload, row.seq, row.term), _whole(payload, "ts_ms"))


def _parent(_: AnyRow, payload: Payload) -> ParentRow:
    return parent_of(payload)


def _funding(_: AnyRow, payload: Payload) -> FundingRow:
    return FundingRow(
        fill_id=_text(payload, "fill_id"),
        venue_trade_id=_text(payload, "venue_trade_id"),
        venue=_text(payload, "venue"),
        account=_text(payload, "account"),
        symbol=_text(payload, "symbol"),
        paid=_number(payload, "paid"),
        price=_number(payload, "price"),
        quantity=_number(payload, "quantity"),
        t_exchange_ms=_whole(payload, "t_exchange_ms"),
        ts_ms=_whole(payload, "ts_ms"),
    )


def _reject(_: AnyRow, payload: Payload) -> RejectRow:
    return RejectRow(
        intent_id=_text(payload, "intent_id"),
        signal_id=_text(payload, "signal_id"),
        symbol=_text(payload, "symbol"),
        phase=_text(payload, "phase"),
        side=_text(payload, "side"),
        code=_text(payload, "code"),
        detail=_text(payload, "detail"),
        expected_policy_hash=_text(payload, "expected_policy_hash"),
        got_policy_hash=_text(payload, "got_policy_hash"),
        ts_ms=_whole(payload, "ts_ms"),
    )


def _trading(_: AnyRow, payload: Payload) -> TradingRow:
    return TradingRow(
        current=TradingState(_text(payload, "current")),
        previous=TradingState(_text(payload, "previous")),
        resume_to=TradingState(_text(payload, "resume_to")),
        reason=_text(payload, "reason"),
        operator_id=_text(payload, "operator_id"),
        run_started_ms=_whole(payload, "run_started_ms"),
        ts_ms=_whole(payload, "ts_ms"),
    )


def _wallet(_: AnyRow, payload: Payload) -> WalletRow:
    return WalletRow(
        currency=_text(payload, "currency"),
        wallet=_number(payload, "wallet"),
        previous=_maybe(payload, "previous"),
        reason=_text(payload, "reason"),
        ts_ms=_whole(payload, "ts_ms"),
    )


def _position(_: AnyRow, payload: Payload) -> PositionRow:
    return PositionRow(
        venue=_text(payload, "venue"),
        account=_text(payload, "account"),
        symbol=_text(payload, "symbol"),
        quantity=_number(payload, "quantity"),
        average_price=_number(payload, "average_price"),
        previous_quantity=_number(payload, "previous_quantity"),
        previous_average_price=_number(payload, "previous_average_price"),
        reason=_text(payload, "reason"),
        ts_ms=_whole(payload, "ts_ms"),
    )


def _day(_: AnyRow, payload: Payload) -> DayRow:
    return DayRow(
        day=_text(payload, "day"),
        start_of_day=_number(payload, "start_of_day"),
        high_watermark=_number(payload, "high_watermark"),
        ts_ms=_whole(payload, "ts_ms"),
    )


def _snapshot(_: AnyRow, payload: Payload) -> SnapshotRow:
    return SnapshotRow(
        venue=_text(payload, "venue"),
        account=_text(payload, "account"),
        currency=_text(payload, "currency"),
        cash=_maybe(payload, "cash"),
        day=_text(payload, "day"),
        start_of_day=_number(payload, "start_of_day"),
        high_watermark=_number(payload, "high_watermark"),
        trading=TradingState(_text(payload, "trading")),
        trading_reason=_text(payload, "trading_reason"),
        trading_by=_text(payload, "trading_by"),
        resume_to=TradingState(_text(payload, "resume_to")),
        run_started_ms=_whole(payload, "run_started_ms"),
        cursor_ms=_whole(payload, "cursor_ms"),
        finished=_whole(payload, "finished"),
        filled=_whole(payload, "filled"),
        positions=tuple(map(_held, _list(payload, "positions"))),
        orders=tuple(map(order_of, _list(payload, "orders"))),
        traded={key: _number(each, key) for each in (_object(payload, "traded"),) for key in each},
        last_entry={key: _text(each, key) for each in (_object(payload, "last_entry"),) for key in each},
        parents=tuple(map(parent_of, _list(payload, "parents"))) if "parents" in payload else (),
    )


def _held(payload: Payload) -> Position:
    return Position(
        venue=_text(payload, "venue"),
        account=_text(payload, "account"),
        symbol=_text(payload, "symbol"),
        quantity=_number(payload, "quantity"),
        average_price=_number(payload, "average_price"),
        realized_pnl=_number(payload, "realized_pnl"),
        fees=_number(payload, "fees"),
        funding=_number(payload, "funding"),
        stop_price=_maybe(payload, "stop_price"),
        target_price=_maybe(payload, "target_price"),
        updated_ms=_whole(payload, "updated_ms"),
    )


_READERS: Mapping[str, Callable[[AnyRow, Payload], Content]] = {
    START: _start,
    ORDER: _order,
    PARENT: _parent,
    FILL: _fill,
    FUNDING: _funding,
    REJECT: _reject,
    TRADING: _trading,
    WALLET: _wallet,
    POSITION: _position,
    DAY: _day,
    SNAPSHOT: _snapshot,
}
KINDS = frozenset(_READERS)
