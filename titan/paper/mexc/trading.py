"""Private requests: from MEXC's parameters to commands and queries of the venue.

Guarantees: every refusal is an `ApiError` with a code of https://www.mexc.com/api-docs/futures/error-code. Never: sockets
or signatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from titan.paper.commands import CancelOrder, PlaceOrder, SetLeverage
from titan.paper.ledger import Filter
from titan.paper.mexc import encode
from titan.paper.mexc.encode import Object
from titan.paper.numbers import ALL, Numbers, number_of, second_number_of
from titan.paper.orders import (
    ExecType,
    Instrument,
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

EXTERNAL_OID = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
NOT_EXIST, CANNOT_CANCEL = (2040, "order not exist"), (2041, "order state cannot be cancelled")
SIDES = {1: (Side.BUY, False), 2: (Side.BUY, True), 3: (Side.SELL, False), 4: (Side.SELL, True)}
TIFS = {code: tif for tif, code in encode.TYPES.items()}
TRENDS = {code: by for by, code in encode.TRENDS.items()}
MARKETS = (encode.MARKET, encode.MARKET_AT_CURRENT)
MAX_SPAN_MS = 90 * 86_400_000

_CODES: dict[RetCode, tuple[int, str]] = {
    RetCode.ORDER_NOT_EXISTS: NOT_EXIST,
    RetCode.INSUFFICIENT_BALANCE: (2005, "Balance insufficient"),
    RetCode.LEVERAGE_RISK: (2006, "Leverage ratio error"),
    RetCode.REDUCE_ONLY: (2009, "Position is not exists or closed"),
    RetCode.TOO_MANY_ORDERS: (2013, "Too many orders"),
    RetCode.DUPLICATE_LINK_ID: (2042, "Duplicate external order id"),
    RetCode.MIN_NOTIONAL: (2011, "Order quantity error"),
}
_TEXTS = (
    ("params error: symbol invalid", (1001, "Contract not exists")),
    ("Price invalid", (2007, "Order price error")),
    ("StopLoss", (2007, "Stop price error")),
    ("TakeProfit", (2007, "Target price error")),
    ("Qty invalid", (2015, "Order quantity precision error")),
    ("The number of contracts", (2011, "Order quantity error")),
)


class ApiError(Exception):
    """A refusal as MEXC words it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Room:
    """What a request works on; `symbols` maps MEXC's spelling to instruments."""

    venue: Venue
    numbers: Numbers
    symbols: dict[str, Instrument]


Question = Callable[[Room, Params], object]


def _refusal(refused: Refused) -> ApiError:
    for start, (code, text) in _TEXTS:
        if refused.message.startswith(start):
            return ApiError(code, f"{text} [{refused.message}]")
    code, text = _CODES.get(refused.code, (600, "Parameter error"))
    return ApiError(code, f"{text} [{refused.message}]")


def _instrument(room: Room, params: Params) -> Instrument:
    found = room.symbols.get(params.text("symbol"))
    if found is None:
        raise ApiError(1001, f"Contract not exists: {params.text('symbol')}")
    return found


def _order(room: Room, order_id: str) -> Order | None:
    found = room.venue.core.find(order_id, "") if order_id else None
    if found is not None or not order_id:
        return found
    rows = room.venue.ledger.orders(Filter(order_id=order_id), 1)
    return rows[0] if rows else None


def _by_number(room: Room, text: str) -> Order | None:
    return _order(room, room.numbers.order_id(int(text))) if text.isdigit() else None


def _shown(room: Room, order: Order) -> Object:
    return encode.order_object(order, room.venue.core.symbols[order.symbol].instrument)


# orders


def create(room: Room, params: Params) -> Object:
    """POST order/create: limit, post-only, IOC, FOK and market, with the stop and target of the position."""
    one = _instrument(room, params)
    side, kind = params.integer("side", 0, 0, 9), params.integer("type", 0, 0, 9)
    if side not in SIDES or kind not in (*TIFS, *MARKETS):
        raise ApiError(600, f"Parameter error: side {side}, type {kind}")
    link = params.text("externalOid")
    if link and not EXTERNAL_OID.match(link):
        raise ApiError(2030, f"external order id is too long or malformed: {link}")
    market = kind in MARKETS
    way, reduce_only = SIDES[side]
    new = NewOrder(
        symbol=one.id,
        side=way,
        type=OrderType.MARKET if market else OrderType.LIMIT,
        qty=params.decimal("vol") * one.lot,
        price=Decimal(0) if market else params.decimal("price"),
        tif=TimeInForce.GTC if market else TIFS[kind],
        link_id=link,
        reduce_only=reduce_only,
        stop_loss=params.decimal("stopLossPrice"),
        take_profit=params.decimal("takeProfitPrice"),
    )
    reply = room.venue.execute(PlaceOrder(new))
    if isinstance(reply, Refused):
        raise _refusal(reply)
    return {"orderId": str(number_of(reply.orders[0][0])), "ts": room.venue.market_ms}


