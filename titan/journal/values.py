"""What each kind of journal row says, as typed values.

Guarantees: immutable values; prices, quantities and money are Decimal; times are milliseconds, `ts_ms` is wall time.
Never: bytes, I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from titan.codes import AlgoEnd, TradingState
from titan.model import Fill, Intent, Order, Position, Side


@dataclass(frozen=True, slots=True)
class StartRow:
    """A router took its term."""

    venue: str
    account: str
    policy_hash: str
    pid: int
    started_ms: int
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Approval:
    """What the first row of an order keeps of the intent that approved it."""

    decision_id: str
    policy_hash: str
    size_usd: Decimal
    leverage: Decimal
    reference_price: Decimal | None
    t_decision_ms: int
    t_signal_ms: int
    trap_type: str


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order after `event`."""

    order: Order
    event: str
    ts_ms: int
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class ParentLeg:
    """What a parent trades of one symbol: how much, and at which price at worst. `limit` is where it rests, if anywhere."""

    symbol: str
    side: Side
    quantity: Decimal
    worst: Decimal
    limit: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None


@dataclass(frozen=True, slots=True)
class ParentRow:
    """An intent that is worked by several orders, after `event`: WORK (accepted), STOP (begins nothing any more), END.

    `reduces` says that it only takes off a position. Its time is market time; `end` and `detail` say why it stopped or ended.
    """

    intent: Intent
    legs: tuple[ParentLeg, ...]
    reduces: bool
    started_ms: int
    until_ms: int
    event: str
    end: AlgoEnd | None
    detail: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class FillRow:
    """A fill as it was booked."""

    fill: Fill
    ts_ms: int


@dataclass(frozen=True, slots=True)
class FundingRow:
    """A funding payment; `paid` above zero left the wallet. `fill_id` names it as a fill's id names a fill."""

    fill_id: str
    venue_trade_id: str
    venue: str
    account: str
    symbol: str
    paid: Decimal
    price: Decimal
    quantity: Decimal
    t_exchange_ms: int
    ts_ms: int


@dataclass(frozen=True, slots=True)
class RejectRow:
    """An intent that became no order."""

    intent_id: str
    signal_id: str
    symbol: str
    phase: str
    side: str
    code: str
    detail: str
    expected_policy_hash: str
    got_policy_hash: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class TradingRow:
    """A change of the trading state."""

    current: TradingState
    previous: TradingState
    resume_to: TradingState
    reason: str
    operator_id: str
    run_started_ms: int
    ts_ms: int


@dataclass(frozen=True, slots=True)
class WalletRow:
    """Cash as the venue told it; `previous` is what the rows before had made, None for the first reading."""

    currency: str
    wallet: Decimal
    previous: Decimal | None
    reason: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class PositionRow:
    """A position adopted from the venue's truth, and what it replaced."""

    venue: str
    account: str
    symbol: str
    quantity: Decimal
    average_price: Decimal
    previous_quantity: Decimal
    previous_average_price: Decimal
    reason: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class DayRow:
    """The marks of the market day."""

    day: str
    start_of_day: Decimal
    high_watermark: Decimal
    ts_ms: int


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """What all rows up to and with this one made: the first row of a compacted journal.

    It keeps the orders that may still trade and each symbol's last entry, but no ids of fills and intents: those are
    forgotten with their rows. `traded` is price x quantity of a kept order's fills; `cash` is None before the wallet was
    read.
    """

    venue: str
    account: str
    currency: str
    cash: Decimal | None
    day: str
    start_of_day: Decimal
    high_watermark: Decimal
    trading: TradingState
    trading_reason: str
    trading_by: str
    resume_to: TradingState
    run_started_ms: int
    cursor_ms: int
    finished: int
    filled: int
    positions: tuple[Position, ...] = ()
    orders: tuple[Order, ...] = ()
    traded: Mapping[str, Decimal] = field(default_factory=dict)
    last_entry: Mapping[str, str] = field(default_factory=dict)
    parents: tuple[ParentRow, ...] = ()


Content: TypeAlias = (
    StartRow
    | OrderRow
    | ParentRow
    | FillRow
    | FundingRow
    | RejectRow
    | TradingRow
    | WalletRow
    | PositionRow
    | DayRow
    | SnapshotRow
)
