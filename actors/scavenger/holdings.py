"""What the Scavenger already has at stake in one symbol: entries proposed, resting, or filled.

Guarantees: a signal counts as an entry from the moment it is proposed until it is refused, flat again, or forgotten after
a wall-time limit, so entries are never stacked by a slow answer. Never: truth about positions; the router's word replaces
what was counted here.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Holdings:
    """Entries of one symbol. `quantity` is signed base units, `opened_ms` market time, 0 while nothing of ours is held."""

    quantity: float = 0.0
    resting: int = 0
    opened_ms: int = 0
    trap_type: str = ""
    filled: set[str] = field(default_factory=set)
    proposed: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By signal id: the wall time at which it is forgotten, and its trap type."""
    _closing_until_wall_ms: int = 0

    def entries(self, wall_ms: int) -> int:
        """How many entries are open or may become so."""
        if self.proposed:
            self.proposed = {key: entry for key, entry in self.proposed.items() if entry[0] > wall_ms}
        held = max(len(self.filled), 1) if self.quantity else 0
        return held + max(len(self.proposed), self.resting)

    def is_against(self, sign: int) -> bool:
        """Whether the held position lies on the other side, with nothing else under way."""
        return self.quantity * sign < 0 and not self.proposed and not self.resting

    def propose(self, signal_id: str, until_wall_ms: int, trap_type: str) -> None:
        """A signal has been sent."""
        self.proposed[signal_id] = (until_wall_ms, trap_type)

    def withdraw(self, signal_id: str) -> bool:
        """A signal came to nothing; whether it was ours and open."""
        return self.proposed.pop(signal_id, None) is not None

    def fill(self, signal_id: str, quantity: float, market_ms: int) -> None:
        """An execution of ours: a proposal becomes a held entry."""
        self.quantity += quantity
        entry = self.proposed.pop(signal_id, None)
        if entry is not None:
            self.filled.add(signal_id)
            self.trap_type = entry[1]
            self.opened_ms = self.opened_ms or market_ms

    def settle(self, quantity: float, resting: int, ours: bool, market_ms: int) -> None:
        """The router's word on position and resting entry orders; `ours` when our stop protects the position."""
        self.quantity = quantity
        self.resting = resting
        if quantity == 0:
            self.filled.clear()
            self.opened_ms = 0
        elif ours and not self.opened_ms:
            self.opened_ms = market_ms

    def overdue(self, market_ms: int, wall_ms: int, max_hold_ms: int) -> bool:
        """Whether a position of ours has been held for too long and no close is under way."""
        if not max_hold_ms or not self.quantity or not self.opened_ms or wall_ms < self._closing_until_wall_ms:
            return False
        return market_ms - self.opened_ms >= max_hold_ms

    def close(self, until_wall_ms: int) -> None:
        """A close has been proposed; it is not repeated before `until_wall_ms`."""
        self._closing_until_wall_ms = until_wall_ms
