"""Who shows progress, and who has been silent for too long.

Guarantees: a beat counts only when it is of the watched incarnation and its progress has risen; time during which the watcher
itself did not look (it was stopped, its loop hung) is held against nobody. Times are milliseconds of one monotonic clock.
Never: a socket, a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervisors.events import Silent

BLIND_MS = 500


@dataclass(slots=True)
class _Watched:
    incarnation: int
    limit_ms: int
    seen_ms: int
    progress: int = -1
    note: str = ""


class Liveness:
    """The heartbeats of Ready children."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._looked_ms: int | None = None

    def watch(self, child: str, incarnation: int, limit_ms: int, now_ms: int) -> None:
        """Expects progress of this incarnation at least every `limit_ms` from now on."""
        self._watched[child] = _Watched(incarnation, limit_ms, now_ms)

    def forget(self, child: str) -> None:
        """Expects nothing of this child any more."""
        self._watched.pop(child, None)

    def watches(self, child: str, incarnation: int) -> bool:
        """Whether progress of this very incarnation is expected."""
        watched = self._watched.get(child)
        return watched is not None and watched.incarnation == incarnation

    def beat(self, child: str, incarnation: int, progress: int, now_ms: int, note: str = "") -> bool:
        """Takes a heartbeat; whether it proved progress. `note` is the child's own word on what holds it up."""
        watched = self._watched.get(child)
        if watched is None or watched.incarnation != incarnation:
            return False
        watched.note = note
        if progress <= watched.progress:
            return False
        watched.progress = progress
        watched.seen_ms = now_ms
        return True

    def silent(self, now_ms: int) -> list[Silent]:
        """Those silent for longer than they may, each reported once. To be asked several times a second."""
        if self._looked_ms is not None and now_ms - self._looked_ms > BLIND_MS:
            missed_ms = now_ms - self._looked_ms
            for watched in self._watched.values():
                watched.seen_ms = min(now_ms, watched.seen_ms + missed_ms)
        self._looked_ms = now_ms
        late = [
            Silent(child, watched.incarnation, now_ms - watched.seen_ms, watched.note)
            for child, watched in self._watched.items()
            if now_ms - watched.seen_ms > watched.limit_ms
        ]
        for silent in late:
            self.forget(silent.child)
        return late

    def age_ms(self, child: str, now_ms: int) -> int | None:
        """Milliseconds since the last proof of progress; None for a child that is not watched."""
        watched = self._watched.get(child)
        return None if watched is None else now_ms - watched.seen_ms

    def progress(self, child: str) -> int:
        """The last progress counter seen of a watched child, else 0."""
        watched = self._watched.get(child)
        return 0 if watched is None else max(0, watched.progress)
