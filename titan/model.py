"""The words of trading: sides, signals, intents, orders, fills, positions.

Guarantees: every value is immutable; prices, quantities and money are Decimal; times are milliseconds. Floats appear
only where a phase's signal mathematics made them (confidence, leverage, volatility). Never: I/O, clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from titan.codes import RejectCode
from titan.ids import ClientOrderId, IntentId, SignalId
from titan.money import ZERO
from titan.values import value


class Side(StrEnum):
    """Which way an order goes."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Phase(StrEnum):
    """Who proposes."""

    SCAVENGER = "SCAVENGER"
    HUNTER = "HUNTER"
    SENTINEL = "SENTINEL"
    MANUAL = "MANUAL"


class Action(StrEnum):
    """Whether a signal or intent raises risk or lowers it."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"


class OrderType(StrEnum):
    """How an order meets the book."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    POST_ONLY = "POST_ONLY"
    IOC = "IOC"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    FOK = "FOK"
    STOP_LIMIT = "STOP_LIMIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"

    @property
    def waits(self) -> bool:
        """Whether the order waits for a trigger price."""
        return self in _WAITING

    @property
    def names_price(self) -> bool:
        """Whether the order has a limit price."""
        return self not in _PRICELESS


_WAITING = frozenset(
    {
        OrderType.STOP_MARKET,
        OrderType.STOP_LIMIT,
        OrderType.TAKE_PROFIT_MARKET,
        OrderType.TAKE_PROFIT_LIMIT,
        OrderType.TRAILING_STOP,
    }
)
_PRICELESS = frozenset({OrderType.MARKET, OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET, OrderType.TRAILING_STOP})


class OrderRole(StrEnum):
    """Why an order exists."""

    ENTRY = "ENTRY"
    STOP = "STOP"
    TARGET = "TARGET"
    CLOSE = "CLOSE"
    FLATTEN = "FLATTEN"
    EXTERNAL = "EXTERNAL"


class Style(StrEnum):
    """How an intent is worked when it is not one plain order. See `titan.algos`."""

    MAKER_FIRST = "MAKER_FIRST"
    PEG = "PEG"
    TWAP = "TWAP"
    ICEBERG = "ICEBERG"
    BASIS = "BASIS"


@value
class Execution:
    """A style and its parameters; zero takes the style's default. Times are market ms, `display` base units.

    `hedge_*` are a basis order's second leg: the same quantity of `hedge_symbol` on the other side.
    """

    style: Style
    duration_ms: int = 0
    reprice_ms: int = 0
    reprices: int = 0
    cross: bool = False
    offset_ticks: int = 0
    slices: int = 0
    display: Decimal | None = None
    hedge_symbol: str = ""
    hedge_reference_price: Decimal | None = None
    hedge_stop_price: Decimal | None = None
    hedge_ms: int = 0


@value
class Target:
    """One take-profit of a bracket: `share` (above 0, at most 1) of what the entry fills, at `price`.

    A limit order that rests at the price, or with `market` a market order once the price is reached.
    """

    price: Decimal
    share: Decimal
    market: bool = False


@value
class Terms:
    """What only some intents and orders have.

    `trigger_price` is an intent's, an order has a field of its own. `trail` is a distance in price units: the stop
    follows the best price seen at it and never moves back. `expires_ms` is market time, 0 for never. `targets` belong
    to an entry, their shares add up to 1; `leg` counts them from 1 and stands in the order made for a target.
    `replaces` is the client id of the order that this one stands in for.
    """

    trigger_price: Decimal | None = None
    trail: Decimal | None = None
    expires_ms: int = 0
    targets: tuple[Target, ...] = ()
    leg: int = 0
    replaces: str = ""


@value
class Signal:
    """What a phase proposes. `requested_size` and all sizes of signals are USD notional."""

    signal_id: SignalId
    phase: Phase
    action: Action
    venue: str
    symbol: str
    side: Side
    requested_size: Decimal
    entry_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    confidence: float
    leverage: float
    volatility: float
    trap_type: str
    order_type: OrderType
    max_slippage_bps: int
    t_signal_ms: int
    t_exchange_ms: int
    ttl_ms: int
    t_wall_ns: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    terms: Terms | None = None
    execution: Execution | None = None


@value
class Intent:
    """What the brain orders. Openers carry `size_usd`, closers `quantity` (None closes all)."""

    intent_id: IntentId
    signal_id: SignalId
    phase: Phase
    action: Action
    venue: str
    account: str
    symbol: str
    side: Side
    size_usd: Decimal
    quantity: Decimal | None
    order_type: OrderType
    limit_price: Decimal | None
    reference_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    max_slippage_bps: int
    leverage: Decimal
    policy_hash: str
    t_signal_ms: int
    t_decision_ms: int
    ttl_ms: int
    trap_type: str = ""
    decision_id: str = ""
    t_wall_ns: int = 0
    terms: Terms | None = None
    execution: Execution | None = None


@value
class Fill:
    """One execution at a venue. `fill_id` is venue:account:venue_trade_id, unique for ever."""

    fill_id: str
    venue_trade_id: str
    client_order_id: ClientOrderId
    venue_order_id: str
    venue: str
    account: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    maker: bool
    t_exchange_ms: int
    intent_id: str = ""
    signal_id: str = ""
    phase: Phase | None = None
    role: OrderRole = OrderRole.EXTERNAL
    t_ingress_ms: int = 0
    journal_seq: int = 0
    term: int = 0
    realized_pnl: Decimal = ZERO


def fill_id_of(venue: str, account: str, venue_trade_id: str) -> str:
    """The key under which a fill is booked exactly once."""
    return f"{venue}:{account}:{venue_trade_id}"


@dataclass(frozen=True, slots=True)
class Position:
    """One net position of a venue account. `quantity` is signed base units; money is in the settlement currency."""

    venue: str
    account: str
    symbol: str
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    mark_price: Decimal | None = None
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    updated_ms: int = 0

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held."""
        return self.quantity == 0

    @property
    def notional(self) -> Decimal:
        """Absolute value at mark, else at the average price."""
        price = self.average_price if self.mark_price is None else self.mark_price
        return abs(self.quantity) * price

    @property
    def unrealized_pnl(self) -> Decimal:
        """Profit at mark, zero while no mark is known."""
        if self.mark_price is None:
            return ZERO
        return (self.mark_price - self.average_price) * self.quantity


class OrderState(StrEnum):
    """Where an order stands. See `titan.orders` for the legal transitions."""

    PENDING = "PENDING"
    SENT = "SENT"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing but a late fill can still happen."""
        return self in TERMINAL


TERMINAL = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED})


@value
class Order:
    """One order as the router knows it."""

    client_order_id: ClientOrderId
    intent_id: str
    signal_id: str
    child: int
    role: OrderRole
    phase: Phase | None
    venue: str
    account: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    reduce_only: bool
    state: OrderState = OrderState.PENDING
    venue_order_id: str = ""
    filled: Decimal = ZERO
    average_price: Decimal = ZERO
    code: RejectCode = RejectCode.NONE
    detail: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    venue_ts_ms: int = 0
    terms: Terms | None = None

    @property
    def remaining(self) -> Decimal:
        """What is not filled yet, never negative."""
        return max(ZERO, self.quantity - self.filled)
