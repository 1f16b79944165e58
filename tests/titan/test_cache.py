"""The disposable cache against a real server, and without one."""

from __future__ import annotations

from titan.cache import Cache, LastPrice
from titan.testing import free_ports

SYMBOL = "TEST/CACHE:CACHE"


async def test_prices_written_are_read_back(redis_url: str) -> None:
    cache = Cache(redis_url)
    assert await cache.put_last_prices({SYMBOL: LastPrice("123.40", 7)})
    found = await cache.last_prices()
    assert found is not None
    assert found[SYMBOL] == LastPrice("123.40", 7)
    assert cache.failures == 0
    await cache.close()


async def test_without_a_server_writes_and_reads_fail_countably_and_raise_nothing() -> None:
    [port] = free_ports(1)
    cache = Cache(f"redis://127.0.0.1:{port}/0")
    assert not await cache.put_last_prices({SYMBOL: LastPrice("1", 1)})
    assert await cache.last_prices() is None
    assert cache.failures == 2
    await cache.close()


async def test_nothing_to_write_asks_nobody() -> None:
    [port] = free_ports(1)
    cache = Cache(f"redis://127.0.0.1:{port}/0")
    assert await cache.put_last_prices({})
    assert cache.failures == 0
    await cache.close()
