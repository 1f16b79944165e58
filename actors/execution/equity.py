"""Equity: wallet of the ledger plus unrealised profit at the router's marks, its high and its day.

Guarantees: exact decimals; the high watermark never falls; a day begins at midnight UTC of market time with the equity
seen first. Never: a price of its own, I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from actors.execution.holdings import Holding
from actors.execution.ledger import plus, rounded, settlement
from protos import trading_pb2 as pb
from titan.clock import Now
from titan.money import ZERO, text_of

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The account at one instant, in `currency`."""

    venue: str
    account: str
    currency: str
    wallet: Decimal
    unrealized_pnl: Decimal
    equity: Decimal
    start_of_day: Decimal
    high_watermark: Decimal
    ts_ms: int
    market_ts_ms: int

    @property
    def drawdown_percent(self) -> Decimal:
        """How far equity is below its high, 0 to 100."""
        if self.high_watermark <= 0:
            return ZERO
        return max(ZERO, (self.high_watermark - self.equity) / self.high_watermark * 100)

    def message(self) -> pb.Equity:
        """The point as it travels."""
        return pb.Equity(
            venue=self.venue,
            account=self.account,
            currency=self.currency,
            wallet=text_of(self.wallet),
            unrealized_pnl=text_of(self.unrealized_pnl),
            equity=text_of(self.equity),
            start_of_day=text_of(self.start_of_day),
            high_watermark=text_of(self.high_watermark),
            ts_ms=self.ts_ms,
            market_ts_ms=self.market_ts_ms,
        )


def unrealized(holdings: Iterable[Holding], marks: Mapping[str, Decimal], currency: str) -> Decimal:
    """Profit of open positions at their marks; a position without a mark counts as nothing."""
    total = ZERO
    for holding in holdings:
        mark = marks.get(holding.instrument.symbol)
        if holding.quantity and mark is not None and settlement(holding.instrument.symbol) == currency:
            total = plus(total, rounded((mark - holding.average_price) * holding.quantity))
    return total


class EquityTracker:
    """One account's equity over time."""

    def __init__(self, venue: str, account: str, currency: str) -> None:
        self.venue, self.account, self.currency = venue, account, currency
        self.last: EquityPoint | None = None

    def restore(self, point: EquityPoint) -> None:
        """Goes on from the last point that was kept."""
        self.last = point

    def observe(self, wallet: Decimal, profit: Decimal, now: Now) -> EquityPoint:
        """The next point."""
        equity = plus(wallet, profit)
        past = self.last
        if past is None:
            start, high = equity, equity
        else:
            same_day = past.market_ts_ms // DAY_MS == now.market_ms // DAY_MS
            start = past.start_of_day if same_day else equity
            high = max(past.high_watermark, equity)
        self.last = EquityPoint(
            self.venue,
            self.account,
            self.currency,
            wallet,
            profit,
            equity,
            start,
            high,
            now.wall_ms,
            now.market_ms,
        )
        return self.last
