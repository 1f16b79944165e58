"""Turns market changes into Bybit's public frames: trades, book snapshots and deltas, tickers, candles, liquidations.

Guarantees: a frame is encoded once for all listeners and only when someone listens; book deltas applied to the
snapshot give the current book; every symbol has a ticker each market second, at most 50 a wall second.
Never: waiting; it hands bytes to the hub.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from titan.money import text_of
from titan.paper.desk import SymbolState
from titan.paper.feeds.base import FeedLiquidation, FeedTrade
from titan.paper.jsonio import dumps
from titan.paper.market import Candle, SymbolBoard
from titan.paper.orders import Side
from titan.paper.protocol import encode
from titan.paper.protocol.hub import Hub

MAX_TRADES_A_FRAME = 1024
TICKER_MARKET_MS = 1000
TICKER_CHANGE_MS = 100
TICKER_WALL_NS = 20_000_000
BOOK_DEPTHS = (1, 50, 200, 500, 1000)
KLINE_MINUTES = {
    "1": 1,
    "3": 3,
    "5": 5,
    "15": 15,
    "30": 30,
    "60": 60,
    "120": 120,
    "240": 240,
    "360": 360,
    "720": 720,
    "D": 1440,
}
RECENT_TRADES = 1000

Levels = dict[Decimal, Decimal]


class SymbolPublisher:
    """Frames of one symbol."""

    def __init__(self, state: SymbolState, board: SymbolBoard, hub: Hub) -> None:
        self.state = state
        self.board = board
        self.id = state.instrument.id
        self._hub = hub
        self.trades: list[FeedTrade] = []
        self.liquidations: list[FeedLiquidation] = []
        self.book_dirty = False
        self.recent: deque[FeedTrade] = deque(maxlen=RECENT_TRADES)
        self._update = 1
        self._sent_bids: Levels = {}
        self._sent_asks: Levels = {}
        self._ticker: dict[str, str] = {}
        self._ticker_market_ms = 0
        self._ticker_wall_ns = 0
        self._ticker_stale = True
        self._sequence = 1
        self._kline_start: dict[str, int] = {}

    # books

    def _levels(self, side: Side, depth: int) -> Levels:
        return {price: qty for price, qty in self.state.book.levels(side)[:depth] if qty > 0}

    def _book_frame(self, topic: str, kind: str, bids: Levels, asks: Levels, ts_ms: int) -> bytes:
        return dumps(
            {
                "topic": topic,
                "type": kind,
                "ts": ts_ms,
                "data": {
                    "s": self.id,
                    "b": [[text_of(p), text_of(q)] for p, q in bids.items()],
                    "a": [[text_of(p), text_of(q)] for p, q in asks.items()],
                    "u": self._update,
                    "seq": self._sequence,
                },
                "cts": ts_ms,
            }
        )

    def book_snapshot(self, depth: int, ts_ms: int) -> bytes:
        """The snapshot a new listener starts from, coherent with the deltas that follow."""
        if depth == 1 or not (self._sent_bids or self._sent_asks):
            bids, asks = self._levels(Side.BUY, depth), self._levels(Side.SELL, depth)
            if depth != 1:
                self._sent_bids, self._sent_asks = bids, asks
        else:
            bids, asks = self._sent_bids, self._sent_asks
        return self._book_frame(f"orderbook.{depth}.{self.id}", "snapshot", bids, asks, ts_ms)

    def _flush_book(self, ts_ms: int) -> None:
        self.book_dirty = False
        self._update += 1
        self._sequence += 1
        best = f"orderbook.1.{self.id}"
        if self._hub.wants(best):
            self._hub.publish(best, self.book_snapshot(1, ts_ms))
        deep = [topic for d in BOOK_DEPTHS[1:] if self._hub.wants(topic := f"orderbook.{d}.{self.id}")]
        if not deep:
            self._sent_bids, self._sent_asks = {}, {}
            return
        bids, asks = self._levels(Side.BUY, 50), self._levels(Side.SELL, 50)
        changed_bids, changed_asks = _delta(self._sent_bids, bids), _delta(self._sent_asks, asks)
        self._sent_bids, self._sent_asks = bids, asks
        if changed_bids or changed_asks:
            for topic in deep:
                self._hub.publish(topic, self._book_frame(topic, "delta", changed_bids, changed_asks, ts_ms))

    # trades, liquidations, candles

    def _flush_trades(self, ts_ms: int) -> None:
        trades, self.trades = self.trades, []
        self.recent.extend(trades)
        self.publish_trades(trades, ts_ms)
        for topic in self._hub.topics("kline."):
            _, interval, symbol = topic.split(".")
            if symbol == self.id:
                self._flush_kline(topic, interval, ts_ms)

    def publish_trades(self, trades: list[FeedTrade], ts_ms: int) -> int:
        """Sends trades as frames of at most 1024; returns the number of frames."""
        topic = f"publicTrade.{self.id}"
        if not self._hub.wants(topic):
            return 0
        frames = 0
        for start in range(0, len(trades), MAX_TRADES_A_FRAME):
            self._sequence += 1
            data = [encode.public_trade_object(self.id, t) for t in trades[start : start + MAX_TRADES_A_FRAME]]
            self._hub.publish(topic, dumps({"topic": topic, "type": "snapshot", "ts": ts_ms, "data": data}))
            frames += 1
        return frames

    def _flush_kline(self, topic: str, interval: str, ts_ms: int) -> None:
        length = KLINE_MINUTES[interval] * 60_000
        candle = self.board.current(length)
        if candle is None:
            return
        before = self._kline_start.get(topic)
        if before is not None and before != candle.start_ms:
            closed = self.board.candle_at(length, before)
            if closed is not None:
                self._hub.publish(topic, _kline_frame(topic, interval, closed, ts_ms, confirm=True))
        self._kline_start[topic] = candle.start_ms
        self._hub.publish(topic, _kline_frame(topic, interval, candle, ts_ms, confirm=False))

    def kline_snapshot(self, topic: str, interval: str, ts_ms: int) -> bytes | None:
        """The candle of an interval now under construction; None before the first trade."""
        candle = self.board.current(KLINE_MINUTES[interval] * 60_000)
        return None if candle is None else _kline_frame(topic, interval, candle, ts_ms, confirm=False)

    def _flush_liquidations(self, ts_ms: int) -> None:
        events, self.liquidations = self.liquidations, []
        topic = f"allLiquidation.{self.id}"
        if not self._hub.wants(topic):
            return
        data = [
            {
                "T": e.ts_ms,
                "s": self.id,
                # Bybit names the side of the position that was liquidated, not of the forced order
                "S": "Sell" if e.side == "buy" else "Buy",
                "v": text_of(e.qty),
                "p": text_of(e.price),
            }
            for e in events
        ]
        self._hub.publish(topic, dumps({"topic": topic, "type": "snapshot", "ts": ts_ms, "data": data}))

    # tickers

    def ticker(self, now_ms: int) -> dict[str, str]:
        """The full ticker at `now_ms`."""
        state = self.state
        bids, asks = state.book.levels(Side.BUY), state.book.levels(Side.SELL)
        bid = next(((p, q) for p, q in bids if q > 0), None)
        ask = next(((p, q) for p, q in asks if q > 0), None)
        last = state.last or self.board.last
        return encode.ticker_object(
            self.id,
            last,
            self.board.day(now_ms),
            state.position.view(),
            state.index,
            state.open_interest,
            bid,
            ask,
            self.board.tick_up,
        )

    def ticker_snapshot(self, now_ms: int) -> bytes:
        """The snapshot a new listener starts from, coherent with the deltas that follow."""
        if not self._ticker:
            self._ticker = self.ticker(now_ms)
        return self._ticker_frame("snapshot", self._ticker, now_ms)

    def _ticker_frame(self, kind: str, data: dict[str, str], now_ms: int) -> bytes:
        topic = f"tickers.{self.id}"
        return dumps({"topic": topic, "type": kind, "data": data, "cs": self._sequence, "ts": now_ms})

    def _flush_ticker(self, now_ms: int, wall_ns: int) -> None:
        new_second = now_ms // TICKER_MARKET_MS != self._ticker_market_ms // TICKER_MARKET_MS
        due = new_second or (self._ticker_stale and now_ms - self._ticker_market_ms >= TICKER_CHANGE_MS)
        if not due or wall_ns - self._ticker_wall_ns < TICKER_WALL_NS:
            return
        self._ticker_market_ms, self._ticker_wall_ns = now_ms, wall_ns
        self._ticker_stale = False
        topic = f"tickers.{self.id}"
        if not self._hub.wants(topic):
            self._ticker = {}
            return
        fresh = self.ticker(now_ms)
        changed = {k: v for k, v in fresh.items() if self._ticker.get(k) != v}
        changed["symbol"] = self.id
        self._ticker = fresh
        self._hub.publish(topic, self._ticker_frame("delta", changed, now_ms))

    def flush(self, now_ms: int, wall_ns: int) -> None:
        """Sends what changed since the last call; `now_ms` is market time, `wall_ns` monotonic."""
        if self.trades:
            self._ticker_stale = True
            self._flush_trades(now_ms)
        if self.liquidations:
            self._flush_liquidations(now_ms)
        if self.book_dirty:
            self._ticker_stale = True
            self._flush_book(now_ms)
        self._flush_ticker(now_ms, wall_ns)


def _kline_frame(topic: str, interval: str, candle: Candle, ts_ms: int, *, confirm: bool) -> bytes:
    bar = {
        "start": candle.start_ms,
        "end": candle.start_ms + KLINE_MINUTES[interval] * 60_000 - 1,
        "interval": interval,
        "open": text_of(candle.open),
        "close": text_of(candle.close),
        "high": text_of(candle.high),
        "low": text_of(candle.low),
        "volume": text_of(candle.volume),
        "turnover": text_of(candle.turnover),
        "confirm": confirm,
        "timestamp": ts_ms,
    }
    return dumps({"topic": topic, "type": "snapshot", "ts": ts_ms, "data": [bar]})


def _delta(before: Levels, after: Levels) -> Levels:
    changed = {price: qty for price, qty in after.items() if before.get(price) != qty}
    for price in before:
        if price not in after:
            changed[price] = Decimal(0)
    return changed
