"""A small second opinion on the Scavenger's conditions, for counting the bursts that would spring a trap.

Written from the behaviour reference (phases, §2.4-2.6), not from the code of the feed or of the phase.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from titan.paper.feeds import Bar, Feed, FeedTrade

NEAR = 0.001
WINDOW_MS = 100
MIN_TRADES = 50
CONFIRM_MS = 200
COOLDOWN_MS = 300_000


@dataclass(frozen=True, slots=True)
class Trap:
    kind: str
    side: int
    trigger: float


@dataclass(slots=True)
class Window:
    start_ms: int
    trades: int = 0
    bought: float = 0.0
    sold: float = 0.0


@dataclass(slots=True)
class Watch:
    """Counts sprung traps of one feed over a span of market time."""

    sprung: list[tuple[int, str, Trap]] = field(default_factory=list)

    def run(self, feed: Feed, minutes: int) -> int:
        end = feed.start_ms + minutes * 60_000
        traps: dict[str, list[Trap]] = {}
        cooled: dict[tuple[str, str, int], int] = {}
        windows: dict[str, Window] = {}
        pending: list[tuple[int, str, Trap, float]] = []
        last: dict[str, float] = {}
        next_map = 0
        for event in feed.events(feed.start_ms):
            if event.ts_ms >= end:
                break
            if not isinstance(event, FeedTrade):
                continue
            now, symbol, price = event.ts_ms, event.symbol, float(event.price)
            if now >= next_map:
                next_map = (now // 60_000 + 1) * 60_000
                for instrument in feed.instruments:
                    traps[instrument.symbol] = list(live_traps(feed, instrument.symbol, now))
            last[symbol] = price
            for item in [item for item in pending if now >= item[0]]:
                pending.remove(item)
                _, of, trap, imbalance = item
                held = (last[of] / trap.trigger - 1) * trap.side >= -0.0005
                if held and imbalance * trap.side >= 0.3:
                    self.sprung.append((now, of, trap))
            near = [
                trap
                for trap in traps.get(symbol, [])
                if abs(price - trap.trigger) / trap.trigger <= NEAR
                and cooled.get((symbol, trap.kind, trap.side), 0) <= now
            ]
            if not near:
                continue
            window = windows.setdefault(symbol, Window(now))
            window.trades += 1
            if event.side == "buy":
                window.bought += float(event.qty)
            else:
                window.sold += float(event.qty)
            if now - window.start_ms < WINDOW_MS:
                continue
            del windows[symbol]
            if window.trades >= MIN_TRADES:
                imbalance = (window.bought - window.sold) / (window.bought + window.sold)
                for trap in near:
                    cooled[(symbol, trap.kind, trap.side)] = now + COOLDOWN_MS
                    pending.append((now + CONFIRM_MS, symbol, trap, imbalance))
        return len(self.sprung)


def live_traps(feed: Feed, symbol: str, now_ms: int) -> Iterator[Trap]:
    bars = feed.history(symbol, 3600, now_ms, 100)
    close = float(feed.history(symbol, 60, now_ms, 1)[-1].close)
    yield from _extremes(bars[-50:], close)
    yield from _nodes(bars[-50:], close)
    yield from _days(bars, close)
    yield from _bands([float(bar.close) for bar in bars], close)


def _extremes(bars: list[Bar], close: float) -> Iterator[Trap]:
    high, low = float(max(bar.high for bar in bars)), float(min(bar.low for bar in bars))
    if low * 1.01 <= close <= high * 0.99:
        yield Trap("BREAKOUT", 1, high)
        yield Trap("BREAKDOWN", -1, low)


def _nodes(bars: list[Bar], close: float) -> Iterator[Trap]:
    high, low = float(max(bar.high for bar in bars)), float(min(bar.low for bar in bars))
    step = (high - low) / 50
    profile = [0.0] * 50
    for bar in bars:
        profile[min(49, int((float(bar.close) - low) / step))] += float(bar.volume)
    heaviest = sorted(range(50), key=lambda index: -profile[index])[:3]
    centres = [(low + (index + 0.5) * step, profile[index]) for index in heaviest]
    above = next((node for node in centres if node[0] > close), None)
    below = next((node for node in centres if node[0] < close), None)
    if above is not None and (below is None or above[1] >= below[1]):
        yield Trap("LIQUIDATION", 1, above[0] * 1.002)
    elif below is not None:
        yield Trap("LIQUIDATION", -1, below[0] * 0.998)


def _days(bars: list[Bar], close: float) -> Iterator[Trap]:
    high = float(max(bar.high for bar in bars[-48:-24]))
    low = float(min(bar.low for bar in bars[-48:-24]))
    if abs(close - high) / close < 0.02 and abs(close - high) < abs(close - low):
        yield Trap("DAILY_LEVEL", 1, high * 1.001)
    elif abs(close - low) / close < 0.02:
        yield Trap("DAILY_LEVEL", -1, low * 0.999)


def _bands(closes: list[float], close: float) -> Iterator[Trap]:
    count = len(closes)
    windows = [closes[count - 92 + index : count - 72 + index] for index in range(73)]
    widths = [4 * statistics.pstdev(window) / statistics.fmean(window) for window in windows]
    if widths[-1] <= sorted(widths[:-1])[7]:
        middle, spread = statistics.fmean(windows[-1]), 2 * statistics.pstdev(windows[-1])
        if close > middle:
            yield Trap("BOLLINGER", 1, (middle + spread) * 1.001)
        else:
            yield Trap("BOLLINGER", -1, (middle - spread) * 0.999)
