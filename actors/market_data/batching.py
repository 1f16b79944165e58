"""Trades gathered into batches: at most 256 trades or one millisecond of wall time.

Guarantees: prices and quantities become exact scaled integers; a number finer than its scale is a ValueError, never
rounded away. Never: clocks; the core decides when a batch is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protos import market_pb2 as pb

MAX_TRADES = 256
MAX_WAIT_MS = 1


@dataclass(frozen=True, slots=True)
class TradesSeen:
    """Trades of one symbol in exchange order, as columns of equal length; `buy` is the taker's side."""

    symbol: str
    ts_ms: Sequence[int]
    price: Sequence[float]
    qty: Sequence[float]
    buy: Sequence[bool]
    trade_id: Sequence[str]


def scaled_column(values: Sequence[float], scale: int, what: str) -> list[int]:
    """Decimal numbers read as floats, times 10**scale, as integers. Raises ValueError for a finer number."""
    factor = 10.0**scale
    result: list[int] = []
    for value in values:
        shifted = value * factor
        whole = round(shifted)
        if abs(shifted - whole) > 1e-9 * abs(shifted) + 1e-6:
            raise ValueError(f"{what} {value!r} has more than {scale} decimal places")
        result.append(whole)
    return result


@dataclass(slots=True)
class TradeBatcher:
    """Open columns of one symbol."""

    venue: str
    symbol: str
    price_scale: int
    qty_scale: int
    _ts_ms: list[int] = field(default_factory=list)
    _price: list[int] = field(default_factory=list)
    _qty: list[int] = field(default_factory=list)
    _side: list[pb.TakerSide.ValueType] = field(default_factory=list)
    _trade_id: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._ts_ms)

    def add(self, trades: TradesSeen, price: Sequence[int], qty: Sequence[int]) -> list[pb.TradeBatch]:
        """Adds trades with their scaled numbers; returns the batches that are full."""
        full: list[pb.TradeBatch] = []
        place, count = 0, len(trades.ts_ms)
        while place < count:
            end = min(count, place + MAX_TRADES - len(self._ts_ms))
            self._ts_ms.extend(trades.ts_ms[place:end])
            self._price.extend(price[place:end])
            self._qty.extend(qty[place:end])
            self._side.extend(pb.TAKER_SIDE_BUY if buy else pb.TAKER_SIDE_SELL for buy in trades.buy[place:end])
            self._trade_id.extend(trades.trade_id[place:end])
            place = end
            if len(self._ts_ms) >= MAX_TRADES:
                full += self.flush()
        return full

    def flush(self) -> list[pb.TradeBatch]:
        """What is open, as one batch; nothing when nothing is."""
        if not self._ts_ms:
            return []
        batch = pb.TradeBatch(
            venue=self.venue,
            symbol=self.symbol,
            price_scale=self.price_scale,
            qty_scale=self.qty_scale,
            ts_ms=self._ts_ms,
            price=self._price,
            qty=self._qty,
            side=self._side,
            trade_id=self._trade_id,
        )
        for column in (self._ts_ms, self._price, self._qty, self._side, self._trade_id):
            column.clear()
        return [batch]
