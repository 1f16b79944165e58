"""The one place where a ccxt exchange object is made.

Guarantees: with an address, every REST and WebSocket URL of the exchange points there and nothing else is contacted;
without one, the exchange's own URLs stay. What the venue answers with an HTTP error carries its status and its
Retry-After. Never: a request of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ccxt

from titan.errors import ConfigError
from titan.runtime import VenueAddress
from titan.venues.errors import SLOW_DOWN

if TYPE_CHECKING:
    from ccxt.pro import bybit as Exchange  # noqa: N812  # one class stands for what all of them share

RECV_WINDOW_MS = 5_000
REQUEST_TIMEOUT_MS = 5_000


def make_exchange(address: VenueAddress) -> Exchange:
    """An unconnected `ccxt.pro` exchange for a venue. Raises ConfigError for a venue without an adapter."""
    build = _BUILDERS.get(address.name)
    if build is None:
        known = ", ".join(sorted(_BUILDERS))
        raise ConfigError(f"no adapter for venue {address.name!r}; known: {known}. Set it in the venues of the run")
    exchange = build(
        {
            "apiKey": address.api_key,
            "secret": address.api_secret,
            "enableRateLimit": not address.paper,
            "timeout": REQUEST_TIMEOUT_MS,
            "newUpdates": True,
        },
        address.rest_url.rstrip("/"),
        address.ws_url.rstrip("/"),
    )
    exchange.has["fetchCurrencies"] = False
    exchange.options["timeDifference"] = 0
    _keep_status(exchange)
    return exchange


def _bybit(common: dict[str, Any], rest: str, ws: str) -> Exchange:
    # ccxt.pro takes over a second to import: only processes that talk to a venue pay for it.
    from ccxt.pro import bybit

    exchange = bybit(
        {
            **common,
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
    if rest:
        for name in ("spot", "futures", "v2", "public", "private"):
            exchange.urls["api"][name] = rest
    if ws:
        private = f"{ws}/v5/private"
        exchange.urls["api"]["ws"] = {
            "public": {kind: f"{ws}/v5/public/{kind}" for kind in ("spot", "linear", "inverse", "option")},
            "private": {
                "spot": {"unified": private, "nonUnified": private},
                "contract": private,
                "usdc": private,
                "trade": f"{ws}/v5/trade",
            },
        }
    return exchange


def _binance(common: dict[str, Any], rest: str, ws: str) -> Exchange:
    from ccxt.pro import binanceusdm

    exchange = binanceusdm(
        {
            **common,
            "options": {
                "defaultType": "swap",
                "defaultSubType": "linear",
                "recvWindow": RECV_WINDOW_MS,
                "fetchMarkets": {"types": ["linear"]},
                "fetchCurrencies": False,
            },
        }
    )
    return _moved(exchange, rest, ws)


def _mexc(common: dict[str, Any], rest: str, ws: str) -> Exchange:
    from ccxt.pro import mexc

    exchange = mexc(
        {
            **common,
            "options": {
                "defaultType": "swap",
                "recvWindow": RECV_WINDOW_MS,
                "fetchMarkets": {"types": {"spot": False, "swap": {"linear": True, "inverse": False}}},
            },
        }
    )
    return _moved(exchange, rest, ws)


def _moved(exchange: Exchange, rest: str, ws: str) -> Exchange:
    """Replaces scheme and host of every URL, and keeps the paths."""
    exchange.urls["api"] = _replaced(exchange.urls["api"], rest, ws)
    return exchange


def _replaced(urls: Any, rest: str, ws: str) -> Any:
    if isinstance(urls, Mapping):
        return {name: _replaced(url, rest, ws) for name, url in urls.items()}
    base = ws if str(urls).startswith("ws") else rest
    if not base:
        return urls
    _, slashes, tail = str(urls).partition("://")
    return f"{base}{tail[tail.find('/') :] if slashes and '/' in tail else ''}"


_BUILDERS: dict[str, Callable[[dict[str, Any], str, str], Any]] = {
    "binance": _binance,
    "bybit": _bybit,
    "mexc": _mexc,
}


def _keep_status(exchange: Exchange) -> None:
    """Lets ccxt's errors carry the HTTP status and Retry-After, which its own classes drop."""
    judge = exchange.handle_errors

    def handle_errors(
        status: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, *rest: Any
    ) -> Any:
        try:
            if status in SLOW_DOWN:
                raise ccxt.RateLimitExceeded(f"{exchange.id} {method} {status} {reason} {body}")
            if status >= 500:
                raise ccxt.ExchangeNotAvailable(f"{exchange.id} {method} {status} {reason} {body}")
            return judge(status, reason, url, method, headers, body, *rest)
        except ccxt.BaseError as error:
            named: Any = error
            named.http_status = status
            named.retry_after = next((text for name, text in headers.items() if name.lower() == "retry-after"), "")
            raise

    setattr(exchange, "handle_errors", handle_errors)  # noqa: B010  # mypy forbids assigning a method
