"""The venue's objects as Binance USDⓈ-M shows them.

Guarantees: numbers are decimal text or whole numbers. Never: a decision. Sources: the response examples of
https://developers.binance.com/docs/derivatives/usds-margined-futures (trade, account, user-data-streams).
"""

from __future__ import annotations

from decimal import Decimal

from titan.money import text_of
from titan.paper.account import Margin, Position
from titan.paper.numbers import number_of, second_number_of
from titan.paper.orders import (
    ZERO,
    BalanceRow,
    CancelType,
    ExecType,
    Execution,
    Instrument,
    Order,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    StopOrderType,
    TimeInForce,
)

Object = dict[str, object]

SIDES = {Side.BUY: "BUY", Side.SELL: "SELL"}
TIFS = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK", TimeInForce.POST_ONLY: "GTX"}


def is_algo(order: Order) -> bool:
    """Whether an order was made at the algo service."""
    return order.stop_type is not StopOrderType.NONE


def is_plain(order: Order) -> bool:
    """Whether the matching engine knows an order: a waiting or withdrawn condition it does not, nor a refused one."""
    waits = order.status in (OrderStatus.UNTRIGGERED, OrderStatus.DEACTIVATED)
    return not (waits or never_was(order))


def never_was(order: Order) -> bool:
    """A post-only order that would have taken: Binance refuses the request, no order exists."""
    return order.reject_reason is Reason.POST_ONLY and order.cum_qty == 0


def order_status(order: Order) -> str:
    """Binance's word for an order's status; what the venue ended by itself is EXPIRED."""
    if order.status is OrderStatus.NEW:
        return "NEW"
    if order.status is OrderStatus.PARTIALLY_FILLED:
        return "PARTIALLY_FILLED"
    if order.status is OrderStatus.FILLED:
        return "FILLED"
    return "CANCELED" if order.cancel_type is CancelType.BY_USER else "EXPIRED"


def algo_status(order: Order) -> str:
    """The algo service's word for a conditional order's status."""
    if order.status is OrderStatus.UNTRIGGERED:
        return "NEW"
    if order.status is OrderStatus.DEACTIVATED:
        return "CANCELED"
    if order.status.is_open:
        return "TRIGGERED"
    if order.status is OrderStatus.REJECTED:
        return "REJECTED"
    return "FINISHED" if order.cum_qty else "EXPIRED"


def _average(order: Order) -> Decimal:
    return order.cum_value / order.cum_qty if order.cum_qty else ZERO


def _kind(order: Order) -> str:
    return "MARKET" if order.type is OrderType.MARKET else "LIMIT"


def algo_kind(order: Order) -> str:
    """The type of a conditional order: a sell that waits for a fall is a stop, one that waits for a rise a target."""
    falls = order.trigger_direction == 2
    return "STOP_MARKET" if falls == (order.side is Side.SELL) else "TAKE_PROFIT_MARKET"


def order_object(order: Order) -> Object:
    """An order of the order endpoints."""
    return {
        "orderId": number_of(order.order_id),
        "symbol": order.symbol,
        "status": order_status(order),
        "clientOrderId": order.link_id,
        "price": text_of(order.price) if order.type is OrderType.LIMIT else "0",
        "avgPrice": text_of(_average(order)),
        "origQty": text_of(order.qty),
        "executedQty": text_of(order.cum_qty),
        "cumQuote": text_of(order.cum_value),
        "timeInForce": TIFS[order.tif],
        "type": _kind(order),
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": SIDES[order.side],
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": algo_kind(order) if is_algo(order) else _kind(order),
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }


def algo_object(order: Order) -> Object:
    """An order of the algo endpoints."""
    triggered = order.status is not OrderStatus.UNTRIGGERED and order.status is not OrderStatus.DEACTIVATED
    return {
        "algoId": second_number_of(order.order_id),
        "clientAlgoId": order.link_id,
        "algoType": "CONDITIONAL",
        "orderType": algo_kind(order),
        "symbol": order.symbol,
        "side": SIDES[order.side],
        "positionSide": "BOTH",
        "timeInForce": "GTC",
        "quantity": text_of(order.qty),
        "algoStatus": algo_status(order),
        "triggerPrice": text_of(order.trigger_price),
        "price": "0",
        "workingType": "CONTRACT_PRICE",
        "closePosition": False,
        "priceProtect": False,
        "reduceOnly": order.reduce_only,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
        "triggerTime": order.updated_ms if triggered else 0,
        "actualOrderId": str(number_of(order.order_id)) if triggered else "",
        "goodTillDate": 0,
    }


def trade_object(done: Execution) -> Object:
    """An entry of userTrades."""
    return {
        "symbol": done.symbol,
        "id": done.seq,
        "orderId": number_of(done.order_id),
        "side": SIDES[done.side],
        "price": text_of(done.price),
        "qty": text_of(done.qty),
        "realizedPnl": text_of(done.realised),
        "quoteQty": text_of(done.value),
        "commission": text_of(done.fee),
        "commissionAsset": "USDT",
        "time": done.time_ms,
        "positionSide": "BOTH",
        "buyer": done.side is Side.BUY,
        "maker": done.is_maker,
    }


