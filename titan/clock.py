"""The two times. Market time judges markets, wall time judges machines.

Guarantees: every process of a machine reads the same market time, because it is computed from one anchor
(market0, monotonic0, speed) in `<home>/run/market_clock.json` and CLOCK_MONOTONIC. Never: a core that reads a clock;
cores get `now` handed in.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from titan.files import write_private
from titan.values import value

MIN_WALL_AGE_S = 2.0
ANCHOR_FILE = "market_clock.json"


@value
class Now:
    """One instant seen by both clocks, in milliseconds; what a core receives with every message."""

    market_ms: int
    wall_ms: int


class Clock(Protocol):
    """What tells a shell the time."""

    @property
    def speed(self) -> float:
        """Market milliseconds per wall millisecond."""
        ...

    def now(self) -> Now:
        """Both times at this instant."""
        ...


@dataclass(frozen=True, slots=True)
class MarketAnchor:
    """The point where market time and monotonic time met, and the speed since."""

    market0_ms: int
    monotonic0_ns: int
    speed: float
    feed: str = ""

    def market_ms(self, monotonic_ns: int) -> int:
        """Market time at a monotonic instant."""
        return self.market0_ms + int((monotonic_ns - self.monotonic0_ns) * self.speed / 1e6)

    def write(self, path: Path) -> None:
        """Replaces the anchor file in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> MarketAnchor | None:
        """The anchor on disk, or None when there is none."""
        try:
            raw = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(
            int(raw["market0_ms"]),
            int(raw["monotonic0_ns"]),
            float(raw["speed"]),
            str(raw.get("feed", "")),
        )


class WallClock:
    """Market time is wall time: live trading."""

    speed = 1.0

    def now(self) -> Now:
        """Both times are the system's."""
        ms = time.time_ns() // 1_000_000
        return Now(ms, ms)


class AnchoredClock:
    """Market time from an anchor: paper trading and replays."""

    def __init__(self, anchor: MarketAnchor) -> None:
        self.anchor = anchor

    @property
    def speed(self) -> float:
        """Market milliseconds per wall millisecond."""
        return self.anchor.speed

    def now(self) -> Now:
        """Market time by the anchor, wall time by the system."""
        return Now(self.anchor.market_ms(time.monotonic_ns()), time.time_ns() // 1_000_000)


class ManualClock:
    """A clock that a test or a simulation moves by hand."""

    def __init__(self, market_ms: int = 0, wall_ms: int | None = None, speed: float = 1.0) -> None:
        self.market_ms = market_ms
        self.wall_ms = market_ms if wall_ms is None else wall_ms
        self.speed = speed

    def now(self) -> Now:
        """The instant it was last moved to."""
        return Now(self.market_ms, self.wall_ms)

    def advance(self, market_ms: int) -> Now:
        """Moves market time on, and wall time by as much as the speed makes of it."""
        self.market_ms += market_ms
        self.wall_ms += round(market_ms / self.speed)
        return self.now()


def open_clock(run_dir: Path) -> Clock:
    """The anchored clock when an anchor exists in `run_dir`, else the wall clock."""
    anchor = MarketAnchor.read(run_dir / ANCHOR_FILE)
    return WallClock() if anchor is None else AnchoredClock(anchor)


def market_limit_ms(limit_ms: int, speed: float) -> int:
    """A limit on an age in market time, never under two seconds of wall time (a replay at 60x is not stale by itself)."""
    return max(limit_ms, int(MIN_WALL_AGE_S * 1000 * speed))
