"""Binance USDⓈ-M's objects to the room's values, and an order to Binance's requests.

Guarantees: numbers are read from the venue's strings; an object that makes no sense is a ValueError. Never: I/O.
Sources: https://developers.binance.com/docs/derivatives/usds-margined-futures (trade, account, user-data-streams).

Binance attaches no stop to an order. A stop or target is an order of its own at the algo service, named after its
entry: the entry's client id and a suffix. Its venue id here is `algo-` and the algo id, also after it triggered; its own
name stays in this room, for no journal knows it: outside it has no client id, as a stop that a venue made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from titan.codes import RejectCode
from titan.errors import Rejected
from titan.ids import is_our_client_order_id
from titan.instruments import Instrument
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.money import ZERO, dec, text_of
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder, VenuePosition, VenueWallet

Raw = Mapping[str, Any]

ALGO = "algo-"
SUFFIXES = {OrderRole.STOP: "sl", OrderRole.TARGET: "tp"}
ORDER_TYPES = {OrderRole.STOP: OrderType.STOP_MARKET, OrderRole.TARGET: OrderType.TAKE_PROFIT_MARKET}
ROLES = {suffix: role for role, suffix in SUFFIXES.items()}
STATES = {
    "NEW": OrderState.OPEN,
    "NEW_INSURANCE": OrderState.OPEN,
    "NEW_ADL": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.CANCELED,
    "EXPIRED_IN_MATCH": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
}
ALGO_STATES = {
    "NEW": OrderState.OPEN,
    "TRIGGERING": OrderState.OPEN,
    "TRIGGERED": OrderState.OPEN,
    "FINISHED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
}
TIME_IN_FORCE = {
    OrderType.LIMIT: "GTC",
    OrderType.POST_ONLY: "GTX",
    OrderType.IOC: "IOC",
    OrderType.FOK: "FOK",
    OrderType.MARKET: "IOC",
    OrderType.STOP_MARKET: "GTC",
    OrderType.TAKE_PROFIT_MARKET: "GTC",
}
ALGO_TYPES = {
    "STOP": OrderType.STOP_MARKET,
    "STOP_MARKET": OrderType.STOP_MARKET,
    "TRAILING_STOP_MARKET": OrderType.STOP_MARKET,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT_MARKET,
    "TAKE_PROFIT_MARKET": OrderType.TAKE_PROFIT_MARKET,
}


def order_request(order: Order, venue_symbol: str) -> dict[str, Any]:
    """The parameters of POST /fapi/v1/order. Raises Rejected for an order type that is not taken alone."""
    tif = TIME_IN_FORCE.get(order.order_type)
    if tif is None:
        raise Rejected(RejectCode.ORDER_TYPE_UNSUPPORTED, f"binance takes no {order.order_type.value} order alone")
    request: dict[str, Any] = {
        "symbol": venue_symbol,
        "side": order.side.value,
        "type": "MARKET" if order.order_type is OrderType.MARKET else "LIMIT",
        "quantity": text_of(order.quantity),
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "ACK",
    }
    if order.price is not None and order.order_type is not OrderType.MARKET:
        request["price"] = text_of(order.price)
        request["timeInForce"] = tif
    if order.reduce_only:
        request["reduceOnly"] = "true"
    return request


def algo_request(order: Order, venue_symbol: str) -> dict[str, Any]:
    """The parameters of POST /fapi/v1/algoOrder for an order that waits for a trigger.

    Raises Rejected for a type that is not taken.
    """
    if order.order_type not in TIME_IN_FORCE:
        raise Rejected(RejectCode.ORDER_TYPE_UNSUPPORTED, f"binance takes no {order.order_type.value} order alone")
    request = {
        "algoType": "CONDITIONAL",
        "symbol": venue_symbol,
        "side": order.side.value,
        "type": order.order_type.value,
        "quantity": text_of(order.quantity),
        "triggerPrice": text_of(order.trigger_price),
        "workingType": "CONTRACT_PRICE",
        "clientAlgoId": order.client_order_id,
    }
    if order.reduce_only:
        request["reduceOnly"] = "true"
    return request


def protection_requests(order: Order, venue_symbol: str) -> list[dict[str, Any]]:
    """The parameters of POST /fapi/v1/algoOrder for an entry's stop and target, the stop first."""
    prices = (
        (OrderRole.STOP, "STOP_MARKET", order.stop_price),
        (OrderRole.TARGET, "TAKE_PROFIT_MARKET", order.target_price),
    )
    return [
        {
            "algoType": "CONDITIONAL",
            "symbol": venue_symbol,
            "side": order.side.opposite.value,
            "type": kind,
            "quantity": text_of(order.quantity),
            "triggerPrice": text_of(price),
            "workingType": "CONTRACT_PRICE",
            "reduceOnly": "true",
            "clientAlgoId": protection_id(order.client_order_id, role),
        }
        for role, kind, price in prices
        if price is not None
    ]


def protection_id(client_order_id: str, role: OrderRole) -> str:
    """The client id of an entry's stop or target: 34 of the 36 characters that Binance admits."""
    return f"{client_order_id}{SUFFIXES[role]}"


