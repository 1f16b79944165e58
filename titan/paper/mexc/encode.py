"""The venue's objects as MEXC futures shows them: whole contracts, side codes, ids as text.

Guarantees: one contract is one lot; prices are JSON numbers that say exactly the decimal. Never: a decision.
Source: https://www.mexc.com/api-docs/futures/account-and-trading-endpoints and .../websocket-api.
"""

from __future__ import annotations

from decimal import Decimal

from titan.paper.account import Margin, Position
from titan.paper.numbers import number_of, second_number_of
from titan.paper.orders import (
    ZERO,
    CancelType,
    Execution,
    Instrument,
    Order,
    OrderStatus,
    OrderType,
    Side,
    StopOrderType,
    TimeInForce,
    TriggerBy,
)

Object = dict[str, object]

OPEN_LONG, CLOSE_SHORT, OPEN_SHORT, CLOSE_LONG = 1, 2, 3, 4
TYPES = {TimeInForce.GTC: 1, TimeInForce.POST_ONLY: 2, TimeInForce.IOC: 3, TimeInForce.FOK: 4}
MARKET, MARKET_AT_CURRENT = 5, 6
TRENDS = {TriggerBy.LAST: 1, TriggerBy.MARK: 2, TriggerBy.INDEX: 3}


def symbol_of(instrument: Instrument) -> str:
    """MEXC's spelling: BTC_USDT."""
    return f"{instrument.base}_{instrument.quote}"


def number(value: Decimal) -> int | float:
    """A JSON number: whole where the value is."""
    return int(value) if value == value.to_integral_value() else float(value)


def side_code(side: Side, *, reduce_only: bool) -> int:
    """1 open long, 2 close short, 3 open short, 4 close long."""
    if side is Side.BUY:
        return CLOSE_SHORT if reduce_only else OPEN_LONG
    return CLOSE_LONG if reduce_only else OPEN_SHORT


def contract_object(one: Instrument) -> Object:
    """An entry of contract/detail; one contract is one lot."""
    return {
        "symbol": symbol_of(one),
        "displayName": f"{symbol_of(one)} PERPETUAL",
        "baseCoin": one.base,
        "quoteCoin": one.quote,
        "settleCoin": one.quote,
        "contractSize": number(one.lot),
        "minLeverage": 1,
        "maxLeverage": int(one.max_leverage),
        "priceUnit": number(one.tick),
        "volUnit": 1,
        "minVol": number(one.min_qty / one.lot),
        "maxVol": number(one.max_qty / one.lot),
        "state": 0,
        "apiAllowed": True,
    }


def is_guard(order: Order) -> bool:
    """Whether an order is a stop or target of a position."""
    return order.stop_type.guards_position


def is_plan(order: Order) -> bool:
    """Whether an order was made as a plan order, which waits for its price."""
    return order.stop_type is StopOrderType.STOP


def is_plain(order: Order) -> bool:
    """Whether the order endpoints show an order: not what waits for a price, or was withdrawn before it."""
    return order.status not in (OrderStatus.UNTRIGGERED, OrderStatus.DEACTIVATED)


def order_state(order: Order) -> int:
    """2 open, 3 filled, 4 cancelled, 5 invalid."""
    if order.status.is_open:
        return 2
    if order.status is OrderStatus.FILLED:
        return 3
    return 5 if order.status is OrderStatus.REJECTED else 4


def order_object(order: Order, one: Instrument) -> Object:
    """An order of the order endpoints and of the order channel."""
    market = order.type is OrderType.MARKET
    return {
        "orderId": str(number_of(order.order_id)),
        "symbol": symbol_of(one),
        "positionId": 0,
        "price": number(order.price),
        "vol": number(order.qty / one.lot),
        "side": side_code(order.side, reduce_only=order.reduce_only),
        "category": 1,
        "orderType": MARKET if market else TYPES[order.tif],
        "dealAvgPrice": float(order.cum_value / order.cum_qty) if order.cum_qty else 0,
        "dealVol": number(order.cum_qty / one.lot),
        "takerFee": number(order.cum_fee),
        "makerFee": 0,
        "feeCurrency": "USDT",
        "openType": 2,
        "state": order_state(order),
        "externalOid": order.link_id,
        "errorCode": 0,
        "positionMode": 2,
        "reduceOnly": order.reduce_only,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
    }


def plan_state(order: Order) -> int:
    """1 waiting, 2 cancelled, 3 executed, 4 ended by the venue, 5 execution failed."""
    if order.status is OrderStatus.UNTRIGGERED:
        return 1
    if order.status is OrderStatus.DEACTIVATED:
        return 2 if order.cancel_type is CancelType.BY_USER else 4
    return 5 if order.status is OrderStatus.REJECTED else 3


