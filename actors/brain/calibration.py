"""How much a phase's stated confidence has been worth, by kind of trap.

Guarantees: with no history the stated confidence stands; with twenty trials it no longer counts; what was learned fades
with a half-life of six hours of market time. Without fading a bad streak is a sentence for ever: a kind of trap that is
vetoed makes no trials by which it could recover. Source: reference/brain.md section 2.4 (Beta prior 0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FULL_WEIGHT_TRIALS = 20
HALF_LIFE_MS = 6 * 3_600_000


@dataclass(frozen=True, slots=True)
class Record:
    """Outcomes of one kind of trap, as they weighed at market time `at_ms`."""

    wins: float = 0.0
    trials: float = 0.0
    at_ms: int = 0

    def faded(self, now_ms: int) -> Record:
        """The same outcomes as they weigh at `now_ms`."""
        factor = 0.5 ** (max(0, now_ms - self.at_ms) / HALF_LIFE_MS)
        return Record(self.wins * factor, self.trials * factor, now_ms)


def calibrated(record: Record, raw_confidence: float) -> float:
    """Confidence as a fraction: the posterior mean, blended with the stated percentage by the number of trials."""
    weight = min(1.0, record.trials / FULL_WEIGHT_TRIALS)
    posterior = (record.wins + 0.5) / (record.trials + 1.0)
    return weight * posterior + (1.0 - weight) * raw_confidence / 100.0


class Calibration:
    """Outcomes by kind of trap."""

    def __init__(self, records: Mapping[str, Record] | None = None) -> None:
        self.records: dict[str, Record] = dict(records or {})

    def of(self, trap_type: str, raw_confidence: float, now_ms: int) -> float:
        """The calibrated confidence of a signal of this trap at market time `now_ms`, as a fraction."""
        return calibrated(self.records.get(trap_type, Record()).faded(now_ms), raw_confidence)

    def record(self, trap_type: str, now_ms: int, *, won: bool) -> None:
        """Takes note of a round trip closed at market time `now_ms`."""
        old = self.records.get(trap_type, Record()).faded(now_ms)
        self.records[trap_type] = Record(old.wins + int(won), old.trials + 1, now_ms)
