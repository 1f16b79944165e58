"""A venue behind real sockets in the test's own loop, fed by hand, and real ccxt clients for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt.pro
from aiohttp.test_utils import TestServer

from tests.titan.paper.house import ASKS, BIDS, T0, ScriptedFeed, book, mark, trade
from tests.waiting import until
from titan.clock import AnchoredClock, MarketAnchor
from titan.paper.feeds.base import FeedEvent
from titan.paper.ledger import Ledger
from titan.paper.protocol.auth import Credentials
from titan.paper.server import build_apps
from titan.paper.venue import Venue

KEY = Credentials("test-key", "test-secret")


def bybit(port: int, key: Credentials = KEY) -> Any:
    """Unmodified ccxt.pro bybit with its URLs and key changed, and without its own rate limit."""
    http, ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/v5"
    client = ccxt.pro.bybit(
        {
            "apiKey": key.api_key,
            "secret": key.api_secret,
            "enableRateLimit": False,
            "options": {"defaultType": "swap", "fetchOrder": {"acknowledged": True}},
        }
    )
    client.timeout_on_exit = 0
    client.urls["api"] = {
        "public": http,
        "private": http,
        "ws": {
            "public": {c: f"{ws}/public/{c}" for c in ("linear", "spot", "inverse", "option")},
            "private": {"contract": f"{ws}/private", "trade": f"{ws}/trade"},
        },
    }
    return client


class LiveVenue:
    """A running venue; `apply` plays events into it and sends the frames at once."""

    def __init__(self, venue: Venue, port: int, admin_port: int) -> None:
        self.venue = venue
        self.port = port
        self.admin_port = admin_port
        self.clients: list[Any] = []

    def apply(self, *events: FeedEvent) -> None:
        for event in events:
            self.venue.apply(event)
        self.venue.flush()

    def client(self, key: Credentials = KEY) -> Any:
        client = bybit(self.port, key)
        self.clients.append(client)
        return client


@asynccontextmanager
async def live_venue(home: Path, feed: ScriptedFeed | None = None) -> AsyncIterator[LiveVenue]:
    """A venue at market time T0 + 1 s with the usual book, price 100 and mark 100."""
    feed = feed or ScriptedFeed()
    ledger = Ledger(home / "ledger.db", Decimal(100_000))
    clock = AnchoredClock(MarketAnchor(T0 + 1000, time.monotonic_ns(), 1.0, feed.name))
    venue = Venue(feed, ledger, clock)
    app, admin = build_apps(venue, KEY)
    server, admin_server = TestServer(app), TestServer(admin)
    await server.start_server()
    await admin_server.start_server()
    assert server.port is not None
    assert admin_server.port is not None
    live = LiveVenue(venue, server.port, admin_server.port)
    live.apply(book(BIDS, ASKS), trade(100, 1), mark(100))
    try:
        yield live
    finally:
        for client in live.clients:
            await client.close()
        await server.close()
        await admin_server.close()
        venue.close()


async def first(waiting: Awaitable[Any], timeout_s: float = 10) -> Any:
    """The result of a ccxt watch, or a timeout."""
    return await asyncio.wait_for(waiting, timeout_s)


async def subscribed(live: LiveVenue, topic: str, *, private: bool = False) -> None:
    """Waits until someone listens to a topic."""
    hub = live.venue.private if private else live.venue.public
    await until(lambda: hub.wants(topic))
