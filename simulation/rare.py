"""The chance that takes a core's rare branches in a world.

Guarantees: each branch of a world is taken often, seldom or never, as the seed decides; the same seed takes the same ones.
Never: on in a world whose plan says no.
"""

from __future__ import annotations

from collections import Counter

from simulation.engine import Engine

ODDS = (0.0, 0.02, 0.3)


class SeededRare:
    """A `titan.buggify.Rare` for one world. `taken` counts."""

    def __init__(self, engine: Engine, on: bool) -> None:
        self.on = on
        self.taken: Counter[str] = Counter()
        self._engine = engine
        self._odds: dict[str, float] = {}

    def takes(self, branch: str) -> bool:
        """Draws."""
        chance = self._engine.chance("rare")
        odds = self._odds.get(branch)
        if odds is None:
            odds = self._odds[branch] = chance.choice(ODDS)
        if chance.random() >= odds:
            return False
        self.taken[branch] += 1
        return True
