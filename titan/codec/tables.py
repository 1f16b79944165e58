"""The enums of both sides, and the checks that say what is wrong with a field."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TypeVar

from protos import trading_pb2 as pb
from titan.codes import TradingState
from titan.model import Action, OrderRole, OrderState, OrderType, Phase, Side, Target, Terms
from titan.money import dec, dec_or_none, text_of

_K = TypeVar("_K")
_V = TypeVar("_V")

HUGE = Decimal("1e30")
"""Above any price, quantity or amount of money; below infinity."""

SIDE_TO_PB = {Side.BUY: pb.SIDE_BUY, Side.SELL: pb.SIDE_SELL}
SIDE_FROM_PB = {value: key for key, value in SIDE_TO_PB.items()}
PHASE_TO_PB = {
    Phase.SCAVENGER: pb.PHASE_SCAVENGER,
    Phase.HUNTER: pb.PHASE_HUNTER,
    Phase.SENTINEL: pb.PHASE_SENTINEL,
    Phase.MANUAL: pb.PHASE_MANUAL,
}
PHASE_FROM_PB = {value: key for key, value in PHASE_TO_PB.items()}
ACTION_TO_PB = {Action.OPEN: pb.SIGNAL_ACTION_OPEN, Action.CLOSE: pb.SIGNAL_ACTION_CLOSE}
ACTION_FROM_PB = {value: key for key, value in ACTION_TO_PB.items()}
ORDER_TYPE_TO_PB = {kind: pb.OrderType.Value(f"ORDER_TYPE_{kind.value}") for kind in OrderType}
ORDER_TYPE_FROM_PB = {value: key for key, value in ORDER_TYPE_TO_PB.items()}
ROLE_TO_PB = {role: pb.OrderRole.Value(f"ORDER_ROLE_{role.value}") for role in OrderRole}
ROLE_FROM_PB = {value: key for key, value in ROLE_TO_PB.items()}
ORDER_STATE_TO_PB = {state: pb.OrderState.Value(f"ORDER_STATE_{state.value}") for state in OrderState}
ORDER_STATE_FROM_PB = {value: key for key, value in ORDER_STATE_TO_PB.items()}
TRADING_STATE_TO_PB = {state: pb.TradingState.Value(f"TRADING_STATE_{state.value}") for state in TradingState}
TRADING_STATE_FROM_PB = {value: key for key, value in TRADING_STATE_TO_PB.items()}


def member(table: dict[_K, _V], value: _K, what: str) -> _V:
    """The value of an enum member. Raises ValueError naming what is missing or unknown."""
    try:
        return table[value]
    except KeyError:
        raise ValueError(f"{what} is missing or unknown: {value!r}") from None


def required(text: str, what: str) -> str:
    """The text. Raises ValueError when it is blank."""
    if not text.strip():
        raise ValueError(f"{what} is empty")
    return text


def positive(text: str, what: str) -> Decimal:
    """A decimal above zero. Raises ValueError."""
    value = dec(required(text, what))
    if value <= 0:
        raise ValueError(f"{what} must be above zero, got {text}")
    return value


def price_of(text: str, what: str) -> Decimal | None:
    """An optional decimal above zero. Raises ValueError."""
    value = dec_or_none(text)
    if value is not None and value <= 0:
        raise ValueError(f"{what} must be above zero, got {text}")
    return value


def finite(value: float, what: str) -> float:
    """A float that is a number. Raises ValueError."""
    if not math.isfinite(value):
        raise ValueError(f"{what} is not a finite number: {value}")
    return value


def terms_to_pb(terms: Terms | None) -> pb.Terms | None:
    """An intent's or signal's terms as a message; None when there are none."""
    if terms is None:
        return None
    return pb.Terms(
        trigger_price=text_of(terms.trigger_price),
        trail=text_of(terms.trail),
        good_till_ms=terms.expires_ms,
        targets=[
            pb.Target(price=text_of(each.price), share=text_of(each.share), market=each.market)
            for each in terms.targets
        ],
    )


def terms_from_pb(message: pb.Terms) -> Terms:
    """The terms of a message. Raises ValueError."""
    if message.good_till_ms < 0:
        raise ValueError(f"good_till_ms must not be negative, got {message.good_till_ms}")
    return Terms(
        trigger_price=price_of(message.trigger_price, "trigger_price"),
        trail=price_of(message.trail, "trail"),
        expires_ms=message.good_till_ms,
        targets=tuple(
            Target(positive(each.price, "target price"), positive(each.share, "target share"), each.market)
            for each in message.targets
        ),
    )
