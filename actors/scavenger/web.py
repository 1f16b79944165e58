"""The web of one symbol: its bars, the traps computed from them, and the state those traps keep between computations.

Guarantees: a new map is merged into the old one: a trap that is sprung or cooling keeps its state and none vanishes in
the middle of a confirmation. Every trap has its own warmness: a short history blocks only the rules that need more.
Rules over a number of bars (LIQUIDATION, BOLLINGER, structure) use hourly bars, and five-minute, then one-minute bars
while there are too few hourly ones. Never: clocks, I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.flow import Burst
from actors.scavenger.indicators import Bar
from actors.scavenger.traps import (
    BOLLINGER_BARS,
    DAILY_BARS,
    PROFILE_BARS,
    STRUCTURE_BARS,
    Trap,
    TrapType,
    band,
    bollinger,
    daily_level,
    liquidation,
    structure_traps,
)

INTERVALS = (3600, 300, 60)
KEPT_BARS = 240
_NAMES = {3600: "1h", 300: "5m", 60: "1m"}
SAME_TRAP = 0.001
"""Triggers closer than this fraction are the same trap."""


class BarStore:
    """Closed bars of one symbol by interval, oldest first. A gap that the store can't fill either stays a gap."""

    def __init__(self) -> None:
        self._bars: dict[int, list[Bar]] = {interval: [] for interval in INTERVALS}

    def load(self, interval_s: int, bars: Iterable[Bar]) -> None:
        """Joins a history with what is known; the same opening time is kept once, the newer report wins."""
        merged = {bar.open_ts_ms: bar for bar in self._bars[interval_s]}
        merged.update((bar.open_ts_ms, bar) for bar in bars)
        self._bars[interval_s] = [merged[open_ms] for open_ms in sorted(merged)][-KEPT_BARS:]

    def close(self, interval_s: int, bar: Bar) -> bool:
        """Appends a closed bar; False when bars are missing before it, so that the history must be asked for."""
        bars = self._bars[interval_s]
        if bars and bar.open_ts_ms <= bars[-1].open_ts_ms:
            return True
        whole = bool(bars) and bar.open_ts_ms == bars[-1].open_ts_ms + interval_s * 1000
        bars.append(bar)
        del bars[:-KEPT_BARS]
        return whole

    def last(self, interval_s: int, count: int) -> list[Bar]:
        """The newest `count` bars, or fewer."""
        return self._bars[interval_s][-count:]

    def count(self, interval_s: int) -> int:
        """How many bars of an interval there are."""
        return len(self._bars[interval_s])

    def ladder(self, count: int) -> tuple[int, list[Bar]] | None:
        """The coarsest interval with at least `count` bars, and those bars."""
        for interval in INTERVALS:
            if len(self._bars[interval]) >= count:
                return interval, self._bars[interval][-count:]
        return None


_NEEDS: tuple[tuple[str, int, bool], ...] = (
    (TrapType.LIQUIDATION.value, PROFILE_BARS, True),
    (TrapType.DAILY_LEVEL.value, DAILY_BARS, False),
    (TrapType.BOLLINGER.value, BOLLINGER_BARS, True),
    ("BREAKOUT/BREAKDOWN/PULLBACK", STRUCTURE_BARS, True),
)


def missing(bars: BarStore) -> list[str]:
    """One sentence for every rule over bars that is not warm yet."""
    lacking: list[str] = []
    for name, count, may_fall_back in _NEEDS:
        if bars.count(3600) >= count or (may_fall_back and bars.ladder(count) is not None):
            continue
        have = ", ".join(f"{bars.count(interval)} x {_NAMES[interval]}" for interval in INTERVALS)
        lacking.append(f"{name} needs {count} bars, has {have}")
    return lacking


def level_traps(symbol: str, bars: BarStore, price: float | None, config: ScavengerConfig) -> list[Trap]:
    """Every trap that bars alone define and whose rule is warm."""
    found: list[Trap] = []
    profile = bars.ladder(PROFILE_BARS)
    if profile is not None:
        found.extend(_framed(liquidation(symbol, profile[1], config, price), profile[0]))
    found.extend(_framed(daily_level(symbol, bars.last(3600, DAILY_BARS), config, price), 3600))
    squeeze = bars.ladder(BOLLINGER_BARS)
    if squeeze is not None:
        found.extend(_framed(bollinger(symbol, squeeze[1], config, price), squeeze[0]))
    window = bars.ladder(STRUCTURE_BARS)
    if window is not None:
        found.extend(replace(trap, interval_s=window[0]) for trap in structure_traps(symbol, window[1], config))
    return found


