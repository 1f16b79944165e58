"""The running venue without its sockets: core, ledger and publishers, driven by commands and feed events.

Guarantees: effects are committed to the ledger before the answer is returned or a private frame is queued.
Never: waiting on a client.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

from titan.clock import AnchoredClock
from titan.paper.commands import CloseMarket, Command
from titan.paper.core import PaperVenueCore
from titan.paper.feeds.base import Feed, FeedBook, FeedEvent, FeedInstrument, FeedLiquidation, FeedTrade, LiveFeed
from titan.paper.jsonio import dumps
from titan.paper.jumps import Jumps
from titan.paper.ledger import Ledger, LedgerError
from titan.paper.market import DAY_MINUTES, Candle, SymbolBoard, aggregate, candle_of
from titan.paper.orders import (
    Accepted,
    Effect,
    Executed,
    Instrument,
    OrderChanged,
    PositionChanged,
    Refused,
    Side,
    WalletChanged,
)
from titan.paper.protocol import encode
from titan.paper.protocol.hub import Hub
from titan.paper.publisher import SymbolPublisher

MAX_LOTS = Decimal(1_000_000)


def listed(instrument: FeedInstrument) -> Instrument:
    """A feed's instrument as the venue lists it: BTC/USDT:USDT is BTCUSDT."""
    return Instrument(
        id=f"{instrument.base}{instrument.quote}",
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        tick=instrument.tick,
        lot=instrument.lot,
        min_qty=instrument.min_qty,
        min_notional=instrument.min_notional,
        max_leverage=instrument.max_leverage,
        max_qty=instrument.lot * MAX_LOTS,
    )


