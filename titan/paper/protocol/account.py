"""Private questions: orders, executions, positions, wallet and the key's rights.

Guarantees: unknown orders give an empty list; pages run newest first and end with an empty cursor; without times the
last seven days of market time are meant. Never: a change.
"""

from __future__ import annotations

from titan.money import text_of
from titan.paper.account import MAKER_FEE, TAKER_FEE
from titan.paper.ledger import Filter
from titan.paper.orders import Execution, Order, OrderFilter, Refused, RetCode
from titan.paper.protocol import encode
from titan.paper.protocol.encode import Object
from titan.paper.protocol.params import ParamError, Params, page_cursor
from titan.paper.protocol.trading import CATEGORIES
from titan.paper.venue import Venue

WEEK_MS = 7 * 86_400_000


def _category(params: Params) -> str:
    category = params.need("category")
    if category not in CATEGORIES:
        raise ParamError(f"params error: category {category!r} is not one of {', '.join(CATEGORIES)}")
    return category


def _empty(category: str) -> Object:
    return {"nextPageCursor": "", "category": category, "list": []}


def _symbol(venue: Venue, params: Params) -> str:
    symbol = params.text("symbol")
    if symbol and symbol not in venue.core.symbols:
        raise ParamError(f"params error: symbol invalid {symbol}")
    return symbol


def _window(params: Params, now_ms: int) -> tuple[int, int | None]:
    start, end = params.time_ms("startTime"), params.time_ms("endTime")
    if end is None:
        return (now_ms - WEEK_MS, None) if start is None else (start, start + WEEK_MS)
    if start is None:
        return end - WEEK_MS, end
    if end - start > WEEK_MS:
        raise ParamError("params error: the time range between startTime and endTime cannot exceed 7 days")
    return start, end


def _page_of_orders(rows: list[Order], limit: int) -> Object:
    more = len(rows) > limit
    rows = rows[:limit]
    return {
        "nextPageCursor": page_cursor(rows[-1].seq, rows[-1].created_ms) if more else "",
        "category": "linear",
        "list": [encode.order_object(order) for order in rows],
    }


def realtime(venue: Venue, params: Params) -> Object:
    """GET /v5/order/realtime: open orders; by id also the 500 last finished ones; openOnly=1 gives only those."""
    category = _category(params)
    if category != "linear":
        return _empty(category)
    order_id, link_id = params.text("orderId"), params.text("orderLinkId")
    symbol, cursor = _symbol(venue, params), params.cursor()
    limit = params.integer("limit", 20, 1, 50)
    wanted = params.choice("orderFilter", OrderFilter, OrderFilter.ALL)
    core = venue.core
    if order_id or link_id:
        found = core.find(order_id, link_id)
        rows = ([found] if found else []) + list(core.closed(order_id, link_id))
    elif params.integer("openOnly", 0, 0, 1):
        rows = list(core.recent_closed)
    elif not (symbol or params.text("baseCoin") or params.text("settleCoin")):
        raise ParamError("params error: one of symbol, baseCoin or settleCoin is required")
    else:
        rows = list(core.open_orders.values())
    rows = [
        order
        for order in sorted(rows, key=lambda o: o.seq, reverse=True)
        if (not symbol or order.symbol == symbol)
        and (cursor is None or order.seq < cursor)
        and (wanted is OrderFilter.ALL or (wanted is OrderFilter.STOP_ORDER) == encode.is_conditional(order))
    ]
    return _page_of_orders(rows[: limit + 1], limit)


def history(venue: Venue, params: Params) -> Object:
    """GET /v5/order/history: finished orders."""
    category = _category(params)
    if category != "linear":
        return _empty(category)
    limit = params.integer("limit", 20, 1, 50)
    order_id, link_id = params.text("orderId"), params.text("orderLinkId")
    by_id = bool(order_id or link_id)
    start, end = (None, None) if by_id else _window(params, venue.market_ms)
    wanted = params.choice("orderFilter", OrderFilter, OrderFilter.ALL)
    rows = venue.ledger.orders(
        Filter(
            symbol=_symbol(venue, params),
            order_id=order_id,
            link_id="" if order_id else link_id,
            start_ms=start,
            end_ms=end,
            before_seq=params.cursor(),
            closed_only=True,
            conditional=None if wanted is OrderFilter.ALL else wanted is OrderFilter.STOP_ORDER,
        ),
        limit + 1,
    )
    return _page_of_orders(rows, limit)


