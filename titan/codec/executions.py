"""Execution styles: how an intent is worked."""

from __future__ import annotations

from protos import trading_pb2 as pb
from titan.codec.tables import member, price_of
from titan.model import Execution, Style
from titan.money import text_of

STYLE_TO_PB = {style: pb.ExecutionStyle.Value(f"EXECUTION_STYLE_{style.value}") for style in Style}
STYLE_FROM_PB = {value: key for key, value in STYLE_TO_PB.items()}


def execution_to_pb(execution: Execution | None) -> pb.Execution | None:
    """A style as a message."""
    if execution is None:
        return None
    return pb.Execution(
        style=STYLE_TO_PB[execution.style],
        duration_ms=execution.duration_ms,
        reprice_ms=execution.reprice_ms,
        reprices=execution.reprices,
        cross=execution.cross,
        offset_ticks=execution.offset_ticks,
        slices=execution.slices,
        display=text_of(execution.display),
        hedge_symbol=execution.hedge_symbol,
        hedge_reference_price=text_of(execution.hedge_reference_price),
        hedge_stop_price=text_of(execution.hedge_stop_price),
        hedge_ms=execution.hedge_ms,
    )


def execution_from_pb(message: pb.Execution) -> Execution:
    """The value of an execution message. Raises ValueError."""
    return Execution(
        style=member(STYLE_FROM_PB, message.style, "execution style"),
        duration_ms=message.duration_ms,
        reprice_ms=message.reprice_ms,
        reprices=message.reprices,
        cross=message.cross,
        offset_ticks=message.offset_ticks,
        slices=message.slices,
        display=price_of(message.display, "display"),
        hedge_symbol=message.hedge_symbol,
        hedge_reference_price=price_of(message.hedge_reference_price, "hedge_reference_price"),
        hedge_stop_price=price_of(message.hedge_stop_price, "hedge_stop_price"),
        hedge_ms=message.hedge_ms,
    )
