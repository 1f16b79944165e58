"""The exchanges that the paper venue can speak like, besides Bybit, which it always does.

Guarantees: every tongue works on the same core, ledger and market. Never: a second account.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from titan.paper.binance.api import BinanceApi
from titan.paper.binance.dialect import BinanceDialect
from titan.paper.fault_shell import Dialect
from titan.paper.mexc.api import MexcApi
from titan.paper.mexc.dialect import MexcDialect
from titan.paper.protocol.auth import Credentials
from titan.paper.protocol.hub import Hub
from titan.paper.venue import Venue

BYBIT = "bybit"


class Tongue(Protocol):
    """One exchange's listener."""

    private: Hub
    wall_ms: Callable[[], int]

    def add_routes(self, app: web.Application) -> None:
        """Puts every path on the application."""
        ...


_TONGUES: dict[str, tuple[Callable[[Venue, Credentials], Tongue], Callable[[], Dialect]]] = {
    "binance": (BinanceApi, BinanceDialect),
    "mexc": (MexcApi, MexcDialect),
}
NAMES = (BYBIT, *sorted(_TONGUES))


def open_tongue(name: str, venue: Venue, credentials: Credentials) -> tuple[Tongue, Dialect] | None:
    """The listener of an exchange and how it fails; None for Bybit. Raises ValueError for an unknown name."""
    if name == BYBIT:
        return None
    try:
        listener, dialect = _TONGUES[name]
    except KeyError:
        raise ValueError(f"the paper venue speaks no {name!r}; choose one of {', '.join(NAMES)}") from None
    return listener(venue, credentials), dialect()
