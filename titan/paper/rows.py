"""Ledger text of orders, executions, positions and balance rows, both ways.

Guarantees: a value read back equals the value written, Decimal digits included. Never: SQL or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar, cast

from titan.paper.jsonio import dumps, loads
from titan.paper.orders import (
    BalanceRow,
    CancelType,
    ExecType,
    Execution,
    Order,
    OrderStatus,
    OrderType,
    PositionView,
    Reason,
    Side,
    StopOrderType,
    TimeInForce,
    TriggerBy,
)

Row = Order | Execution | PositionView | BalanceRow
RowT = TypeVar("RowT", Order, Execution, PositionView, BalanceRow)

_ENUMS: dict[str, type[StrEnum]] = {
    e.__name__: e
    for e in (CancelType, ExecType, OrderStatus, OrderType, Reason, Side, StopOrderType, TimeInForce, TriggerBy)
}
_NAMES = {kind: tuple(f.name for f in fields(kind)) for kind in (Order, Execution, PositionView, BalanceRow)}
_KINDS = {kind: {f.name: str(f.type) for f in fields(kind)} for kind in (Order, Execution, PositionView, BalanceRow)}


def as_dict(row: Row) -> dict[str, object]:
    """Field names to text, numbers and flags; Decimal becomes plain text."""
    out: dict[str, object] = {}
    for name in _NAMES[type(row)]:
        value = getattr(row, name)
        out[name] = format(value, "f") if isinstance(value, Decimal) else value
    return out


def to_text(row: Row) -> bytes:
    """JSON of a row."""
    return dumps(as_dict(row))


def from_text(kind: type[RowT], text: str | bytes) -> RowT:
    """A row from its JSON. Raises KeyError or ValueError when the text is not such a row."""
    raw = cast("dict[str, Any]", loads(text))
    values: dict[str, object] = {}
    for name, type_name in _KINDS[kind].items():
        value = raw[name]
        if type_name == "Decimal":
            value = Decimal(value)
        elif type_name in _ENUMS:
            value = _ENUMS[type_name](value)
        values[name] = value
    build: Callable[..., RowT] = kind
    return build(**values)
