"""How instruments move together: correlation of simple returns, aligned by time.

Guarantees: two series are compared only at buckets of market time that both have. Never: alignment by index, an
answer without prices. Source: reference/brain.md section 2.4.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

BUCKET_MS = 10_000
KEPT_BUCKETS = 360
MIN_OVERLAP = 10
CACHE_MS = 300_000
UNKNOWN = 0.5


class NoHistory(ValueError):
    """There are fewer than two prices of an instrument: whoever asks must refuse."""


def pearson(left: Sequence[float], right: Sequence[float]) -> float:
    """Pearson's correlation; 0 when one of the series does not move."""
    count = len(left)
    mean_left, mean_right = sum(left) / count, sum(right) / count
    covariance = sum((a - mean_left) * (b - mean_right) for a, b in zip(left, right, strict=True))
    spread = math.sqrt(sum((a - mean_left) ** 2 for a in left) * sum((b - mean_right) ** 2 for b in right))
    return covariance / spread if spread > 0.0 else 0.0


class PriceHistory:
    """The last price of each bucket of market time, by symbol."""

    def __init__(self) -> None:
        self._prices: dict[str, OrderedDict[int, float]] = {}
        self._cache: dict[tuple[str, str], tuple[int, float]] = {}

    def record(self, symbol: str, ts_ms: int, price: float) -> None:
        """Takes note of a price. A late one never replaces a later bucket."""
        series = self._prices.get(symbol)
        if series is None:
            series = self._prices[symbol] = OrderedDict()
        bucket = ts_ms // BUCKET_MS
        newest = next(reversed(series), bucket)
        if bucket < newest:
            return
        series[bucket] = price
        if len(series) > KEPT_BUCKETS:
            series.popitem(last=False)

    def prices(self, symbol: str) -> list[float]:
        """What is remembered of a symbol, oldest first."""
        return list(self._prices.get(symbol, {}).values())

    def correlation(self, left: str, right: str, market_ms: int) -> float:
        """Correlation of two symbols in [-1, 1]; 0.5 while they have too few buckets in common.

        A symbol correlates perfectly with itself. Raises NoHistory with fewer than two prices of either.
        """
        if left == right:
            return 1.0
        key = (left, right) if left < right else (right, left)
        cached = self._cache.get(key)
        if cached is not None and market_ms - cached[0] < CACHE_MS:
            return cached[1]
        returns_left, returns_right = self._returns(left), self._returns(right)
        common = returns_left.keys() & returns_right.keys()
        if len(common) < MIN_OVERLAP:
            return UNKNOWN
        buckets = sorted(common)
        value = pearson([returns_left[at] for at in buckets], [returns_right[at] for at in buckets])
        self._cache[key] = (market_ms, value)
        return value

    def volatility(self, symbol: str) -> float | None:
        """Standard deviation of returns times the last price; 1 % of the price under ten prices, None without any."""
        prices = self.prices(symbol)
        if not prices:
            return None
        if len(prices) < 10:
            return prices[-1] * 0.01
        returns = list(self._returns(symbol).values())
        if len(returns) < 2:
            return prices[-1] * 0.01
        mean = sum(returns) / len(returns)
        return prices[-1] * math.sqrt(sum((value - mean) ** 2 for value in returns) / (len(returns) - 1))

    def _returns(self, symbol: str) -> dict[int, float]:
        series = self._prices.get(symbol)
        if series is None or len(series) < 2:
            raise NoHistory(f"fewer than two prices of {symbol} are known")
        returns: dict[int, float] = {}
        before: tuple[int, float] | None = None
        for bucket, price in series.items():
            if before is not None and bucket == before[0] + 1:
                returns[bucket] = price / before[1] - 1.0
            before = (bucket, price)
        return returns
