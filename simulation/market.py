"""The market of a world: two random walks with a thin book, shown to the venue and on the bus.

Guarantees: prices stay on the venue's grid; a jump moves the price at once. Never: knowledge of orders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from protos import market_pb2
from simulation.engine import MARKET_0_MS
from simulation.venue import SYMBOLS, VENUE
from titan import subjects
from titan.model import Side
from titan.money import text_of
from titan.paper.feeds.base import FeedBook, FeedMark, FeedTrade

if TYPE_CHECKING:
    from simulation.world import World

PACE_MS = 450
FUNDING_AFTER_MS = 9_000
LEVELS = 4
_START = {
    SYMBOLS[0]: (500_000, Decimal("0.1"), Decimal("0.02")),
    SYMBOLS[1]: (300_000, Decimal("0.01"), Decimal("0.5")),
}


class Market:
    """Prices in whole ticks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ticks = {symbol: start[0] for symbol, start in _START.items()}
        self.thin_until_ms = -1
        self._trades = 0

    def price(self, symbol: str, side: Side) -> Decimal:
        """What a taker of this side sees."""
        ticks, step = self._ticks[symbol], _START[symbol][1]
        return (ticks + (1 if side is Side.BUY else 0)) * step

    def run(self) -> None:
        """One move of each symbol, again and again."""
        engine = self._world.engine
        chance = engine.chance("market")
        for symbol in SYMBOLS:
            ticks = self._ticks[symbol]
            self._move(symbol, ticks + int(chance.gauss(0, ticks * 0.0006)))
        engine.after(PACE_MS, self.run)

    def jump(self, symbol: str, permille: int) -> None:
        """The price moves by `permille` thousandths at once."""
        ticks = self._ticks[symbol]
        self._move(symbol, ticks + ticks * permille // 1000)

    def _move(self, symbol: str, ticks: int) -> None:
        engine, venue = self._world.engine, self._world.venue
        if engine.t_ms < venue.away_until_ms:
            return
        before = self._ticks[symbol]
        self._ticks[symbol] = ticks
        _, step, size = _START[symbol]
        chance = engine.chance("market")
        now = engine.venue_ms()
        price = ticks * step
        thin = engine.t_ms < self.thin_until_ms
        depth = size / 20 if thin else size * chance.randint(1, 12)
        if symbol == SYMBOLS[1]:
            depth = depth.quantize(Decimal("0.01"))
        self._trades += 1
        due = FUNDING_AFTER_MS * engine.speed
        venue.market(FeedMark(now, symbol, price, price, Decimal("0.0001"), venue_funding_ms(int(due)), Decimal(1000)))
        bids = tuple(((ticks - level) * step, depth) for level in range(LEVELS))
        asks = tuple(((ticks + 1 + level) * step, depth) for level in range(LEVELS))
        venue.market(FeedBook(now, symbol, bids, asks))
        side = "buy" if ticks >= before else "sell"
        venue.market(FeedTrade(now, symbol, price, size, "buy" if side == "buy" else "sell", str(self._trades)))
        ticker = market_pb2.Ticker(
            venue=VENUE,
            symbol=symbol,
            ts_ms=engine.now().market_ms,
            last=text_of(price),
            mark=text_of(price),
            bid=text_of(bids[0][0]),
            ask=text_of(asks[0][0]),
        )
        self._world.bus.say(subjects.ticker(VENUE, symbol), ticker)


def venue_funding_ms(after_ms: int) -> int:
    """The market time of the one funding in a run."""
    return MARKET_0_MS + after_ms