def _framed(trap: Trap | None, interval_s: int) -> list[Trap]:
    return [] if trap is None else [replace(trap, interval_s=interval_s)]


@dataclass(slots=True)
class Sprung:
    """A pending confirmation, with the burst that caused it and the velocity it had."""

    key: str
    due_ms: int
    burst: Burst
    velocity: float


@dataclass(slots=True)
class LiveTrap:
    """A trap and what has happened to it. `absent` traps are remembered only for their cooldown."""

    trap: Trap
    low: float
    high: float
    sprung: Sprung | None = None
    fired_ms: int | None = None
    absent: bool = False


class Web:
    """The live traps of one symbol and the price bands in which trades must be looked at."""

    def __init__(self, config: ScavengerConfig) -> None:
        self._config = config
        self._lives: list[LiveTrap] = []
        self.bands: tuple[tuple[float, float], ...] = ()
        self._rearm_ms: int | None = None

    def merge(self, traps: Sequence[Trap], now_ms: int) -> None:
        """Takes over a new map and keeps the state of traps that are still there, sprung or cooling."""
        old = list(self._lives)
        merged: list[LiveTrap] = []
        for trap in traps:
            before = next((live for live in old if _same(live.trap, trap)), None)
            low, high = band(trap.trigger)
            if before is None:
                merged.append(LiveTrap(trap, low, high))
                continue
            old.remove(before)
            if before.sprung is None:
                before.trap, before.low, before.high, before.absent = trap, low, high, False
            merged.append(before)
        for live in old:
            if live.sprung is not None or self._cooling(live, now_ms):
                live.absent = True
                merged.append(live)
        self._lives = merged
        self.refresh(now_ms)

    def _cooling(self, live: LiveTrap, now_ms: int) -> bool:
        return live.fired_ms is not None and now_ms - live.fired_ms < self._config.trap_cooldown_ms

    def refresh(self, now_ms: int) -> None:
        """Recomputes the bands of armed traps, joined where they overlap."""
        joined: list[tuple[float, float]] = []
        for low, high in sorted((live.low, live.high) for live in self._lives if self._armed(live, now_ms)):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        self.bands = tuple(joined)
        rearms = [
            live.fired_ms + self._config.trap_cooldown_ms
            for live in self._lives
            if live.fired_ms is not None and self._cooling(live, now_ms)
        ]
        self._rearm_ms = min(rearms, default=None)

    def _armed(self, live: LiveTrap, now_ms: int) -> bool:
        return live.sprung is None and not live.absent and not self._cooling(live, now_ms)

    def rearm(self, now_ms: int) -> None:
        """Puts traps whose cooldown is over back into the bands."""
        if self._rearm_ms is not None and now_ms >= self._rearm_ms:
            self.refresh(now_ms)

    def touching(self, price: float, now_ms: int) -> list[LiveTrap]:
        """Armed traps within 0.1 % of a price."""
        return [live for live in self._lives if live.low <= price <= live.high and self._armed(live, now_ms)]

    def due(self, ts_ms: int) -> list[LiveTrap]:
        """Sprung traps whose confirmation is due, earliest first."""
        waiting = [live for live in self._lives if live.sprung is not None and live.sprung.due_ms <= ts_ms]
        return sorted(waiting, key=lambda live: live.sprung.due_ms if live.sprung else 0)

    def by_key(self, key: str) -> LiveTrap | None:
        """The sprung trap of a confirmation key."""
        return next((live for live in self._lives if live.sprung is not None and live.sprung.key == key), None)

    def live(self) -> Mapping[TrapType, int]:
        """How many traps of each type stand."""
        counts: dict[TrapType, int] = {}
        for live in self._lives:
            if not live.absent:
                counts[live.trap.trap_type] = counts.get(live.trap.trap_type, 0) + 1
        return counts

    def traps(self) -> list[Trap]:
        """The traps that stand, for people."""
        return [live.trap for live in self._lives if not live.absent]


def _same(left: Trap, right: Trap) -> bool:
    return (
        left.trap_type is right.trap_type
        and left.direction is right.direction
        and abs(left.trigger - right.trigger) <= SAME_TRAP * right.trigger
    )
