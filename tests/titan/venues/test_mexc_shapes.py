"""MEXC's objects and requests, value by value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.bench import limit, order
from titan.errors import Rejected
from titan.model import OrderRole, OrderState, OrderType, Side
from titan.venues import mexc_shapes as shapes

D = Decimal
SIZE = D("0.0001")
ORDER: dict[str, Any] = {
    "orderId": "102015012431820288",
    "symbol": "BTC_USDT",
    "price": "30000.5",
    "vol": "1000",
    "side": "1",
    "orderType": "2",
    "dealAvgPrice": "0",
    "dealVol": "0",
    "state": "2",
    "externalOid": "tt",
    "errorCode": "0",
    "createTime": "1609992674000",
    "updateTime": "1609992674001",
}
STOP: dict[str, Any] = {
    "id": "5",
    "positionType": "1",
    "stopLossPrice": "90",
    "takeProfitPrice": "120",
    "state": "1",
    "vol": "1000",
    "realityVol": "0",
    "createTime": 1,
    "updateTime": 2,
}


@pytest.mark.parametrize(
    ("side", "reduce_only", "code"),
    [(Side.BUY, False, 1), (Side.BUY, True, 2), (Side.SELL, False, 3), (Side.SELL, True, 4)],
)
def test_the_side_code_says_whether_an_order_opens_or_closes(side: Side, reduce_only: bool, code: int) -> None:
    # reference vectors X1.1 to X1.4
    assert shapes.order_request(order(side, reduce_only=reduce_only), "BTC_USDT", SIZE)["side"] == code
    found = shapes.venue_order({**ORDER, "side": str(code)}, "s", SIZE)
    assert (found.side, found.reduce_only) == (side, reduce_only)


def test_quantities_are_whole_contracts() -> None:
    request = shapes.order_request(limit("30000.5", quantity="0.1"), "BTC_USDT", SIZE)
    assert (request["vol"], request["price"], request["type"]) == (1000, 30000.5, 1)
    with pytest.raises(Rejected, match="whole number of contracts"):
        shapes.order_request(order(quantity="0.00015"), "BTC_USDT", SIZE)


def test_protection_travels_with_the_entry() -> None:
    request = shapes.order_request(order(stop_price=D(90), target_price=D(120)), "BTC_USDT", SIZE)
    assert (request["stopLossPrice"], request["takeProfitPrice"]) == (90, 120)


def test_a_price_that_no_json_number_says_is_an_error_not_another_price() -> None:
    assert shapes.number(D("0.1")) == 0.1
    with pytest.raises(ValueError, match="more digits"):
        shapes.number(D("0.12345678901234567890123"))


def test_an_order_is_read_in_base_units() -> None:
    found = shapes.venue_order({**ORDER, "dealVol": "250", "dealAvgPrice": "30000.5"}, "BTC/USDT:USDT", SIZE)
    assert (found.quantity, found.filled, found.state) == (D("0.1"), D("0.025"), OrderState.PARTIALLY_FILLED)
    assert (found.order_type, found.price, found.average_price) == (OrderType.POST_ONLY, D("30000.5"), D("30000.5"))


@pytest.mark.parametrize(
    ("state", "deal", "expected"),
    [
        ("1", "0", OrderState.OPEN),
        ("3", "1000", OrderState.FILLED),
        ("4", "0", OrderState.CANCELED),
        ("5", "0", OrderState.REJECTED),
        ("5", "1", OrderState.CANCELED),
    ],
)
def test_every_state_code_has_its_state(state: str, deal: str, expected: OrderState) -> None:
    assert shapes.venue_order({**ORDER, "state": state, "dealVol": deal}, "s", SIZE).state is expected


def test_codes_that_are_not_known_are_errors() -> None:
    for name in ("state", "side"):
        with pytest.raises(ValueError, match="9"):
            shapes.venue_order({**ORDER, name: "9"}, "s", SIZE)


def test_one_tp_sl_order_is_a_stop_and_a_target() -> None:
    stop, target = shapes.stop_orders(STOP, "s", SIZE, "entry")
    assert (stop.venue_order_id, stop.role, stop.trigger_price, stop.side) == ("sl-5", OrderRole.STOP, D(90), Side.SELL)
    assert (target.venue_order_id, target.role, target.trigger_price) == ("tp-5", OrderRole.TARGET, D(120))
    assert {one.parent_client_order_id for one in (stop, target)} == {"entry"}
    (alone,) = shapes.stop_orders({**STOP, "takeProfitPrice": "0", "positionType": "2"}, "s", SIZE, "")
    assert (alone.role, alone.side) == (OrderRole.STOP, Side.BUY)


def test_a_deal_is_read_whichever_way_it_names_the_taker() -> None:
    raw = {"id": "7", "orderId": "9", "side": "4", "price": "101", "vol": "10", "fee": "0.1", "timestamp": "5"}
    for taken in ({"taker": True}, {"isTaker": True}):
        found = shapes.deal({**raw, **taken}, "s", SIZE, "cid")
        assert (found.quantity, found.maker, found.side) == (D("0.001"), False, Side.SELL)
    assert shapes.deal({**raw, "taker": False}, "s", SIZE, "cid").maker


def test_funding_is_what_the_wallet_paid() -> None:
    found = shapes.funding({"id": 3, "positionType": 1, "funding": "-0.25", "settleTime": 8}, "s")
    assert (found.fee, found.venue_trade_id, found.ts_ms) == (D("0.25"), "funding-3", 8)


def test_an_account_without_the_currency_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="holds no USDT"):
        shapes.wallet([{"currency": "BTC"}])
