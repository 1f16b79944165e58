"""One turn of the core: the instant, the rows it writes and what it asks for, in order.

Guarantees: rows stand before every effect that was asked for after them. Never: I/O.
"""

from __future__ import annotations

from actors.router import rows
from actors.router.effects import Append, Effect
from actors.router.state import RouterState
from titan.clock import Now
from titan.journal.rows import Row


class Turn:
    """Collects what one event leads to."""

    __slots__ = ("_rows", "_state", "effects", "now")

    def __init__(self, state: RouterState, now: Now) -> None:
        self.now = now
        self.effects: list[Effect] = []
        self._state = state
        self._rows: list[Row] = []

    def write(self, kind: str, payload: rows.Payload) -> int:
        """Adds a journal row and returns its sequence number."""
        state = self._state
        state.seq += 1
        self._rows.append(Row(state.seq, kind, rows.encode(payload), self.now.wall_ms))
        return state.seq

    def do(self, effect: Effect) -> None:
        """Asks for an effect, after the rows so far."""
        self._flush()
        self.effects.append(effect)

    def finish(self) -> list[Effect]:
        """Everything asked for."""
        self._flush()
        return self.effects

    def _flush(self) -> None:
        if self._rows:
            self.effects.append(Append(tuple(self._rows)))
            self._rows = []
