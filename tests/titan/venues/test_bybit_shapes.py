"""Bybit's objects as values, and orders as Bybit's requests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from titan.errors import Rejected
from titan.ids import ClientOrderId
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.venues import bybit_shapes as shapes
from titan.venues.base import ExecutionKind

D = Decimal


def order(**overrides: Any) -> Order:
    values: dict[str, Any] = {
        "client_order_id": ClientOrderId("tt-id"),
        "intent_id": "i",
        "signal_id": "s",
        "child": 0,
        "role": OrderRole.ENTRY,
        "phase": None,
        "venue": "bybit",
        "account": "main",
        "symbol": "BTC/USDT:USDT",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": D("0.100"),
        "price": None,
        "trigger_price": None,
        "stop_price": D("49500.0"),
        "target_price": None,
        "reduce_only": False,
        **overrides,
    }
    return Order(**values)


RAW_ORDER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": "v1",
    "orderLinkId": "tt-id",
    "side": "Sell",
    "orderType": "Limit",
    "timeInForce": "GTC",
    "orderStatus": "PartiallyFilled",
    "price": "50000.5",
    "qty": "0.3",
    "cumExecQty": "0.1",
    "cumExecValue": "5000.05",
    "avgPrice": "50000.5",
    "triggerPrice": "",
    "stopOrderType": "",
    "reduceOnly": False,
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "createdTime": "1700000000000",
    "updatedTime": "1700000000005",
}
RAW_EXECUTION: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": "v1",
    "orderLinkId": "",
    "side": "Buy",
    "execId": "e1",
    "execPrice": "0.1000",
    "execQty": "3",
    "execFee": "-0.00012",
    "execTime": "1700000000000",
    "execType": "Trade",
    "isMaker": True,
    "orderQty": "5",
    "orderType": "Market",
    "stopOrderType": "StopLoss",
}


def test_an_entry_travels_with_its_stop_in_one_request() -> None:
    request = shapes.order_request(order(target_price=D("51000")), "BTCUSDT")
    assert request["stopLoss"] == "49500"
    assert request["takeProfit"] == "51000"
    assert request["tpslMode"] == "Full"
    assert request["orderLinkId"] == "tt-id"
    assert request["qty"] == "0.1"
    assert "price" not in request
    assert "reduceOnly" not in request


@pytest.mark.parametrize(
    ("kind", "tif"), [(OrderType.LIMIT, "GTC"), (OrderType.POST_ONLY, "PostOnly"), (OrderType.IOC, "IOC")]
)
def test_a_limit_order_names_its_price_and_how_long_it_stands(kind: OrderType, tif: str) -> None:
    wanted = order(order_type=kind, price=D("3500.50"), side=Side.SELL, reduce_only=True, stop_price=None)
    request = shapes.order_request(wanted, "ETHUSDT")
    # Vector X2 of the reference asks the same of its venue: text price, reduce-only flag, time in force.
    assert (request["price"], request["timeInForce"], request["reduceOnly"]) == ("3500.5", tif, True)
    assert (request["orderType"], request["side"]) == ("Limit", "Sell")


def test_protection_is_never_sent_as_an_order_of_its_own() -> None:
    with pytest.raises(Rejected, match="TRAILING_STOP"):
        shapes.order_request(order(order_type=OrderType.TRAILING_STOP), "BTCUSDT")


def test_an_order_is_read_from_strings() -> None:
    seen = shapes.venue_order(RAW_ORDER, "BTC/USDT:USDT")
    assert (seen.state, seen.filled, seen.average_price) == (OrderState.PARTIALLY_FILLED, D("0.1"), D("50000.5"))
    assert (seen.role, seen.detail, seen.trigger_price) == (OrderRole.EXTERNAL, "", None)
    assert seen.updated_ms == 1700000000005


@pytest.mark.parametrize(
    ("stop", "role", "kind"),
    [
        ("StopLoss", OrderRole.STOP, OrderType.STOP_MARKET),
        ("TakeProfit", OrderRole.TARGET, OrderType.TAKE_PROFIT_MARKET),
    ],
)
def test_protection_that_the_venue_made_is_recognised(stop: str, role: OrderRole, kind: OrderType) -> None:
    raw = {**RAW_ORDER, "stopOrderType": stop, "orderStatus": "Untriggered", "triggerPrice": "49000"}
    seen = shapes.venue_order(raw, "BTC/USDT:USDT")
    assert (seen.role, seen.order_type, seen.state, seen.trigger_price) == (role, kind, OrderState.OPEN, D(49000))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("New", OrderState.OPEN),
        ("Triggered", OrderState.OPEN),
        ("Filled", OrderState.FILLED),
        ("Cancelled", OrderState.CANCELED),
        ("Deactivated", OrderState.CANCELED),
        ("PartiallyFilledCanceled", OrderState.CANCELED),
        ("Rejected", OrderState.REJECTED),
    ],
)
def test_every_status_has_its_state(status: str, state: OrderState) -> None:
    assert shapes.venue_order({**RAW_ORDER, "orderStatus": status}, "BTC/USDT:USDT").state is state


def test_an_unknown_status_or_side_is_an_error_and_never_a_default() -> None:
    with pytest.raises(ValueError, match="Dreaming"):
        shapes.venue_order({**RAW_ORDER, "orderStatus": "Dreaming"}, "BTC/USDT:USDT")
    with pytest.raises(ValueError, match="side"):
        shapes.venue_order({**RAW_ORDER, "side": "Hold"}, "BTC/USDT:USDT")


def test_why_an_order_ended_is_kept() -> None:
    raw = {**RAW_ORDER, "orderStatus": "Cancelled", "cancelType": "CancelByUser", "rejectReason": "EC_PerCancelRequest"}
    assert shapes.venue_order(raw, "BTC/USDT:USDT").detail == "CancelByUser, EC_PerCancelRequest"


def test_an_execution_keeps_every_digit_and_a_rebate_stays_negative() -> None:
    done = shapes.execution(RAW_EXECUTION, "BTC/USDT:USDT")
    assert (done.price, done.fee, done.quantity, done.order_quantity) == (D("0.1"), D("-0.00012"), D(3), D(5))
    assert (done.kind, done.role, done.maker) == (ExecutionKind.TRADE, OrderRole.STOP, True)


def test_funding_is_no_trade() -> None:
    assert shapes.execution({**RAW_EXECUTION, "execType": "Funding"}, "X").kind is ExecutionKind.FUNDING


def test_a_bust_moves_the_position_as_a_trade_does() -> None:
    assert shapes.execution({**RAW_EXECUTION, "execType": "BustTrade"}, "X").kind is ExecutionKind.TRADE


def test_a_short_position_is_negative() -> None:
    raw = {"size": "2", "side": "Sell", "avgPrice": "10", "markPrice": "11", "stopLoss": "12", "leverage": "10"}
    held = shapes.position(raw, "BTC/USDT:USDT")
    assert (held.quantity, held.stop_price, held.target_price) == (D(-2), D(12), None)


def test_a_wallet_without_the_settlement_currency_is_an_error() -> None:
    with pytest.raises(ValueError, match="no USDT"):
        shapes.wallet({"list": [{"coin": [{"coin": "BTC", "walletBalance": "1", "equity": "1"}]}]})
