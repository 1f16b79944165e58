"""Virtual time: one heap of events, two clocks, one stream of chance for each concern.

Guarantees: events run in order of time and, within a millisecond, in the order they were asked for; the same seed gives
the same run. Never: the system's time, or a random source that the seed does not decide.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from random import Random

from titan.clock import Now

WALL_0_MS = 1_760_000_000_000
MARKET_0_MS = 1_760_000_000_000

Action = Callable[[], object]


class Timer:
    """Something that will happen; `cancel` takes it back."""

    __slots__ = ("action",)

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        """Nothing happens any more."""
        self.action = None


class Engine:
    """The time of one world. `t_ms` is monotonic; `skew_ms` is how far the machine's own clocks are off the venue's."""

    def __init__(self, seed: int, speed: float) -> None:
        self.seed = seed
        self.speed = speed
        self.t_ms = 0
        self.skew_ms = 0
        self.events = 0
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self._random: dict[str, Random] = {}

    def now(self) -> Now:
        """What the machine's clocks show."""
        return Now(
            MARKET_0_MS + int(self.t_ms * self.speed) + self.skew_ms,
            WALL_0_MS + self.t_ms + self.skew_ms,
        )

    def venue_ms(self) -> int:
        """What the venue's clock shows: market time."""
        return MARKET_0_MS + int(self.t_ms * self.speed)

    def chance(self, concern: str) -> Random:
        """The stream of chance of one concern; one concern's draws do not move another's."""
        found = self._random.get(concern)
        if found is None:
            # An integer seed costs a third of a text one, and does not depend on the hash of texts.
            digest = hashlib.blake2b(f"{self.seed}:{concern}".encode(), digest_size=8).digest()
            found = self._random[concern] = Random(int.from_bytes(digest, "big"))
        return found

    def after(self, delay_ms: int, action: Action) -> Timer:
        """Runs `action` in `delay_ms`, at the earliest after what happens now."""
        timer = Timer(action)
        self._order += 1
        heapq.heappush(self._heap, (self.t_ms + max(0, delay_ms), self._order, timer))
        return timer

    def next_ms(self) -> int | None:
        """When the next event is due, None when nothing is."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def step(self) -> bool:
        """Runs the next event; False when there is none."""
        if self.next_ms() is None:
            return False
        at_ms, _, timer = heapq.heappop(self._heap)
        self.t_ms = at_ms
        self.events += 1
        action = timer.action
        assert action is not None
        timer.action = None
        action()
        return True

    def note(self, text: str) -> None:
        """Adds to the trace what happened now."""
        self._trace.update(f"{self.t_ms} {text}\n".encode())

    def trace_hash(self) -> str:
        """A name for everything noted so far."""
        return self._trace.hexdigest()
