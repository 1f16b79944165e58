"""Journal rows: their kinds, their canonical JSON, and the values they stand for.

Kinds: `start` (a router took a term), `order` (one order after one event; the first carries the intent that approved
it), `fill`, `funding`, `reject` (an intent that became no order), `trading` (trading state), `wallet` (cash as the venue
told it), `position` (a position adopted from the venue), `day` (start of day and high watermark).
Guarantees: numbers are decimal strings; keys are sorted; what is encoded decodes to an equal value. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

import orjson

from titan.codes import RejectCode
from titan.ids import ClientOrderId
from titan.model import Fill, Intent, Order, OrderRole, OrderState, OrderType, Phase, Position, Side
from titan.money import dec, dec_or_none, text_of

Scalar: TypeAlias = str | int | bool
Payload: TypeAlias = Mapping[str, Scalar]

START = "start"
ORDER = "order"
FILL = "fill"
FUNDING = "funding"
REJECT = "reject"
TRADING = "trading"
WALLET = "wallet"
POSITION = "position"
DAY = "day"


def encode(payload: Payload) -> bytes:
    """Canonical JSON: sorted keys, no blanks, UTF-8."""
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def decode(payload: bytes) -> dict[str, Scalar]:
    """The fields of a row."""
    loaded: dict[str, Scalar] = orjson.loads(payload)
    return loaded


def order_payload(order: Order, event: str, ts_ms: int) -> dict[str, Scalar]:
    """An order after `event`."""
    return {
        "account": order.account,
        "average_price": text_of(order.average_price),
        "child": order.child,
        "client_order_id": order.client_order_id,
        "code": order.code.value,
        "created_ms": order.created_ms,
        "detail": order.detail,
        "event": event,
        "filled": text_of(order.filled),
        "intent_id": order.intent_id,
        "order_type": order.order_type.value,
        "phase": "" if order.phase is None else order.phase.value,
        "price": text_of(order.price),
        "quantity": text_of(order.quantity),
        "reduce_only": order.reduce_only,
        "role": order.role.value,
        "side": order.side.value,
        "signal_id": order.signal_id,
        "state": order.state.value,
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


def order_of(payload: Payload) -> Order:
    """The order of an `order` row. Raises ValueError or KeyError for a row that is none."""
    phase = str(payload["phase"])
    return Order(
        client_order_id=ClientOrderId(str(payload["client_order_id"])),
        intent_id=str(payload["intent_id"]),
        signal_id=str(payload["signal_id"]),
        child=int(payload["child"]),
        role=OrderRole(str(payload["role"])),
        phase=Phase(phase) if phase else None,
        venue=str(payload["venue"]),
        account=str(payload["account"]),
        symbol=str(payload["symbol"]),
        side=Side(str(payload["side"])),
        order_type=OrderType(str(payload["order_type"])),
        quantity=_dec(payload["quantity"]),
        price=_maybe(payload["price"]),
        trigger_price=_maybe(payload["trigger_price"]),
        stop_price=_maybe(payload["stop_price"]),
        target_price=_maybe(payload["target_price"]),
        reduce_only=bool(payload["reduce_only"]),
        state=OrderState(str(payload["state"])),
        venue_order_id=str(payload["venue_order_id"]),
        filled=_dec(payload["filled"]),
        average_price=_dec(payload["average_price"]),
        code=RejectCode(str(payload["code"])),
        detail=str(payload["detail"]),
        created_ms=int(payload["created_ms"]),
        updated_ms=int(payload["updated_ms"]),
        venue_ts_ms=int(payload["venue_ts_ms"]),
    )


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


def fill_of(payload: Payload, seq: int = 0, term: int = 0) -> Fill:
    """The fill of a `fill` row."""
    phase = str(payload["phase"])
    return Fill(
        fill_id=str(payload["fill_id"]),
        venue_trade_id=str(payload["venue_trade_id"]),
        client_order_id=ClientOrderId(str(payload["client_order_id"])),
        venue_order_id=str(payload["venue_order_id"]),
        venue=str(payload["venue"]),
        account=str(payload["account"]),
        symbol=str(payload["symbol"]),
        side=Side(str(payload["side"])),
        price=_dec(payload["price"]),
        quantity=_dec(payload["quantity"]),
        fee=_dec(payload["fee"]),
        fee_currency=str(payload["fee_currency"]),
        maker=bool(payload["maker"]),
        t_exchange_ms=int(payload["t_exchange_ms"]),
        intent_id=str(payload["intent_id"]),
        signal_id=str(payload["signal_id"]),
        phase=Phase(phase) if phase else None,
        role=OrderRole(str(payload["role"])),
        t_ingress_ms=int(payload["t_ingress_ms"]),
        journal_seq=seq,
        term=term,
        realized_pnl=_dec(payload["realized_pnl"]),
    )


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


def _dec(value: Scalar) -> Decimal:
    return dec(str(value))


def _maybe(value: Scalar) -> Decimal | None:
    return dec_or_none(str(value))
