"""Reads typed values out of a request's parameters; what is wrong becomes one Bybit refusal.

Guarantees: every value is checked and finite. Never: a default that hides a wrong value.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar
from urllib.parse import unquote

from titan.paper.orders import ZERO, Refused, RetCode

E = TypeVar("E", bound=StrEnum)


class ParamError(Exception):
    """A parameter is missing or wrong; carries the refusal."""

    def __init__(self, message: str, code: RetCode = RetCode.PARAMS) -> None:
        super().__init__(message)
        self.refused = Refused(code, message)


class Params:
    """Parameters of one request by name."""

    def __init__(self, raw: Mapping[str, object]) -> None:
        self.raw = raw

    def text(self, name: str, default: str = "") -> str:
        """A string; numbers are taken as their text."""
        value = self.raw.get(name)
        return default if value is None or value == "" else str(value)

    def need(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if not value:
            raise ParamError(f"params error: {name} is required")
        return value

    def decimal(self, name: str) -> Decimal:
        """A finite number; zero when absent."""
        return self.maybe_decimal(name) or ZERO

    def maybe_decimal(self, name: str) -> Decimal | None:
        """A finite number; None when absent."""
        text = self.text(name)
        if not text:
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise ParamError(f"params error: {name} {text!r} is not a number") from None
        if not value.is_finite():
            raise ParamError(f"params error: {name} {text!r} is not a finite number")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within [low, high]."""
        text = self.text(name)
        if not text:
            return default
        if not text.lstrip("-").isdigit() or not low <= int(text) <= high:
            raise ParamError(f"params error: {name} {text!r} must be a whole number from {low} to {high}")
        return int(text)

    def time_ms(self, name: str) -> int | None:
        """Milliseconds since the epoch; None when absent."""
        text = self.text(name)
        if not text:
            return None
        if not text.isdigit():
            raise ParamError(f"params error: {name} {text!r} must be milliseconds")
        return int(text)

    def flag(self, name: str) -> bool:
        """A JSON boolean or the words true and false."""
        value = self.raw.get(name)
        if value in (None, "", False, "false", "0", 0):
            return False
        if value in (True, "true", "1", 1):
            return True
        raise ParamError(f"params error: {name} {value!r} must be true or false")

    def choice(self, name: str, kind: type[E], default: E | None = None) -> E:
        """A member of an enumeration by its value."""
        text = self.text(name)
        if not text and default is not None:
            return default
        for member in kind:
            if member.value.lower() == text.lower():
                return member
        allowed = ", ".join(member.value for member in kind if member.value)
        raise ParamError(f"params error: {name} {text!r} is not one of {allowed}")

    def cursor(self) -> int | None:
        """The sequence number in `cursor`, below which the next page starts; percent-encoding may be there or not."""
        text = unquote(self.text("cursor"))
        if not text:
            return None
        head = text.split(":", 1)[0]
        if not head.isdigit():
            raise ParamError(f"params error: cursor {text!r} did not come from this venue")
        return int(head)


def page_cursor(seq: int, ts_ms: int) -> str:
    """The cursor of the page after a row, percent-encoded as Bybit sends it."""
    return f"{seq}%3A{ts_ms}%2C{seq}%3A{ts_ms}"
