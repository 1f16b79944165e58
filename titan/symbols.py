"""One canonical spelling of a market, and every venue's own.

The canonical form is ccxt's unified one: `BTC/USDT` spot, `BTC/USDT:USDT` perpetual (after the colon: what it settles
in), `BTC/USD:BTC-260315` dated future, `BTC/USD:BTC-260315-100000-C` option. Guarantees: a spelling that can't be read
is a ValueError that names it, never a guess. Never: I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from titan.subjects import token

__all__ = ["Kind", "ParsedSymbol", "denormalize", "normalize", "parse", "token", "whitelisted"]

Kind = Literal["spot", "perp", "future", "option"]

REMEMBERED = 4096

QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "USD", "EUR", "GBP", "BTC", "ETH", "BNB")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_CANONICAL = re.compile(
    r"^(?P<base>[A-Z0-9]+)/(?P<quote>[A-Z0-9]+)"
    r"(?::(?P<settle>[A-Z0-9]+)(?:-(?P<expiry>\d{6})(?:-(?P<strike>\d+(?:\.\d+)?)-(?P<right>[CP]))?)?)?$"
)
_DERIBIT = re.compile(
    r"^(?P<base>[A-Z0-9]+)-(?P<day>\d{1,2})(?P<month>[A-Z]{3})(?P<year>\d{2})"
    r"(?:-(?P<strike>\d+(?:\.\d+)?)-(?P<right>[CP]))?$"
)
_KRAKEN_ASSETS = {"XBT": "BTC", "XXBT": "BTC", "XETH": "ETH", "ZUSD": "USD", "ZEUR": "EUR", "XDG": "DOGE"}


@dataclass(frozen=True, slots=True)
class ParsedSymbol:
    """A canonical symbol in its parts. `expiry` is YYYYMMDD, `right` C or P; empty where the kind has none."""

    symbol: str
    base: str
    quote: str
    settle: str
    kind: Kind
    expiry: str = ""
    strike: str = ""
    right: str = ""


@lru_cache(REMEMBERED)
def parse(symbol: str) -> ParsedSymbol:
    """The parts of a canonical symbol. Raises ValueError for any other spelling."""
    found = _CANONICAL.match(symbol)
    if found is None:
        raise ValueError(f"{symbol!r} is no canonical symbol; write BASE/QUOTE or BASE/QUOTE:SETTLE, as BTC/USDT:USDT")
    part = found.groupdict(default="")
    kind: Kind = "spot"
    if part["settle"]:
        kind = "perp"
    if part["expiry"]:
        kind = "option" if part["strike"] else "future"
    expiry = f"20{part['expiry']}" if part["expiry"] else ""
    return ParsedSymbol(
        symbol, part["base"], part["quote"], part["settle"], kind, expiry, part["strike"], part["right"]
    )


def normalize(venue: str, venue_symbol: str, market: Kind) -> str:
    """A venue's spelling in the canonical form. Raises ValueError when the venue does not write such a symbol."""
    text = venue_symbol.strip().upper()
    if venue == "deribit":
        return _from_deribit(text, market)
    if venue == "hyperliquid":
        coin = text.removesuffix("-PERP")
        if not coin.isalnum():
            raise ValueError(f"{venue_symbol!r} is no symbol of hyperliquid; it writes COIN or COIN-PERP")
        return _compose(coin, "USD", market)
    base, quote = _pair(venue, text)
    return _compose(base, quote, market)


def denormalize(venue: str, symbol: str) -> str:
    """A canonical symbol in a venue's spelling. Raises ValueError for a symbol or venue it can't be written for."""
    part = parse(symbol)
    if venue == "deribit":
        return _to_deribit(part)
    if part.expiry:
        raise ValueError(f"{symbol} is dated; only deribit's spelling of dated markets is known")
    if venue in ("binance", "bybit"):
        return f"{part.base}{part.quote}"
    if venue == "coinbase":
        return f"{part.base}-{part.quote}"
    if venue == "kraken":
        base = "XBT" if part.base == "BTC" else part.base
        return f"{base}/{part.quote}" if part.kind == "spot" else f"{base}{part.quote}"
    if venue == "mexc":
        return f"{part.base}_{part.quote}"
    if venue == "hyperliquid":
        return f"{part.base}-PERP" if part.kind == "perp" else part.base
    raise ValueError(
        f"no spelling of {symbol} is known for {venue!r}; known: binance, bybit, coinbase, deribit, hyperliquid, kraken, mexc"
    )