def entry_of(client_id: str) -> tuple[str, OrderRole]:
    """The entry's client id and the role of one of its protective orders; an empty id when it is none of ours."""
    role = ROLES.get(client_id[-2:])
    entry = client_id[:-2]
    if role is None or not is_our_client_order_id(entry):
        return "", OrderRole.EXTERNAL
    return entry, role


def instrument(raw: Raw, venue: str, max_leverage: Decimal) -> Instrument:
    """A perpetual of exchangeInfo."""
    base, quote, settle = str(raw["baseAsset"]), str(raw["quoteAsset"]), str(raw["marginAsset"])
    filters = {each["filterType"]: each for each in raw["filters"]}
    return Instrument(
        symbol=f"{base}/{quote}:{settle}",
        base=base,
        quote=quote,
        settle=settle,
        kind="perp",
        tick=dec(filters["PRICE_FILTER"]["tickSize"]),
        lot=dec(filters["LOT_SIZE"]["stepSize"]),
        min_qty=dec(filters["LOT_SIZE"]["minQty"]),
        min_notional=dec(filters["MIN_NOTIONAL"]["notional"]) if "MIN_NOTIONAL" in filters else ZERO,
        max_leverage=max_leverage,
        venue=venue,
        venue_symbol=str(raw["symbol"]),
    )


def venue_order(raw: Raw, symbol: str) -> VenueOrder:
    """An entry of the order endpoints."""
    client_id = str(raw.get("clientOrderId") or "")
    entry, role = entry_of(client_id)
    filled = dec(raw.get("executedQty") or "0")
    return VenueOrder(
        venue_order_id=str(raw["orderId"]),
        client_order_id="" if entry else client_id,
        parent_client_order_id=entry,
        symbol=symbol,
        side=_side(raw["side"]),
        order_type=_order_type(raw, role),
        role=role,
        quantity=dec(raw["origQty"]),
        price=_set(raw.get("price")),
        trigger_price=_set(raw.get("stopPrice")),
        reduce_only=bool(raw.get("reduceOnly")),
        state=_state(STATES, raw["status"]),
        filled=filled,
        average_price=dec(raw.get("avgPrice") or "0") if filled else ZERO,
        created_ms=int(raw.get("time") or raw["updateTime"]),
        updated_ms=int(raw["updateTime"]),
        detail=str(raw["status"]) if raw["status"] in ("EXPIRED", "EXPIRED_IN_MATCH") else "",
    )


def algo_order(raw: Raw, symbol: str) -> VenueOrder:
    """An entry of the algo order endpoints."""
    client_id = str(raw.get("clientAlgoId") or "")
    entry, role = entry_of(client_id)
    state = _state(ALGO_STATES, raw["algoStatus"])
    quantity, filled = dec(raw.get("quantity") or "0"), dec(raw.get("executedQty") or "0")
    if state is OrderState.FILLED and "executedQty" in raw and filled < quantity:
        # FINISHED says only that the triggered order is over.
        state = OrderState.CANCELED
    return VenueOrder(
        venue_order_id=f"{ALGO}{raw['algoId']}",
        client_order_id="" if entry else client_id,
        parent_client_order_id=entry,
        symbol=symbol,
        side=_side(raw["side"]),
        order_type=ALGO_TYPES.get(str(raw["orderType"]), OrderType.STOP_MARKET),
        role=role,
        quantity=quantity,
        price=_set(raw.get("price")),
        trigger_price=_set(raw.get("triggerPrice")),
        reduce_only=bool(raw.get("reduceOnly") or raw.get("closePosition")),
        state=state,
        filled=filled,
        average_price=dec(raw.get("avgPrice") or "0"),
        created_ms=int(raw["createTime"]),
        updated_ms=int(raw["updateTime"]),
        detail="",
    )


def order_event(raw: Raw, symbol: str) -> VenueOrder:
    """The order inside an ORDER_TRADE_UPDATE event."""
    return venue_order(
        {
            "orderId": raw["i"],
            "clientOrderId": raw["c"],
            "side": raw["S"],
            "type": raw["o"],
            "timeInForce": raw["f"],
            "origQty": raw["q"],
            "price": raw["p"],
            "stopPrice": raw["sp"],
            "reduceOnly": raw["R"],
            "status": raw["X"],
            "executedQty": raw["z"],
            "avgPrice": raw["ap"],
            "updateTime": raw["T"],
        },
        symbol,
    )


def algo_event(raw: Raw, symbol: str, ts_ms: int) -> VenueOrder:
    """The order inside an ALGO_UPDATE event."""
    return algo_order(
        {
            "algoId": raw["aid"],
            "clientAlgoId": raw["caid"],
            "orderType": raw["o"],
            "side": raw["S"],
            "quantity": raw["q"],
            "price": raw["p"],
            "triggerPrice": raw["tp"],
            "reduceOnly": raw["R"],
            "closePosition": raw["cp"],
            "algoStatus": raw["X"],
            "createTime": ts_ms,
            "updateTime": ts_ms,
            **({"executedQty": raw["aq"]} if raw.get("aq") else {}),
        },
        symbol,
    )