def _cancel(room: Room, order: Order | None) -> tuple[int, str]:
    if order is None:
        return NOT_EXIST
    if not order.status.is_open:
        return CANNOT_CANCEL
    reply = room.venue.execute(CancelOrder(order.symbol, order.order_id))
    return CANNOT_CANCEL if isinstance(reply, Refused) else (0, "success")


def cancel(room: Room, params: Params) -> list[Object]:
    """POST order/cancel: a list of order ids, each answered by itself."""
    found: list[Object] = []
    for number in _list(params):
        code, text = _cancel(room, _by_number(room, str(number)))
        found.append({"orderId": str(number), "errorCode": code, "errorMsg": text})
    return found


def _list(params: Params) -> list[object]:
    given = params.raw.get("list", params.raw.get("orderIds"))
    if not isinstance(given, list) or not 0 < len(given) <= 50:
        raise ApiError(600, "Parameter error: a list of 1 to 50 is expected")
    return given


def cancel_external(room: Room, params: Params) -> Object:
    """POST order/cancel_with_external."""
    one, link = _instrument(room, params), params.text("externalOid")
    code, text = _cancel(room, _external(room, one, link))
    if code:
        raise ApiError(code, text)
    return {"symbol": params.text("symbol"), "externalOid": link}


def cancel_stop(room: Room, params: Params) -> None:
    """POST stoporder/cancel."""
    for each in _list(params):
        text = str(each.get("stopPlanOrderId", "")) if isinstance(each, dict) else ""
        order_id = room.numbers.order_id_of_second(int(text)) if text.isdigit() else ""
        order = room.venue.core.find(order_id, "") if order_id else None
        if order is None or order.status is not OrderStatus.UNTRIGGERED:
            raise ApiError(*NOT_EXIST)
        _cancel(room, order)


def create_plan(room: Room, params: Params) -> str:
    """POST planorder/place and planorder/place/v2: an order that waits for a price; the answer is its bare id."""
    one = _instrument(room, params)
    side, kind = params.integer("side", 0, 0, 9), params.integer("orderType", 0, 0, 9)
    way, trend = params.integer("triggerType", 0, 0, 9), params.integer("trend", 0, 0, 9)
    if side not in SIDES or kind not in (*TIFS, encode.MARKET) or way not in (1, 2) or trend not in TRENDS:
        text = f"side {side}, orderType {kind}, triggerType {way}, trend {trend}"
        raise ApiError(600, f"Parameter error: {text}")
    if params.integer("executeCycle", 0, 0, 9) not in (1, 2):
        raise ApiError(600, "Parameter error: executeCycle is 1 for 24 hours or 2 for 7 days")
    market = kind == encode.MARKET
    new = NewOrder(
        symbol=one.id,
        side=SIDES[side][0],
        type=OrderType.MARKET if market else OrderType.LIMIT,
        qty=params.decimal("vol") * one.lot,
        price=Decimal(0) if market else params.decimal("price"),
        tif=TimeInForce.GTC if market else TIFS[kind],
        reduce_only=SIDES[side][1],
        trigger_price=params.decimal("triggerPrice"),
        trigger_direction=way,
        trigger_by=TRENDS[trend],
        stop_loss=params.decimal("stopLossPrice"),
        take_profit=params.decimal("takeProfitPrice"),
    )
    reply = room.venue.execute(PlaceOrder(new))
    if isinstance(reply, Refused):
        raise _refusal(reply)
    return str(second_number_of(reply.orders[0][0]))


def cancel_plan(room: Room, params: Params) -> None:
    """POST planorder/cancel: a list of symbols and ids, answered without data."""
    for each in _list(params):
        text = str(each.get("orderId", "")) if isinstance(each, dict) else ""
        order_id = room.numbers.order_id_of_second(int(text)) if text.isdigit() else ""
        order = _order(room, order_id)
        if order is None or not encode.is_plan(order):
            raise ApiError(*NOT_EXIST)
        if order.status is not OrderStatus.UNTRIGGERED:
            raise ApiError(*CANNOT_CANCEL)
        _cancel(room, order)


def plan_orders(room: Room, params: Params) -> list[Object]:
    """GET planorder/list/orders: by symbol, states and time, newest first."""
    start, end = _span(params)
    wanted = {int(state) for state in params.text("states").split(",") if state.isdigit()}
    found = Filter(symbol=_symbol_id(room, params), start_ms=start, end_ms=end, conditional=True)
    rows = [row for row in room.venue.ledger.orders(found, ALL) if encode.is_plan(row)]
    rows = [row for row in rows if not wanted or encode.plan_state(row) in wanted]
    return [encode.plan_object(row, room.venue.core.symbols[row.symbol].instrument) for row in rows[_page(params)]]


def _external(room: Room, one: Instrument, link: str) -> Order | None:
    found = room.venue.core.find("", link)
    if found is None:
        rows = room.venue.ledger.orders(Filter(symbol=one.id, link_id=link), 1)
        found = rows[0] if rows else None
    return found if found is not None and found.symbol == one.id else None


def by_external(room: Room, params: Params) -> Object | None:
    """GET order/external/{symbol}/{external_oid}; nothing is a success without data."""
    found = _external(room, _instrument(room, params), params.text("external_oid"))
    return None if found is None else _shown(room, found)


