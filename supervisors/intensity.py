"""The sliding window of restarts.

Guarantees: a restart exactly `period_ms` ago still counts, one older does not; "too many" means more than `max_restarts`.
"""

from __future__ import annotations

from collections import deque

from supervisors.spec import Intensity


class RestartWindow:
    """Instants of recent restarts, by child."""

    def __init__(self, intensity: Intensity) -> None:
        self._intensity = intensity
        self._seen: deque[tuple[str, int]] = deque()

    def add(self, child: str, now_ms: int) -> None:
        """Counts a restart."""
        self._forget(now_ms)
        self._seen.append((child, now_ms))

    def count(self, now_ms: int, child: str | None = None) -> int:
        """Restarts within the period before now: of one child, or of all."""
        self._forget(now_ms)
        return sum(1 for name, _ in self._seen if child is None or name == child)

    def exceeded(self, now_ms: int, child: str | None = None) -> bool:
        """Whether there were too many."""
        return self.count(now_ms, child) > self._intensity.max_restarts

    def left(self, now_ms: int, child: str | None = None) -> int:
        """How many restarts are still free."""
        return max(0, self._intensity.max_restarts - self.count(now_ms, child))

    def clear(self, child: str) -> None:
        """Forgets one child's restarts: a person has looked at it."""
        self._seen = deque(entry for entry in self._seen if entry[0] != child)

    def entries(self) -> tuple[tuple[str, int], ...]:
        """What must outlive the supervisor."""
        return tuple(self._seen)

    def remember(self, entries: tuple[tuple[str, int], ...], now_ms: int) -> None:
        """Takes up an earlier window. Instants after now are of an earlier boot's clock and are dropped."""
        self._seen = deque(entry for entry in entries if entry[1] <= now_ms)
        self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        oldest = now_ms - self._intensity.period_ms
        while self._seen and self._seen[0][1] < oldest:
            self._seen.popleft()
