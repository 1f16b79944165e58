"""How well orders are carried out: latency, slippage, rejects and errors of the last minutes.

Guarantees: no evidence is no blame (a score of 1), and old evidence is forgotten, so a bad minute ends by itself.
Source: reference/brain.md sections 1.6.6, 2.5 and 2.11. All times are wall milliseconds.
"""

from __future__ import annotations

from collections import deque

from titan.codes import RejectCode

WINDOW_MS = 60_000
ERROR_WINDOW_MS = 300_000
MIN_SAMPLES = 5
MIN_ERROR_BASE = 20
MIN_SCORE = 0.7
ERROR_CODES = frozenset({RejectCode.VENUE_REJECTED.value, RejectCode.JOURNAL_FAILED.value})


class ExecutionQuality:
    """Rolling figures over what became of the brain's intents."""

    def __init__(self) -> None:
        self._sent: deque[int] = deque()
        self._rejected: deque[int] = deque()
        self._errors: deque[int] = deque()
        self._latencies: deque[tuple[int, float]] = deque()
        self._slippages: deque[tuple[int, float]] = deque()

    def sent(self, wall_ms: int) -> None:
        """An intent went out."""
        self._sent.append(wall_ms)

    def rejected(self, wall_ms: int, code: str) -> None:
        """An intent came back."""
        self._rejected.append(wall_ms)
        if code in ERROR_CODES:
            self._errors.append(wall_ms)

    def filled(self, wall_ms: int, latency_ms: float | None, slippage_bps: float | None) -> None:
        """An intent's first fill, with the time it took and how much worse than its reference it was."""
        if latency_ms is not None:
            self._latencies.append((wall_ms, latency_ms))
        if slippage_bps is not None:
            self._slippages.append((wall_ms, slippage_bps))

    def latency_ms(self, wall_ms: int) -> float:
        """Mean time from decision to fill of orders that take, 0 with fewer than five."""
        return _mean(self._latencies, wall_ms - WINDOW_MS)

    def slippage_bps(self, wall_ms: int) -> float:
        """Mean adverse slippage of orders that take, 0 with fewer than five."""
        return _mean(self._slippages, wall_ms - WINDOW_MS)

    def reject_rate(self, wall_ms: int) -> float:
        """Share of the last five minutes' intents that came back, 0 with fewer than five."""
        sent = _count(self._sent, wall_ms - ERROR_WINDOW_MS)
        return _count(self._rejected, wall_ms - ERROR_WINDOW_MS) / sent if sent >= MIN_SAMPLES else 0.0

    def error_rate(self, wall_ms: int) -> float:
        """Technical errors of five minutes over at least twenty intents."""
        sent = _count(self._sent, wall_ms - ERROR_WINDOW_MS)
        return _count(self._errors, wall_ms - ERROR_WINDOW_MS) / max(MIN_ERROR_BASE, sent)

    def score(self, wall_ms: int) -> float:
        """1 for fast, falling by 0.1 for each 100 ms above 50 ms."""
        return max(0.0, 1.0 - 0.1 * max(0.0, (self.latency_ms(wall_ms) - 50.0) / 100.0))


def _mean(samples: deque[tuple[int, float]], since_ms: int) -> float:
    while samples and samples[0][0] < since_ms:
        samples.popleft()
    if len(samples) < MIN_SAMPLES:
        return 0.0
    return sum(value for _, value in samples) / len(samples)


def _count(moments: deque[int], since_ms: int) -> int:
    while moments and moments[0] < since_ms:
        moments.popleft()
    return len(moments)
