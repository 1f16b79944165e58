"""Decimal arithmetic for prices, quantities and money.

Guarantees: no float ever enters a book; rounding is explicit and towards the safe side. Never: silent quantisation.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

ZERO = Decimal(0)
ONE = Decimal(1)
BPS = Decimal(10_000)


def dec(text: str | int | Decimal) -> Decimal:
    """Parses a finite decimal; an empty string is zero. Raises ValueError naming what was seen."""
    if isinstance(text, Decimal):
        return text
    if text == "":
        return ZERO
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {text!r}") from None
    if not value.is_finite():
        raise ValueError(f"not a finite decimal number: {text!r}")
    return value


def dec_or_none(text: str) -> Decimal | None:
    """Parses an optional decimal; an empty string is None."""
    return None if text == "" else dec(text)


def text_of(value: Decimal | None) -> str:
    """Plain decimal text without exponent and trailing zeros; None is empty."""
    if value is None:
        return ""
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    if "." in text and (text[-1] == "0" or text[-1] == "."):
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` not beyond `value` (towards zero)."""
    return value // step * step


def round_to(value: Decimal, step: Decimal) -> Decimal:
    """The nearest multiple of `step`, ties to even."""
    if not value % step:
        return value
    return (value / step).to_integral_value(rounding=ROUND_HALF_EVEN) * step


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` lies on the grid of `step`."""
    return value % step == 0


def scaled(value: Decimal, scale: int) -> int:
    """`value * 10**scale` as an integer. Raises ValueError when digits would be lost."""
    shifted = value.scaleb(scale)
    whole = int(shifted)
    if whole != shifted:
        raise ValueError(f"{value} has more than {scale} decimal places")
    return whole


def unscaled(value: int, scale: int) -> Decimal:
    """The inverse of `scaled`."""
    return Decimal(value).scaleb(-scale)
