"""The relay that tells when a request is at the venue's socket."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from ops.bench.wiretap import WireTap


async def _venue() -> tuple[web.AppRunner, int]:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, int(runner.addresses[0][1])


async def test_requests_pass_unchanged_and_orders_are_noted_with_their_bodies() -> None:
    runner, port = await _venue()
    tap = WireTap(port)
    url = await tap.start()
    try:
        async with aiohttp.ClientSession() as http:
            order = json.dumps({"orderLinkId": "one", "padding": "x" * 200_000}).encode()
            async with http.post(f"{url}/v5/order/create", data=order) as answer:
                assert await answer.read() == order
            async with http.get(f"{url}/v5/market/time") as answer:
                assert answer.status == 200
            async with http.post(f"{url}/v5/order/cancel", data=b"two") as answer:
                assert await answer.read() == b"two"
        created = await tap.next(cancels=False, timeout_s=5)
        cancelled = await tap.next(cancels=True, timeout_s=5)
    finally:
        await tap.stop()
        await runner.cleanup()
    assert created.body == order
    assert cancelled.body == b"two"
    assert created.at_ns < cancelled.at_ns
    assert not tap.arrivals


async def test_waiting_for_an_order_that_never_comes_times_out() -> None:
    tap = WireTap(1)
    with pytest.raises(TimeoutError):
        await tap.next(cancels=False, timeout_s=0.01)


async def test_a_venue_that_is_away_closes_the_connection() -> None:
    tap = WireTap(1)
    url = await tap.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    finally:
        await tap.stop()
