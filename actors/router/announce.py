"""Journal rows as messages for the bus.

Guarantees: a row gives the same messages with the same envelope ids whenever it is announced, so a row announced again
after a crash is recognised. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.router import rows
from protos import trading_pb2 as pb
from titan import subjects
from titan.codec import TRADING_STATE_TO_PB, fill_to_pb, order_to_pb
from titan.codes import TradingState
from titan.effects import Publish
from titan.ids import deterministic_ulid
from titan.journal.rows import StoredRow
from titan.model import Order, OrderRole, OrderState


def messages_of(row: StoredRow) -> tuple[Publish, ...]:
    """What the world hears of a row; nothing for rows that are the router's own affair."""
    payload = rows.decode(row.payload)
    if row.kind == rows.ORDER:
        return _of_order(row, rows.order_of(payload))
    if row.kind == rows.FILL:
        fill = rows.fill_of(payload, row.seq, row.term)
        subject = subjects.fill(fill.venue, fill.account, fill.symbol)
        return (_publish(row, subject, fill_to_pb(fill), fill.signal_id, fill.fill_id),)
    if row.kind == rows.REJECT:
        return (_publish(row, subjects.REJECT, _reject(payload), str(payload["signal_id"])),)
    if row.kind == rows.TRADING:
        changed = pb.TradingStateChanged(
            previous=TRADING_STATE_TO_PB[TradingState(str(payload["previous"]))],
            current=TRADING_STATE_TO_PB[TradingState(str(payload["current"]))],
            reason=str(payload["reason"]),
            operator_id=str(payload["operator_id"]),
            ts_ms=int(payload["ts_ms"]),
            journal_seq=row.seq,
            term=row.term,
        )
        return (_publish(row, subjects.TRADING_STATE, changed),)
    return ()


def _of_order(row: StoredRow, order: Order) -> tuple[Publish, ...]:
    event = order_to_pb(order, journal_seq=row.seq, term=row.term, ts_ms=row.ts_ms)
    told = _publish(row, subjects.ORDER_EVENT, event, order.signal_id)
    refused = order.state is OrderState.REJECTED and order.role in (OrderRole.ENTRY, OrderRole.CLOSE)
    if not refused:
        return (told,)
    reject = pb.Reject(
        intent_id=order.intent_id,
        signal_id=order.signal_id,
        code=order.code.value,
        detail=order.detail,
        ts_ms=row.ts_ms,
        symbol=order.symbol,
    )
    return (told, _publish(row, subjects.REJECT, reject, order.signal_id))


def _reject(payload: Mapping[str, rows.Scalar]) -> pb.Reject:
    return pb.Reject(
        intent_id=str(payload["intent_id"]),
        signal_id=str(payload["signal_id"]),
        code=str(payload["code"]),
        detail=str(payload["detail"]),
        expected_policy_hash=str(payload["expected_policy_hash"]),
        got_policy_hash=str(payload["got_policy_hash"]),
        ts_ms=int(payload["ts_ms"]),
        symbol=str(payload["symbol"]),
    )


def _publish(
    row: StoredRow,
    subject: str,
    message: pb.OrderEvent | pb.Fill | pb.Reject | pb.TradingStateChanged,
    correlation_id: str = "",
    idempotency_key: str = "",
) -> Publish:
    envelope_id = deterministic_ulid(row.ts_ms, "router", str(row.term), str(row.seq), subject)
    return Publish(
        subject=subject,
        message=message,
        correlation_id=correlation_id,
        idempotency_key=idempotency_key or envelope_id,
        durable=True,
        envelope_id=envelope_id,
    )