def by_number(room: Room, params: Params) -> Object | None:
    """GET order/get/{order_id}."""
    found = _by_number(room, params.text("order_id"))
    return None if found is None or not encode.is_plain(found) else _shown(room, found)


def batch(room: Room, params: Params) -> list[Object]:
    """GET order/batch_query: up to 50 order ids, comma separated."""
    found = [_by_number(room, text) for text in params.text("order_ids").split(",")]
    return [_shown(room, order) for order in found if order is not None]


def _page(params: Params) -> slice:
    page, size = params.integer("page_num", 1, 1, 1_000_000), params.integer("page_size", 20, 1, 100)
    return slice((page - 1) * size, page * size)


def _span(params: Params) -> tuple[int | None, int | None]:
    start, end = params.time_ms("start_time"), params.time_ms("end_time")
    if start is not None and end is not None and end - start > MAX_SPAN_MS:
        raise ApiError(600, "Parameter error: the time span is limited to 90 days")
    return start, end


def _symbol_id(room: Room, params: Params) -> str:
    return _instrument(room, params).id if params.text("symbol") else ""


def open_orders(room: Room, params: Params) -> list[Object]:
    """GET order/list/open_orders, newest first."""
    found = [order for order in room.venue.core.open_orders.values() if encode.is_plain(order)]
    return [_shown(room, order) for order in reversed(found)][_page(params)]


def history_orders(room: Room, params: Params) -> list[Object]:
    """GET order/list/history_orders: finished orders, newest first."""
    start, end = _span(params)
    wanted = Filter(symbol=_symbol_id(room, params), start_ms=start, end_ms=end, closed_only=True)
    rows = [row for row in room.venue.ledger.orders(wanted, ALL) if encode.is_plain(row)]
    return [_shown(room, row) for row in rows[_page(params)]]


def deals(room: Room, params: Params) -> list[Object]:
    """GET order/list/order_deals: trades of a symbol, newest first."""
    one = _instrument(room, params)
    start, end = _span(params)
    rows = room.venue.ledger.executions(Filter(symbol=one.id, start_ms=start, end_ms=end), ALL)
    trades = [row for row in rows if row.exec_type is not ExecType.FUNDING]
    return [encode.deal_object(row, one, None) for row in trades[_page(params)]]


def stop_orders(room: Room, params: Params) -> list[Object]:
    """GET stoporder/list/orders: stops and targets of positions, waiting or finished, newest first."""
    finished = params.integer("is_finished", 0, 0, 1)
    rows = room.venue.ledger.orders(Filter(symbol=_symbol_id(room, params), conditional=True), ALL)
    guards = [
        row for row in rows if encode.is_guard(row) and (row.status is not OrderStatus.UNTRIGGERED) == bool(finished)
    ]
    found = []
    for row in guards[_page(params)]:
        one = room.venue.core.symbols[row.symbol].instrument
        entry = _external(room, one, row.parent_link_id) if row.parent_link_id else None
        found.append(encode.stop_object(row, one, number_of(entry.order_id) if entry is not None else 0))
    return found


# the account


def positions(room: Room, params: Params) -> list[Object]:
    """GET position/open_positions."""
    symbol = _symbol_id(room, params)
    return [
        encode.position_object(position, index)
        for index, (name, position) in enumerate(room.venue.core.account.positions.items(), start=1)
        if position.size and (not symbol or name == symbol)
    ]


def assets(room: Room, _params: Params) -> list[Object]:
    """GET account/assets."""
    return [encode.asset_object(room.venue.core.margin())]


def funding_records(room: Room, params: Params) -> Object:
    """GET position/funding_records, newest first."""
    rows = room.venue.ledger.executions(Filter(symbol=_symbol_id(room, params), exec_type=ExecType.FUNDING.value), ALL)
    shown = [encode.funding_object(row, room.venue.core.symbols[row.symbol].instrument) for row in rows[_page(params)]]
    return {"pageSize": params.integer("page_size", 20, 1, 100), "totalCount": len(rows), "resultList": shown}


def change_leverage(room: Room, params: Params) -> None:
    """POST position/change_leverage: by position, or by symbol and direction."""
    number = params.integer("positionId", 0, 0, 1_000_000)
    names = list(room.venue.core.account.positions)
    if number and number > len(names):
        raise ApiError(2009, "Position is not exists or closed")
    symbol = names[number - 1] if number else _instrument(room, params).id
    reply = room.venue.execute(SetLeverage(symbol, params.decimal("leverage")))
    if isinstance(reply, Refused) and reply.code is not RetCode.LEVERAGE_NOT_MODIFIED:
        raise _refusal(reply)


def contracts(room: Room, _params: Params) -> list[Object]:
    """GET contract/detail."""
    return [encode.contract_object(one) for one in room.symbols.values()]


def fair_price(room: Room, params: Params) -> Object:
    """GET contract/fair_price/{symbol}."""
    one = _instrument(room, params)
    mark = room.venue.core.symbols[one.id].position.mark
    return {"symbol": params.text("symbol"), "fairPrice": encode.number(mark), "timestamp": room.venue.market_ms}
