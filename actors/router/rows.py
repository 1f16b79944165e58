"""What the router writes into its journal: the payloads of its rows, in the format of `titan.journal.format`.

Guarantees: numbers are decimal strings; keys are sorted; what is encoded here decodes there to an equal value.
Never: I/O.
"""

from __future__ import annotations

import orjson

from titan.codes import RejectCode
from titan.journal.fields import Payload, Scalar
from titan.journal.format import (
    DAY,
    FILL,
    FUNDING,
    ORDER,
    PARENT,
    POSITION,
    REJECT,
    START,
    TRADING,
    WALLET,
    decode,
    fill_of,
    order_of,
    targets_text,
)
from titan.journal.parents import parent_payload
from titan.model import Fill, Intent, Order, Position, Terms
from titan.money import text_of

__all__ = [
    "DAY",
    "FILL",
    "FUNDING",
    "ORDER",
    "PARENT",
    "POSITION",
    "REJECT",
    "START",
    "TRADING",
    "WALLET",
    "Payload",
    "Scalar",
    "approval_fields",
    "decode",
    "encode",
    "fill_of",
    "fill_payload",
    "order_of",
    "order_payload",
    "parent_payload",
    "position_payload",
    "reject_payload",
]


def encode(payload: Payload) -> bytes:
    """Canonical JSON: sorted keys, no blanks, UTF-8."""
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def order_payload(order: Order, event: str, ts_ms: int) -> dict[str, Scalar]:
    """An order after `event`. (`_value_` is `value` without the descriptor, which costs 0.2 us a time in Python 3.11.)"""
    payload: dict[str, Scalar] = {
        "account": order.account,
        "average_price": text_of(order.average_price),
        "child": order.child,
        "client_order_id": order.client_order_id,
        "code": order.code._value_,
        "created_ms": order.created_ms,
        "detail": order.detail,
        "event": event,
        "filled": text_of(order.filled),
        "intent_id": order.intent_id,
        "order_type": order.order_type._value_,
        "phase": "" if order.phase is None else order.phase._value_,
        "price": text_of(order.price),
        "quantity": text_of(order.quantity),
        "reduce_only": order.reduce_only,
        "role": order.role._value_,
        "side": order.side._value_,
        "signal_id": order.signal_id,
        "state": order.state._value_,
        "stop_price": text_of(order.stop_price),
        "symbol": order.symbol,
        "target_price": text_of(order.target_price),
        "trigger_price": text_of(order.trigger_price),
        "ts_ms": ts_ms,
        "updated_ms": order.updated_ms,
        "venue": order.venue,
        "venue_order_id": order.venue_order_id,
        "venue_ts_ms": order.venue_ts_ms,
    }
    if order.terms is not None:
        payload.update(_terms_fields(order.terms))
    return payload


def _terms_fields(terms: Terms) -> dict[str, Scalar]:
    return {
        "expires_ms": terms.expires_ms,
        "leg": terms.leg,
        "replaces": terms.replaces,
        "targets": targets_text(terms.targets),
        "trail": text_of(terms.trail),
    }


def approval_fields(intent: Intent) -> dict[str, Scalar]:
    """What the first row of an order keeps of the intent that approved it."""
    return {
        "approved_decision_id": intent.decision_id,
        "approved_leverage": text_of(intent.leverage),
        "approved_policy_hash": intent.policy_hash,
        "approved_reference_price": text_of(intent.reference_price),
        "approved_size_usd": text_of(intent.size_usd),
        "approved_t_decision_ms": intent.t_decision_ms,
        "approved_t_signal_ms": intent.t_signal_ms,
        "approved_trap_type": intent.trap_type,
    }


def reject_payload(intent: Intent, code: RejectCode, detail: str, policy_hash: str, ts_ms: int) -> dict[str, Scalar]:
    """An intent that became no order; `policy_hash` is the router's own."""
    return {
        "code": code.value,
        "detail": detail,
        "expected_policy_hash": policy_hash,
        "got_policy_hash": intent.policy_hash,
        "intent_id": intent.intent_id,
        "phase": intent.phase.value,
        "side": intent.side.value,
        "signal_id": intent.signal_id,
        "symbol": intent.symbol,
        "ts_ms": ts_ms,
    }


def fill_payload(fill: Fill, ts_ms: int) -> dict[str, Scalar]:
    """A fill as it was booked."""
    return {
        "account": fill.account,
        "client_order_id": fill.client_order_id,
        "fee": text_of(fill.fee),
        "fee_currency": fill.fee_currency,
        "fill_id": fill.fill_id,
        "intent_id": fill.intent_id,
        "maker": fill.maker,
        "phase": "" if fill.phase is None else fill.phase.value,
        "price": text_of(fill.price),
        "quantity": text_of(fill.quantity),
        "realized_pnl": text_of(fill.realized_pnl),
        "role": fill.role.value,
        "side": fill.side.value,
        "signal_id": fill.signal_id,
        "symbol": fill.symbol,
        "t_exchange_ms": fill.t_exchange_ms,
        "t_ingress_ms": fill.t_ingress_ms,
        "ts_ms": ts_ms,
        "venue": fill.venue,
        "venue_order_id": fill.venue_order_id,
        "venue_trade_id": fill.venue_trade_id,
    }


def position_payload(position: Position, previous: Position, reason: str, ts_ms: int) -> dict[str, Scalar]:
    """A position adopted from the venue's truth, and what it replaced."""
    return {
        "account": position.account,
        "average_price": text_of(position.average_price),
        "previous_average_price": text_of(previous.average_price),
        "previous_quantity": text_of(previous.quantity),
        "quantity": text_of(position.quantity),
        "reason": reason,
        "symbol": position.symbol,
        "ts_ms": ts_ms,
        "venue": position.venue,
    }
