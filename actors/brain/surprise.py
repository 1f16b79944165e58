"""How far recent returns are from what was expected: a calibrated surprise.

Guarantees: Gaussian noise exceeds the threshold about once in ten thousand looks, because the threshold is a quantile
of the statistic's own distribution under noise, and one look alone never acts. Judged on full windows only.
Source: reference/brain.md section 2.6 (active inference).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

BINS = 50
WINDOW = 100
TINY = 1e-10
# The 99.99 % quantile of `surprise_of` over 200,000 windows of 100 Gaussian returns.
NULL_THRESHOLD = 7.43
LOOKS_TO_LOWER = 3
LOOKS_TO_DEFEND = 10


def entropy(p: Sequence[float]) -> float:
    """Shannon entropy in nats; 0·ln 0 counts as 0."""
    return -sum(share * math.log(share) for share in p if share > 0.0)


def kl_divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """KL(p‖q) in nats, as cross-entropy minus entropy; a zero in q counts as 1e-10."""
    cross = -sum(share * math.log(max(TINY, other)) for share, other in zip(p, q, strict=True) if share > 0.0)
    return cross - entropy(p)


@lru_cache(maxsize=8)
def expected_shape(bins: int) -> tuple[float, ...]:
    """The fixed bell over the bins."""
    heights = [math.exp(-0.5 * ((index - bins / 2) / (bins / 4)) ** 2) for index in range(bins)]
    total = sum(heights)
    return tuple(height / total for height in heights)


def histogram(values: Sequence[float], bins: int) -> tuple[float, ...]:
    """Shares of the values in equal bins between their least and greatest."""
    low, high = min(values), max(values)
    if high <= low:
        return tuple(1.0 if index == bins // 2 else 0.0 for index in range(bins))
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return tuple(count / len(values) for count in counts)


def surprise_of(returns: Sequence[float], bins: int = BINS) -> float:
    """KL(expected‖observed) of a window of returns."""
    return kl_divergence(expected_shape(bins), histogram(returns, bins))


class Surprise:
    """The last returns of the benchmark and for how many looks in a row they have been surprising."""

    def __init__(self) -> None:
        self._returns: deque[float] = deque(maxlen=WINDOW)
        self.looks = 0

    def observe(self, value: float) -> None:
        """Takes a return, and a look once the window is full."""
        self._returns.append(value)
        if len(self._returns) == WINDOW:
            self.looks = self.looks + 1 if surprise_of(tuple(self._returns)) > NULL_THRESHOLD else 0

    @property
    def lowers_size(self) -> bool:
        """Whether sizes should be halved."""
        return self.looks >= LOOKS_TO_LOWER

    @property
    def defends(self) -> bool:
        """Whether openings should stop."""
        return self.looks >= LOOKS_TO_DEFEND
