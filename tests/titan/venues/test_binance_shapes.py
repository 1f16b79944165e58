"""Binance's objects and requests, value by value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.bench import order
from titan.errors import Rejected
from titan.model import OrderRole, OrderState, OrderType, Side
from titan.venues import binance_shapes as shapes
from titan.venues.base import ExecutionKind

D = Decimal
ENTRY = "tt" + "a" * 30
ORDER: dict[str, Any] = {
    "orderId": 22542179,
    "symbol": "BTCUSDT",
    "status": "NEW",
    "clientOrderId": ENTRY,
    "price": "30000.5",
    "avgPrice": "0.00",
    "origQty": "0.100",
    "executedQty": "0",
    "timeInForce": "GTX",
    "type": "LIMIT",
    "reduceOnly": False,
    "side": "BUY",
    "stopPrice": "0",
    "time": 1_579_276_756_075,
    "updateTime": 1_579_276_756_080,
}
ALGO: dict[str, Any] = {
    "algoId": 2148627,
    "clientAlgoId": f"{ENTRY}sl",
    "orderType": "STOP_MARKET",
    "side": "SELL",
    "quantity": "0.1",
    "algoStatus": "NEW",
    "triggerPrice": "29000",
    "price": "0",
    "closePosition": False,
    "reduceOnly": True,
    "createTime": 1,
    "updateTime": 2,
}


def test_a_limit_order_is_sent_as_the_reference_says() -> None:
    # reference vector X2
    sent = order(
        Side.SELL, "2", symbol="ETH/USDT:USDT", order_type=OrderType.LIMIT, price=D("3500.5"), reduce_only=True
    )
    request = shapes.order_request(sent, "ETHUSDT")
    expected = {"symbol": "ETHUSDT", "type": "LIMIT", "price": "3500.5", "reduceOnly": "true", "timeInForce": "GTC"}
    assert {name: request[name] for name in expected} == expected
    assert request["newClientOrderId"] == sent.client_order_id


def test_a_market_order_names_no_price_even_when_it_knows_one() -> None:
    request = shapes.order_request(order(price=D(100)), "BTCUSDT")
    assert request["type"] == "MARKET"
    assert "price" not in request
    assert "timeInForce" not in request


def test_a_stop_of_its_own_goes_to_the_algo_service_under_its_client_id() -> None:
    stop = order(order_type=OrderType.STOP_MARKET, trigger_price=D(90), reduce_only=True)
    request = shapes.algo_request(stop, "BTCUSDT")
    assert (request["type"], request["triggerPrice"], request["reduceOnly"]) == ("STOP_MARKET", "90", "true")
    assert request["clientAlgoId"] == stop.client_order_id


def test_a_type_that_binance_does_not_take_is_refused() -> None:
    with pytest.raises(Rejected, match="TAKE_PROFIT_LIMIT"):
        shapes.algo_request(order(order_type=OrderType.TAKE_PROFIT_LIMIT, trigger_price=D(90)), "BTCUSDT")


def test_the_stop_comes_before_the_target_and_both_only_reduce() -> None:
    legs = shapes.protection_requests(order(stop_price=D(90), target_price=D(120)), "BTCUSDT")
    assert [(leg["type"], leg["side"], leg["triggerPrice"], leg["reduceOnly"]) for leg in legs] == [
        ("STOP_MARKET", "SELL", "90", "true"),
        ("TAKE_PROFIT_MARKET", "SELL", "120", "true"),
    ]
    assert shapes.protection_requests(order(), "BTCUSDT") == []


def test_protection_is_named_after_its_entry_and_the_name_read_back() -> None:
    for role in (OrderRole.STOP, OrderRole.TARGET):
        name = shapes.protection_id(ENTRY, role)
        assert len(name) <= 36
        assert shapes.entry_of(name) == (ENTRY, role)
    for stranger in ("", "sl", "web_abcsl", ENTRY, f"{ENTRY}xx"):
        assert shapes.entry_of(stranger) == ("", OrderRole.EXTERNAL)


def test_an_order_is_read_from_its_strings() -> None:
    found = shapes.venue_order(ORDER, "BTC/USDT:USDT")
    assert (found.venue_order_id, found.client_order_id, found.role) == ("22542179", ENTRY, OrderRole.EXTERNAL)
    assert (found.price, found.quantity, found.trigger_price) == (D("30000.5"), D("0.1"), None)
    assert (found.order_type, found.state, found.created_ms) == (OrderType.POST_ONLY, OrderState.OPEN, ORDER["time"])


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("PARTIALLY_FILLED", OrderState.PARTIALLY_FILLED),
        ("FILLED", OrderState.FILLED),
        ("CANCELED", OrderState.CANCELED),
        ("EXPIRED", OrderState.CANCELED),
        ("EXPIRED_IN_MATCH", OrderState.CANCELED),
        ("REJECTED", OrderState.REJECTED),
    ],
)
def test_every_status_has_its_state(status: str, state: OrderState) -> None:
    assert shapes.venue_order({**ORDER, "status": status}, "s").state is state


def test_words_that_are_not_known_are_errors() -> None:
    for field, value in (("status", "DREAMING"), ("side", "UP")):
        with pytest.raises(ValueError, match=value):
            shapes.venue_order({**ORDER, field: value}, "s")
    with pytest.raises(ValueError, match="DREAMING"):
        shapes.algo_order({**ALGO, "algoStatus": "DREAMING"}, "s")


def test_a_waiting_stop_knows_its_entry() -> None:
    found = shapes.algo_order(ALGO, "s")
    assert (found.venue_order_id, found.role, found.parent_client_order_id) == ("algo-2148627", OrderRole.STOP, ENTRY)
    assert (found.trigger_price, found.reduce_only, found.state) == (D(29000), True, OrderState.OPEN)


def test_a_finished_algo_order_is_filled_only_as_far_as_it_says() -> None:
    finished = {**ALGO, "algoStatus": "FINISHED"}
    assert shapes.algo_order(finished, "s").state is OrderState.FILLED
    assert shapes.algo_order({**finished, "executedQty": "0.1"}, "s").state is OrderState.FILLED
    assert shapes.algo_order({**finished, "executedQty": "0"}, "s").state is OrderState.CANCELED


def test_trade_ids_are_told_apart_by_symbol() -> None:
    raw = {
        "symbol": "BTCUSDT",
        "id": 7,
        "orderId": 9,
        "side": "SELL",
        "price": "101",
        "qty": "0.1",
        "commission": "-0.01",
        "commissionAsset": "USDT",
        "time": 5,
        "maker": True,
    }
    found = shapes.trade(raw, "BTC/USDT:USDT", ENTRY)
    assert (found.venue_trade_id, found.venue_order_id, found.fee, found.maker) == ("BTCUSDT-7", "9", D("-0.01"), True)
    assert found.venue_trade_id != shapes.trade({**raw, "symbol": "ETHUSDT"}, "s", ENTRY).venue_trade_id


def test_funding_is_what_the_wallet_paid() -> None:
    raw = {"symbol": "BTCUSDT", "income": "-0.37", "asset": "USDT", "time": 5, "tranId": 77}
    found = shapes.funding(raw, "s")
    assert (found.kind, found.fee, found.venue_trade_id) == (ExecutionKind.FUNDING, D("0.37"), "funding-77")


def test_an_account_without_the_currency_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="holds no USDT"):
        shapes.wallet([])


def test_an_instrument_carries_the_filters() -> None:
    raw = {
        "symbol": "BTCUSDT",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.002"},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
        ],
    }
    found = shapes.instrument(raw, "binance", D(125))
    assert (found.symbol, found.tick, found.lot, found.min_qty, found.min_notional, found.max_leverage) == (
        "BTC/USDT:USDT",
        D("0.1"),
        D("0.001"),
        D("0.002"),
        D(100),
        D(125),
    )
