"""A seeded tape: trades as ccxt hands them on, and bars that make traps near them.

Guarantees: the same seed gives the same prices; times come from the caller. Never: I/O.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from actors.scavenger.indicators import Bar

SYMBOL = "BTC/USDT:USDT"
BATCH = 256
VARIETY = 64
PRICE_SCALE, QTY_SCALE = 1, 3
Trade = dict[str, object]


@dataclass(slots=True)
class Tape:
    """Batches of 256 trades of a random walk around 50,000, over and over with fresh times and ids."""

    symbol: str = SYMBOL
    seed: int = 42
    _batches: list[list[Trade]] = field(init=False)
    _turn: int = field(default=0, init=False)
    _serial: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        ticks, self._batches = 500_000, []
        for _ in range(VARIETY):
            batch: list[Trade] = []
            for _ in range(BATCH):
                ticks += chance.choice((-1, 0, 0, 1))
                ticks += (500_000 - ticks) // 2_000
                amount = chance.randint(1, 2_000) / 10**QTY_SCALE
                side = chance.choice(("buy", "sell"))
                batch.append({"symbol": self.symbol, "price": ticks / 10**PRICE_SCALE, "amount": amount, "side": side})
            self._batches.append(batch)

    def batch(self, ts_ms: int) -> list[Trade]:
        """The next 256 trades, all at one exchange time in ms. They are the tape's own and change at a later turn."""
        batch = self._batches[self._turn]
        self._turn = (self._turn + 1) % VARIETY
        serial = self._serial
        for trade in batch:
            serial += 1
            trade["timestamp"] = ts_ms
            trade["id"] = str(serial)
        self._serial = serial
        return batch


def bars(interval_s: int, count: int, now_ms: int) -> tuple[Bar, ...]:
    """Closed bars of a narrow range around the tape's prices, the last one ended before `now_ms`."""
    width = interval_s * 1000
    first = now_ms - now_ms % width - count * width
    made = []
    for place in range(count):
        opened, closed = 50_000.0 + 40 * (place % 5 - 2), 50_000.0 + 40 * ((place + 1) % 5 - 2)
        high, low = max(opened, closed) + 30, min(opened, closed) - 30
        made.append(Bar(first + place * width, opened, high, low, closed, 100.0 + place % 7))
    return tuple(made)
