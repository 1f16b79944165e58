"""ccxt's errors, split by who can act."""

from __future__ import annotations

import aiohttp
import ccxt
import pytest
from aiohttp.client_reqrep import ConnectionKey

from titan.errors import Ambiguous, Rejected, Transient
from titan.venues.errors import ClockRefused, translate


def answer(code: int, message: str = "said so") -> str:
    return f'bybit {{"retCode":{code},"retMsg":"{message}","result":{{}}}}'


def caused(error: ccxt.BaseError, cause: BaseException) -> ccxt.BaseError:
    error.__cause__ = cause
    return error


NOWHERE = ConnectionKey("127.0.0.1", 9, False, False, None, None, None)
REFUSED_CONNECTION = aiohttp.ClientConnectorError(NOWHERE, OSError(111, "refused"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ccxt.InvalidOrder(answer(110017)), Rejected),
        (ccxt.InsufficientFunds(answer(110007)), Rejected),
        (ccxt.InvalidNonce(answer(10002)), ClockRefused),
        (ccxt.AuthenticationError("bybit requires a secret"), Rejected),
        (ccxt.RateLimitExceeded(answer(10006)), Transient),
        (ccxt.RateLimitExceeded("bybit POST 429 Too Many Requests"), Transient),
        (ccxt.ExchangeError(answer(10016)), Ambiguous),
        (ccxt.InvalidOrder(answer(110072, "OrderLinkedID is duplicate")), Ambiguous),
        (ccxt.RequestTimeout("bybit POST"), Ambiguous),
        (ccxt.ExchangeNotAvailable("bybit POST 502 Bad Gateway"), Ambiguous),
        (ccxt.OnMaintenance("bybit POST 503"), Ambiguous),
        (caused(ccxt.ExchangeNotAvailable("bybit POST"), REFUSED_CONNECTION), Transient),
        (caused(ccxt.ExchangeNotAvailable("bybit POST"), aiohttp.ServerDisconnectedError()), Ambiguous),
        (caused(ccxt.ExchangeError("bybit POST"), aiohttp.ClientPayloadError()), Ambiguous),
    ],
)
def test_an_error_is_named_for_the_action_it_needs(error: ccxt.BaseError, kind: type[Exception]) -> None:
    assert type(translate(error)) is kind


def test_a_refusal_keeps_the_venues_words() -> None:
    refused = translate(ccxt.InvalidOrder(answer(110017, "orderQty will be truncated to zero")))
    assert isinstance(refused, Rejected)
    assert refused.detail == "110017 orderQty will be truncated to zero"


def test_a_venue_that_asks_to_slow_down_says_for_how_long() -> None:
    slowed = translate(ccxt.RateLimitExceeded(answer(10006)))
    assert isinstance(slowed, Transient)
    assert slowed.retry_after_s == 1.0
