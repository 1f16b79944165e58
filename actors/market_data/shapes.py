"""ccxt's unified structures as events of the core.

Guarantees: texts that the venue sent are passed on as they came; unified numbers are written with the shortest digits
that mean the same number. What lacks a time or a price is a ValueError, never a default. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from actors.market_data.batching import TradesSeen
from actors.market_data.candles import Bar
from actors.market_data.core import BOOK_LEVELS, BookSeen, CandlesFetched, Scales, TickerSeen
from protos import market_pb2 as pb
from titan.money import text_of

Structure = Mapping[str, Any]


def decimal_of(value: float | int | str) -> Decimal:
    """A unified number as the decimal it was written as. Raises ValueError when it is not one."""
    try:
        return Decimal(value if isinstance(value, str) else repr(value))
    except ArithmeticError:
        raise ValueError(f"not a number: {value!r}") from None


def places(step: float | str) -> int:
    """Decimal places of a tick or lot size such as 0.1 or 1e-05."""
    exponent = decimal_of(step).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def scales(market: Structure) -> Scales:
    """Decimal places of a market's prices and quantities. Raises ValueError when ccxt does not know its steps."""
    precision: Structure = market.get("precision") or {}
    tick, lot = precision.get("price"), precision.get("amount")
    if not tick or not lot:
        raise ValueError(f"{market.get('symbol')} has no tick or lot size: {dict(precision)}")
    return Scales(places(tick), places(lot))


def trades(symbol: str, rows: Sequence[Structure]) -> TradesSeen:
    """Unified trades as columns. Raises ValueError when one lacks a time, side, price or amount."""
    try:
        sides = [_SIDES[row["side"]] for row in rows]
        return TradesSeen(
            symbol=symbol,
            ts_ms=[int(row["timestamp"]) for row in rows],
            price=[float(row["price"]) for row in rows],
            qty=[float(row["amount"]) for row in rows],
            buy=sides,
            trade_id=[str(row["id"]) for row in rows],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a trade of {symbol} is not complete: {error!r}") from error


_SIDES = {"buy": True, "sell": False}


def ticker(venue: str, symbol: str, row: Structure) -> TickerSeen:
    """A unified ticker, its venue's own texts first. Raises ValueError without a time or a last price."""
    info: Structure = row.get("info") or {}

    def text(raw: str, unified: str = "") -> str:
        own = info.get(raw)
        if own not in (None, ""):
            return str(own)
        value = row.get(unified) if unified else None
        return "" if value is None else text_of(decimal_of(value))

    last = text("lastPrice", "last")
    if not row.get("timestamp") or not last:
        raise ValueError(f"a ticker of {symbol} has no time or last price")
    return TickerSeen(
        pb.Ticker(
            venue=venue,
            symbol=symbol,
            ts_ms=int(row["timestamp"]),
            last=last,
            mark=text("markPrice", "markPrice"),
            index=text("indexPrice", "indexPrice"),
            bid=text("bid1Price", "bid"),
            bid_qty=text("bid1Size", "bidVolume"),
            ask=text("ask1Price", "ask"),
            ask_qty=text("ask1Size", "askVolume"),
            funding_rate=text("fundingRate"),
            next_funding_ms=int(info.get("nextFundingTime") or 0),
            open_interest=text("openInterest"),
            volume_24h=text("volume24h", "baseVolume"),
        )
    )


def book(venue: str, symbol: str, row: Structure) -> BookSeen:
    """The best ten levels a side. Raises ValueError without a time."""
    if not row.get("timestamp"):
        raise ValueError(f"a book of {symbol} has no time")
    return BookSeen(
        pb.Book(
            venue=venue,
            symbol=symbol,
            ts_ms=int(row["timestamp"]),
            sequence=int(row.get("nonce") or 0),
            bids=_levels(row["bids"]),
            asks=_levels(row["asks"]),
        )
    )


def _levels(side: Sequence[Sequence[float]]) -> list[pb.BookLevel]:
    return [
        pb.BookLevel(price=text_of(decimal_of(level[0])), qty=text_of(decimal_of(level[1])))
        for level in side[:BOOK_LEVELS]
    ]


def fetched(symbol: str, interval_s: int, rows: Sequence[Sequence[float]]) -> CandlesFetched:
    """Unified OHLCV rows of a symbol. Raises ValueError when one is not complete."""
    try:
        bars = tuple(Bar(int(row[0]), *(decimal_of(value) for value in row[1:6])) for row in rows)
    except (TypeError, IndexError) as error:
        raise ValueError(f"a bar of {symbol} is not complete: {error!r}") from error
    return CandlesFetched(symbol, interval_s, bars)
