"""Bybit v5's JSON shapes of private and public objects, as ccxt and pybit read them.

Guarantees: numbers travel as plain decimal strings; field names are the venue's. Never: a decision.
"""

from __future__ import annotations

from decimal import Decimal

from titan.money import text_of
from titan.paper.account import MAINTENANCE_RATE, Margin
from titan.paper.feeds.base import FeedTrade
from titan.paper.market import Candle, DayStats
from titan.paper.orders import (
    ZERO,
    Execution,
    Instrument,
    Order,
    PositionView,
    StopOrderType,
)

Object = dict[str, object]

FUNDING_INTERVAL_MIN = 480


def optional(value: Decimal) -> str:
    """Empty for zero, as Bybit shows prices that are not set."""
    return text_of(value) if value else ""


def order_object(order: Order) -> Object:
    """An entry of the order endpoints and the order topic."""
    average = order.cum_value / order.cum_qty if order.cum_qty else ZERO
    by_position = order.stop_type.guards_position
    return {
        "category": "linear",
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "parentOrderLinkId": order.parent_link_id,
        "blockTradeId": "",
        "side": order.side,
        "positionIdx": 0,
        "orderStatus": order.status,
        "createType": f"CreateBy{order.stop_type}" if by_position else "CreateByUser",
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "timeInForce": order.tif,
        "isLeverage": "",
        "price": text_of(order.price),
        "qty": text_of(order.qty),
        "avgPrice": optional(average.quantize(Decimal("1e-10")) if average else ZERO),
        "leavesQty": text_of(order.leaves),
        "leavesValue": text_of(order.leaves * order.price),
        "cumExecQty": text_of(order.cum_qty),
        "cumExecValue": text_of(order.cum_value),
        "cumExecFee": text_of(order.cum_fee),
        "cumFeeDetail": {"USDT": text_of(order.cum_fee)} if order.cum_qty else {},
        "orderType": order.type,
        "stopOrderType": order.stop_type,
        "orderIv": "",
        "triggerPrice": optional(order.trigger_price),
        "triggerBy": order.trigger_by if order.trigger_price else "",
        "triggerDirection": order.trigger_direction,
        "takeProfit": optional(order.take_profit),
        "stopLoss": optional(order.stop_loss),
        "tpslMode": "Full" if order.stop_loss or order.take_profit or by_position else "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "tpTriggerBy": order.tp_trigger_by if order.take_profit else "",
        "slTriggerBy": order.sl_trigger_by if order.stop_loss else "",
        "lastPriceOnCreated": text_of(order.last_on_created),
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.close_on_trigger,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "ocoTriggerBy": "",
        "marketUnit": "",
        "feeCurrency": "USDT",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def execution_object(done: Execution) -> Object:
    """An entry of the execution list and the execution topic."""
    return {
        "category": "linear",
        "symbol": done.symbol,
        "isLeverage": "",
        "orderId": done.order_id,
        "orderLinkId": done.link_id,
        "side": done.side,
        "orderPrice": text_of(done.order_price),
        "orderQty": text_of(done.order_qty),
        "leavesQty": text_of(done.leaves),
        "createType": f"CreateBy{done.stop_type}" if done.stop_type else "CreateByUser",
        "orderType": done.order_type,
        "stopOrderType": done.stop_type or "UNKNOWN",
        "execFee": text_of(done.fee),
        "execFeeV2": "",
        "feeCurrency": "USDT",
        "execId": done.exec_id,
        "execPrice": text_of(done.price),
        "execQty": text_of(done.qty),
        "execType": done.exec_type,
        "execValue": text_of(done.value),
        "execPnl": text_of(done.realised),
        "execTime": str(done.time_ms),
        "isMaker": done.is_maker,
        "feeRate": text_of(done.fee_rate),
        "tradeIv": "",
        "markIv": "",
        "markPrice": text_of(done.mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": text_of(done.closed_size),
        "extraFees": "",
        "seq": done.seq,
    }


def fast_execution_object(done: Execution) -> Object:
    """An entry of the execution.fast topic."""
    return {
        "category": "linear",
        "symbol": done.symbol,
        "execId": done.exec_id,
        "execPrice": text_of(done.price),
        "execQty": text_of(done.qty),
        "orderId": done.order_id,
        "isMaker": done.is_maker,
        "orderLinkId": done.link_id,
        "side": done.side,
        "execTime": str(done.time_ms),
        "seq": done.seq,
    }


def position_object(position: PositionView, mark: Decimal) -> Object:
    """An entry of the position list and the position topic; an empty side means flat."""
    size = abs(position.size)
    value = size * mark
    unrealised = position.size * mark - position.cost if size else ZERO
    im = (value / position.leverage).quantize(Decimal("1e-8"))
    entry = text_of(position.entry.quantize(Decimal("1e-10")) if size else ZERO)
    return {
        "category": "linear",
        "symbol": position.symbol,
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": "",
        "side": "" if not size else ("Buy" if position.size > 0 else "Sell"),
        "size": text_of(size),
        "avgPrice": entry,
        "entryPrice": entry,
        "positionValue": text_of(abs(position.cost)),
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 0,
        "leverage": text_of(position.leverage),
        "positionBalance": "0",
        "markPrice": text_of(mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": text_of(im),
        "positionIMByMp": text_of(im),
        "positionMM": text_of((value * MAINTENANCE_RATE).quantize(Decimal("1e-8"))),
        "positionMMByMp": text_of((value * MAINTENANCE_RATE).quantize(Decimal("1e-8"))),
        "takeProfit": optional(position.take_profit),
        "stopLoss": optional(position.stop_loss),
        "trailingStop": "0",
        "tpslMode": "Full",
        "sessionAvgPrice": "",
        "unrealisedPnl": text_of(unrealised),
        "curRealisedPnl": text_of(position.realised),
        "cumRealisedPnl": text_of(position.cum_realised),
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(position.created_ms),
        "updatedTime": str(position.updated_ms),
        "seq": position.updated_ms,
    }


def wallet_object(margin: Margin, realised: Decimal) -> Object:
    """The account in the wallet-balance endpoint and the wallet topic."""
    equity = text_of(margin.equity)
    wallet = text_of(margin.wallet)
    im = margin.position_im + margin.order_im

    def rate(part: Decimal) -> str:
        return text_of((part / margin.equity).quantize(Decimal("0.0001"))) if margin.equity > 0 else "0"

    return {
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "accountIMRate": rate(im),
        "accountMMRate": rate(margin.maintenance),
        "totalEquity": equity,
        "totalWalletBalance": wallet,
        "totalMarginBalance": equity,
        "totalAvailableBalance": text_of(max(margin.available, ZERO)),
        "totalPerpUPL": text_of(margin.unrealised),
        "totalInitialMargin": text_of(im),
        "totalMaintenanceMargin": text_of(margin.maintenance),
        "coin": [
            {
                "coin": "USDT",
                "equity": equity,
                "usdValue": equity,
                "walletBalance": wallet,
                "free": "",
                "locked": "0",
                "spotHedgingQty": "0",
                "borrowAmount": "0",
                "availableToWithdraw": "",
                "accruedInterest": "0",
                "totalOrderIM": text_of(margin.order_im),
                "totalPositionIM": text_of(margin.position_im),
                "totalPositionMM": text_of(margin.maintenance),
                "unrealisedPnl": text_of(margin.unrealised),
                "cumRealisedPnl": text_of(realised),
                "bonus": "0",
                "marginCollateral": True,
                "collateralSwitch": True,
            }
        ],
    }


def instrument_object(instrument: Instrument) -> Object:
    """An entry of instruments-info."""
    decimals = max(-int(instrument.tick.normalize().as_tuple().exponent), 0)
    return {
        "symbol": instrument.id,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "settleCoin": instrument.quote,
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": text_of(instrument.max_leverage),
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": text_of(instrument.tick),
            "maxPrice": text_of(instrument.tick * 100_000_000),
            "tickSize": text_of(instrument.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": text_of(instrument.max_qty),
            "minOrderQty": text_of(instrument.min_qty),
            "qtyStep": text_of(instrument.lot),
            "postOnlyMaxOrderQty": text_of(instrument.max_qty),
            "maxMktOrderQty": text_of(instrument.max_qty),
            "minNotionalValue": text_of(instrument.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": FUNDING_INTERVAL_MIN,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
    }


def ticker_object(
    symbol: str,
    last: Decimal,
    day: DayStats,
    position: PositionView,
    index: Decimal,
    open_interest: Decimal,
    bid: tuple[Decimal, Decimal] | None,
    ask: tuple[Decimal, Decimal] | None,
    tick_up: bool,
) -> dict[str, str]:
    """The full ticker of a symbol; mark and funding come from `position`."""
    mark = position.mark or last
    change = ((last - day.price_24h_ago) / day.price_24h_ago).quantize(Decimal("1e-6")) if day.price_24h_ago else ZERO
    return {
        "symbol": symbol,
        "tickDirection": "PlusTick" if tick_up else "MinusTick",
        "price24hPcnt": text_of(change),
        "lastPrice": text_of(last),
        "prevPrice24h": text_of(day.price_24h_ago),
        "highPrice24h": text_of(day.high),
        "lowPrice24h": text_of(day.low),
        "prevPrice1h": text_of(day.price_1h_ago),
        "markPrice": text_of(mark),
        "indexPrice": text_of(index or mark),
        "openInterest": text_of(open_interest),
        "openInterestValue": text_of((open_interest * mark).quantize(Decimal("0.01"))),
        "turnover24h": text_of(day.turnover.quantize(Decimal("0.0001"))),
        "volume24h": text_of(day.volume),
        "nextFundingTime": str(position.next_funding_ms),
        "fundingRate": text_of(position.funding_rate),
        "bid1Price": text_of(bid[0]) if bid else "",
        "bid1Size": text_of(bid[1]) if bid else "",
        "ask1Price": text_of(ask[0]) if ask else "",
        "ask1Size": text_of(ask[1]) if ask else "",
    }


def public_trade_object(symbol: str, trade: FeedTrade) -> Object:
    """An entry of the publicTrade topic."""
    return {
        "T": trade.ts_ms,
        "s": symbol,
        "S": "Buy" if trade.side == "buy" else "Sell",
        "v": text_of(trade.qty),
        "p": text_of(trade.price),
        "L": "PlusTick",
        "i": trade.trade_id,
        "BT": False,
        "RPI": False,
    }


def candle_row(candle: Candle) -> list[str]:
    """An entry of the kline endpoint."""
    return [
        str(candle.start_ms),
        text_of(candle.open),
        text_of(candle.high),
        text_of(candle.low),
        text_of(candle.close),
        text_of(candle.volume),
        text_of(candle.turnover.quantize(Decimal("0.0001"))),
    ]


def is_conditional(order: Order) -> bool:
    """Whether the StopOrder filter means this order."""
    return order.stop_type is not StopOrderType.NONE
