"""Private requests: from Binance's parameters to commands and queries of the venue.

Guarantees: every refusal is an `ApiError`. Never: sockets or signatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from titan.paper.binance import encode
from titan.paper.binance.encode import Object
from titan.paper.binance.refusals import ApiError, refusal
from titan.paper.commands import AmendOrder, CancelOrder, Command, PlaceOrder, SetLeverage
from titan.paper.ledger import Filter
from titan.paper.numbers import ALL, Numbers
from titan.paper.orders import (
    ExecType,
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Refused,
    RetCode,
    Side,
    TimeInForce,
)
from titan.paper.protocol.params import Params
from titan.paper.venue import Venue

CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}\Z")
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
TIFS = {word: tif for tif, word in encode.TIFS.items()}
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Room:
    """What a request works on."""

    venue: Venue
    numbers: Numbers


Question = Callable[[Room, Params], object]


def _execute(room: Room, command: Command) -> str:
    reply = room.venue.execute(command)
    if isinstance(reply, Refused):
        raise refusal(reply)
    return reply.orders[0][0] if reply.orders else ""


def _order(room: Room, order_id: str) -> Order | None:
    found = room.venue.core.find(order_id, "")
    if found is not None:
        return found
    rows = room.venue.ledger.orders(Filter(order_id=order_id), 1)
    return rows[0] if rows else None


def _need(params: Params, name: str) -> str:
    text = params.text(name)
    if not text:
        raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return text


def _side(params: Params) -> Side:
    side = SIDES.get(_need(params, "side"))
    if side is None:
        raise ApiError(-1117, "Invalid side.")
    return side


def _client_id(params: Params, name: str) -> str:
    text = params.text(name)
    if text and not CLIENT_ID.match(text):
        if len(text) > 36:
            raise ApiError(-4015, "Client order id length should not be more than 36 chars")
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.")
    return text


def _symbol(room: Room, params: Params) -> str:
    symbol = _need(params, "symbol")
    if symbol not in room.venue.core.symbols:
        raise ApiError(-1121, "Invalid symbol.")
    return symbol


# orders


def create(room: Room, params: Params) -> Object:
    """POST /fapi/v1/order: LIMIT and MARKET. Conditional orders belong to the algo service since 2025-12-09."""
    symbol, kind = _symbol(room, params), _need(params, "type")
    if kind in CONDITIONAL:
        raise ApiError(
            -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
        )
    if kind not in ("LIMIT", "MARKET"):
        raise ApiError(-1116, "Invalid orderType.")
    limit = kind == "LIMIT"
    _need(params, "quantity")
    tif = TimeInForce.GTC
    if limit:
        _need(params, "price")
        named = TIFS.get(_need(params, "timeInForce"))
        if named is None:
            raise ApiError(-1115, "Invalid timeInForce.")
        tif = named
    new = NewOrder(
        symbol=symbol,
        side=_side(params),
        type=OrderType.LIMIT if limit else OrderType.MARKET,
        qty=params.decimal("quantity"),
        price=params.decimal("price") if limit else Decimal(0),
        tif=tif,
        link_id=_client_id(params, "newClientOrderId"),
        reduce_only=params.flag("reduceOnly"),
    )
    order = _order(room, _execute(room, PlaceOrder(new)))
    assert order is not None, "an accepted order is on the record"
    if encode.never_was(order):
        raise ApiError(-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.")
    return encode.order_object(order)


def _wanted(room: Room, params: Params, symbol: str) -> Order | None:
    number, link = params.text("orderId"), params.text("origClientOrderId")
    if not number and not link:
        raise ApiError(-1102, "Either 'orderId' or 'origClientOrderId' must be sent.")
    if number:
        order_id = room.numbers.order_id(int(number)) if number.isdigit() else ""
        found = _order(room, order_id) if order_id else None
    else:
        found = room.venue.core.find("", link)
        if found is None or not encode.is_plain(found):
            rows = room.venue.ledger.orders(Filter(symbol=symbol, link_id=link), ALL)
            found = next((row for row in rows if encode.is_plain(row)), None)
    return found if found is not None and found.symbol == symbol and encode.is_plain(found) else None


def cancel(room: Room, params: Params) -> Object:
    """DELETE /fapi/v1/order."""
    symbol = _symbol(room, params)
    order = _wanted(room, params, symbol)
    if order is None or not order.status.is_open:
        raise ApiError(-2011, "Unknown order sent.")
    _execute(room, CancelOrder(symbol, order.order_id))
    ended = _order(room, order.order_id)
    assert ended is not None, "a cancelled order is on the record"
    return encode.order_object(ended)


def amend(room: Room, params: Params) -> Object:
    """PUT /fapi/v1/order: a limit order's quantity and price, both of them."""
    symbol = _symbol(room, params)
    for name in ("side", "quantity", "price"):
        _need(params, name)
    order = _wanted(room, params, symbol)
    if order is None or not order.status.is_open:
        raise ApiError(-2013, "Order does not exist.")
    if order.type is not OrderType.LIMIT or order.side is not _side(params):
        raise ApiError(-4139, "Only a limit order of the same side can be modified.")
    quantity, price = params.decimal("quantity"), params.decimal("price")
    if (quantity, price) == (order.qty, order.price):
        raise ApiError(-5027, "No need to modify the order.")
    _execute(room, AmendOrder(symbol, order.order_id, "", quantity, price))
    changed = _order(room, order.order_id)
    assert changed is not None, "an amended order is on the record"
    return encode.order_object(changed)


