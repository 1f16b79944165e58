"""Bybit v5's objects to the room's values, and an order to Bybit's request.

Guarantees: numbers are read from the venue's strings; an object that makes no sense is a ValueError. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from titan.codes import RejectCode
from titan.errors import Rejected
from titan.instruments import Instrument
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.money import ZERO, dec, text_of
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder, VenuePosition, VenueWallet

Raw = Mapping[str, Any]

SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
SIDE_NAMES = {Side.BUY: "Buy", Side.SELL: "Sell"}
STATES = {
    "Created": OrderState.OPEN,
    "New": OrderState.OPEN,
    "Untriggered": OrderState.OPEN,
    "Triggered": OrderState.OPEN,
    "PartiallyFilled": OrderState.PARTIALLY_FILLED,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELED,
    "PartiallyFilledCanceled": OrderState.CANCELED,
    "Deactivated": OrderState.CANCELED,
    "Rejected": OrderState.REJECTED,
}
STOP_ROLES = {
    "StopLoss": OrderRole.STOP,
    "PartialStopLoss": OrderRole.STOP,
    "TrailingStop": OrderRole.STOP,
    "TakeProfit": OrderRole.TARGET,
    "PartialTakeProfit": OrderRole.TARGET,
}
TIME_IN_FORCE = {
    OrderType.LIMIT: "GTC",
    OrderType.POST_ONLY: "PostOnly",
    OrderType.IOC: "IOC",
    OrderType.FOK: "FOK",
    OrderType.MARKET: "IOC",
    OrderType.STOP_MARKET: "IOC",
    OrderType.STOP_LIMIT: "GTC",
    OrderType.TAKE_PROFIT_MARKET: "IOC",
    OrderType.TAKE_PROFIT_LIMIT: "GTC",
}
RISES, FALLS = 1, 2
CONDITIONAL = {
    # (the trigger is on the side that the order buys into, it names a price): type
    (True, False): OrderType.STOP_MARKET,
    (True, True): OrderType.STOP_LIMIT,
    (False, False): OrderType.TAKE_PROFIT_MARKET,
    (False, True): OrderType.TAKE_PROFIT_LIMIT,
}


def order_request(order: Order, venue_symbol: str) -> dict[str, Any]:
    """The body of /v5/order/create. Raises Rejected for an order type that Bybit does not take."""
    tif, limited = TIME_IN_FORCE.get(order.order_type), order.order_type.names_price
    if tif is None:
        raise Rejected(RejectCode.ORDER_TYPE_UNSUPPORTED, f"bybit takes no {order.order_type.value} order")
    request: dict[str, Any] = {
        "category": "linear",
        "symbol": venue_symbol,
        "side": SIDE_NAMES[order.side],
        "orderType": "Limit" if limited else "Market",
        "qty": text_of(order.quantity),
        "timeInForce": tif,
        "orderLinkId": order.client_order_id,
        "positionIdx": 0,
    }
    if limited and order.price is not None:
        request["price"] = text_of(order.price)
    if order.trigger_price is not None:
        stop = order.order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
        request["triggerPrice"] = text_of(order.trigger_price)
        request["triggerDirection"] = RISES if stop == (order.side is Side.BUY) else FALLS
        request["triggerBy"] = "LastPrice"
    if order.reduce_only:
        request["reduceOnly"] = True
    if order.stop_price is not None:
        request["stopLoss"] = text_of(order.stop_price)
        request["slTriggerBy"] = "LastPrice"
        request["tpslMode"] = "Full"
    if order.target_price is not None:
        request["takeProfit"] = text_of(order.target_price)
        request["tpTriggerBy"] = "LastPrice"
        request["tpslMode"] = "Full"
    return request


def instrument(raw: Raw, venue: str) -> Instrument:
    """A linear perpetual of instruments-info."""
    base, quote, settle = str(raw["baseCoin"]), str(raw["quoteCoin"]), str(raw["settleCoin"])
    lots = raw["lotSizeFilter"]
    return Instrument(
        symbol=f"{base}/{quote}:{settle}",
        base=base,
        quote=quote,
        settle=settle,
        kind="perp",
        tick=dec(raw["priceFilter"]["tickSize"]),
        lot=dec(lots["qtyStep"]),
        min_qty=dec(lots["minOrderQty"]),
        min_notional=dec(lots.get("minNotionalValue") or "0"),
        max_leverage=dec(raw["leverageFilter"]["maxLeverage"]),
        venue=venue,
        venue_symbol=str(raw["symbol"]),
    )


def venue_order(raw: Raw, symbol: str) -> VenueOrder:
    """An entry of the order endpoints or the order topic."""
    stop_kind = str(raw.get("stopOrderType") or "")
    role = STOP_ROLES.get(stop_kind, OrderRole.EXTERNAL)
    cancel = str(raw.get("cancelType") or "")
    reason = str(raw.get("rejectReason") or "")
    return VenueOrder(
        venue_order_id=str(raw["orderId"]),
        client_order_id=str(raw.get("orderLinkId") or ""),
        parent_client_order_id=str(raw.get("parentOrderLinkId") or ""),
        symbol=symbol,
        side=_side(raw),
        order_type=_order_type(raw, role),
        role=role,
        quantity=dec(raw["qty"]),
        price=_set(raw.get("price")),
        trigger_price=_set(raw.get("triggerPrice")),
        reduce_only=bool(raw.get("reduceOnly")),
        state=_state(str(raw["orderStatus"])),
        filled=dec(raw.get("cumExecQty") or "0"),
        average_price=_average(raw),
        created_ms=int(raw.get("createdTime") or 0),
        updated_ms=int(raw.get("updatedTime") or 0),
        detail=", ".join(part for part in (cancel, reason) if part not in ("", "UNKNOWN", "EC_NoError")),
    )


def execution(raw: Raw, symbol: str) -> VenueExecution:
    """An entry of the execution list or topic. Anything that is not funding moved the position as a trade does."""
    funding = raw.get("execType") == "Funding"
    role = STOP_ROLES.get(str(raw.get("stopOrderType") or ""), OrderRole.EXTERNAL)
    return VenueExecution(
        venue_trade_id=str(raw["execId"]),
        venue_order_id=str(raw["orderId"]),
        client_order_id=str(raw.get("orderLinkId") or ""),
        kind=ExecutionKind.FUNDING if funding else ExecutionKind.TRADE,
        symbol=symbol,
        side=_side(raw),
        price=dec(raw["execPrice"]),
        quantity=dec(raw["execQty"]),
        fee=dec(raw.get("execFee") or "0"),
        fee_currency=str(raw.get("feeCurrency") or "USDT"),
        maker=bool(raw.get("isMaker")),
        ts_ms=int(raw["execTime"]),
        role=role,
        order_type=_order_type(raw, role),
        order_quantity=dec(raw.get("orderQty") or "0"),
    )


def position(raw: Raw, symbol: str) -> VenuePosition:
    """An entry of the position list."""
    size = dec(raw.get("size") or "0")
    return VenuePosition(
        symbol=symbol,
        quantity=-size if raw.get("side") == "Sell" else size,
        average_price=dec(raw.get("avgPrice") or "0"),
        mark_price=_set(raw.get("markPrice")),
        stop_price=_set(raw.get("stopLoss")),
        target_price=_set(raw.get("takeProfit")),
        leverage=dec(raw.get("leverage") or "0"),
        updated_ms=int(raw.get("updatedTime") or 0),
    )


def wallet(raw: Raw, currency: str = "USDT") -> VenueWallet:
    """The coin `currency` of a wallet-balance answer. Raises ValueError when the account does not hold it."""
    for account in raw["list"]:
        for coin in account["coin"]:
            if coin["coin"] == currency:
                return VenueWallet(
                    currency=currency,
                    wallet=dec(coin["walletBalance"]),
                    unrealized_pnl=dec(coin.get("unrealisedPnl") or "0"),
                    equity=dec(coin["equity"]),
                    available=dec(account.get("totalAvailableBalance") or "0"),
                )
    raise ValueError(f"the account holds no {currency}; fund it, or name its settlement currency")


def _side(raw: Raw) -> Side:
    try:
        return SIDES[raw["side"]]
    except KeyError:
        raise ValueError(f"unknown side {raw.get('side')!r} in {dict(raw)}") from None


def _state(status: str) -> OrderState:
    try:
        return STATES[status]
    except KeyError:
        raise ValueError(f"unknown order status {status!r}; known: {', '.join(STATES)}") from None


def _order_type(raw: Raw, role: OrderRole) -> OrderType:
    if role is OrderRole.STOP:
        return OrderType.STOP_MARKET
    if role is OrderRole.TARGET:
        return OrderType.TAKE_PROFIT_MARKET
    direction = int(raw.get("triggerDirection") or 0)
    if raw.get("stopOrderType") == "Stop" and direction:
        return CONDITIONAL[(direction == RISES) == (_side(raw) is Side.BUY), raw.get("orderType") == "Limit"]
    if raw.get("orderType") == "Market":
        return OrderType.MARKET
    return {"PostOnly": OrderType.POST_ONLY, "IOC": OrderType.IOC, "FOK": OrderType.FOK}.get(
        str(raw.get("timeInForce") or ""), OrderType.LIMIT
    )


def _set(text: str | None) -> Decimal | None:
    value = dec(text or "0")
    return None if value == 0 else value


def _average(raw: Raw) -> Decimal:
    filled, value = dec(raw.get("cumExecQty") or "0"), dec(raw.get("cumExecValue") or "0")
    if filled > 0 and value > 0:
        return value / filled
    return dec(raw.get("avgPrice") or "0") if filled > 0 else ZERO
