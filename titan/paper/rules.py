"""Checks of a command before it touches state, with Bybit's codes and messages that say what was seen.

Guarantees: pure functions; None means allowed. Never: a change of state.
"""

from __future__ import annotations

import re
from decimal import Decimal

from titan.paper.account import MAKER_FEE, MONEY_STEP, TAKER_FEE, Position
from titan.paper.orders import (
    MAX_LINK_ID,
    ZERO,
    ExecType,
    Instrument,
    NewOrder,
    Order,
    OrderStatus,
    OrderType,
    Refused,
    RetCode,
    Side,
)

_LINK_ID = re.compile(r"[A-Za-z0-9_\-]*\Z")


def check_link_id(link_id: str) -> Refused | None:
    """At most 36 letters, digits, dashes or underscores."""
    if len(link_id) > MAX_LINK_ID:
        return Refused(
            RetCode.PARAMS,
            f"params error: orderLinkId has {len(link_id)} characters, at most {MAX_LINK_ID} are allowed",
        )
    if not _LINK_ID.match(link_id):
        return Refused(
            RetCode.PARAMS, f"params error: orderLinkId {link_id!r} may only hold letters, digits, dash and underscore"
        )
    return None


def _check_qty(qty: Decimal, instrument: Instrument) -> Refused | None:
    if qty <= 0:
        return Refused(RetCode.PARAMS, f"Qty invalid: {qty} is not positive")
    if qty % instrument.lot:
        return Refused(
            RetCode.PARAMS, f"Qty invalid: {qty} is not a multiple of lot {instrument.lot} ({instrument.id})"
        )
    if qty < instrument.min_qty:
        return Refused(
            RetCode.PARAMS,
            f"The number of contracts exceeds minimum limit allowed: {qty} is below {instrument.min_qty} ({instrument.id})",
        )
    if qty > instrument.max_qty:
        return Refused(
            RetCode.PARAMS,
            f"The number of contracts exceeds maximum limit allowed: {qty} is above {instrument.max_qty} ({instrument.id})",
        )
    return None


def _check_price(name: str, price: Decimal, instrument: Instrument) -> Refused | None:
    if price <= 0:
        return Refused(RetCode.PARAMS, f"{name} invalid: {price} is not positive")
    if price % instrument.tick:
        return Refused(
            RetCode.PARAMS, f"{name} invalid: {price} is not a multiple of tick {instrument.tick} ({instrument.id})"
        )
    return None


def check_shape(new: NewOrder, instrument: Instrument) -> Refused | None:
    """Grid, minimum and form of an order, without looking at the market."""
    refused = check_link_id(new.link_id) or _check_qty(new.qty, instrument)
    if refused is None and new.type is OrderType.LIMIT:
        refused = _check_price("Price", new.price, instrument)
    if refused is None and new.trigger_direction:
        refused = _check_price("triggerPrice", new.trigger_price, instrument)
    return refused


def check_context(
    new: NewOrder, instrument: Instrument, position: Position, trigger_now: Decimal, reference: Decimal
) -> Refused | None:
    """Notional, trigger direction, reduce-only and protection against the market; `reference` is the expected price."""
    if not new.reduce_only and new.qty * reference < instrument.min_notional:
        return Refused(
            RetCode.MIN_NOTIONAL,
            f"Order does not meet minimum order value {instrument.min_notional}{instrument.quote}: "
            f"{new.qty} x {reference} = {new.qty * reference}",
        )
    if new.trigger_direction == 1 and new.trigger_price <= trigger_now:
        return Refused(
            RetCode.EXPECT_RISING, f"expect Rising, but trigger_price[{new.trigger_price}] <= current[{trigger_now}]"
        )
    if new.trigger_direction == 2 and trigger_now and new.trigger_price >= trigger_now:
        return Refused(
            RetCode.EXPECT_FALLING, f"expect Falling, but trigger_price[{new.trigger_price}] >= current[{trigger_now}]"
        )
    if new.reduce_only and not new.trigger_direction:
        if position.size == 0:
            return Refused(RetCode.REDUCE_ONLY, "current position is zero, cannot fix reduce-only order qty")
        if position.size * new.side.sign > 0:
            return Refused(
                RetCode.REDUCE_ONLY,
                f"Reduce-only rule not satisfied: a {new.side} does not reduce a position of {position.size}",
            )
    if new.stop_loss or new.take_profit:
        base = new.trigger_price or reference
        return check_protection(new.side, new.stop_loss, new.take_profit, base, base, instrument)
    return None


def check_protection(
    side: Side, stop_loss: Decimal, take_profit: Decimal, sl_base: Decimal, tp_base: Decimal, instrument: Instrument
) -> Refused | None:
    """A stop must lie behind a position of `side`, a profit target before it; zero means none."""
    if stop_loss:
        refused = _check_price("StopLoss", stop_loss, instrument)
        if refused is not None:
            return refused
        if (stop_loss - sl_base) * side.sign >= 0:
            word = "lower" if side is Side.BUY else "greater"
            return Refused(
                RetCode.PARAMS, f"StopLoss:{stop_loss} set for {side} position should {word} than base_price:{sl_base}"
            )
    if take_profit:
        refused = _check_price("TakeProfit", take_profit, instrument)
        if refused is not None:
            return refused
        if (take_profit - tp_base) * side.sign <= 0:
            word = "higher" if side is Side.BUY else "lower"
            return Refused(
                RetCode.PARAMS,
                f"TakeProfit:{take_profit} set for {side} position should be {word} than base_price:{tp_base}",
            )
    return None


def check_amend(
    order: Order, instrument: Instrument, qty: Decimal, price: Decimal, trigger_price: Decimal
) -> Refused | None:
    """Whether an open order may become this one."""
    refused = _check_qty(qty, instrument)
    if refused is None and order.type is OrderType.LIMIT:
        refused = _check_price("Price", price, instrument)
    if refused is None and order.status is OrderStatus.UNTRIGGERED:
        refused = _check_price("triggerPrice", trigger_price, instrument)
    if refused is not None:
        return refused
    if qty <= order.cum_qty:
        return Refused(RetCode.PARAMS, f"Qty invalid: {qty} is not above the filled quantity {order.cum_qty}")
    if order.reduce_only and qty > order.qty:
        return Refused(RetCode.REDUCE_ONLY, f"Reduce-only rule not satisfied: {qty} is above {order.qty}")
    return None


def fee_rate(kind: ExecType, is_maker: bool, funding_rate: Decimal) -> Decimal:
    """Rate shown on an execution."""
    if kind is ExecType.FUNDING:
        return funding_rate
    return MAKER_FEE if is_maker else TAKER_FEE


def funding_fee(size: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """What a position of signed `size` pays at a funding time; negative when it receives."""
    fee = (size * mark * rate).quantize(MONEY_STEP)
    return fee if fee else ZERO
