"""Trading requests: from Bybit's parameters to commands of the core, shared by REST and the trade WebSocket.

Guarantees: every refusal is a `ParamError` or the core's own answer. Never: sockets or signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from titan.paper.commands import AmendOrder, CancelAll, CancelOrder, PlaceOrder, SetLeverage, SetTradingStop
from titan.paper.orders import (
    Accepted,
    NewOrder,
    OrderFilter,
    OrderType,
    Refused,
    Side,
    TimeInForce,
    TriggerBy,
)
from titan.paper.protocol.encode import Object
from titan.paper.protocol.params import ParamError, Params
from titan.paper.venue import Venue

CATEGORIES = ("linear", "spot", "inverse", "option")
MAX_BATCH = 10


def linear_only(params: Params) -> None:
    """Refuses categories in which nothing is listed."""
    category = params.need("category")
    if category not in CATEGORIES:
        raise ParamError(f"params error: category {category!r} is not one of {', '.join(CATEGORIES)}")
    if category != "linear":
        raise ParamError(f"params error: this venue lists linear contracts only, not {category}")


def _one_way_only(params: Params) -> None:
    if params.integer("positionIdx", 0, 0, 2) != 0:
        raise ParamError("position idx not match position mode: this account is in one-way mode, use positionIdx 0")


def _full_mode_only(params: Params) -> None:
    mode = params.text("tpslMode", "Full")
    if mode != "Full":
        raise ParamError(f"params error: tpslMode {mode!r} is not supported, use Full")
    for name in ("tpOrderType", "slOrderType"):
        if params.text(name, "Market") != "Market":
            raise ParamError(f"params error: {name} must be Market with tpslMode Full")


def new_order(params: Params) -> NewOrder:
    """The order of a create request."""
    linear_only(params)
    _one_way_only(params)
    _full_mode_only(params)
    kind = params.choice("orderType", OrderType)
    trigger = params.decimal("triggerPrice")
    direction = params.integer("triggerDirection", 0, 0, 2)
    if bool(trigger) != bool(direction):
        raise ParamError("params error: triggerPrice and triggerDirection (1 rises to it, 2 falls to it) go together")
    if kind is OrderType.LIMIT:
        params.need("price")
    params.need("qty")
    return NewOrder(
        symbol=params.need("symbol"),
        side=params.choice("side", Side),
        type=kind,
        qty=params.decimal("qty"),
        price=params.decimal("price") if kind is OrderType.LIMIT else Decimal(0),
        tif=params.choice("timeInForce", TimeInForce, TimeInForce.GTC),
        link_id=params.text("orderLinkId"),
        reduce_only=params.flag("reduceOnly") or params.flag("closeOnTrigger"),
        close_on_trigger=params.flag("closeOnTrigger"),
        trigger_price=trigger,
        trigger_direction=direction,
        trigger_by=params.choice("triggerBy", TriggerBy, TriggerBy.LAST),
        stop_loss=params.decimal("stopLoss"),
        take_profit=params.decimal("takeProfit"),
        sl_trigger_by=params.choice("slTriggerBy", TriggerBy, TriggerBy.LAST),
        tp_trigger_by=params.choice("tpTriggerBy", TriggerBy, TriggerBy.LAST),
    )


def _ids(params: Params) -> tuple[str, str]:
    order_id, link_id = params.text("orderId"), params.text("orderLinkId")
    if not order_id and not link_id:
        raise ParamError("params error: orderId or orderLinkId is required")
    return order_id, link_id


def _pair(reply: Accepted | Refused) -> Object | Refused:
    if isinstance(reply, Refused):
        return reply
    order_id, link_id = reply.orders[0]
    return {"orderId": order_id, "orderLinkId": link_id}


def create(venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/order/create."""
    return _pair(venue.execute(PlaceOrder(new_order(params))))


def cancel(venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/order/cancel."""
    linear_only(params)
    order_id, link_id = _ids(params)
    return _pair(venue.execute(CancelOrder(params.need("symbol"), order_id, link_id)))


def amend(venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/order/amend."""
    linear_only(params)
    order_id, link_id = _ids(params)
    command = AmendOrder(
        params.need("symbol"),
        order_id,
        link_id,
        params.decimal("qty"),
        params.decimal("price"),
        params.decimal("triggerPrice"),
    )
    return _pair(venue.execute(command))


def cancel_all(venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/order/cancel-all; unfiltered it also removes conditional and TP/SL orders, as Bybit does."""
    linear_only(params)
    if not (params.text("symbol") or params.text("baseCoin") or params.text("settleCoin")):
        raise ParamError("params error: one of symbol, baseCoin or settleCoin is required")
    reply = venue.execute(CancelAll(params.text("symbol"), params.choice("orderFilter", OrderFilter, OrderFilter.ALL)))
    if isinstance(reply, Refused):
        return reply
    return {
        "list": [{"orderId": order_id, "orderLinkId": link_id} for order_id, link_id in reply.orders],
        "success": "1",
    }


def set_leverage(venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/position/set-leverage."""
    linear_only(params)
    buy, sell = params.decimal("buyLeverage"), params.decimal("sellLeverage")
    if buy != sell:
        raise ParamError(f"params error: buyLeverage {buy} and sellLeverage {sell} must be equal in one-way mode")
    reply = venue.execute(SetLeverage(params.need("symbol"), buy))
    return reply if isinstance(reply, Refused) else {}


def trading_stop(venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/position/trading-stop; "0" removes a protection, an absent one is kept."""
    linear_only(params)
    _one_way_only(params)
    _full_mode_only(params)
    if params.text("trailingStop", "0") != "0":
        raise ParamError("params error: trailingStop is not supported, use stopLoss and takeProfit")
    reply = venue.execute(
        SetTradingStop(
            params.need("symbol"),
            params.maybe_decimal("stopLoss"),
            params.maybe_decimal("takeProfit"),
            params.choice("slTriggerBy", TriggerBy, TriggerBy.LAST),
            params.choice("tpTriggerBy", TriggerBy, TriggerBy.LAST),
        )
    )
    return reply if isinstance(reply, Refused) else {}


def batch(venue: Venue, params: Params, one: Callable[[Venue, Params], Object | Refused]) -> tuple[Object, Object]:
    """A batch endpoint: the result and its `retExtInfo`, each order judged by itself."""
    linear_only(params)
    requests = params.raw.get("request")
    if not isinstance(requests, list) or not 0 < len(requests) <= MAX_BATCH:
        raise ParamError(f"params error: request must be a list of 1 to {MAX_BATCH} orders")
    done: list[Object] = []
    codes: list[Object] = []
    for item in requests:
        given = dict(item) if isinstance(item, dict) else {}
        given["category"] = "linear"
        try:
            answer = one(venue, Params(given))
        except ParamError as error:
            answer = error.refused
        shown: Object = {"category": "linear", "symbol": given.get("symbol", "")}
        if isinstance(answer, Refused):
            shown |= {"orderId": "", "orderLinkId": str(given.get("orderLinkId", ""))}
            codes.append({"code": int(answer.code), "msg": answer.message})
        else:
            shown |= answer
            codes.append({"code": 0, "msg": "OK"})
        done.append(shown)
    return {"list": done}, {"list": codes}