def whitelisted(symbol: str, whitelist: Iterable[str]) -> bool:
    """Whether a canonical symbol is admitted.

    An entry `BTC/USDT` (also `BTCUSDT`, `BTC_USDT`, `BTC-USDT`) admits spot and perpetual; an entry with a settlement
    currency admits only itself. An empty list admits nothing.
    """
    return _admitted(symbol, tuple(whitelist))


@lru_cache(REMEMBERED)
def _admitted(symbol: str, whitelist: tuple[str, ...]) -> bool:
    part = parse(symbol)
    pair = f"{part.base}{part.quote}"
    for entry in whitelist:
        if entry == symbol:
            return True
        if ":" not in entry and not part.expiry and re.sub(r"[/_-]", "", entry.upper()) == pair:
            return True
    return False


def _compose(base: str, quote: str, market: Kind) -> str:
    if market == "spot":
        return f"{base}/{quote}"
    if market == "perp":
        return f"{base}/{quote}:{quote}"
    raise ValueError(f"{base}/{quote} as a {market} needs a date in its venue's spelling")


def _pair(venue: str, text: str) -> tuple[str, str]:
    for mark in ("/", "-", "_"):
        if mark in text:
            base, _, quote = text.partition(mark)
            if base.isalnum() and quote.isalnum():
                return _asset(venue, base), _asset(venue, quote)
            raise ValueError(f"{text!r} is no symbol of {venue}: BASE{mark}QUOTE expected")
    if venue == "kraken":
        for length in (4, 3):
            base, quote = text[:-length], text[-length:]
            if _asset(venue, quote) in QUOTES and len(base) >= 3:
                return _asset(venue, base), _asset(venue, quote)
    for quote in QUOTES:
        if text.endswith(quote) and len(text) > len(quote) and text.isalnum():
            return text.removesuffix(quote), quote
    raise ValueError(f"{text!r} is no symbol of {venue}: no known quote currency at its end ({', '.join(QUOTES)})")


def _asset(venue: str, name: str) -> str:
    return _KRAKEN_ASSETS.get(name, name) if venue == "kraken" else name


def _from_deribit(text: str, market: Kind) -> str:
    if market == "perp" and text.endswith("-PERPETUAL"):
        base = text.removesuffix("-PERPETUAL")
        return f"{base}/USD:{base}"
    found = _DERIBIT.match(text)
    if found is None or found["month"] not in MONTHS:
        raise ValueError(
            f"{text!r} is no {market} of deribit; it writes BTC-PERPETUAL, BTC-15MAR26, BTC-15MAR26-90000-C"
        )
    day = f"{found['year']}{MONTHS.index(found['month']) + 1:02d}{int(found['day']):02d}"
    dated = f"{found['base']}/USD:{found['base']}-{day}"
    if market == "option" and found["strike"]:
        return f"{dated}-{found['strike']}-{found['right']}"
    if market == "future" and not found["strike"]:
        return dated
    raise ValueError(f"{text!r} is no {market} of deribit")


def _to_deribit(part: ParsedSymbol) -> str:
    if part.kind == "perp":
        return f"{part.base}-PERPETUAL"
    if not part.expiry:
        raise ValueError(f"{part.symbol} is spot; deribit's spelling is known for derivatives only")
    day = f"{int(part.expiry[6:8])}{MONTHS[int(part.expiry[4:6]) - 1]}{part.expiry[2:4]}"
    tail = f"-{part.strike}-{part.right}" if part.strike else ""
    return f"{part.base}-{day}{tail}"
