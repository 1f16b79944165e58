"""Builders for the Scavenger's tests: bars, bursts, and a core that is warm, funded and told what happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

import numpy as np

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.core import ScavengerCore
from actors.scavenger.events import (
    BudgetState,
    BudgetUpdate,
    Effect,
    EmitSignal,
    Event,
    HistoryLoaded,
    TradeColumns,
    TrapSettled,
)
from actors.scavenger.fire import Outcome
from actors.scavenger.indicators import Bar
from titan.clock import Now
from titan.model import Signal

SYMBOL = "BTC/USDT:USDT"
HOUR_MS = 3_600_000
T0 = 500_000 * HOUR_MS
"""Market time of the first trade."""
HIGH, LOW, CLOSE = 110.0, 90.0, 100.0

E = TypeVar("E")


def flat_bars(
    count: int, interval_s: int = 3600, *, high: float = HIGH, low: float = LOW, close: float = CLOSE
) -> list[Bar]:
    """Equal bars that end at T0."""
    width = interval_s * 1000
    return [Bar(T0 - (count - place) * width, close, high, low, close, 10.0) for place in range(count)]


def range_bars(high: float = HIGH) -> list[Bar]:
    """Sixty hourly bars between 90 and `high`; the day that DAILY_LEVEL looks at lies far inside."""
    return [
        replace(bar, high=105.0, low=95.0) if 12 <= place < 36 else bar
        for place, bar in enumerate(flat_bars(60, high=high))
    ]


def burst(
    start_ms: int,
    price: float,
    *,
    trades: int = 60,
    span_ms: int = 100,
    buys: float = 1.0,
    symbol: str = SYMBOL,
    venue: str = "bybit",
) -> TradeColumns:
    """Trades at one price over a span; the first `buys` share of them are taker buys. The last one closes the window."""
    times = np.linspace(start_ms, start_ms + span_ms, trades).astype(np.int64)
    return TradeColumns(
        venue=venue,
        symbol=symbol,
        ts_ms=times,
        price=np.full(trades, price),
        qty=np.ones(trades),
        buy=np.arange(trades) < round(trades * buys),
        price_scale=1,
    )


def one_trade(ts_ms: int, price: float, symbol: str = SYMBOL) -> TradeColumns:
    """A single taker buy."""
    return burst(ts_ms, price, trades=1, span_ms=0, symbol=symbol)


def budget(**changes: object) -> BudgetUpdate:
    """An ample budget that expires an hour after T0 by the wall clock of the tests (which equals market time)."""
    fields: dict[str, object] = {
        "state": BudgetState.ACTIVE,
        "max_notional": Decimal(10_000),
        "max_leverage": 5.0,
        "max_order_rate": 0,
        "expires_at_ms": T0 + HOUR_MS,
        **changes,
    }
    return BudgetUpdate(**fields)  # type: ignore[arg-type]


@dataclass
class Desk:
    """A core and everything it asked for."""

    core: ScavengerCore
    effects: list[Effect] = field(default_factory=list)
    now: Now = field(default_factory=lambda: Now(T0, T0))

    def tell(self, event: Event, at_ms: int | None = None) -> list[Effect]:
        """Feeds one event at a market time (default: the time before) and returns its effects."""
        if at_ms is not None:
            self.now = Now(at_ms, at_ms)
        effects = self.core.handle(event, self.now)
        self.effects += effects
        return effects

    def trades(self, columns: TradeColumns) -> list[Effect]:
        """Feeds trades at the time of the last one."""
        return self.tell(columns, int(columns.ts_ms[-1]))

    def of(self, kind: type[E]) -> list[E]:
        """Everything of a kind that was asked for so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def signals(self) -> list[Signal]:
        return [effect.signal for effect in self.of(EmitSignal)]

    @property
    def outcomes(self) -> list[Outcome]:
        return [effect.outcome for effect in self.of(TrapSettled)]

    def spring(self, start_ms: int, price: float, **changes: object) -> list[Effect]:
        """A burst at a price, then a trade at the same price after the confirmation is due."""
        sprung = self.trades(burst(start_ms, price, **changes))  # type: ignore[arg-type]
        symbol = str(changes.get("symbol", SYMBOL))
        return sprung + self.trades(one_trade(start_ms + 320, price, symbol))


def warm_desk(
    config: ScavengerConfig | None = None,
    *,
    bars: Sequence[Bar] | None = None,
    symbols: Sequence[str] = (SYMBOL,),
    funded: bool = True,
) -> Desk:
    """A desk over a range from 90 to 110: BREAKOUT at 110, BREAKDOWN at 90."""
    desk = Desk(ScavengerCore(symbols, config))
    for symbol in symbols:
        desk.tell(HistoryLoaded(symbol, 3600, tuple(range_bars() if bars is None else bars)))
    if funded:
        desk.tell(budget())
    desk.effects.clear()
    return desk