def income_objects(row: BalanceRow) -> list[Object]:
    """The entries of the income history behind one change of the wallet."""
    shared: Object = {"symbol": row.symbol, "asset": "USDT", "info": "", "time": row.time_ms}
    if row.kind is ExecType.FUNDING:
        paid = {"incomeType": "FUNDING_FEE", "income": text_of(row.change), "tranId": row.seq, "tradeId": ""}
        return [{**shared, **paid}]
    found: list[Object] = []
    for kind, amount in (("COMMISSION", -row.fee), ("REALIZED_PNL", row.realised)):
        if amount:
            entry = {"incomeType": kind, "income": text_of(amount), "tranId": row.seq, "tradeId": str(row.seq)}
            found.append({**shared, **entry})
    return found


def position_object(position: Position) -> Object:
    """An entry of positionRisk (v3)."""
    notional = position.size * position.mark
    return {
        "symbol": position.instrument.id,
        "positionSide": "BOTH",
        "positionAmt": text_of(position.size),
        "entryPrice": text_of(abs(position.cost / position.size) if position.size else ZERO),
        "markPrice": text_of(position.mark),
        "unRealizedProfit": text_of(position.unrealised),
        "notional": text_of(notional),
        "marginAsset": "USDT",
        "positionInitialMargin": text_of(abs(notional) / position.leverage),
        "updateTime": position.updated_ms,
    }


def balance_objects(margin: Margin, now_ms: int) -> list[Object]:
    """The answer of the balance endpoint (v3)."""
    return [
        {
            "accountAlias": "paper",
            "asset": "USDT",
            "balance": text_of(margin.wallet),
            "crossWalletBalance": text_of(margin.wallet),
            "crossUnPnl": text_of(margin.unrealised),
            "availableBalance": text_of(max(margin.available, ZERO)),
            "maxWithdrawAmount": text_of(max(min(margin.available, margin.wallet), ZERO)),
            "marginAvailable": True,
            "updateTime": now_ms,
        }
    ]


def symbol_object(one: Instrument) -> Object:
    """An entry of exchangeInfo."""
    step, tick = text_of(one.lot), text_of(one.tick)
    lots = {"minQty": text_of(one.min_qty), "maxQty": text_of(one.max_qty), "stepSize": step}
    return {
        "symbol": one.id,
        "pair": one.id,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "baseAsset": one.base,
        "quoteAsset": one.quote,
        "marginAsset": one.quote,
        "pricePrecision": max(0, -int(one.tick.normalize().as_tuple().exponent)),
        "quantityPrecision": max(0, -int(one.lot.normalize().as_tuple().exponent)),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", **lots},
            {"filterType": "MARKET_LOT_SIZE", **lots},
            {"filterType": "MAX_NUM_ORDERS", "limit": 500},
            {"filterType": "MIN_NOTIONAL", "notional": text_of(one.min_notional)},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def order_event(order: Order, kind: str, status: str, done: Execution | None, cum: Decimal, now_ms: int) -> Object:
    """An ORDER_TRADE_UPDATE event. `kind` is its execution type, `cum` what was filled after it."""
    return {
        "e": "ORDER_TRADE_UPDATE",
        "E": now_ms,
        "T": order.updated_ms,
        "o": {
            "s": order.symbol,
            "c": order.link_id,
            "S": SIDES[order.side],
            "o": _kind(order),
            "f": TIFS[order.tif],
            "q": text_of(order.qty),
            "p": text_of(order.price),
            "ap": text_of(_average(order)),
            "sp": "0",
            "x": kind,
            "X": status,
            "i": number_of(order.order_id),
            "l": text_of(done.qty) if done else "0",
            "z": text_of(cum),
            "L": text_of(done.price) if done else "0",
            "N": "USDT",
            "n": text_of(done.fee) if done else "0",
            "T": done.time_ms if done else order.updated_ms,
            "t": done.seq if done else 0,
            "m": done.is_maker if done else False,
            "R": order.reduce_only,
            "wt": "CONTRACT_PRICE",
            "ot": _kind(order),
            "ps": "BOTH",
            "cp": False,
            "rp": text_of(done.realised) if done else "0",
        },
    }


def algo_event(order: Order, now_ms: int) -> Object:
    """An ALGO_UPDATE event."""
    shown = algo_object(order)
    return {
        "e": "ALGO_UPDATE",
        "T": order.updated_ms,
        "E": now_ms,
        "o": {
            "caid": order.link_id,
            "aid": shown["algoId"],
            "at": "CONDITIONAL",
            "o": shown["orderType"],
            "s": order.symbol,
            "S": SIDES[order.side],
            "ps": "BOTH",
            "f": "GTC",
            "q": text_of(order.qty),
            "X": shown["algoStatus"],
            "ai": shown["actualOrderId"],
            "ap": text_of(_average(order)),
            "aq": text_of(order.cum_qty),
            "act": "0",
            "tp": text_of(order.trigger_price),
            "p": "0",
            "V": "NONE",
            "wt": "CONTRACT_PRICE",
            "pm": "NONE",
            "cp": False,
            "pP": False,
            "R": order.reduce_only,
            "tt": shown["triggerTime"],
            "gtd": 0,
        },
    }
