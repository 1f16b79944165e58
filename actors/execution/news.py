"""What the books are told, and the batch of rows that it makes.

Guarantees: a batch names each row once, and each order by its newest event; the same news in any order make the same
rows. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from protos import brain_pb2, system_pb2, trading_pb2
from titan.codec import (
    ACTION_FROM_PB,
    PHASE_FROM_PB,
    SIDE_FROM_PB,
    TRADING_STATE_FROM_PB,
    fill_from_pb,
    order_from_pb,
)
from titan.model import Fill, Order
from titan.money import dec


@dataclass(frozen=True, slots=True)
class OrderNews:
    """One transition of one order, as journalled."""

    order: Order
    term: int
    seq: int
    ts_ms: int

    @property
    def key(self) -> tuple[str, str, str]:
        """Venue, account and client order id."""
        return (self.order.venue, self.order.account, self.order.client_order_id)


@dataclass(frozen=True, slots=True)
class FundingNews:
    """A funding payment of a position; `paid` above zero left the wallet."""

    payment_id: str
    venue: str
    account: str
    symbol: str
    paid: Decimal
    ts_ms: int


@dataclass(frozen=True, slots=True)
class WalletNews:
    """Money that came or went by itself: the first reading of the wallet, a transfer, a correction by the venue."""

    venue: str
    account: str
    currency: str
    change: Decimal
    reason: str
    term: int
    seq: int
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """A position that the router took over from the venue: what it is now, and what the journal had made of it."""

    venue: str
    account: str
    symbol: str
    quantity: Decimal
    average_price: Decimal
    previous_quantity: Decimal
    reason: str
    term: int
    seq: int
    ts_ms: int


@dataclass(frozen=True, slots=True)
class DecisionNews:
    """The brain's answer to a signal."""

    decision_id: str
    signal_id: str
    phase: str
    symbol: str
    side: str
    action: str
    approved: bool
    code: str
    reason: str
    requested_size_usd: Decimal
    authorized_size_usd: Decimal
    weight_scavenger: float
    weight_hunter: float
    weight_sentinel: float
    current_leverage: float
    projected_leverage: float
    trap_type: str
    policy_hash: str
    decision_ms: float
    ts_ms: int


@dataclass(frozen=True, slots=True)
class RejectNews:
    """An intent that the router refused."""

    reject_id: str
    intent_id: str
    signal_id: str
    symbol: str
    code: str
    detail: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class AlertNews:
    """Something a person should know."""

    event_id: str
    code: str
    severity: str
    source: str
    message: str
    labels: Mapping[str, str]
    ts_ms: int


@dataclass(frozen=True, slots=True)
class AuditNews:
    """An act that must be accounted for: a change of the trading state, an operator's command, a restart."""

    event_id: str
    kind: str
    actor: str
    summary: str
    detail: Mapping[str, str]
    ts_ms: int


