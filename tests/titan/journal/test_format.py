"""The decoder of rows under every kind, missing keys, wrong types and noise."""

from __future__ import annotations

import json
from decimal import Decimal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titan.codes import TradingState
from titan.journal.format import KINDS, parse
from titan.journal.parents import parent_payload
from titan.journal.rows import SEAL_BYTES, SNAPSHOT, StoredRow
from titan.journal.values import (
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
from titan.model import Position

ORDER: dict[str, object] = {
    "account": "main",
    "average_price": "0",
    "child": 0,
    "client_order_id": "c1",
    "code": "",
    "created_ms": 1,
    "detail": "",
    "event": "NEW",
    "filled": "0",
    "intent_id": "i1",
    "order_type": "LIMIT",
    "phase": "HUNTER",
    "price": "100.5",
    "quantity": "2",
    "reduce_only": False,
    "role": "ENTRY",
    "side": "BUY",
    "signal_id": "s1",
    "state": "PENDING",
    "stop_price": "90",
    "symbol": "BTC/USDT:USDT",
    "target_price": "",
    "trigger_price": "",
    "ts_ms": 2,
    "updated_ms": 2,
    "venue": "bybit",
    "venue_order_id": "",
    "venue_ts_ms": 0,
}
APPROVED: dict[str, object] = {
    "approved_decision_id": "d1",
    "approved_leverage": "2",
    "approved_policy_hash": "h",
    "approved_reference_price": "",
    "approved_size_usd": "201",
    "approved_t_decision_ms": 1,
    "approved_t_signal_ms": 1,
    "approved_trap_type": "",
}
FILL: dict[str, object] = {
    "account": "main",
    "client_order_id": "c1",
    "fee": "0.1",
    "fee_currency": "USDT",
    "fill_id": "bybit:main:t1",
    "intent_id": "i1",
    "maker": True,
    "phase": "",
    "price": "100",
    "quantity": "1",
    "realized_pnl": "-3.5",
    "role": "EXTERNAL",
    "side": "SELL",
    "signal_id": "",
    "symbol": "BTC/USDT:USDT",
    "t_exchange_ms": 7,
    "t_ingress_ms": 8,
    "ts_ms": 8,
    "venue": "bybit",
    "venue_order_id": "v1",
    "venue_trade_id": "t1",
}
PLACE: dict[str, object] = {"venue": "bybit", "account": "main", "symbol": "BTC/USDT:USDT"}
ADOPTED: dict[str, object] = {
    **PLACE,
    "quantity": "5",
    "average_price": "90",
    "previous_quantity": "1",
    "previous_average_price": "80",
    "reason": "venue",
    "ts_ms": 3,
}
HELD: dict[str, object] = {
    **PLACE,
    "quantity": "-2",
    "average_price": "100",
    "realized_pnl": "7",
    "fees": "1",
    "funding": "0.5",
    "stop_price": "110",
    "target_price": "",
    "updated_ms": 5,
}
ROWS: dict[str, dict[str, object]] = {
    "start": {"account": "main", "pid": 7, "policy_hash": "h", "started_ms": 1, "ts_ms": 2, "venue": "bybit"},
    "order": {**ORDER, **APPROVED},
    "fill": FILL,
    "funding": {
        **PLACE,
        "fill_id": "bybit:main:f1",
        "paid": "-1.5",
        "price": "100",
        "quantity": "1",
        "t_exchange_ms": 4,
        "ts_ms": 5,
        "venue_trade_id": "f1",
    },
    "reject": {
        "code": "HALTED",
        "detail": "no",
        "expected_policy_hash": "h",
        "got_policy_hash": "",
        "intent_id": "i1",
        "phase": "HUNTER",
        "side": "BUY",
        "signal_id": "s1",
        "symbol": "BTC/USDT:USDT",
        "ts_ms": 2,
    },
    "trading": {
        "current": "HALTED",
        "operator_id": "op",
        "previous": "ACTIVE",
        "reason": "why",
        "resume_to": "ACTIVE",
        "run_started_ms": 3,
        "ts_ms": 4,
    },
    "wallet": {"currency": "USDT", "previous": "", "reason": "start", "ts_ms": 1, "wallet": "10000"},
    "position": ADOPTED,
    "parent": {
        "account": "main",
        "action": "OPEN",
        "cross": False,
        "decision_id": "d1",
        "detail": "",
        "display": "0.5",
        "duration_ms": 60000,
        "end": "",
        "event": "WORK",
        "hedge_limit": "",
        "hedge_ms": 3000,
        "hedge_quantity": "2",
        "hedge_side": "SELL",
        "hedge_stop_price": "110",
        "hedge_symbol": "BTC/USDT",
        "hedge_target_price": "",
        "hedge_worst": "99",
        "intent_id": "i1",
        "leg_limit": "100.5",
        "leg_quantity": "2",
        "leg_side": "BUY",
        "leg_stop_price": "90",
        "leg_symbol": "BTC/USDT:USDT",
        "leg_target_price": "",
        "leg_worst": "101",
        "legs": 2,
        "leverage": "2",
        "limit_price": "100.5",
        "max_slippage_bps": 50,
        "offset_ticks": 1,
        "order_type": "LIMIT",
        "phase": "SENTINEL",
        "policy_hash": "h",
        "quantity": "",
        "reduces": False,
        "reference_price": "100",
        "reprice_ms": 2000,
        "reprices": 3,
        "side": "BUY",
        "signal_id": "s1",
        "size_usd": "201",
        "slices": 5,
        "started_ms": 5,
        "stop_price": "90",
        "style": "BASIS",
        "symbol": "BTC/USDT:USDT",
        "t_decision_ms": 1,
        "t_signal_ms": 1,
        "t_wall_ns": 0,
        "target_price": "",
        "trap_type": "",
        "ts_ms": 2,
        "ttl_ms": 5000,
        "until_ms": 6,
        "venue": "bybit",
        "wanted_hedge_reference": "100",
        "wanted_hedge_stop": "110",
        "wanted_hedge_symbol": "BTC/USDT",
    },
    "day": {"day": "2026-01-02", "high_watermark": "11", "start_of_day": "10", "ts_ms": 1},
    "snapshot": {
        "venue": "bybit",
        "account": "main",
        "currency": "USDT",
        "cash": "99.5",
        "day": "2026-01-02",
        "start_of_day": "10",
        "high_watermark": "11",
        "trading": "ACTIVE",
        "trading_reason": "armed",
        "trading_by": "op",
        "resume_to": "ACTIVE",
        "run_started_ms": 3,
        "cursor_ms": 9,
        "finished": 4,
        "filled": 2,
        "positions": [HELD],
        "orders": [ORDER],
        "traded": {"c1": "12.5"},
        "last_entry": {"BTC/USDT:USDT": "c1"},
    },
}


def stored(kind: str, payload: bytes, seq: int = 3) -> StoredRow:
    return StoredRow(seq, 2, kind, bytes(SEAL_BYTES) + payload if kind == SNAPSHOT else payload, b"", 1)


def test_every_kind_has_an_example_here() -> None:
    assert frozenset(ROWS) == KINDS


def test_what_the_rows_say() -> None:
    def said(kind: str) -> object:
        return parse(stored(kind, orjson.dumps(ROWS[kind])))

    d = Decimal
    assert said("start") == StartRow("bybit", "main", "h", 7, 1, 2)
    assert said("wallet") == WalletRow("USDT", d(10000), None, "start", 1)
    assert said("day") == DayRow("2026-01-02", d(10), d(11), 1)
    state = TradingState
    assert said("trading") == TradingRow(state.HALTED, state.ACTIVE, state.ACTIVE, "why", "op", 3, 4)
    perp = "BTC/USDT:USDT"
    assert said("position") == PositionRow("bybit", "main", perp, d(5), d(90), d(1), d(80), "venue", 3)
    assert said("funding") == FundingRow("bybit:main:f1", "f1", "bybit", "main", perp, d("-1.5"), d(100), d(1), 4, 5)
    assert said("reject") == RejectRow("i1", "s1", perp, "HUNTER", "BUY", "HALTED", "no", "h", "", 2)


def test_a_parent_comes_back_as_it_was_written() -> None:
    parent = parse(stored("parent", orjson.dumps(ROWS["parent"])))
    assert isinstance(parent, ParentRow)
    assert parent_payload(parent) == ROWS["parent"]
    assert [(leg.symbol, leg.quantity) for leg in parent.legs] == [
        ("BTC/USDT:USDT", Decimal(2)),
        ("BTC/USDT", Decimal(2)),
    ]


def test_an_order_keeps_what_approved_it_and_a_fill_its_place() -> None:
    order = parse(stored("order", orjson.dumps(ROWS["order"])))
    bare = parse(stored("order", orjson.dumps(ORDER)))
    fill = parse(stored("fill", orjson.dumps(FILL), seq=9))
    assert isinstance(order, OrderRow)
    assert isinstance(bare, OrderRow)
    assert isinstance(fill, FillRow)
    assert order.event == "NEW"
    assert order.approval is not None
    assert (order.approval.size_usd, order.approval.reference_price) == (Decimal(201), None)
    assert bare.approval is None
    assert bare.order == order.order
    assert (fill.fill.journal_seq, fill.fill.term, fill.fill.realized_pnl) == (9, 2, Decimal("-3.5"))
    assert (fill.fill.phase, fill.fill.maker) == (None, True)


def test_a_snapshot_says_what_the_rows_before_it_made() -> None:
    made = parse(stored("snapshot", orjson.dumps(ROWS["snapshot"])))
    assert isinstance(made, SnapshotRow)
    assert made.cash == Decimal("99.5")
    assert made.positions == (
        Position(
            "bybit",
            "main",
            "BTC/USDT:USDT",
            Decimal(-2),
            Decimal(100),
            Decimal(7),
            Decimal(1),
            Decimal("0.5"),
            stop_price=Decimal(110),
            updated_ms=5,
        ),
    )
    assert [each.client_order_id for each in made.orders] == ["c1"]
    assert (made.traded, made.last_entry) == ({"c1": Decimal("12.5")}, {"BTC/USDT:USDT": "c1"})


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, row in ROWS.items() for key in row])
def test_a_key_that_is_missing_or_of_a_wrong_type_is_refused_by_row(kind: str, key: str) -> None:
    if key in APPROVED and key != "approved_size_usd":
        return
    missing = {name: value for name, value in ROWS[kind].items() if name != key}
    wrong = {**ROWS[kind], key: None}
    for payload in (missing, wrong):
        with pytest.raises(ValueError, match=rf"journal row 3 \({kind}\) can't be read.*{key}"):
            parse(stored(kind, orjson.dumps(payload)))


def test_a_key_of_a_newer_titan_is_passed_over_and_a_kind_refused() -> None:
    more = orjson.dumps({**ROWS["day"], "mood": [1]})
    assert parse(stored("day", more)) == parse(stored("day", orjson.dumps(ROWS["day"])))
    with pytest.raises(ValueError, match="row 3 is of unknown kind 'mood'; a newer Titan wrote it"):
        parse(stored("mood", b"{}"))


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), payload=st.binary(max_size=200))
def test_noise_is_one_error_that_names_the_row(kind: str, payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"journal row 3 \("):
        parse(StoredRow(3, 1, kind, payload, b"", 1))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=600, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)))
def test_any_value_under_any_key_is_read_or_refused_but_never_a_crash(data: st.DataObject, kind: str) -> None:
    row = dict(ROWS[kind])
    for key in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3)):
        row[key] = data.draw(_JSON)
    again = stored(kind, json.dumps(row).encode())
    content, refused = None, ""
    try:
        content = parse(again)
    except ValueError as error:
        refused = str(error)
    assert "journal row 3" in refused if refused else content == parse(again)