def executions(venue: Venue, params: Params) -> Object:
    """GET /v5/execution/list."""
    category = _category(params)
    if category != "linear":
        return _empty(category)
    limit = params.integer("limit", 50, 1, 100)
    order_id, link_id = params.text("orderId"), params.text("orderLinkId")
    start, end = (None, None) if order_id or link_id else _window(params, venue.market_ms)
    rows: list[Execution] = venue.ledger.executions(
        Filter(
            symbol=_symbol(venue, params),
            order_id=order_id,
            link_id="" if order_id else link_id,
            exec_type=params.text("execType"),
            start_ms=start,
            end_ms=end,
            before_seq=params.cursor(),
        ),
        limit + 1,
    )
    more = len(rows) > limit
    rows = rows[:limit]
    return {
        "nextPageCursor": page_cursor(rows[-1].seq, rows[-1].time_ms) if more else "",
        "category": "linear",
        "list": [encode.execution_object(done) for done in rows],
    }


def positions(venue: Venue, params: Params) -> Object:
    """GET /v5/position/list: by symbol also when flat, else only what is held."""
    category = _category(params)
    if category != "linear":
        return _empty(category)
    symbol = _symbol(venue, params)
    if not symbol and not params.text("settleCoin") and not params.text("baseCoin"):
        raise ParamError("params error: one of symbol or settleCoin is required")
    held = [p for p in venue.core.account.positions.values() if (p.instrument.id == symbol if symbol else p.size)]
    base = params.text("baseCoin")
    return {
        "nextPageCursor": "",
        "category": "linear",
        "list": [encode.position_object(p.view(), p.mark) for p in held if not base or p.instrument.base == base],
    }


def wallet(venue: Venue, params: Params) -> Object:
    """GET /v5/account/wallet-balance."""
    kind = params.need("accountType")
    if kind != "UNIFIED":
        raise ParamError(f"params error: accountType {kind!r} is not UNIFIED, the only one here")
    return {"list": [venue.wallet()]}


def fee_rates(venue: Venue, params: Params) -> Object:
    """GET /v5/account/fee-rate."""
    symbol = _symbol(venue, params)
    rates = {"takerFeeRate": text_of(TAKER_FEE), "makerFeeRate": text_of(MAKER_FEE)}
    return {"list": [{"symbol": s, "baseCoin": "", **rates} for s in venue.core.symbols if not symbol or s == symbol]}


def switch_mode(_venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/position/switch-mode: one-way mode only."""
    if params.integer("mode", 0, 0, 3) == 0:
        return Refused(RetCode.MODE_NOT_MODIFIED, "Position mode is not modified")
    return Refused(RetCode.PARAMS, "params error: this venue has one-way mode only, use mode 0")


def set_margin_mode(_venue: Venue, params: Params) -> Object | Refused:
    """POST /v5/account/set-margin-mode: cross margin only."""
    mode = params.need("setMarginMode")
    if mode == "REGULAR_MARGIN":
        return {"reasons": []}
    return Refused(RetCode.PARAMS, f"params error: setMarginMode {mode!r} is not REGULAR_MARGIN, the only one here")


def key_info(api_key: str) -> Object:
    """GET /v5/user/query-api: a unified account whose key may read and trade, not withdraw."""
    return {
        "id": "1",
        "note": "paper",
        "apiKey": api_key,
        "readOnly": 0,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": [],
            "Wallet": [],
            "Options": [],
            "Derivatives": ["DerivativesTrade"],
            "Exchange": [],
        },
        "ips": ["*"],
        "type": 1,
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "isMaster": True,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
    }


def account_info(now_ms: int) -> Object:
    """GET /v5/account/info: UTA 2.0, cross margin."""
    return {
        "marginMode": "REGULAR_MARGIN",
        "updatedTime": str(now_ms),
        "unifiedMarginStatus": 6,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def coins(venue: Venue) -> Object:
    """GET /v5/asset/coin/query-info: the coins of the listed contracts, without chains."""
    names = {"USDT"} | {s.instrument.base for s in venue.core.symbols.values()}
    return {"rows": [{"name": n, "coin": n, "remainAmount": "0", "chains": []} for n in sorted(names)]}
