"""Messages and values: nothing is lost on the way, and nonsense is refused."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import trading_pb2 as pb
from titan import codec
from titan.ids import ClientOrderId, IntentId, SignalId
from titan.model import (
    Action,
    Execution,
    Fill,
    Intent,
    Order,
    OrderRole,
    OrderState,
    OrderType,
    Phase,
    Position,
    Side,
    Signal,
    Style,
)

prices = st.decimals(min_value=Decimal("0.00000001"), max_value=Decimal("99999999"), places=8)
SIGNAL = Signal(
    signal_id=SignalId("scavenger-BTC-1"),
    phase=Phase.SCAVENGER,
    action=Action.OPEN,
    venue="auto",
    symbol="BTC/USDT:USDT",
    side=Side.BUY,
    requested_size=Decimal("1000.5"),
    entry_price=Decimal("50000.1"),
    stop_price=Decimal("49500"),
    target_price=None,
    confidence=80.0,
    leverage=5.0,
    volatility=12.5,
    trap_type="BREAKOUT",
    order_type=OrderType.MARKET,
    max_slippage_bps=50,
    t_signal_ms=1,
    t_exchange_ms=2,
    ttl_ms=5000,
    t_wall_ns=3,
    metadata={"k": "v"},
)
INTENT = Intent(
    intent_id=IntentId("01J"),
    signal_id=SIGNAL.signal_id,
    phase=Phase.SCAVENGER,
    action=Action.OPEN,
    venue="bybit",
    account="main",
    symbol="BTC/USDT:USDT",
    side=Side.SELL,
    size_usd=Decimal("500"),
    quantity=None,
    order_type=OrderType.LIMIT,
    limit_price=Decimal("50000"),
    reference_price=Decimal("50001"),
    stop_price=Decimal("50500"),
    target_price=Decimal("48500"),
    max_slippage_bps=30,
    leverage=Decimal("5"),
    policy_hash="abc",
    t_signal_ms=1,
    t_decision_ms=2,
    ttl_ms=5000,
)


def test_a_signal_comes_back_as_it_went() -> None:
    assert codec.signal_from_pb(codec.signal_to_pb(SIGNAL)) == SIGNAL


def test_an_intent_comes_back_as_it_went() -> None:
    assert codec.intent_from_pb(codec.intent_to_pb(INTENT)) == INTENT


@pytest.mark.parametrize("style", list(Style))
def test_an_execution_style_comes_back_as_it_went(style: Style) -> None:
    work = Execution(
        style,
        duration_ms=1,
        reprice_ms=2,
        reprices=3,
        cross=True,
        offset_ticks=4,
        slices=5,
        display=Decimal("0.5"),
        hedge_symbol="BTC/USDT",
        hedge_reference_price=Decimal(7),
        hedge_stop_price=Decimal(8),
        hedge_ms=9,
    )
    assert codec.signal_from_pb(codec.signal_to_pb(replace(SIGNAL, execution=work))).execution == work
    assert codec.intent_from_pb(codec.intent_to_pb(replace(INTENT, execution=work))).execution == work


def test_an_intent_with_an_unknown_style_is_refused() -> None:
    message = codec.intent_to_pb(replace(INTENT, execution=Execution(Style.PEG)))
    message.execution.style = 99  # type: ignore[assignment]  # what a newer Titan may send
    with pytest.raises(ValueError, match="execution style is missing or unknown: 99"):
        codec.intent_from_pb(message)


@given(price=prices, quantity=prices, fee=prices, side=st.sampled_from(Side), role=st.sampled_from(OrderRole))
def test_a_fill_keeps_every_digit(price: Decimal, quantity: Decimal, fee: Decimal, side: Side, role: OrderRole) -> None:
    fill = Fill(
        fill_id="bybit:main:1",
        venue_trade_id="1",
        client_order_id=ClientOrderId("tt1"),
        venue_order_id="v1",
        venue="bybit",
        account="main",
        symbol="BTC/USDT:USDT",
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
        fee_currency="USDT",
        maker=True,
        t_exchange_ms=5,
        role=role,
        phase=Phase.HUNTER,
        realized_pnl=-fee,
    )
    assert codec.fill_from_pb(codec.fill_to_pb(fill)) == fill


def test_an_order_event_comes_back_with_its_state() -> None:
    order = Order(
        client_order_id=ClientOrderId("tt1"),
        intent_id="i",
        signal_id="s",
        child=1,
        role=OrderRole.STOP,
        phase=None,
        venue="bybit",
        account="main",
        symbol="BTC/USDT:USDT",
        side=Side.SELL,
        order_type=OrderType.STOP_MARKET,
        quantity=Decimal("0.5"),
        price=None,
        trigger_price=Decimal("49000"),
        stop_price=None,
        target_price=None,
        reduce_only=True,
        state=OrderState.PARTIALLY_FILLED,
        filled=Decimal("0.25"),
        average_price=Decimal("48999.5"),
        updated_ms=9,
    )
    assert codec.order_from_pb(codec.order_to_pb(order, journal_seq=4, term=2)) == order


def test_a_position_comes_back_as_it_went() -> None:
    held = Position("bybit", "main", "BTC/USDT:USDT", Decimal("-1.5"), Decimal("50000"), mark_price=Decimal("49000"))
    assert codec.position_from_pb(codec.position_to_pb(held)) == held


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"side": pb.SIDE_UNSPECIFIED}, "side is missing"),
        ({"phase": pb.PHASE_UNSPECIFIED}, "phase is missing"),
        ({"action": pb.SIGNAL_ACTION_UNSPECIFIED}, "signal action is missing"),
        ({"requested_size_usd": "0"}, "requested_size_usd must be above zero"),
        ({"requested_size_usd": "-1"}, "requested_size_usd must be above zero"),
        ({"requested_size_usd": "NaN"}, "not a finite decimal"),
        ({"requested_size_usd": "abc"}, "not a decimal number: 'abc'"),
        ({"signal_id": " "}, "signal_id is empty"),
        ({"symbol": ""}, "symbol is empty"),
        ({"entry_price": "-5"}, "entry_price must be above zero"),
        ({"confidence": float("nan")}, "confidence is not a finite number"),
        ({"order_type": pb.ORDER_TYPE_UNSPECIFIED}, "order_type is missing"),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused(change: dict[str, object], sentence: str) -> None:
    message = codec.signal_to_pb(SIGNAL)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=sentence):
        codec.signal_from_pb(message)


@pytest.mark.parametrize("quantity", ["0", "-1"])
def test_a_closing_quantity_must_be_above_zero(quantity: str) -> None:
    message = codec.intent_to_pb(replace(INTENT, action=Action.CLOSE))
    message.quantity = quantity
    with pytest.raises(ValueError, match="quantity must be above zero"):
        codec.intent_from_pb(message)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"intent_id": ""}, "intent_id is empty"),
        ({"signal_id": " "}, "signal_id is empty"),
        ({"venue": ""}, "venue is empty"),
        ({"account": ""}, "account is empty"),
        ({"symbol": ""}, "symbol is empty"),
        ({"action": pb.SIGNAL_ACTION_UNSPECIFIED}, "intent action is missing"),
        ({"side": pb.SIDE_UNSPECIFIED}, "side is missing"),
        ({"phase": pb.PHASE_UNSPECIFIED}, "phase is missing"),
        ({"order_type": pb.ORDER_TYPE_UNSPECIFIED}, "order_type is missing"),
        ({"size_usd": "0"}, "size_usd must be above zero"),
        ({"size_usd": ""}, "size_usd must be above zero"),
        ({"size_usd": "NaN"}, "not a finite decimal"),
        ({"size_usd": "Infinity"}, "not a finite decimal"),
        ({"limit_price": "-1"}, "limit_price must be above zero"),
        ({"reference_price": "abc"}, "not a decimal number: 'abc'"),
        ({"stop_price": "0"}, "stop_price must be above zero"),
        ({"target_price": "sNaN"}, "not a finite decimal"),
        ({"leverage": "-2"}, "leverage must not be negative"),
    ],
)
def test_an_intent_that_makes_no_sense_is_refused(change: dict[str, object], sentence: str) -> None:
    message = codec.intent_to_pb(INTENT)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ValueError, match=sentence):
        codec.intent_from_pb(message)