def query(room: Room, params: Params) -> Object:
    """GET /fapi/v1/order."""
    order = _wanted(room, params, _symbol(room, params))
    if order is None:
        raise ApiError(-2013, "Order does not exist.")
    return encode.order_object(order)


def open_orders(room: Room, params: Params) -> list[Object]:
    """GET /fapi/v1/openOrders."""
    symbol = params.text("symbol")
    found = [order for order in room.venue.core.open_orders.values() if encode.is_plain(order)]
    return [encode.order_object(order) for order in found if not symbol or order.symbol == symbol]


def all_orders(room: Room, params: Params) -> list[Object]:
    """GET /fapi/v1/allOrders: from `orderId` on, or of a window of at most seven days; else the latest."""
    symbol, limit = _symbol(room, params), params.integer("limit", 500, 1, 1000)
    number = params.text("orderId")
    start, end = _window(params, room.venue.market_ms, by_id=bool(number))
    rows = room.venue.ledger.orders(Filter(symbol=symbol, start_ms=start, end_ms=end), ALL, oldest_first=True)
    found = [encode.order_object(row) for row in rows if encode.is_plain(row)]
    if number:
        # The paper venue's numbers do not rise with time as Binance's do: a page follows the numbers.
        found.sort(key=lambda one: int(str(one["orderId"])))
        return [one for one in found if int(str(one["orderId"])) >= int(number)][:limit]
    return found[-limit:] if params.text("startTime") == "" else found[:limit]


# the algo service


def create_algo(room: Room, params: Params) -> Object:
    """POST /fapi/v1/algoOrder: STOP_MARKET and TAKE_PROFIT_MARKET, triggered by the last price."""
    symbol, side, kind = _symbol(room, params), _side(params), _need(params, "type")
    if _need(params, "algoType") != "CONDITIONAL":
        raise ApiError(-1102, "Only algoType CONDITIONAL is supported.")
    if kind not in ("STOP_MARKET", "TAKE_PROFIT_MARKET"):
        raise ApiError(-1116, "Invalid orderType.")
    for name in ("triggerPrice", "quantity"):
        _need(params, name)
    falls = (kind == "STOP_MARKET") == (side is Side.SELL)
    new = NewOrder(
        symbol=symbol,
        side=side,
        type=OrderType.MARKET,
        qty=params.decimal("quantity"),
        link_id=_client_id(params, "clientAlgoId"),
        reduce_only=params.flag("reduceOnly"),
        trigger_price=params.decimal("triggerPrice"),
        trigger_direction=2 if falls else 1,
    )
    order = _order(room, _execute(room, PlaceOrder(new)))
    assert order is not None, "an accepted order is on the record"
    return encode.algo_object(order)


def _wanted_algo(room: Room, params: Params) -> Order | None:
    number, link = params.text("algoId"), params.text("clientAlgoId")
    if not number and not link:
        raise ApiError(-1102, "Either 'algoId' or 'clientAlgoId' must be sent.")
    if number:
        order_id = room.numbers.order_id_of_second(int(number)) if number.isdigit() else ""
        found = _order(room, order_id) if order_id else None
        return found if found is not None and encode.is_algo(found) else None
    rows = room.venue.ledger.orders(Filter(link_id=link), ALL)
    return next((row for row in rows if encode.is_algo(row)), None)


def cancel_algo(room: Room, params: Params) -> Object:
    """DELETE /fapi/v1/algoOrder."""
    order = _wanted_algo(room, params)
    if order is None or order.status is not OrderStatus.UNTRIGGERED:
        raise ApiError(-2011, "Unknown order sent.")
    _execute(room, CancelOrder(order.symbol, order.order_id))
    shown = encode.algo_object(order)
    return {"algoId": shown["algoId"], "clientAlgoId": order.link_id, "code": "200", "msg": "success"}


