"""Plan orders of MEXC: whose is which, although the venue keeps no id of ours."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.bench import order
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.venues.mexc_plans import Plans, Shape, plan_order, plan_request, shape_of

D = Decimal
SIZE = D("0.0001")
RAW: dict[str, Any] = {
    "id": "265557643326564352",
    "symbol": "BTC_USDT",
    "leverage": "20",
    "side": "1",
    "vol": "1000",
    "openType": "2",
    "state": "1",
    "orderType": "5",
    "errorCode": "0",
    "createTime": "1648984276000",
    "updateTime": "1648984276001",
    "triggerType": "1",
    "triggerPrice": "30500.5",
    "executeCycle": "2",
    "trend": "1",
}


def stop(side: Side = Side.BUY, **fields: Any) -> Order:
    return order(side, order_type=OrderType.STOP_MARKET, trigger_price=D("30500.5"), **fields)


SHAPE = shape_of(plan_request(stop(), "BTC_USDT", SIZE))


@pytest.mark.parametrize(
    ("kind", "side", "way", "becomes"),
    [
        (OrderType.STOP_MARKET, Side.BUY, 1, 5),
        (OrderType.STOP_MARKET, Side.SELL, 2, 5),
        (OrderType.STOP_LIMIT, Side.BUY, 1, 1),
        (OrderType.TAKE_PROFIT_MARKET, Side.SELL, 1, 5),
        (OrderType.TAKE_PROFIT_LIMIT, Side.BUY, 2, 1),
    ],
)
def test_a_request_reads_back_as_the_order_it_was_made_from(
    kind: OrderType, side: Side, way: int, becomes: int
) -> None:
    price = D("30400") if kind.names_price else None
    wanted = order(side, order_type=kind, trigger_price=D("30500.5"), price=price, reduce_only=True)
    request = plan_request(wanted, "BTC_USDT", SIZE)
    assert (request["triggerType"], request["orderType"], request["executeCycle"]) == (way, becomes, 2)
    assert "externalOid" not in request
    assert "type" not in request
    found = plan_order({**RAW, **{name: str(each) for name, each in request.items()}}, "s", SIZE, "mine")
    assert (found.order_type, found.side, found.quantity, found.price, found.trigger_price, found.reduce_only) == (
        kind,
        side,
        D("0.1"),
        price,
        D("30500.5"),
        True,
    )
    assert (found.venue_order_id, found.client_order_id, found.role) == (
        "plan-265557643326564352",
        "mine",
        OrderRole.EXTERNAL,
    )


@pytest.mark.parametrize(
    ("code", "state"),
    [(1, OrderState.OPEN), (2, OrderState.CANCELED), (4, OrderState.CANCELED), (5, OrderState.REJECTED)],
)
def test_states(code: int, state: OrderState) -> None:
    assert plan_order({**RAW, "state": str(code)}, "s", SIZE, "").state is state


def test_nonsense_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown state '7'"):
        plan_order({**RAW, "state": "7"}, "s", SIZE, "")
    with pytest.raises(ValueError, match="no trigger price"):
        plan_request(replace(stop(), trigger_price=None), "BTC_USDT", SIZE)


def raw(number: str, made_ms: int = 1, **fields: Any) -> dict[str, Any]:
    return {**RAW, "id": number, "createTime": str(made_ms), **fields}


def test_what_stood_before_the_request_is_not_its_order() -> None:
    plans = Plans()
    assert [each["id"] for each in plans.read([raw("1")])] == ["1"]
    with plans.sending("mine", SHAPE):
        assert [each["id"] for each in plans.read([raw("1"), raw("2", 2)])] == ["1"]
    assert [each["id"] for each in plans.read([raw("1"), raw("2", 2)])] == ["1", "2"]
    assert (plans.name("1"), plans.name("2"), plans.number("mine")) == ("", "mine", "2")


def test_another_shape_is_another_order() -> None:
    plans = Plans()
    with plans.sending("mine", SHAPE):
        pass
    others = [
        raw("1", vol="1001"),
        raw("2", triggerPrice="30500.6"),
        raw("3", side="2"),
        raw("4", triggerType="2"),
        raw("5", orderType="1", price="1"),
        raw("6", symbol="ETH_USDT"),
    ]
    plans.read(others)
    assert plans.seeks("mine")
    assert plans.number("mine") == ""
    plans.read([*others, raw("7", 9)])
    assert plans.number("mine") == "7"


def test_orders_alike_are_told_apart_by_their_answers() -> None:
    plans = Plans()
    with plans.sending("lost", SHAPE):
        pass
    with plans.sending("heard", SHAPE):
        assert plans.read([raw("1"), raw("2", 2)]) == []
        plans.tie("heard", "2")
    plans.read([raw("1"), raw("2", 2)])
    assert (plans.name("1"), plans.name("2")) == ("lost", "heard")


def test_an_order_that_was_refused_is_not_looked_for() -> None:
    plans = Plans()
    with plans.sending("mine", SHAPE):
        plans.forget("mine")
    plans.read([raw("1")])
    assert not plans.seeks("mine")
    assert plans.name("1") == ""


def test_what_a_former_incarnation_sent_is_known_again() -> None:
    plans = Plans()
    plans.read([raw("1"), raw("2", 2_000_000)])
    asked = replace(stop(), created_ms=2_000_000)
    heard = replace(stop(), venue_order_id="plan-3")
    plans.remember([(asked, SHAPE), (heard, None)], judge_time=True)
    plans.read([raw("1"), raw("2", 2_000_000), raw("3", 3_000_000)])
    assert (plans.name("1"), plans.name("2"), plans.name("3")) == ("", asked.client_order_id, heard.client_order_id)


def test_the_order_that_a_plan_became_keeps_its_ids() -> None:
    plans = Plans()
    plans.tie("mine", "1")
    plans.read([raw("1", state="3", orderId="77")])
    assert (plans.became("1"), plans.plan_of("77"), plans.plan_of("78")) == ("77", "plan-1", "")
    plain = plan_order(raw("1"), "s", SIZE, "")
    found = plans.named(replace(plain, venue_order_id="77", order_type=OrderType.MARKET, trigger_price=None))
    assert (found.venue_order_id, found.client_order_id) == ("plan-1", "mine")
    assert (found.order_type, found.trigger_price) == (OrderType.STOP_MARKET, D("30500.5"))
    stranger = replace(plain, venue_order_id="78")
    assert plans.named(stranger) is stranger


def test_a_shape_is_all_that_tells_orders_apart() -> None:
    assert SHAPE == Shape("BTC_USDT", 1, D(1000), D("30500.5"), 1, 5, D(0)) == shape_of(RAW)
