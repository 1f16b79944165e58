"""Bus messages as events of the core.

Guarantees: a message that makes no sense is a ValueError with a sentence, never a default. Never: I/O.
"""

from __future__ import annotations

import math

import numpy as np

from actors.scavenger.events import (
    BarClosed,
    BudgetState,
    BudgetUpdate,
    DecisionSeen,
    FillSeen,
    HistoryLoaded,
    PositionsSeen,
    RejectSeen,
    TailSeen,
    TickerSeen,
    TradeColumns,
)
from actors.scavenger.indicators import Bar
from actors.scavenger.web import INTERVALS
from protos import brain_pb2, market_pb2, trading_pb2
from titan.money import dec

SIGNAL_PREFIX = "scavenger-"
_BUDGETS = {
    brain_pb2.BUDGET_STATE_ACTIVE: BudgetState.ACTIVE,
    brain_pb2.BUDGET_STATE_THROTTLED: BudgetState.THROTTLED,
    brain_pb2.BUDGET_STATE_CLOSE_ONLY: BudgetState.CLOSE_ONLY,
    brain_pb2.BUDGET_STATE_HALTED: BudgetState.HALTED,
}
_PROTECTION = frozenset({trading_pb2.ORDER_ROLE_STOP, trading_pb2.ORDER_ROLE_TARGET})


def columns(batch: market_pb2.TradeBatch) -> TradeColumns:
    """Trades as arrays. Raises ValueError when columns differ in length or a side is unknown."""
    count = len(batch.ts_ms)
    if not count == len(batch.price) == len(batch.qty) == len(batch.side):
        raise ValueError(
            f"trade columns of {batch.symbol} differ in length: {count} times, {len(batch.price)} prices, "
            f"{len(batch.qty)} quantities, {len(batch.side)} sides"
        )
    sides = np.fromiter(batch.side, np.int8, count)
    buy = sides == market_pb2.TAKER_SIDE_BUY
    if not np.all(buy | (sides == market_pb2.TAKER_SIDE_SELL)):
        raise ValueError(f"a trade of {batch.symbol} has no taker side")
    return TradeColumns(
        venue=batch.venue,
        symbol=batch.symbol,
        ts_ms=np.fromiter(batch.ts_ms, np.int64, count),
        price=np.fromiter(batch.price, np.int64, count) / 10.0**batch.price_scale,
        qty=np.fromiter(batch.qty, np.int64, count) / 10.0**batch.qty_scale,
        buy=buy,
        price_scale=batch.price_scale,
    )


def _number(text: str, what: str) -> float | None:
    if not text:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{what} is not a finite number: {text!r}")
    return value


def ticker(message: market_pb2.Ticker) -> TickerSeen:
    """A ticker; empty figures are None. Raises ValueError."""
    return TickerSeen(
        venue=message.venue,
        symbol=message.symbol,
        ts_ms=message.ts_ms,
        last=_number(message.last, "last"),
        index=_number(message.index, "index"),
        bid=_number(message.bid, "bid"),
        bid_size=_number(message.bid_qty, "bid_qty"),
        ask=_number(message.ask, "ask"),
        ask_size=_number(message.ask_qty, "ask_qty"),
        funding_rate=_number(message.funding_rate, "funding_rate"),
        open_interest=_number(message.open_interest, "open_interest"),
        volume_24h=_number(message.volume_24h, "volume_24h"),
    )


def _bar(candle: market_pb2.Candle) -> Bar:
    opened, high, low, closed = (float(dec(text)) for text in (candle.open, candle.high, candle.low, candle.close))
    if not 0 < low <= min(opened, closed) or high < max(opened, closed):
        raise ValueError(f"bar of {candle.symbol} at {candle.open_ts_ms}: o/h/l/c {opened}/{high}/{low}/{closed}")
    return Bar(candle.open_ts_ms, opened, high, low, closed, float(dec(candle.volume)))


def bar_closed(candle: market_pb2.Candle) -> BarClosed | None:
    """A closed bar of an interval that is used, else None. Raises ValueError."""
    if not candle.closed or candle.interval_s not in INTERVALS:
        return None
    return BarClosed(candle.symbol, candle.interval_s, _bar(candle))


def history(symbol: str, interval_s: int, reply: market_pb2.CandlesReply) -> HistoryLoaded:
    """The store's answer. Raises ValueError with the store's own error when it has one."""
    if reply.error:
        raise ValueError(f"no {interval_s} s history of {symbol}: {reply.error}")
    return HistoryLoaded(symbol, interval_s, tuple(_bar(candle) for candle in reply.candles if candle.closed))


def budget(message: brain_pb2.Budget) -> BudgetUpdate | None:
    """Our budget, or None when it is another phase's. Raises ValueError."""
    if message.phase != trading_pb2.PHASE_SCAVENGER:
        return None
    state = _BUDGETS.get(message.state)
    if state is None:
        raise ValueError(f"budget {message.budget_id} has no known state: {message.state}")
    return BudgetUpdate(
        state=state,
        max_notional=dec(message.max_notional_usd),
        max_leverage=message.max_leverage,
        max_order_rate=message.max_order_rate,
        expires_at_ms=message.expires_at_ms,
    )


def decision(message: brain_pb2.Decision) -> DecisionSeen | None:
    """The answer to one of our signals, or None."""
    if not message.signal_id.startswith(SIGNAL_PREFIX):
        return None
    return DecisionSeen(message.signal_id, message.approved, message.code)


def reject(message: trading_pb2.Reject) -> RejectSeen | None:
    """A refusal of one of our intents, or None."""
    return RejectSeen(message.signal_id, message.code) if message.signal_id.startswith(SIGNAL_PREFIX) else None


def fill(message: trading_pb2.Fill) -> FillSeen | None:
    """An execution of ours, or None. Raises ValueError."""
    if message.phase != trading_pb2.PHASE_SCAVENGER:
        return None
    if message.side not in (trading_pb2.SIDE_BUY, trading_pb2.SIDE_SELL):
        raise ValueError(f"fill {message.fill_id} has no side")
    sign = 1 if message.side == trading_pb2.SIDE_BUY else -1
    return FillSeen(message.signal_id, message.symbol, sign * float(dec(message.quantity)))


def positions(message: trading_pb2.RouterState) -> PositionsSeen:
    """What is held over all accounts, and which of it is ours. Raises ValueError."""
    quantities: dict[str, float] = {}
    for held in message.positions:
        quantities[held.symbol] = quantities.get(held.symbol, 0.0) + float(dec(held.quantity))
    resting: dict[str, int] = {}
    ours: set[str] = set()
    for order in message.open_orders:
        if order.phase != trading_pb2.PHASE_SCAVENGER:
            continue
        if order.role == trading_pb2.ORDER_ROLE_ENTRY:
            resting[order.symbol] = resting.get(order.symbol, 0) + 1
        elif order.role in _PROTECTION:
            ours.add(order.symbol)
    return PositionsSeen(quantities, resting, frozenset(ours))


def tail(message: brain_pb2.PowerLawMetrics) -> TailSeen | None:
    """Tail metrics with an estimate, or None."""
    if not message.HasField("alpha"):
        return None
    clustered = message.cluster == brain_pb2.VOLATILITY_CLUSTER_EXPANDING
    return TailSeen(message.symbol, message.alpha, clustered)
