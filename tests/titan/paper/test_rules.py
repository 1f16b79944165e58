"""What the venue refuses, with which code and in which words."""

from __future__ import annotations

import pytest

from tests.titan.paper.house import BTC, SYMBOL, D, Desktop
from titan.paper.orders import NewOrder, OrderType, RetCode, Side
from titan.paper.rules import check_link_id, check_shape


def order(**changes: object) -> NewOrder:
    given: dict[str, object] = {
        "symbol": SYMBOL,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "qty": D("1"),
        "price": D("100"),
    }
    return NewOrder(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"qty": D(0)}, "Qty invalid: 0 is not positive"),
        ({"qty": D("1.0005")}, "is not a multiple of lot 0.001"),
        ({"qty": D(1001)}, "exceeds maximum limit allowed: 1001 is above 1000"),
        ({"price": D(-1)}, "Price invalid: -1 is not positive"),
        ({"price": D("100.05")}, "Price invalid: 100.05 is not a multiple of tick 0.1 (BTCUSDT)"),
        ({"trigger_direction": 1, "trigger_price": D("0.05")}, "triggerPrice invalid"),
        ({"link_id": "x" * 37}, "orderLinkId has 37 characters, at most 36 are allowed"),
        ({"link_id": "with space"}, "may only hold letters, digits, dash and underscore"),
    ],
)
def test_a_malformed_order_is_refused_with_what_was_seen(changes: dict[str, object], words: str) -> None:
    refused = check_shape(order(**changes), BTC)
    assert refused is not None
    assert refused.code is RetCode.PARAMS
    assert words in refused.message


def test_a_quantity_below_the_minimum_is_refused() -> None:
    from dataclasses import replace

    refused = check_shape(order(qty=D("0.001")), replace(BTC, min_qty=D("0.002")))
    assert refused is not None
    assert "0.001 is below 0.002" in refused.message


def test_a_well_formed_order_passes() -> None:
    assert check_shape(order(link_id="a-B_9"), BTC) is None
    assert check_link_id("") is None


def test_an_order_below_the_minimum_value_is_refused_unless_it_only_reduces() -> None:
    desk = Desktop()
    refused = desk.buy("0.04", "100").refused
    assert refused.code is RetCode.MIN_NOTIONAL
    assert "minimum order value 5USDT: 0.04 x 100 = 4" in refused.message
    desk.buy("1")
    assert desk.sell("0.04", "110", reduce_only=True).order.qty == D("0.04")


@pytest.mark.parametrize(
    ("protection", "words"),
    [
        ({"stop_loss": D(101)}, "StopLoss:101 set for Buy position should lower than base_price:101"),
        ({"take_profit": D(101)}, "TakeProfit:101 set for Buy position should be higher than base_price:101"),
        ({"stop_loss": D("90.05")}, "StopLoss invalid: 90.05 is not a multiple of tick"),
        ({"take_profit": D("110.05")}, "TakeProfit invalid: 110.05 is not a multiple of tick"),
    ],
)
def test_protection_on_the_wrong_side_is_refused(protection: dict[str, object], words: str) -> None:
    assert words in Desktop().buy("1", None, **protection).refused.message


def test_protection_of_a_short_is_mirrored() -> None:
    desk = Desktop()
    assert "greater" in desk.sell("1", stop_loss=D(99)).refused.message
    assert "should be lower" in desk.sell("1", take_profit=D(101)).refused.message


def test_an_unknown_symbol_is_refused() -> None:
    assert Desktop().buy("1", symbol="NOPEUSDT").refused.message == "params error: symbol invalid NOPEUSDT"


def test_too_many_open_orders_are_refused() -> None:
    desk = Desktop(wallet="100000000")
    for _ in range(1000):
        desk.buy("0.1", "90")
    assert desk.buy("0.1", "90").refused.code is RetCode.TOO_MANY_ORDERS
