"""The disposable cache: last prices in Redis, for people and tools that only read.

Guarantees: whatever happens to Redis, the caller goes on: every operation ends within its timeout, failures are counted
and reported by the return value. Never: truth of any kind, nor a wait on the way of an order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

LAST_PRICES = "titan:prices"
TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class LastPrice:
    """A price as decimal text with its exchange time."""

    price: str
    ts_ms: int


class Cache:
    """One process's connection. `failures` counts operations that came to nothing."""

    def __init__(self, url: str) -> None:
        self.failures = 0
        self._redis: Redis = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )

    async def put_last_prices(self, prices: Mapping[str, LastPrice]) -> bool:
        """Writes prices by canonical symbol into the hash `titan:prices`; whether it worked."""
        if not prices:
            return True
        pairs: list[Any] = []
        for symbol, last in prices.items():
            pairs += [symbol, json.dumps({"price": last.price, "ts_ms": last.ts_ms}, separators=(",", ":"))]
        try:
            await self._redis.hset(LAST_PRICES, items=pairs)
        except (RedisError, OSError):
            self.failures += 1
            return False
        return True

    async def last_prices(self) -> dict[str, LastPrice] | None:
        """What is cached by canonical symbol, or None when Redis does not answer."""
        try:
            raw = await self._redis.hgetall(LAST_PRICES)
        except (RedisError, OSError):
            self.failures += 1
            return None
        found: dict[str, LastPrice] = {}
        for symbol, text in raw.items():
            fields = json.loads(text)
            found[str(symbol)] = LastPrice(str(fields["price"]), int(fields["ts_ms"]))
        return found

    async def close(self) -> None:
        """Disconnects."""
        await self._redis.aclose()
