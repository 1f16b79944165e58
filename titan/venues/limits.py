"""How many requests a venue still admits: token buckets with a reserve for what lowers risk.

Guarantees: pure; the same calls with the same times give the same answers. A request is granted only when every bucket
it draws on has room. What raises risk or only reads leaves each bucket's reserve untouched, so that a cancel or a
reduce-only order always finds room. A venue's Retry-After stops everything until it is over. Never: clocks, sleep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

Cost = Mapping[str, float]


class Lane(Enum):
    """Who asks. URGENT lowers risk: cancels, reduce-only orders and look-ups of orders in doubt."""

    URGENT = "URGENT"
    NORMAL = "NORMAL"


@dataclass(frozen=True, slots=True)
class Budget:
    """One of a venue's limits. `capacity` tokens at most, refilled at `per_s`; `reserve` of them for the urgent lane."""

    name: str
    capacity: float
    per_s: float
    reserve: float = 0.0

    def __post_init__(self) -> None:
        if self.capacity <= 0 or self.per_s <= 0 or not 0 <= self.reserve < self.capacity:
            raise ValueError(
                f"budget {self.name}: capacity {self.capacity:g} and refill {self.per_s:g} must be above 0 and the "
                f"reserve {self.reserve:g} at least 0 and below the capacity"
            )


class TokenBucket:
    """One budget's tokens, refilled continuously. Times are monotonic seconds and may not run backwards."""

    __slots__ = ("_budget", "_tokens", "_updated_s")

    def __init__(self, budget: Budget, now_s: float = 0.0) -> None:
        self._budget = budget
        self._tokens = budget.capacity
        self._updated_s = now_s

    def wait_s(self, cost: float, now_s: float, lane: Lane) -> float:
        """Seconds until `cost` can be taken; 0 when it can be now. Raises ValueError for a cost that never fits."""
        budget = self._budget
        floor = 0.0 if lane is Lane.URGENT else budget.reserve
        if cost > budget.capacity - floor:
            raise ValueError(f"a cost of {cost:g} never fits budget {budget.name}, which holds {budget.capacity:g}")
        if now_s > self._updated_s:
            self._tokens = min(budget.capacity, self._tokens + (now_s - self._updated_s) * budget.per_s)
            self._updated_s = now_s
        missing = cost + floor - self._tokens
        return 0.0 if missing <= 1e-9 else missing / budget.per_s

    def take(self, cost: float) -> None:
        """Uses tokens up; ask `wait_s` first."""
        self._tokens -= cost

    def spent(self, used: float) -> None:
        """Learns from the venue how much of the capacity is used, when that is more than is known here."""
        self._tokens = min(self._tokens, self._budget.capacity - used)


class RateLimiter:
    """A venue's budgets together. Without budgets only Retry-After holds requests back."""

    def __init__(self, budgets: Iterable[Budget] = (), now_s: float = 0.0) -> None:
        self._buckets = {budget.name: TokenBucket(budget, now_s) for budget in budgets}
        self._held_until_s = 0.0

    def take(self, cost: Cost, now_s: float, lane: Lane = Lane.NORMAL) -> float:
        """Takes the cost and returns 0, or takes nothing and returns the seconds to wait before asking again."""
        wait = self._held_until_s - now_s
        if wait > 0:
            return wait
        if not self._buckets:
            return 0.0
        drawn = [(self._buckets[name], tokens) for name, tokens in cost.items() if name in self._buckets]
        wait = max((bucket.wait_s(tokens, now_s, lane) for bucket, tokens in drawn), default=0.0)
        if wait > 0:
            return wait
        for bucket, tokens in drawn:
            bucket.take(tokens)
        return 0.0

    def hold(self, seconds: float, now_s: float) -> None:
        """The venue asked for silence: nothing is granted before it is over."""
        self._held_until_s = max(self._held_until_s, now_s + seconds)

    def spent(self, name: str, used: float) -> None:
        """The venue said how much of a budget is used."""
        bucket = self._buckets.get(name)
        if bucket is not None:
            bucket.spent(used)
