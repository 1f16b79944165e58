"""Instruments of the feeds: known perpetuals with the venue's grids, and grids inferred from prices.

Guarantees: one canonical symbol a market (`BTC/USDT:USDT`), whatever spelling a file or a person used.
Never does: I/O; the kernel's instrument registry is not touched, a feed only describes what it plays.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from titan.paper.feeds.base import FeedError, FeedInstrument

QUOTES = ("USDT", "USDC", "BUSD", "USD", "EUR", "BTC", "ETH")

_KNOWN: dict[str, tuple[str, str, str, str, str]] = {
    "BTC": ("0.1", "0.001", "0.001", "5", "100"),
    "ETH": ("0.01", "0.01", "0.01", "5", "100"),
    "SOL": ("0.01", "0.1", "0.1", "5", "75"),
    "XRP": ("0.0001", "0.1", "0.1", "5", "75"),
    "DOGE": ("0.00001", "1", "1", "5", "75"),
    "ADA": ("0.0001", "1", "1", "5", "75"),
}


def canonical_symbol(spelling: str) -> str:
    """`BTCUSDT`, `BTC-PERP`, `BTC_USDT_USDT`, `BTC/USDT` or `BTC` as the canonical perpetual symbol.

    A dollar quote (USD) becomes USDT, because the paper venue settles everything in USDT.
    Raises FeedError when no base currency is left.
    """
    text = spelling.strip().upper()
    for suffix in ("-PERP", "_PERP", "PERP"):
        text = text.removesuffix(suffix)
    head = text.split(":", 1)[0].replace("-", "/").replace("_", "/").strip("/")
    parts = [part for part in head.split("/") if part]
    if len(parts) >= 2:
        base, quote = parts[0], parts[1]
    else:
        base, quote = _split_quote(parts[0] if parts else "")
    if not base.isalnum() or not quote.isalnum():
        raise FeedError(f"symbol {spelling!r} has no base currency; spell it like BTC/USDT:USDT or BTCUSDT")
    quote = "USDT" if quote == "USD" else quote
    return f"{base}/{quote}:{quote}"


def _split_quote(text: str) -> tuple[str, str]:
    for quote in QUOTES:
        if text.endswith(quote) and len(text) > len(quote):
            return text.removesuffix(quote), quote
    return text, "USDT"


def known_instrument(symbol: str) -> FeedInstrument | None:
    """The instrument of a canonical symbol when its grids are known (USDT-settled majors), else None."""
    base, _, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    grids = _KNOWN.get(base)
    if grids is None or quote != "USDT":
        return None
    tick, lot, min_qty, min_notional, leverage = (Decimal(text) for text in grids)
    return FeedInstrument(symbol, base, quote, tick, lot, min_qty, min_notional, leverage)


def inferred_instrument(symbol: str, prices: Iterable[Decimal], quantities: Iterable[Decimal]) -> FeedInstrument:
    """An instrument whose tick and lot are the finest decimal steps seen in a sample."""
    base, _, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    lot = _finest(quantities)
    return FeedInstrument(
        symbol=symbol,
        base=base,
        quote=quote,
        tick=_finest(prices),
        lot=lot,
        min_qty=lot,
        min_notional=Decimal(5) if quote.startswith("USD") else Decimal("0.0001"),
        max_leverage=Decimal(25),
    )


def _finest(values: Iterable[Decimal]) -> Decimal:
    places = 0
    for value in values:
        exponent = value.normalize().as_tuple().exponent
        if isinstance(exponent, int):
            places = max(places, -exponent)
    return Decimal(1).scaleb(-places)
