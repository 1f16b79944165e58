"""Protobuf messages to the kernel's values and back.

Guarantees: what is missing or makes no sense (no side, a size of zero, a price that is not a number) is a ValueError
with a sentence, never a default. Never: I/O.
"""

from titan.codec.intents import intent_from_pb, intent_to_pb, signal_from_pb, signal_to_pb
from titan.codec.orders import fill_from_pb, fill_to_pb, order_from_pb, order_to_pb, position_from_pb, position_to_pb
from titan.codec.tables import (
    ACTION_FROM_PB,
    ACTION_TO_PB,
    ORDER_STATE_FROM_PB,
    ORDER_STATE_TO_PB,
    ORDER_TYPE_FROM_PB,
    ORDER_TYPE_TO_PB,
    PHASE_FROM_PB,
    PHASE_TO_PB,
    ROLE_FROM_PB,
    ROLE_TO_PB,
    SIDE_FROM_PB,
    SIDE_TO_PB,
    TRADING_STATE_FROM_PB,
    TRADING_STATE_TO_PB,
)

__all__ = [
    "ACTION_FROM_PB",
    "ACTION_TO_PB",
    "ORDER_STATE_FROM_PB",
    "ORDER_STATE_TO_PB",
    "ORDER_TYPE_FROM_PB",
    "ORDER_TYPE_TO_PB",
    "PHASE_FROM_PB",
    "PHASE_TO_PB",
    "ROLE_FROM_PB",
    "ROLE_TO_PB",
    "SIDE_FROM_PB",
    "SIDE_TO_PB",
    "TRADING_STATE_FROM_PB",
    "TRADING_STATE_TO_PB",
    "fill_from_pb",
    "fill_to_pb",
    "intent_from_pb",
    "intent_to_pb",
    "order_from_pb",
    "order_to_pb",
    "position_from_pb",
    "position_to_pb",
    "signal_from_pb",
    "signal_to_pb",
]
