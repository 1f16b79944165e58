"""When a server that answers but complains is restarted.

Guarantees: only a complaint that lasts is answered, only when there is room on its disk again, and never twice within
`again_ms`. Times are milliseconds of one monotonic clock. Never: a restart of its own, a disk, a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a complaint may last, how much room a restart needs, and how long the next one waits."""

    lasting_ms: int = 3_000
    room_bytes: int = 64 * MB
    again_ms: int = 30_000


@dataclass(slots=True)
class _Complaint:
    text: str
    since_ms: int


class Remedy:
    """The complaints of servers."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._complaints: dict[str, _Complaint] = {}
        self._restarted_ms: dict[str, int] = {}

    def heard(self, server: str, complaint: str, free_bytes: int, now_ms: int) -> str:
        """Takes what a server says of itself ("" is well) and the room on its disk; why it must be restarted now, or nothing."""
        if not complaint:
            self._complaints.pop(server, None)
            return ""
        known = self._complaints.setdefault(server, _Complaint(complaint, now_ms))
        known.text = complaint
        if now_ms - known.since_ms < self._patience.lasting_ms or free_bytes < self._patience.room_bytes:
            return ""
        last = self._restarted_ms.get(server)
        if last is not None and now_ms - last < self._patience.again_ms:
            return ""
        self._restarted_ms[server] = now_ms
        self._complaints.pop(server)
        return f"it refuses work although {free_bytes // MB} MB are free: {complaint}"

    def complaint(self, server: str) -> str:
        """What a server complains of now."""
        known = self._complaints.get(server)
        return "" if known is None else known.text

    def forget(self, server: str) -> None:
        """Its process is gone."""
        self._complaints.pop(server, None)
