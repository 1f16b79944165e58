"""Fields of a journal row's JSON, each read as what it must be.

Guarantees: a missing key is a KeyError, a value of another type a ValueError that names the key. Never: a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

from titan.money import dec, dec_or_none

Scalar: TypeAlias = str | int | bool
Payload: TypeAlias = Mapping[str, Scalar]


def text(payload: Payload, key: str) -> str:
    """Text."""
    value = payload[key]
    if type(value) is not str:
        raise ValueError(f"{key} is text, got {value!r}")
    return value


def whole(payload: Payload, key: str) -> int:
    """A whole number."""
    value = payload[key]
    if type(value) is not int:
        raise ValueError(f"{key} is a whole number, got {value!r}")
    return value


def flag(payload: Payload, key: str) -> bool:
    """True or false."""
    value = payload[key]
    if type(value) is not bool:
        raise ValueError(f"{key} is true or false, got {value!r}")
    return value


def number(payload: Payload, key: str) -> Decimal:
    """A decimal, written as text."""
    return dec(text(payload, key))


def maybe(payload: Payload, key: str) -> Decimal | None:
    """A decimal, None when the text is empty."""
    return dec_or_none(text(payload, key))


def items(payload: Mapping[str, object], key: str) -> list[Payload]:
    """A list of objects."""
    value = payload[key]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"{key} is a list of objects, got {value!r}")
    return value


def members(payload: Mapping[str, object], key: str) -> Payload:
    """An object."""
    value = payload[key]
    if not isinstance(value, dict):
        raise ValueError(f"{key} is an object, got {value!r}")  # noqa: TRY004 - as its sisters
    return value
