"""Public questions: instruments, tickers, books, candles, trades, funding and open interest.

Guarantees: data carries market time. Never: a change, or a need for a key.
"""

from __future__ import annotations

from itertools import islice

from titan.money import text_of
from titan.paper.feeds.base import FeedError
from titan.paper.orders import Side
from titan.paper.protocol import encode
from titan.paper.protocol.encode import Object
from titan.paper.protocol.params import ParamError, Params
from titan.paper.protocol.trading import CATEGORIES
from titan.paper.publisher import KLINE_MINUTES
from titan.paper.venue import Venue

OI_INTERVALS = {"5min": 5, "15min": 15, "30min": 30, "1h": 60, "4h": 240, "1d": 1440}


def _category(params: Params) -> str:
    category = params.need("category")
    if category not in CATEGORIES:
        raise ParamError(f"params error: category {category!r} is not one of {', '.join(CATEGORIES)}")
    return category


def _need_symbol(venue: Venue, params: Params) -> str:
    symbol = params.need("symbol")
    if symbol not in venue.core.symbols or params.text("category", "linear") != "linear":
        raise ParamError(f"params error: symbol invalid {symbol}")
    return symbol


def server_time(wall_ns: int) -> Object:
    """GET /v5/market/time."""
    return {"timeSecond": str(wall_ns // 1_000_000_000), "timeNano": str(wall_ns)}


def instruments(venue: Venue, params: Params) -> Object:
    """GET /v5/market/instruments-info; only linear has entries."""
    category = _category(params)
    symbol, status = params.text("symbol"), params.text("status", "Trading")
    shown = category == "linear" and status == "Trading"
    return {
        "category": category,
        "list": [
            encode.instrument_object(s.instrument)
            for s in venue.core.symbols.values()
            if shown and (not symbol or s.instrument.id == symbol)
        ],
        "nextPageCursor": "",
    }


def tickers(venue: Venue, params: Params) -> Object:
    """GET /v5/market/tickers."""
    category = _category(params)
    if category != "linear":
        return {"category": category, "list": []}
    symbols = [_need_symbol(venue, params)] if params.text("symbol") else list(venue.publishers)
    now = venue.market_ms
    return {"category": "linear", "list": [venue.publishers[s].ticker(now) for s in symbols]}


def order_book(venue: Venue, params: Params) -> Object:
    """GET /v5/market/orderbook."""
    symbol = _need_symbol(venue, params)
    depth = params.integer("limit", 25, 1, 500)
    book = venue.core.symbols[symbol].book
    now = venue.market_ms

    def side(which: Side) -> list[list[str]]:
        return [[text_of(p), text_of(q)] for p, q in book.levels(which)[:depth] if q > 0]

    return {"s": symbol, "b": side(Side.BUY), "a": side(Side.SELL), "ts": now, "u": now, "seq": now, "cts": now}


def klines(venue: Venue, params: Params) -> Object:
    """GET /v5/market/kline and its mark and index variants, which show the same candles."""
    symbol = _need_symbol(venue, params)
    interval = params.need("interval")
    if interval not in KLINE_MINUTES:
        raise ParamError(f"params error: interval {interval!r} is not one of {', '.join(KLINE_MINUTES)}")
    limit = params.integer("limit", 200, 1, 1000)
    minutes = KLINE_MINUTES[interval]
    start, end = params.time_ms("start"), params.time_ms("end")
    if end is None:
        # a start alone means: from there on
        end = venue.market_ms if start is None else start + (limit - 1) * minutes * 60_000
    try:
        found = venue.candles(symbol, minutes, start, end, limit)
    except FeedError as error:
        raise ParamError(f"params error: {error}") from error
    return {"symbol": symbol, "category": "linear", "list": [encode.candle_row(c) for c in found]}


def recent_trades(venue: Venue, params: Params) -> Object:
    """GET /v5/market/recent-trade, newest first."""
    symbol = _need_symbol(venue, params)
    limit = params.integer("limit", 500, 1, 1000)
    return {
        "category": "linear",
        "list": [
            {
                "execId": t.trade_id,
                "symbol": symbol,
                "price": text_of(t.price),
                "size": text_of(t.qty),
                "side": "Buy" if t.side == "buy" else "Sell",
                "time": str(t.ts_ms),
                "isBlockTrade": False,
            }
            for t in islice(reversed(venue.publishers[symbol].recent), limit)
        ],
    }


def funding_history(venue: Venue, params: Params) -> Object:
    """GET /v5/market/funding/history: the funding times the venue has settled, newest first."""
    symbol = _need_symbol(venue, params)
    limit = params.integer("limit", 200, 1, 200)
    start, end = params.time_ms("startTime"), params.time_ms("endTime")
    rows = [
        {"symbol": symbol, "fundingRate": text_of(rate), "fundingRateTimestamp": str(ts)}
        for ts, rate in reversed(venue.core.symbols[symbol].settled)
        if (start is None or ts >= start) and (end is None or ts <= end)
    ]
    return {"category": "linear", "list": rows[:limit]}


def open_interest(venue: Venue, params: Params) -> Object:
    """GET /v5/market/open-interest: the present value at the last closed interval."""
    symbol = _need_symbol(venue, params)
    interval = params.need("intervalTime")
    if interval not in OI_INTERVALS:
        raise ParamError(f"params error: intervalTime {interval!r} is not one of {', '.join(OI_INTERVALS)}")
    step = OI_INTERVALS[interval] * 60_000
    now = venue.market_ms
    value = text_of(venue.core.symbols[symbol].open_interest)
    row = {"openInterest": value, "timestamp": str(now - now % step)}
    return {"symbol": symbol, "category": "linear", "list": [row], "nextPageCursor": ""}


def risk_limits(venue: Venue, params: Params) -> Object:
    """GET /v5/market/risk-limit: one tier a symbol."""
    symbol = params.text("symbol")
    return {
        "category": "linear",
        "list": [
            {
                "id": 1,
                "symbol": s.instrument.id,
                "riskLimitValue": "100000000",
                "maintenanceMargin": "0.005",
                "initialMargin": text_of(1 / s.instrument.max_leverage),
                "isLowestRisk": 1,
                "maxLeverage": text_of(s.instrument.max_leverage),
                "mmDeduction": "",
            }
            for s in venue.core.symbols.values()
            if not symbol or s.instrument.id == symbol
        ],
        "nextPageCursor": "",
    }
