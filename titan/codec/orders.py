"""Orders, fills and positions: what happened."""

from __future__ import annotations

from typing import TypedDict

from protos import trading_pb2 as pb
from titan.codec.tables import (
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
    member,
    positive,
    required,
)
from titan.codes import RejectCode
from titan.ids import ClientOrderId
from titan.model import Fill, Order, Position, Terms
from titan.money import dec, dec_or_none, text_of


def order_to_pb(order: Order, *, journal_seq: int = 0, term: int = 0, ts_ms: int = 0) -> pb.OrderEvent:
    """An order's present state as an event message."""
    return pb.OrderEvent(
        journal_seq=journal_seq,
        term=term,
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        intent_id=order.intent_id,
        signal_id=order.signal_id,
        child=order.child,
        role=ROLE_TO_PB[order.role],
        venue=order.venue,
        account=order.account,
        symbol=order.symbol,
        side=SIDE_TO_PB[order.side],
        order_type=ORDER_TYPE_TO_PB[order.order_type],
        quantity=text_of(order.quantity),
        price=text_of(order.price),
        trigger_price=text_of(order.trigger_price),
        reduce_only=order.reduce_only,
        state=ORDER_STATE_TO_PB[order.state],
        filled_quantity=text_of(order.filled),
        average_price=text_of(order.average_price),
        code=order.code.value,
        detail=order.detail,
        ts_ms=ts_ms or order.updated_ms,
        phase=pb.PHASE_UNSPECIFIED if order.phase is None else PHASE_TO_PB[order.phase],
        venue_ts_ms=order.venue_ts_ms,
        **_terms_fields(order.terms or NO_TERMS),
    )


NO_TERMS = Terms()


class _TermsFields(TypedDict):
    replaces: str
    leg: int
    expires_ms: int
    trail: str


def _terms_fields(terms: Terms) -> _TermsFields:
    return _TermsFields(replaces=terms.replaces, leg=terms.leg, expires_ms=terms.expires_ms, trail=text_of(terms.trail))


def _terms_of(message: pb.OrderEvent) -> Terms | None:
    trail = dec_or_none(message.trail)
    if not (message.replaces or message.leg or message.expires_ms or trail):
        return None
    return Terms(trail=trail, expires_ms=message.expires_ms, leg=message.leg, replaces=message.replaces)


def order_from_pb(message: pb.OrderEvent) -> Order:
    """The order an event describes. Raises ValueError."""
    return Order(
        client_order_id=ClientOrderId(required(message.client_order_id, "client_order_id")),
        intent_id=message.intent_id,
        signal_id=message.signal_id,
        child=message.child,
        role=member(ROLE_FROM_PB, message.role, "role"),
        phase=PHASE_FROM_PB.get(message.phase),
        venue=required(message.venue, "venue"),
        account=message.account,
        symbol=required(message.symbol, "symbol"),
        side=member(SIDE_FROM_PB, message.side, "side"),
        order_type=member(ORDER_TYPE_FROM_PB, message.order_type, "order_type"),
        quantity=dec(message.quantity),
        price=dec_or_none(message.price),
        trigger_price=dec_or_none(message.trigger_price),
        stop_price=None,
        target_price=None,
        reduce_only=message.reduce_only,
        state=member(ORDER_STATE_FROM_PB, message.state, "state"),
        venue_order_id=message.venue_order_id,
        filled=dec(message.filled_quantity),
        average_price=dec(message.average_price),
        code=RejectCode(message.code),
        detail=message.detail,
        updated_ms=message.ts_ms,
        venue_ts_ms=message.venue_ts_ms,
        terms=_terms_of(message),
    )


def fill_to_pb(fill: Fill) -> pb.Fill:
    """A fill as a message."""
    return pb.Fill(
        fill_id=fill.fill_id,
        venue_trade_id=fill.venue_trade_id,
        client_order_id=fill.client_order_id,
        venue_order_id=fill.venue_order_id,
        intent_id=fill.intent_id,
        signal_id=fill.signal_id,
        phase=pb.PHASE_UNSPECIFIED if fill.phase is None else PHASE_TO_PB[fill.phase],
        role=ROLE_TO_PB[fill.role],
        venue=fill.venue,
        account=fill.account,
        symbol=fill.symbol,
        side=SIDE_TO_PB[fill.side],
        price=text_of(fill.price),
        quantity=text_of(fill.quantity),
        fee=text_of(fill.fee),
        fee_currency=fill.fee_currency,
        maker=fill.maker,
        t_exchange_ms=fill.t_exchange_ms,
        t_ingress_ms=fill.t_ingress_ms,
        journal_seq=fill.journal_seq,
        term=fill.term,
        realized_pnl=text_of(fill.realized_pnl),
    )


def fill_from_pb(message: pb.Fill) -> Fill:
    """The value of a fill message. Raises ValueError."""
    return Fill(
        fill_id=required(message.fill_id, "fill_id"),
        venue_trade_id=required(message.venue_trade_id, "venue_trade_id"),
        client_order_id=ClientOrderId(message.client_order_id),
        venue_order_id=message.venue_order_id,
        venue=required(message.venue, "venue"),
        account=message.account,
        symbol=required(message.symbol, "symbol"),
        side=member(SIDE_FROM_PB, message.side, "side"),
        price=positive(message.price, "price"),
        quantity=positive(message.quantity, "quantity"),
        fee=dec(message.fee),
        fee_currency=message.fee_currency,
        maker=message.maker,
        t_exchange_ms=message.t_exchange_ms,
        intent_id=message.intent_id,
        signal_id=message.signal_id,
        phase=PHASE_FROM_PB.get(message.phase),
        role=member(ROLE_FROM_PB, message.role, "role"),
        t_ingress_ms=message.t_ingress_ms,
        journal_seq=message.journal_seq,
        term=message.term,
        realized_pnl=dec(message.realized_pnl),
    )


def position_to_pb(position: Position) -> pb.Position:
    """A position as a message."""
    return pb.Position(
        venue=position.venue,
        account=position.account,
        symbol=position.symbol,
        quantity=text_of(position.quantity),
        average_price=text_of(position.average_price),
        mark_price=text_of(position.mark_price),
        unrealized_pnl=text_of(position.unrealized_pnl),
        realized_pnl=text_of(position.realized_pnl),
        fees=text_of(position.fees),
        funding=text_of(position.funding),
        stop_price=text_of(position.stop_price),
        target_price=text_of(position.target_price),
        updated_ms=position.updated_ms,
    )


def position_from_pb(message: pb.Position) -> Position:
    """The value of a position message. Raises ValueError."""
    return Position(
        venue=required(message.venue, "venue"),
        account=message.account,
        symbol=required(message.symbol, "symbol"),
        quantity=dec(message.quantity),
        average_price=dec(message.average_price),
        realized_pnl=dec(message.realized_pnl),
        fees=dec(message.fees),
        funding=dec(message.funding),
        mark_price=dec_or_none(message.mark_price),
        stop_price=dec_or_none(message.stop_price),
        target_price=dec_or_none(message.target_price),
        updated_ms=message.updated_ms,
    )