class Venue:
    """Everything behind the sockets."""

    def __init__(self, feed: Feed | LiveFeed, ledger: Ledger, clock: AnchoredClock, *, resumed: bool = True) -> None:
        """`resumed` says that the ledger's orders and positions belong to this market; else they are closed first."""
        self.feed = feed
        self.ledger = ledger
        self.clock = clock
        self.public = Hub()
        self.private = Hub()
        self.core = PaperVenueCore((listed(i) for i in feed.instruments), ledger.initial_wallet, ledger.salt)
        self.core.restore(ledger.remember())
        self.on_broken: Callable[[], None] = lambda: None
        self.observers: list[Callable[[list[Effect]], None]] = []
        self.broken: LedgerError | None = None
        if not resumed:
            ledger.commit(self.core.handle(CloseMarket(), ledger.last_ms()).effects)
        now = clock.now().market_ms
        self.publishers: dict[str, SymbolPublisher] = {}
        for state in self.core.symbols.values():
            history = feed.history(state.instrument.symbol, 60, now - now % 60_000, DAY_MINUTES)
            board = SymbolBoard(history, now)
            state.last = board.last
            state.position.mark = board.last or state.position.mark
            self.publishers[state.instrument.id] = SymbolPublisher(state, board, self.public)
        self._by_canonical = {p.state.instrument.symbol: p for p in self.publishers.values()}
        self.feed_ended = False
        self.jumps = Jumps()
        self.events = 0
        self.commands = 0
        self._answered_ms = 0
        self._frame_id = 0

    @property
    def market_ms(self) -> int:
        """Market time now."""
        return self.clock.now().market_ms

    # inputs

    def execute(self, command: Command) -> Accepted | Refused:
        """Carries out one client command; its effects are durable when this returns. Raises LedgerError."""
        self.commands += 1
        self._answered_ms = self.market_ms
        result = self.core.handle(command, self._answered_ms)
        if result.effects:
            self._settle(result.effects)
        return result.reply

    def prime(self, event: FeedEvent) -> None:
        """Learns from an event before the starting point, without matching."""
        self.core.prime(event)

    def apply(self, event: FeedEvent) -> None:
        """Takes one feed event in; frames leave at the next `flush`. Raises LedgerError."""
        publisher = self._by_canonical.get(event.symbol)
        if publisher is None:
            return
        if self.jumps:
            event = self.jumps.moved(event)
        self.events += 1
        if isinstance(event, FeedTrade):
            publisher.board.trade(event.ts_ms, event.price, event.qty)
            publisher.trades.append(event)
        elif isinstance(event, FeedBook):
            publisher.book_dirty = True
        elif isinstance(event, FeedLiquidation):
            publisher.liquidations.append(event)
        # A feed that lags changes no order at a time before its own beginning.
        result = self.core.handle(event, max(event.ts_ms, self._answered_ms))
        if result.effects:
            self._settle(result.effects)

    def flush(self) -> None:
        """Sends the public frames that are due."""
        now, wall_ns = self.market_ms, time.monotonic_ns()
        for publisher in self.publishers.values():
            publisher.flush(now, wall_ns)

    def close(self) -> None:
        """Writes the last marks of held positions and closes the ledger."""
        held = [p.view() for p in self.core.account.positions.values() if p.size]
        if self.broken is None:
            self.ledger.commit(PositionChanged(view) for view in held)
        self.ledger.close()

    # outputs

    def _settle(self, effects: list[Effect]) -> None:
        if self.broken is not None:
            raise self.broken
        try:
            self.ledger.commit(effects)
        except LedgerError as error:
            # memory is now ahead of the record: only a restart from the record mends that
            self.broken = error
            self.on_broken()
            raise
        for observe in self.observers:
            observe(effects)
        executions = [e.execution for e in effects if isinstance(e, Executed)]
        for done in executions:
            if not done.is_maker:
                self.publishers[done.symbol].book_dirty = True
        if not self.private.connections:
            return
        orders = [e.order for e in effects if isinstance(e, OrderChanged)]
        positions = [e.position for e in effects if isinstance(e, PositionChanged)]
        if executions:
            self._send("execution", [encode.execution_object(e) for e in executions])
            self._send("execution.fast", [encode.fast_execution_object(e) for e in executions])
        if orders:
            self._send("order", [encode.order_object(o) for o in orders])
        if positions:
            self._send("position", [encode.position_object(p, p.mark) for p in positions])
        if any(isinstance(e, WalletChanged) for e in effects):
            self._send("wallet", [self.wallet()])

    def _send(self, topic: str, data: list[encode.Object]) -> None:
        for name in (topic, f"{topic}.linear"):
            if self.private.wants(name):
                self._frame_id += 1
                frame = {
                    "id": f"{self.ledger.salt}{self._frame_id}",
                    "topic": name,
                    "creationTime": self.market_ms,
                    "data": data,
                }
                self.private.publish(name, dumps(frame))

    # questions

    def wallet(self) -> encode.Object:
        """The account as the wallet endpoint shows it."""
        realised = sum((p.cum_realised for p in self.core.account.positions.values()), Decimal(0))
        return encode.wallet_object(self.core.margin(), realised)

    def candles(self, symbol: str, minutes: int, start_ms: int | None, end_ms: int, limit: int) -> list[Candle]:
        """At most `limit` candles that open within [start_ms, end_ms], newest first, the unfinished one included.

        With `start_ms` alone deciding too many, the newest are kept, as Bybit does.
        """
        publisher = self.publishers[symbol]
        interval = minutes * 60_000
        board = publisher.board
        seam = board.live_from_ms - board.live_from_ms % interval
        canonical = publisher.state.instrument.symbol
        bars: list[Candle] = []
        if start_ms is None or start_ms < seam:
            before = min(seam, end_ms + interval)
            bars = [candle_of(b) for b in self.feed.history(canonical, minutes * 60, before, limit)]
        seam_minutes = (board.live_from_ms - seam) // 60_000
        early = self.feed.history(canonical, 60, board.live_from_ms, seam_minutes) if seam_minutes else []
        live = [c for c in board.minutes if c.start_ms >= board.live_from_ms]
        recent = aggregate([candle_of(b) for b in early if b.open_ts_ms >= seam] + live, interval)
        chosen = [c for c in bars + recent if (start_ms is None or c.start_ms >= start_ms) and c.start_ms <= end_ms]
        return chosen[-limit:][::-1]

    def best(self, symbol: str, side: Side) -> Decimal | None:
        """Best visible price of a side."""
        return self.core.symbols[symbol].book.best(side)
