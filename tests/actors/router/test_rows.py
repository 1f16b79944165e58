"""What the router writes decodes to what it meant."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.router import rows
from tests.actors.router.support import intent
from titan.codes import RejectCode
from titan.ids import ClientOrderId
from titan.journal.format import parse
from titan.journal.rows import StoredRow
from titan.journal.values import FillRow, OrderRow, PositionRow
from titan.model import Fill, Order, OrderRole, OrderState, OrderType, Phase, Position, Side

_words = st.text(max_size=12)
_ms = st.integers(0, 2**53)
_decimals = st.decimals(
    min_value=Decimal("-1e12"), max_value=Decimal("1e12"), allow_nan=False, allow_infinity=False, places=12
)
_maybe = st.none() | _decimals
_ids = st.builds(ClientOrderId, _words)
_orders = st.builds(
    Order,
    client_order_id=_ids,
    intent_id=_words,
    signal_id=_words,
    child=st.integers(0, 9),
    role=st.sampled_from(OrderRole),
    phase=st.none() | st.sampled_from(Phase),
    venue=_words,
    account=_words,
    symbol=_words,
    side=st.sampled_from(Side),
    order_type=st.sampled_from(OrderType),
    quantity=_decimals,
    price=_maybe,
    trigger_price=_maybe,
    stop_price=_maybe,
    target_price=_maybe,
    reduce_only=st.booleans(),
    state=st.sampled_from(OrderState),
    venue_order_id=_words,
    filled=_decimals,
    average_price=_decimals,
    code=st.sampled_from(RejectCode),
    detail=_words,
    created_ms=_ms,
    updated_ms=_ms,
    venue_ts_ms=_ms,
)
_fills = st.builds(
    Fill,
    fill_id=_words,
    venue_trade_id=_words,
    client_order_id=_ids,
    venue_order_id=_words,
    venue=_words,
    account=_words,
    symbol=_words,
    side=st.sampled_from(Side),
    price=_decimals,
    quantity=_decimals,
    fee=_decimals,
    fee_currency=_words,
    maker=st.booleans(),
    t_exchange_ms=_ms,
    intent_id=_words,
    signal_id=_words,
    phase=st.none() | st.sampled_from(Phase),
    role=st.sampled_from(OrderRole),
    t_ingress_ms=_ms,
    realized_pnl=_decimals,
)


def stored(kind: str, payload: rows.Payload) -> StoredRow:
    return StoredRow(5, 2, kind, rows.encode(payload), b"", 1)


@settings(max_examples=300, deadline=None)
@given(order=_orders, ts_ms=_ms)
def test_any_order_comes_back_equal(order: Order, ts_ms: int) -> None:
    assert parse(stored(rows.ORDER, rows.order_payload(order, "ACK", ts_ms))) == OrderRow(order, "ACK", ts_ms)


@settings(max_examples=300, deadline=None)
@given(fill=_fills, ts_ms=_ms)
def test_any_fill_comes_back_equal(fill: Fill, ts_ms: int) -> None:
    booked = replace(fill, journal_seq=5, term=2)
    assert parse(stored(rows.FILL, rows.fill_payload(fill, ts_ms))) == FillRow(booked, ts_ms)


@settings(max_examples=50, deadline=None)
@given(order=_orders)
def test_the_approval_of_a_first_row_comes_back(order: Order) -> None:
    approved = intent()
    said = parse(stored(rows.ORDER, {**rows.order_payload(order, "NEW", 1), **rows.approval_fields(approved)}))
    assert isinstance(said, OrderRow)
    assert said.order == order
    assert said.approval is not None
    assert said.approval.decision_id == approved.decision_id
    assert said.approval.policy_hash == approved.policy_hash
    assert said.approval.size_usd == approved.size_usd
    assert said.approval.reference_price == approved.reference_price


def test_an_adopted_position_comes_back() -> None:
    before = Position("bybit", "main", "X/USDT:USDT", Decimal(1), Decimal(80))
    now = replace(before, quantity=Decimal(5), average_price=Decimal(90))
    assert parse(stored(rows.POSITION, rows.position_payload(now, before, "why", 3))) == PositionRow(
        "bybit", "main", "X/USDT:USDT", Decimal(5), Decimal(90), Decimal(1), Decimal(80), "why", 3
    )