News = OrderNews | Fill | FundingNews | WalletNews | Adoption | DecisionNews | RejectNews | AlertNews | AuditNews


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for one transaction. `cursor` is the journal row up to which everything is in the books, when known."""

    orders: tuple[OrderNews, ...] = ()
    order_events: tuple[OrderNews, ...] = ()
    fills: tuple[Fill, ...] = ()
    funding: tuple[FundingNews, ...] = ()
    wallets: tuple[WalletNews, ...] = ()
    adoptions: tuple[Adoption, ...] = ()
    decisions: tuple[DecisionNews, ...] = ()
    rejects: tuple[RejectNews, ...] = ()
    alerts: tuple[AlertNews, ...] = ()
    audits: tuple[AuditNews, ...] = ()
    cursor: int = 0
    first_seen_ms: Mapping[tuple[str, str, str], int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        parts: tuple[tuple[object, ...], ...] = (
            self.order_events,
            self.fills,
            self.funding,
            self.wallets,
            self.adoptions,
            self.decisions,
            self.rejects,
            self.alerts,
            self.audits,
        )
        return sum(map(len, parts))


def plan(news: Iterable[News], cursor: int = 0) -> Batch:
    """The rows that news make: duplicates fall together, and each order keeps its newest event by (term, seq)."""
    newest: dict[tuple[str, str, str], OrderNews] = {}
    first_seen: dict[tuple[str, str, str], int] = {}
    events: dict[tuple[int, int, str], OrderNews] = {}
    fills: dict[str, Fill] = {}
    funding: dict[str, FundingNews] = {}
    wallets: dict[tuple[int, int], WalletNews] = {}
    adoptions: dict[tuple[int, int], Adoption] = {}
    decisions: dict[str, DecisionNews] = {}
    rejects: dict[str, RejectNews] = {}
    alerts: dict[str, AlertNews] = {}
    audits: dict[str, AuditNews] = {}
    for item in news:
        match item:
            case OrderNews():
                events.setdefault((item.term, item.seq, item.order.client_order_id), item)
                held = newest.get(item.key)
                if held is None or (item.term, item.seq) > (held.term, held.seq):
                    newest[item.key] = item
                first_seen[item.key] = min(first_seen.get(item.key, item.ts_ms), item.ts_ms)
            case Fill():
                fills.setdefault(item.fill_id, item)
            case FundingNews():
                funding.setdefault(item.payment_id, item)
            case WalletNews():
                wallets.setdefault((item.term, item.seq), item)
            case Adoption():
                adoptions.setdefault((item.term, item.seq), item)
            case DecisionNews():
                decisions.setdefault(item.decision_id, item)
            case RejectNews():
                rejects.setdefault(item.reject_id, item)
            case AlertNews():
                alerts.setdefault(item.event_id, item)
            case AuditNews():
                audits.setdefault(item.event_id, item)
    return Batch(
        orders=tuple(newest[key] for key in sorted(newest)),
        order_events=tuple(events[key] for key in sorted(events)),
        fills=tuple(sorted(fills.values(), key=lambda fill: (fill.journal_seq, fill.fill_id))),
        funding=tuple(funding.values()),
        wallets=tuple(wallets.values()),
        adoptions=tuple(adoptions[key] for key in sorted(adoptions)),
        decisions=tuple(decisions.values()),
        rejects=tuple(rejects.values()),
        alerts=tuple(alerts.values()),
        audits=tuple(audits.values()),
        cursor=cursor,
        first_seen_ms=first_seen,
    )


def order_news(message: trading_pb2.OrderEvent) -> OrderNews:
    """An order event from the bus or the journal. Raises ValueError."""
    return OrderNews(order_from_pb(message), message.term, message.journal_seq, message.ts_ms)


def fill_news(message: trading_pb2.Fill) -> Fill:
    """A fill from the bus or the journal. Raises ValueError."""
    return fill_from_pb(message)


def decision_news(message: brain_pb2.Decision) -> DecisionNews:
    """A decision from the bus. Raises ValueError."""
    if not message.decision_id:
        raise ValueError("decision_id is empty")
    phase, side, action = (
        PHASE_FROM_PB.get(message.phase),
        SIDE_FROM_PB.get(message.side),
        ACTION_FROM_PB.get(message.action),
    )
    return DecisionNews(
        decision_id=message.decision_id,
        signal_id=message.signal_id,
        phase=phase.value if phase else "",
        symbol=message.symbol,
        side=side.value if side else "",
        action=action.value if action else "",
        approved=message.approved,
        code=message.code,
        reason=message.reason,
        requested_size_usd=dec(message.requested_size_usd),
        authorized_size_usd=dec(message.authorized_size_usd),
        weight_scavenger=message.weight_scavenger,
        weight_hunter=message.weight_hunter,
        weight_sentinel=message.weight_sentinel,
        current_leverage=message.current_leverage,
        projected_leverage=message.projected_leverage,
        trap_type=message.trap_type,
        policy_hash=message.policy_hash,
        decision_ms=message.decision_ms,
        ts_ms=message.ts_ms,
    )


def reject_news(message: trading_pb2.Reject, event_id: str) -> RejectNews:
    """A refusal from the bus."""
    return RejectNews(
        reject_id=event_id,
        intent_id=message.intent_id,
        signal_id=message.signal_id,
        symbol=message.symbol,
        code=message.code,
        detail=message.detail,
        ts_ms=message.ts_ms,
    )


def alert_news(message: system_pb2.Alert, event_id: str) -> AlertNews:
    """An alert from the bus."""
    return AlertNews(
        event_id=event_id,
        code=message.code,
        severity=message.severity,
        source=message.source,
        message=message.message,
        labels=dict(message.labels),
        ts_ms=message.ts_ms,
    )


def trading_state_news(message: trading_pb2.TradingStateChanged, event_id: str) -> AuditNews:
    """A change of the trading state from the bus. Raises ValueError."""
    current = TRADING_STATE_FROM_PB.get(message.current)
    if current is None:
        raise ValueError(f"current trading state is missing or unknown: {message.current}")
    previous = TRADING_STATE_FROM_PB.get(message.previous)
    before = previous.value if previous else "UNKNOWN"
    return AuditNews(
        event_id=event_id,
        kind="TRADING_STATE",
        actor=message.operator_id or "router",
        summary=f"{before} -> {current.value}: {message.reason}",
        detail={
            "previous": before,
            "current": current.value,
            "reason": message.reason,
            "operator_id": message.operator_id,
            "journal_seq": str(message.journal_seq),
        },
        ts_ms=message.ts_ms,
    )


def restart_news(message: system_pb2.ActorRestarted, event_id: str) -> AuditNews:
    """A restart from the supervisor."""
    return AuditNews(
        event_id=event_id,
        kind="ACTOR_RESTARTED",
        actor=message.name,
        summary=f"{message.name} is back after {message.recovery_s:.3f} s: {message.reason}",
        detail={
            "reason": message.reason,
            "recovery_s": f"{message.recovery_s:.6f}",
            "intensity_left": str(message.intensity_left),
            "graceful": str(message.graceful).lower(),
            "kind": message.kind,
        },
        ts_ms=message.ts_ms,
    )


def operator_news(message: trading_pb2.OperatorActed, event_id: str) -> AuditNews:
    """An operator's command and what it did."""
    receipt = message.receipt
    outcome = "done" if receipt.accepted else f"refused {receipt.code}"
    return AuditNews(
        event_id=event_id,
        kind="OPERATOR_COMMAND",
        actor=message.operator_id,
        summary=f"{message.verb} ({message.reason}): {outcome}",
        detail={
            "verb": message.verb,
            "reason": message.reason,
            "command_id": receipt.command_id,
            "accepted": str(receipt.accepted).lower(),
            "code": receipt.code,
            "detail": receipt.detail,
            "effects": "; ".join(receipt.effects),
        },
        ts_ms=message.ts_ms,
    )
