"""How old each stream of a venue is, judged by exchange timestamps against the market's clock.

Guarantees: a stream that stops while its socket stays open is noticed; a quiet tape is not a dead one, because a ticker
comes every market second; trades and books may rest for minutes while it flows. Never: clocks, I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from titan.clock import market_limit_ms

TICKER_LIMIT_MS = 5_000
BOOK_LIMIT_MS = 120_000
TRADES_LIMIT_MS = 600_000


class StreamKind(StrEnum):
    """What a stream carries."""

    TRADES = "trades"
    BOOK = "book"
    TICKER = "ticker"


class LinkState(StrEnum):
    """How a venue's connection is."""

    CONNECTED = "CONNECTED"
    DEGRADED = "DEGRADED"
    DISCONNECTED = "DISCONNECTED"


@dataclass(frozen=True, slots=True)
class StreamAge:
    """Age in market milliseconds of the newest datum; `last_ms` is 0 when nothing has come yet."""

    symbol: str
    kind: StreamKind
    last_ms: int
    age_ms: int


@dataclass(slots=True)
class StreamAges:
    """The streams of one venue."""

    speed: float
    _last_ms: dict[tuple[str, StreamKind], int] = field(default_factory=dict)
    _since_ms: dict[tuple[str, StreamKind], int] = field(default_factory=dict)

    def watch(self, symbol: str, kind: StreamKind, market_ms: int) -> None:
        """Expects a stream from now on; its age is counted from here until its first datum."""
        self._since_ms[symbol, kind] = market_ms

    def seen(self, symbol: str, kind: StreamKind, exchange_ms: int) -> None:
        """Notes a datum's exchange time; older ones change nothing."""
        key = (symbol, kind)
        if exchange_ms > self._last_ms.get(key, 0):
            self._last_ms[key] = exchange_ms

    def ages(self, market_ms: int) -> list[StreamAge]:
        """Every expected stream's age, never negative."""
        return [
            StreamAge(symbol, kind, self._last_ms.get((symbol, kind), 0), self._age((symbol, kind), market_ms))
            for symbol, kind in self._since_ms
        ]

    def _age(self, key: tuple[str, StreamKind], market_ms: int) -> int:
        last = max(self._last_ms.get(key, 0), 0)
        return max(0, market_ms - (last or self._since_ms[key]))

    def wall_s(self, age: StreamAge) -> float:
        """An age in seconds of wall time."""
        return age.age_ms / 1000 / self.speed

    def stale(self, market_ms: int) -> list[StreamAge]:
        """Streams older than their limit, each limit never under two seconds of wall time.

        Since the last subscription as well: a stream that was just subscribed anew gets its whole limit again.
        """
        return [
            age
            for age in self.ages(market_ms)
            if min(age.age_ms, market_ms - self._since_ms[age.symbol, age.kind]) > self.limit_ms(age.kind)
        ]

    def limit_ms(self, kind: StreamKind) -> int:
        """The limit of a kind in market milliseconds."""
        limit = {
            StreamKind.TICKER: TICKER_LIMIT_MS,
            StreamKind.BOOK: BOOK_LIMIT_MS,
            StreamKind.TRADES: TRADES_LIMIT_MS,
        }[kind]
        return market_limit_ms(limit, self.speed)


@dataclass(slots=True)
class RecentCount:
    """How often something happened within a wall-time window."""

    window_ms: int
    _times: deque[int] = field(default_factory=deque)

    def add(self, wall_ms: int) -> None:
        """It happened."""
        self._times.append(wall_ms)

    def count(self, wall_ms: int) -> int:
        """How often within the window before `wall_ms`."""
        while self._times and self._times[0] <= wall_ms - self.window_ms:
            self._times.popleft()
        return len(self._times)
