"""The one place where a ccxt exchange object is made.

Guarantees: with an address, every REST and WebSocket URL of the exchange points there and nothing else is contacted;
without one, the exchange's own URLs stay. Never: a request of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from titan.errors import ConfigError
from titan.runtime import VenueAddress

if TYPE_CHECKING:
    from ccxt.pro import bybit

RECV_WINDOW_MS = 5_000
REQUEST_TIMEOUT_MS = 5_000
_REST_APIS = ("spot", "futures", "v2", "public", "private")


def make_exchange(address: VenueAddress) -> bybit:
    """An unconnected `ccxt.pro` exchange for a venue. Raises ConfigError for a venue without an adapter."""
    if address.name != "bybit":
        raise ConfigError(f"no adapter for venue {address.name!r}; known: bybit. Set it in the venues of the run")
    # ccxt.pro takes over a second to import: only processes that talk to a venue pay for it.
    from ccxt.pro import bybit

    exchange = bybit(
        {
            "apiKey": address.api_key,
            "secret": address.api_secret,
            "enableRateLimit": not address.paper,
            "timeout": REQUEST_TIMEOUT_MS,
            "newUpdates": True,
            "options": {
                "defaultType": "swap",
                "defaultSubType": "linear",
                "recvWindow": RECV_WINDOW_MS,
                "fetchMarkets": {"types": ["linear"]},
                # A unified account is required; saying so saves two private requests at every start.
                "enableUnifiedMargin": False,
                "enableUnifiedAccount": True,
                "unifiedMarginStatus": 6,
                "fetchCurrencies": False,
            },
        }
    )
    exchange.has["fetchCurrencies"] = False
    if address.rest_url:
        rest = address.rest_url.rstrip("/")
        for name in _REST_APIS:
            exchange.urls["api"][name] = rest
    if address.ws_url:
        exchange.urls["api"]["ws"] = _websocket_urls(address.ws_url.rstrip("/"))
    return exchange


def _websocket_urls(base: str) -> dict[str, Any]:
    private = f"{base}/v5/private"
    return {
        "public": {kind: f"{base}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")},
        "private": {
            "spot": {"unified": private, "nonUnified": private},
            "contract": private,
            "usdc": private,
            "trade": f"{base}/v5/trade",
        },
    }
