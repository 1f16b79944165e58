"""What the Scavenger's core hears and what it asks for.

Guarantees: immutable values; a batch of trades is columns, never objects of one trade. Never: protobuf, wall clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from actors.scavenger.fire import Outcome
from actors.scavenger.indicators import Bar
from actors.scavenger.traps import Trap, TrapType
from titan.effects import CancelTimer, SetTimer
from titan.ids import SignalId
from titan.model import Signal


@dataclass(frozen=True, slots=True)
class TradeColumns:
    """Trades of one symbol in exchange order, columns of equal length; `buy` is the taker's side.

    `price_scale` is the number of decimal places of its prices.
    """

    venue: str
    symbol: str
    ts_ms: npt.NDArray[np.int64]
    price: npt.NDArray[np.float64]
    qty: npt.NDArray[np.float64]
    buy: npt.NDArray[np.bool_]
    price_scale: int = 8


@dataclass(frozen=True, slots=True)
class TickerSeen:
    """The state of one instrument; absent figures are None. Open interest and volume are base units."""

    venue: str
    symbol: str
    ts_ms: int
    last: float | None = None
    index: float | None = None
    bid: float | None = None
    bid_size: float | None = None
    ask: float | None = None
    ask_size: float | None = None
    funding_rate: float | None = None
    open_interest: float | None = None
    volume_24h: float | None = None


@dataclass(frozen=True, slots=True)
class BarClosed:
    """A bar of 60, 300 or 3600 seconds has closed."""

    symbol: str
    interval_s: int
    bar: Bar


@dataclass(frozen=True, slots=True)
class HistoryLoaded:
    """Closed bars from the store, oldest first."""

    symbol: str
    interval_s: int
    bars: tuple[Bar, ...]


class BudgetState(StrEnum):
    """What the brain lets this phase do; CLOSE_ONLY and HALTED open nothing."""

    ACTIVE = "ACTIVE"
    THROTTLED = "THROTTLED"
    CLOSE_ONLY = "CLOSE_ONLY"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True)
class BudgetUpdate:
    """The brain's allowance. `expires_at_ms` is wall time, `max_order_rate` orders a wall minute (0: no limit)."""

    state: BudgetState
    max_notional: Decimal
    max_leverage: float
    max_order_rate: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class DecisionSeen:
    """The brain's answer to one of our signals."""

    signal_id: str
    approved: bool
    code: str


@dataclass(frozen=True, slots=True)
class RejectSeen:
    """The router or the venue refused one of our approved signals."""

    signal_id: str
    code: str


@dataclass(frozen=True, slots=True)
class DispatchFailed:
    """A signal could not be put on the bus."""

    signal_id: str


@dataclass(frozen=True, slots=True)
class FillSeen:
    """An execution of ours: signed base quantity."""

    signal_id: str
    symbol: str
    quantity: float


@dataclass(frozen=True, slots=True)
class PositionsSeen:
    """Every position the router holds (signed base quantity by symbol; others are flat), our resting entry orders, and the
    symbols whose position is protected by a stop or target of ours."""

    quantities: Mapping[str, float]
    resting: Mapping[str, int] = field(default_factory=dict)
    ours: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TailSeen:
    """Tail metrics of a symbol: Hill's alpha and whether volatility clusters."""

    symbol: str
    alpha: float
    clustered: bool


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that the core set has run out."""

    key: str


Event = (
    TradeColumns
    | TickerSeen
    | BarClosed
    | HistoryLoaded
    | BudgetUpdate
    | DecisionSeen
    | RejectSeen
    | DispatchFailed
    | FillSeen
    | PositionsSeen
    | TailSeen
    | TimerFired
)


@dataclass(frozen=True, slots=True)
class EmitSignal:
    """Propose a trade, or the end of one. The shell stamps the wall time of publication."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class TrapSprung:
    """A burst came at a trap; its confirmation is pending."""

    trap: Trap
    trades: int
    micro_cvd: float
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class TrapSettled:
    """What became of a sprung trap."""

    trap: Trap
    outcome: Outcome
    signal_id: SignalId | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MapUpdated:
    """The traps of a symbol were computed anew."""

    symbol: str
    live: Mapping[TrapType, int]


@dataclass(frozen=True, slots=True)
class NeedHistory:
    """Bars are missing: ask the candle store for them."""

    symbol: str
    interval_s: int
    limit: int


@dataclass(frozen=True, slots=True)
class SymbolBlacklisted:
    """Too many failures: the symbol rests."""

    symbol: str
    until_market_ms: int


Effect = EmitSignal | TrapSprung | TrapSettled | MapUpdated | NeedHistory | SymbolBlacklisted | SetTimer | CancelTimer
