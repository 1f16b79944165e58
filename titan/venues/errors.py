"""ccxt's exceptions as errors named for the action they need.

Guarantees: only an answer of the venue that says no is `Rejected`, only what certainly never left or was refused for
its rate is `Transient`; everything else is `Ambiguous`. Source: reference/execution.md section 1.11.
"""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import ccxt

from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected, Transient

TRANSIENT_CODES = frozenset({10006, 10018, 10429})
AMBIGUOUS_CODES = frozenset({10000, 10016, 110072})


def answer_code(error: ccxt.BaseError) -> tuple[int | None, str]:
    """The venue's retCode and retMsg inside a ccxt error, or (None, its text)."""
    text = str(error)
    start = text.find("{")
    if start >= 0:
        try:
            body: dict[str, Any] = json.loads(text[start:])
            return int(body["retCode"]), str(body.get("retMsg", ""))
        except (ValueError, KeyError, TypeError):
            pass
    return None, text


def translate(error: ccxt.BaseError) -> Rejected | Transient | Ambiguous:
    """The error to raise in place of a ccxt error."""
    code, message = answer_code(error)
    if isinstance(error.__cause__, aiohttp.ClientConnectorError):
        return Transient(f"the venue can't be reached: {error.__cause__}")
    if isinstance(error.__cause__, aiohttp.ClientError):
        return Ambiguous(f"the connection broke while the venue had the request: {error.__cause__!r}")
    if code is not None:
        if code in TRANSIENT_CODES:
            return Transient(f"the venue asks to slow down: {code} {message}", retry_after_s=1.0)
        if code in AMBIGUOUS_CODES:
            return Ambiguous(f"the venue left it open: {code} {message}")
        return Rejected(RejectCode.VENUE_REJECTED, f"{code} {message}")
    if isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection):
        return Transient(f"the venue asks to slow down: {message}", retry_after_s=1.0)
    if isinstance(error, ccxt.AuthenticationError | ccxt.ArgumentsRequired | ccxt.BadSymbol | ccxt.NotSupported):
        return Rejected(RejectCode.VENUE_REJECTED, message)
    return Ambiguous(f"the venue did not say whether it happened: {type(error).__name__} {message}")
