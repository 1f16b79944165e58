"""ccxt's exceptions as errors named for the action they need.

Guarantees: only an answer of the venue that says no is `Rejected`, only what certainly never left or was refused for
its rate or its timestamp is `Transient`; everything else, every 5xx included, is `Ambiguous`. A venue's codes are data
(`ErrorRules`). Source: reference/execution.md section 1.11. Never: a venue's name in a condition.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
import ccxt

from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected, Transient

SLOW_DOWN = frozenset({418, 429})
DEFAULT_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class ErrorRules:
    """How a venue says no. `code` and `message` are the keys of its body; `clock` are refusals of our timestamp."""

    code: str
    message: tuple[str, ...]
    transient: frozenset[int] = frozenset()
    ambiguous: frozenset[int] = frozenset()
    clock: frozenset[int] = frozenset()


BYBIT = ErrorRules(
    code="retCode",
    message=("retMsg",),
    transient=frozenset({10006, 10018, 10429}),
    ambiguous=frozenset({10000, 10016, 110072}),
    clock=frozenset({10002}),
)
"""https://bybit-exchange.github.io/docs/v5/error"""


class ClockRefused(Transient):
    """The venue refused a timestamp: it certainly did not happen; measure its clock again."""


def answer_code(error: ccxt.BaseError, rules: ErrorRules = BYBIT) -> tuple[int | None, str]:
    """The venue's code and message inside a ccxt error, or (None, its text)."""
    text = str(error)
    start = text.find("{")
    if start >= 0:
        try:
            body: dict[str, Any] = json.loads(text[start:])
            message = next((str(body[key]) for key in rules.message if body.get(key)), "")
            return int(body[rules.code]), message
        except (ValueError, KeyError, TypeError):
            pass
    return None, text


def translate(error: ccxt.BaseError, rules: ErrorRules = BYBIT) -> Rejected | Transient | Ambiguous:
    """The error to raise in place of a ccxt error."""
    code, message = answer_code(error, rules)
    if isinstance(error.__cause__, aiohttp.ClientConnectorError):
        return Transient(f"the venue can't be reached: {error.__cause__}")
    if isinstance(error.__cause__, aiohttp.ClientError):
        return Ambiguous(f"the connection broke while the venue had the request: {error.__cause__!r}")
    status = int(getattr(error, "http_status", 0))
    if status in SLOW_DOWN:
        return Transient(f"the venue asks to slow down: {status} {message}", retry_after_s=_retry_after(error))
    if status >= 500:
        return Ambiguous(f"the venue failed with {status} and may have done it: {message}")
    if code is not None:
        if code in rules.transient:
            return Transient(f"the venue asks to slow down: {code} {message}", retry_after_s=_retry_after(error))
        if code in rules.clock:
            return ClockRefused(f"the venue refused our timestamp: {code} {message}")
        if code in rules.ambiguous:
            return Ambiguous(f"the venue left it open: {code} {message}")
        return Rejected(RejectCode.VENUE_REJECTED, f"{code} {message}")
    if isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection):
        return Transient(f"the venue asks to slow down: {message}", retry_after_s=_retry_after(error))
    if isinstance(error, ccxt.AuthenticationError | ccxt.ArgumentsRequired | ccxt.BadSymbol | ccxt.NotSupported):
        return Rejected(RejectCode.VENUE_REJECTED, message)
    return Ambiguous(f"the venue did not say whether it happened: {type(error).__name__} {message}")


def _retry_after(error: ccxt.BaseError) -> float:
    try:
        return max(0.0, float(getattr(error, "retry_after", "") or DEFAULT_RETRY_S))
    except ValueError:
        return DEFAULT_RETRY_S
