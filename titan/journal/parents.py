"""A parent's journal row as JSON and back: the intent, its style, what it trades of each leg, and what became of it.

Guarantees: a row comes back equal to what was written, to the last decimal. Never: I/O.
"""

from __future__ import annotations

from decimal import Decimal

from titan.codes import AlgoEnd
from titan.ids import IntentId, SignalId
from titan.journal.fields import Payload, Scalar, flag, maybe, number, text, whole
from titan.journal.values import ParentLeg, ParentRow
from titan.model import Action, Execution, Intent, OrderType, Phase, Side, Style
from titan.money import text_of

WORK, STOP, END = "WORK", "STOP", "END"
LEAD, HEDGE = "leg", "hedge"


def parent_payload(row: ParentRow) -> dict[str, Scalar]:
    """The fields of a parent's row."""
    payload = _of_intent(row.intent)
    payload.update(_of_leg(LEAD, row.legs[0]))
    if len(row.legs) > 1:
        payload.update(_of_leg(HEDGE, row.legs[1]))
    payload.update(
        detail=row.detail,
        end="" if row.end is None else row.end.value,
        event=row.event,
        legs=len(row.legs),
        reduces=row.reduces,
        started_ms=row.started_ms,
        ts_ms=row.ts_ms,
        until_ms=row.until_ms,
    )
    return payload


def parent_of(payload: Payload) -> ParentRow:
    """The parent of a row. Raises ValueError or KeyError for a row that is none."""
    names = (LEAD, HEDGE)[: whole(payload, "legs")]
    end = text(payload, "end")
    return ParentRow(
        intent=_intent(payload),
        legs=tuple(_leg(payload, name) for name in names),
        reduces=flag(payload, "reduces"),
        started_ms=whole(payload, "started_ms"),
        until_ms=whole(payload, "until_ms"),
        event=text(payload, "event"),
        end=AlgoEnd(end) if end else None,
        detail=text(payload, "detail"),
        ts_ms=whole(payload, "ts_ms"),
    )


def _of_leg(name: str, leg: ParentLeg) -> dict[str, Scalar]:
    return {
        f"{name}_limit": text_of(leg.limit),
        f"{name}_quantity": text_of(leg.quantity),
        f"{name}_side": leg.side.value,
        f"{name}_stop_price": text_of(leg.stop_price),
        f"{name}_symbol": leg.symbol,
        f"{name}_target_price": text_of(leg.target_price),
        f"{name}_worst": text_of(leg.worst),
    }


def _leg(payload: Payload, name: str) -> ParentLeg:
    return ParentLeg(
        symbol=text(payload, f"{name}_symbol"),
        side=Side(text(payload, f"{name}_side")),
        quantity=number(payload, f"{name}_quantity"),
        worst=number(payload, f"{name}_worst"),
        limit=maybe(payload, f"{name}_limit"),
        stop_price=maybe(payload, f"{name}_stop_price"),
        target_price=maybe(payload, f"{name}_target_price"),
    )


def _of_intent(intent: Intent) -> dict[str, Scalar]:
    work = intent.execution
    assert work is not None
    return {
        "account": intent.account,
        "action": intent.action.value,
        "cross": work.cross,
        "decision_id": intent.decision_id,
        "display": text_of(work.display),
        "duration_ms": work.duration_ms,
        "hedge_ms": work.hedge_ms,
        "intent_id": intent.intent_id,
        "leverage": text_of(intent.leverage),
        "limit_price": text_of(intent.limit_price),
        "max_slippage_bps": intent.max_slippage_bps,
        "offset_ticks": work.offset_ticks,
        "order_type": intent.order_type.value,
        "phase": intent.phase.value,
        "policy_hash": intent.policy_hash,
        "quantity": text_of(intent.quantity),
        "reference_price": text_of(intent.reference_price),
        "reprice_ms": work.reprice_ms,
        "reprices": work.reprices,
        "side": intent.side.value,
        "signal_id": intent.signal_id,
        "size_usd": text_of(intent.size_usd),
        "slices": work.slices,
        "stop_price": text_of(intent.stop_price),
        "style": work.style.value,
        "symbol": intent.symbol,
        "t_decision_ms": intent.t_decision_ms,
        "t_signal_ms": intent.t_signal_ms,
        "t_wall_ns": intent.t_wall_ns,
        "target_price": text_of(intent.target_price),
        "trap_type": intent.trap_type,
        "ttl_ms": intent.ttl_ms,
        "venue": intent.venue,
        "wanted_hedge_reference": text_of(work.hedge_reference_price),
        "wanted_hedge_stop": text_of(work.hedge_stop_price),
        "wanted_hedge_symbol": work.hedge_symbol,
    }


def _intent(payload: Payload) -> Intent:
    quantity: Decimal | None = maybe(payload, "quantity")
    return Intent(
        intent_id=IntentId(text(payload, "intent_id")),
        signal_id=SignalId(text(payload, "signal_id")),
        phase=Phase(text(payload, "phase")),
        action=Action(text(payload, "action")),
        venue=text(payload, "venue"),
        account=text(payload, "account"),
        symbol=text(payload, "symbol"),
        side=Side(text(payload, "side")),
        size_usd=number(payload, "size_usd"),
        quantity=quantity,
        order_type=OrderType(text(payload, "order_type")),
        limit_price=maybe(payload, "limit_price"),
        reference_price=maybe(payload, "reference_price"),
        stop_price=maybe(payload, "stop_price"),
        target_price=maybe(payload, "target_price"),
        max_slippage_bps=whole(payload, "max_slippage_bps"),
        leverage=number(payload, "leverage"),
        policy_hash=text(payload, "policy_hash"),
        t_signal_ms=whole(payload, "t_signal_ms"),
        t_decision_ms=whole(payload, "t_decision_ms"),
        ttl_ms=whole(payload, "ttl_ms"),
        trap_type=text(payload, "trap_type"),
        decision_id=text(payload, "decision_id"),
        t_wall_ns=whole(payload, "t_wall_ns"),
        execution=Execution(
            style=Style(text(payload, "style")),
            duration_ms=whole(payload, "duration_ms"),
            reprice_ms=whole(payload, "reprice_ms"),
            reprices=whole(payload, "reprices"),
            cross=flag(payload, "cross"),
            offset_ticks=whole(payload, "offset_ticks"),
            slices=whole(payload, "slices"),
            display=maybe(payload, "display"),
            hedge_symbol=text(payload, "wanted_hedge_symbol"),
            hedge_reference_price=maybe(payload, "wanted_hedge_reference"),
            hedge_stop_price=maybe(payload, "wanted_hedge_stop"),
            hedge_ms=whole(payload, "hedge_ms"),
        ),
    )