def trade(raw: Raw, symbol: str, client_order_id: str) -> VenueExecution:
    """An entry of userTrades, which names the order's venue id only. Trade ids count per symbol."""
    return VenueExecution(
        venue_trade_id=f"{raw['symbol']}-{raw['id']}",
        venue_order_id=str(raw["orderId"]),
        client_order_id=client_order_id,
        kind=ExecutionKind.TRADE,
        symbol=symbol,
        side=_side(raw["side"]),
        price=dec(raw["price"]),
        quantity=dec(raw["qty"]),
        fee=dec(raw["commission"]),
        fee_currency=str(raw["commissionAsset"]),
        maker=bool(raw["maker"]),
        ts_ms=int(raw["time"]),
        role=entry_of(client_order_id)[1],
    )


def trade_event(raw: Raw, symbol: str) -> VenueExecution:
    """The fill inside an ORDER_TRADE_UPDATE event whose execution type is TRADE."""
    return VenueExecution(
        venue_trade_id=f"{raw['s']}-{raw['t']}",
        venue_order_id=str(raw["i"]),
        client_order_id=str(raw["c"]),
        kind=ExecutionKind.TRADE,
        symbol=symbol,
        side=_side(raw["S"]),
        price=dec(raw["L"]),
        quantity=dec(raw["l"]),
        fee=dec(raw.get("n") or "0"),
        fee_currency=str(raw.get("N") or "USDT"),
        maker=bool(raw["m"]),
        ts_ms=int(raw["T"]),
        role=entry_of(str(raw["c"]))[1],
        order_type=OrderType.MARKET if raw["o"] == "MARKET" else OrderType.LIMIT,
        order_quantity=dec(raw["q"]),
    )


def funding(raw: Raw, symbol: str) -> VenueExecution:
    """A FUNDING_FEE of the income history; its income is what the wallet received."""
    return VenueExecution(
        venue_trade_id=f"funding-{raw['tranId']}",
        venue_order_id="",
        client_order_id="",
        kind=ExecutionKind.FUNDING,
        symbol=symbol,
        side=Side.BUY,
        price=ZERO,
        quantity=ZERO,
        fee=-dec(raw["income"]),
        fee_currency=str(raw["asset"]),
        maker=False,
        ts_ms=int(raw["time"]),
    )


def position(raw: Raw, symbol: str, stop_price: Decimal | None, target_price: Decimal | None) -> VenuePosition:
    """An entry of positionRisk; the protection is of the symbol's open algo orders."""
    margin, notional = dec(raw.get("positionInitialMargin") or "0"), abs(dec(raw.get("notional") or "0"))
    return VenuePosition(
        symbol=symbol,
        quantity=dec(raw["positionAmt"]),
        average_price=dec(raw["entryPrice"]),
        mark_price=_set(raw.get("markPrice")),
        stop_price=stop_price,
        target_price=target_price,
        leverage=(notional / margin).quantize(Decimal(1)) if margin else ZERO,
        updated_ms=int(raw.get("updateTime") or 0),
    )


def wallet(raws: list[Raw], currency: str = "USDT") -> VenueWallet:
    """The entry of `currency` of a balance answer. Raises ValueError when the account does not hold it."""
    for raw in raws:
        if raw["asset"] == currency:
            balance, unrealized = dec(raw["balance"]), dec(raw["crossUnPnl"])
            return VenueWallet(
                currency=currency,
                wallet=balance,
                unrealized_pnl=unrealized,
                equity=balance + unrealized,
                available=dec(raw["availableBalance"]),
            )
    raise ValueError(f"the account holds no {currency}; fund it, or name its settlement currency")


def _side(text: object) -> Side:
    try:
        return Side(str(text))
    except ValueError:
        raise ValueError(f"unknown side {text!r}; known: BUY, SELL") from None


def _state(states: Mapping[str, OrderState], status: str) -> OrderState:
    try:
        return states[status]
    except KeyError:
        raise ValueError(f"unknown order status {status!r}; known: {', '.join(states)}") from None


def _order_type(raw: Raw, role: OrderRole) -> OrderType:
    if role in ORDER_TYPES:
        return ORDER_TYPES[role]
    if raw.get("type") == "MARKET":
        return OrderType.MARKET
    words = {"GTX": OrderType.POST_ONLY, "IOC": OrderType.IOC, "FOK": OrderType.FOK}
    return words.get(str(raw.get("timeInForce") or ""), OrderType.LIMIT)


def _set(text: object) -> Decimal | None:
    value = dec(str(text or "0"))
    return None if value == 0 else value


def nearest(waiting: Iterable[VenueOrder], symbol: str, *, rises: bool) -> tuple[Decimal | None, Decimal | None]:
    """The stop and the target that a price meets first; a stop waits for a rise when `rises`."""
    own = [order for order in waiting if order.symbol == symbol]
    stops = [order.trigger_price for order in own if order.role is OrderRole.STOP and order.trigger_price]
    targets = [order.trigger_price for order in own if order.role is OrderRole.TARGET and order.trigger_price]
    first, last = (min, max) if rises else (max, min)
    return first(stops, default=None), last(targets, default=None)
