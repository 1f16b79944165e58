"""What was seen of a world, for the invariants to judge: values only, whoever gathered them.

Guarantees: everything is immutable; money and quantities are Decimal, quantities of positions are signed; times are wall
milliseconds unless a name says otherwise; what nobody looked at is None or empty, and then nothing is judged by it.
Never: I/O, or a reading that decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from titan.codes import TradingState
from titan.journal.rows import StoredRow
from titan.model import Side


class Invariant(StrEnum):
    """What must hold across any fault. The sentences are in `MEANING`."""

    ONE_ORDER = "I1"
    FILLS_ONCE = "I2"
    POSITIONS_AGREE = "I3"
    APPROVED = "I4"
    NONE_LOST = "I5"
    MONEY_ADDS_UP = "I6"
    JOURNAL_WHOLE = "I7"
    RECOVERS = "I8"
    ONE_ROUTER = "I9"
    LOOPS_STAY_ALONE = "I10"


MEANING: dict[Invariant, str] = {
    Invariant.ONE_ORDER: "no intent reaches a venue as two live orders; a client order id is used once",
    Invariant.FILLS_ONCE: "every venue fill is booked exactly once, in the journal and in Postgres",
    Invariant.POSITIONS_AGREE: "local position equals venue position, or the trading state is not ACTIVE",
    Invariant.APPROVED: "no order leaves without a recorded approval, for more than its intent, nor against the trading state",
    Invariant.NONE_LOST: "every accepted intent comes to an end, or stands UNKNOWN with an alert",
    Invariant.MONEY_ADDS_UP: "cash, fees and profit replayed from the journal equal the live values",
    Invariant.JOURNAL_WHOLE: "the journal's sequence has no gap, and its chain is whole",
    Invariant.RECOVERS: "recovery ends within its target, and nothing acknowledged is forgotten",
    Invariant.ONE_ROUTER: "one active router an account",
    Invariant.LOOPS_STAY_ALONE: "what crashes in a loop is given up in time and stops nobody else",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is off. `key` names the same finding in every reading; `evidence` holds ids and rows."""

    invariant: Invariant
    key: str
    text: str
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order in the venue's own ledger. `live` says that it can still trade; `client_order_id` is "" for the venue's own."""

    venue_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    reduce_only: bool
    live: bool


@dataclass(frozen=True, slots=True)
class VenueFill:
    """A trade in the venue's own ledger; `fee` is what was paid, in the settlement currency."""

    venue_trade_id: str
    venue_order_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class VenueFunding:
    """A funding payment in the venue's own ledger; negative when it was received."""

    venue_trade_id: str
    symbol: str
    paid: Decimal


@dataclass(frozen=True, slots=True)
class VenueTruth:
    """The oracle: one account, from its first day. `averages` are the open positions' entry prices, where they were asked."""

    orders: tuple[VenueOrder, ...] = ()
    fills: tuple[VenueFill, ...] = ()
    fundings: tuple[VenueFunding, ...] = ()
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    wallet: Decimal | None = None
    averages: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerFill:
    """A fill as Postgres has it."""

    venue_trade_id: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class LedgerOrder:
    """An order as Postgres has it; `state` is a word of `titan.model.OrderState`."""

    client_order_id: str
    state: str
    filled: Decimal


@dataclass(frozen=True, slots=True)
class LedgerPosition:
    """A position as Postgres has it, money since the first day."""

    symbol: str
    quantity: Decimal
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal


@dataclass(frozen=True, slots=True)
class Approval:
    """A decision of the brain that became an intent."""

    decision_id: str
    signal_id: str
    heard_ms: int


@dataclass(frozen=True, slots=True)
class LedgerTruth:
    """What Postgres holds. `unbalanced` names transactions that do not sum to zero."""

    fills: tuple[LedgerFill, ...] = ()
    orders: tuple[LedgerOrder, ...] = ()
    positions: tuple[LedgerPosition, ...] = ()
    approvals: tuple[Approval, ...] = ()
    unbalanced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Live:
    """What the running router says of itself."""

    trading: TradingState
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    cash: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Leader:
    """A time during which a router could send: from its first row to its proven death, None while it lives."""

    term: int
    began_ms: int
    ended_ms: int | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A supervisor's intensity: more than `max_restarts` within `period_ms` must escalate."""

    supervisor: str
    max_restarts: int
    period_ms: int


@dataclass(frozen=True, slots=True)
class Restart:
    """A restart that a supervisor made by itself."""

    supervisor: str
    child: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Escalated:
    """A supervisor gave up: it halted, quarantined a child or became degraded."""

    supervisor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Child:
    """How a supervised process stands; `looping` when it is the one that was made to crash again and again."""

    supervisor: str
    name: str
    ready: bool
    looping: bool = False


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long something took to come back after a fault; None when it never did."""

    what: str
    seconds: float | None
    target_s: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """A journal row that an earlier reading saw: it was acknowledged, so it must be there for ever."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class World:
    """One reading of everything.

    `rows` is the whole journal in order. `alerts` are the messages of alerts. `excused` are ids of client orders and of their
    signals that a test itself took out of the journal (a torn tail): they need no approval there. `patience_ms` is how long a
    send may be open.
    """

    now_ms: int
    rows: tuple[StoredRow, ...] = ()
    venue: VenueTruth | None = None
    ledger: LedgerTruth | None = None
    live: Live | None = None
    alerts: tuple[str, ...] = ()
    leaders: tuple[Leader, ...] = ()
    limits: tuple[Limit, ...] = ()
    restarts: tuple[Restart, ...] = ()
    escalations: tuple[Escalated, ...] = ()
    children: tuple[Child, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    remembered: tuple[Remembered, ...] = ()
    excused: frozenset[str] = frozenset()
    patience_ms: int = 30_000