def query_algo(room: Room, params: Params) -> Object:
    """GET /fapi/v1/algoOrder."""
    order = _wanted_algo(room, params)
    if order is None:
        raise ApiError(-2013, "Order does not exist.")
    return encode.algo_object(order)


def open_algos(room: Room, params: Params) -> list[Object]:
    """GET /fapi/v1/openAlgoOrders."""
    symbol = params.text("symbol")
    found = [o for o in room.venue.core.open_orders.values() if o.status is OrderStatus.UNTRIGGERED]
    return [encode.algo_object(order) for order in found if not symbol or order.symbol == symbol]


# the account


def _window(params: Params, now_ms: int, *, by_id: bool) -> tuple[int | None, int | None]:
    start, end = params.time_ms("startTime"), params.time_ms("endTime")
    if by_id:
        return None, None
    if start is not None and end is not None and end - start > WEEK_MS:
        raise ApiError(-4166, "Search window is restricted to recent 7 days only.")
    if start is None and end is None:
        return now_ms - WEEK_MS, None
    return (start, end if end is not None else start + WEEK_MS) if start is not None else (None, end)


def user_trades(room: Room, params: Params) -> list[Object]:
    """GET /fapi/v1/userTrades: from `fromId` on, or of a window of at most seven days, oldest first."""
    symbol, limit = _symbol(room, params), params.integer("limit", 500, 1, 1000)
    first, number = params.text("fromId"), params.text("orderId")
    start, end = _window(params, room.venue.market_ms, by_id=bool(first or number))
    wanted = Filter(
        symbol=symbol,
        order_id=room.numbers.order_id(int(number)) or "-" if number.isdigit() else "",
        start_ms=start,
        end_ms=end,
        from_seq=int(first) if first.isdigit() else None,
    )
    # Funding is no trade: pages are counted without it.
    rows = room.venue.ledger.executions(wanted, ALL if not first else limit + ALL, oldest_first=True)
    trades = [row for row in rows if row.exec_type is not ExecType.FUNDING]
    return [encode.trade_object(row) for row in trades[:limit]]


def income(room: Room, params: Params) -> list[Object]:
    """GET /fapi/v1/income: pages of a window, oldest first."""
    limit, page = params.integer("limit", 100, 1, 1000), params.integer("page", 1, 1, 1_000_000)
    wanted, symbol = params.text("incomeType"), params.text("symbol")
    start, end = params.time_ms("startTime"), params.time_ms("endTime")
    rows = room.venue.ledger.balance_rows(ALL, start if start is not None else room.venue.market_ms - WEEK_MS, end)
    found = [
        entry
        for row in reversed(rows)
        for entry in encode.income_objects(row)
        if (not wanted or entry["incomeType"] == wanted) and (not symbol or entry["symbol"] == symbol)
    ]
    return found[(page - 1) * limit : page * limit]


def position_risk(room: Room, params: Params) -> list[Object]:
    """GET /fapi/v3/positionRisk: symbols that hold a position or an open order."""
    symbol = params.text("symbol")
    busy = {order.symbol for order in room.venue.core.open_orders.values()}
    return [
        encode.position_object(position)
        for name, position in room.venue.core.account.positions.items()
        if (position.size or name in busy) and (not symbol or name == symbol)
    ]


def balance(room: Room, _params: Params) -> list[Object]:
    """GET /fapi/v3/balance."""
    return encode.balance_objects(room.venue.core.margin(), room.venue.market_ms)


def leverage(room: Room, params: Params) -> Object:
    """POST /fapi/v1/leverage."""
    symbol = _symbol(room, params)
    value = params.integer("leverage", 0, 1, 125)
    reply = room.venue.execute(SetLeverage(symbol, Decimal(value)))
    if isinstance(reply, Refused) and reply.code is not RetCode.LEVERAGE_NOT_MODIFIED:
        raise refusal(reply)
    return {"leverage": value, "maxNotionalValue": "1000000", "symbol": symbol}


def leverage_brackets(room: Room, params: Params) -> list[Object]:
    """GET /fapi/v1/leverageBracket: one bracket a symbol."""
    symbol = params.text("symbol")
    return [
        {"symbol": name, "brackets": [{"bracket": 1, "initialLeverage": int(state.instrument.max_leverage)}]}
        for name, state in room.venue.core.symbols.items()
        if not symbol or name == symbol
    ]


def exchange_info(room: Room, _params: Params) -> Object:
    """GET /fapi/v1/exchangeInfo."""
    listed = [encode.symbol_object(state.instrument) for state in room.venue.core.symbols.values()]
    return {"timezone": "UTC", "rateLimits": [], "exchangeFilters": [], "assets": [], "symbols": listed}