def plan_object(order: Order, one: Instrument) -> Object:
    """An entry of planorder/list/orders. MEXC keeps no id of the client's with it."""
    market, state = order.type is OrderType.MARKET, plan_state(order)
    shown: Object = {
        "id": str(second_number_of(order.order_id)),
        "symbol": symbol_of(one),
        "leverage": 0,
        "side": side_code(order.side, reduce_only=order.reduce_only),
        "triggerPrice": number(order.trigger_price),
        "triggerType": order.trigger_direction,
        "vol": number(order.qty / one.lot),
        "openType": 2,
        "state": state,
        "executeCycle": 2,
        "trend": TRENDS[order.trigger_by],
        "orderType": MARKET if market else TYPES[order.tif],
        "errorCode": 0,
        "orderId": str(number_of(order.order_id)) if state == 3 else "0",
        "positionMode": 2,
        "reduceOnly": order.reduce_only,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
    }
    return shown if market else shown | {"price": number(order.price)}


def stop_object(order: Order, one: Instrument, entry_number: int) -> Object:
    """A TP/SL order. The venue keeps stop and target apart: each comes as a TP/SL order with one price."""
    stop = order.stop_type is StopOrderType.STOP_LOSS
    fired = is_plain(order)
    state = 1 if order.status is OrderStatus.UNTRIGGERED else 3 if fired else 2
    return {
        "id": str(second_number_of(order.order_id)),
        "orderId": str(entry_number),
        "symbol": symbol_of(one),
        "positionId": "0",
        "stopLossPrice": number(order.trigger_price) if stop else 0,
        "takeProfitPrice": 0 if stop else number(order.trigger_price),
        "state": state,
        "triggerSide": (2 if stop else 1) if fired else 0,
        "positionType": 1 if order.side is Side.SELL else 2,
        "vol": number(order.qty / one.lot),
        "realityVol": number(order.cum_qty / one.lot),
        "placeOrderId": str(number_of(order.order_id)) if fired else "0",
        "errorCode": 0,
        "isFinished": 0 if state == 1 else 1,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
    }


def deal_object(done: Execution, one: Instrument, order: Order | None) -> Object:
    """An entry of order_deals; with the order, as the deal channel shows it."""
    reduce_only = order.reduce_only if order is not None else done.closed_size == done.qty
    shown: Object = {
        "id": str(done.seq),
        "symbol": symbol_of(one),
        "side": side_code(done.side, reduce_only=reduce_only),
        "vol": number(done.qty / one.lot),
        "price": number(done.price),
        "feeCurrency": "USDT",
        "fee": number(done.fee),
        "timestamp": done.time_ms,
        "profit": number(done.realised),
        "taker": not done.is_maker,
        "category": 1,
        "orderId": str(number_of(done.order_id)),
        "positionMode": 2,
    }
    if order is not None:
        del shown["taker"]
        shown |= {"isTaker": not done.is_maker, "isSelf": False, "externalOid": done.link_id}
    return shown


def funding_object(done: Execution, one: Instrument) -> Object:
    """An entry of funding_records; the amount is what the wallet received."""
    return {
        "id": done.seq,
        "symbol": symbol_of(one),
        "positionType": 1 if done.side is Side.BUY else 2,
        "positionValue": number(done.value),
        "funding": number(-done.fee),
        "rate": number(done.fee_rate),
        "settleTime": done.time_ms,
    }


def position_object(position: Position, number_: int) -> Object:
    """An entry of open_positions."""
    entry = abs(position.cost / position.size) if position.size else ZERO
    return {
        "positionId": number_,
        "symbol": symbol_of(position.instrument),
        "positionType": 1 if position.size > 0 else 2,
        "openType": 2,
        "state": 1,
        "holdVol": number(abs(position.size) / position.instrument.lot),
        "holdAvgPrice": float(entry),
        "openAvgPrice": float(entry),
        "leverage": int(position.leverage),
        "positionMode": 2,
        "createTime": position.created_ms,
        "updateTime": position.updated_ms,
    }


def asset_object(margin: Margin) -> Object:
    """An entry of account/assets."""
    return {
        "currency": "USDT",
        "positionMargin": number(margin.position_im),
        "frozenBalance": number(margin.order_im),
        "availableBalance": number(max(margin.available, ZERO)),
        "cashBalance": number(max(min(margin.available, margin.wallet), ZERO)),
        "equity": number(margin.equity),
        "unrealized": number(margin.unrealised),
        "bonus": 0,
    }
