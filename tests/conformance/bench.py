"""What a card works with: one adapter over real sockets at a venue that speaks its protocol, fed by hand.

The venue's own ledger is the oracle, its fault switches are the trouble.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from tests.titan.paper.house import ASKS, BIDS, CANONICAL, T0, ScriptedFeed, book, mark, trade
from titan.clock import AnchoredClock, MarketAnchor
from titan.ids import ClientOrderId, client_order_id, new_ulid
from titan.model import Order, OrderRole, OrderType, Side
from titan.paper import orders as core
from titan.paper.commands import PlaceOrder
from titan.paper.feeds.base import FeedEvent
from titan.paper.ledger import Filter, Ledger
from titan.paper.protocol.auth import Credentials
from titan.paper.server import build_apps
from titan.paper.venue import Venue as PaperVenue
from titan.runtime import VenueAddress
from titan.venues.base import Venue

VENUES = ("bybit", "binance", "mexc")
BTC = CANONICAL
KEY = Credentials("card-key", "card-secret")
D = Decimal
FAR_MS = T0 + 30 * 86_400_000
PAGES = {"bybit": 100, "binance": 1000, "mexc": 100}
"""Rows on a full page of executions, by venue."""


@dataclass
class Bench:
    """One adapter and its venue."""

    name: str
    paper: PaperVenue
    venue: Venue
    url: str
    admin: str
    http: aiohttp.ClientSession
    more: list[Venue] = field(default_factory=list)

    # the market and the venue's books

    def feed(self, *events: FeedEvent) -> None:
        for event in events:
            self.paper.apply(event)
        self.paper.flush()

    def orders(self, link_id: str = "") -> list[core.Order]:
        """The venue's record of orders, oldest first."""
        return self.paper.ledger.orders(Filter(link_id=link_id), 10_000, oldest_first=True)

    def trades(self) -> list[core.Execution]:
        """The venue's record of trades, oldest first."""
        found = self.paper.ledger.executions(Filter(), 100_000, oldest_first=True)
        return [one for one in found if one.exec_type is core.ExecType.TRADE]

    def arrive(self, wanted: Order) -> None:
        """A market order's request reaches the venue late."""
        side = core.Side.BUY if wanted.side is Side.BUY else core.Side.SELL
        new = core.NewOrder("BTCUSDT", side, core.OrderType.MARKET, wanted.quantity, link_id=wanted.client_order_id)
        reply = self.paper.execute(PlaceOrder(new))
        assert isinstance(reply, core.Accepted), reply

    def flood(self, count: int) -> None:
        """Buys and sells back by turns at the venue itself, without a request."""
        for number in range(count):
            side = core.Side.BUY if number % 2 == 0 else core.Side.SELL
            link = client_order_id(f"flood {number}", 0)
            self.feed(book(BIDS, ASKS, ts=self.paper.market_ms))
            new = core.NewOrder("BTCUSDT", side, core.OrderType.MARKET, D("0.1"), link_id=link)
            reply = self.paper.execute(PlaceOrder(new))
            assert isinstance(reply, core.Accepted), reply

    async def fault(self, kind: str, *on: str, **fields: object) -> None:
        """Sets a switch; without a bound it acts once."""
        if "seconds" not in fields:
            fields.setdefault("count", 1)
        async with self.http.post(f"{self.admin}/faults", json={"kind": kind, "on": list(on), **fields}) as answer:
            assert answer.status == 201, await answer.text()

    async def calm(self) -> None:
        """Removes every switch."""
        async with self.http.delete(f"{self.admin}/faults") as answer:
            assert answer.status == 200

    # another adapter

    async def other(self, key: Credentials = KEY, **fields: object) -> Venue:
        """One more adapter of the same venue."""
        venue = adapter(self.name, self.url, key, **fields)
        self.more.append(venue)
        return venue


def adapter(name: str, url: str, key: Credentials = KEY, **fields: Any) -> Venue:
    """The adapter that the router would use."""
    address = VenueAddress(
        name=name,
        rest_url=url,
        ws_url=url.replace("http", "ws", 1),
        api_key=key.api_key,
        api_secret=key.api_secret,
        **{"paper": True, **fields},
    )
    made: Venue = importlib.import_module(f"titan.venues.{name}").make_venue(address)
    return made


def order(side: Side = Side.BUY, quantity: str = "0.1", **fields: Any) -> Order:
    """An order of ours; a market order unless told otherwise."""
    made = Order(
        client_order_id=ClientOrderId(client_order_id(new_ulid(), 0)),
        intent_id="i",
        signal_id="s",
        child=0,
        role=OrderRole.ENTRY,
        phase=None,
        venue="any",
        account="main",
        symbol=BTC,
        side=side,
        order_type=OrderType.MARKET,
        quantity=D(quantity),
        price=None,
        trigger_price=None,
        stop_price=None,
        target_price=None,
        reduce_only=False,
    )
    return replace(made, **fields)


def limit(price: str, side: Side = Side.BUY, quantity: str = "0.1", **fields: Any) -> Order:
    """A limit order; the book is 98 to 100 bid, 101 to 103 asked."""
    return order(side, quantity, **{"order_type": OrderType.LIMIT, "price": D(price), **fields})


async def soon(waiting: Awaitable[Any]) -> Any:
    """A result that must come."""
    return await asyncio.wait_for(waiting, 15)


Wanted = Callable[[Any], bool]


async def heard(watch: Callable[[], Awaitable[Any]], wanted: Wanted) -> Any:
    """The first item of a stream that is wanted."""

    async def listen() -> Any:
        while True:
            for each in await watch():
                if wanted(each):
                    return each

    return await soon(listen())


@asynccontextmanager
async def bench(name: str, home: Path, *, frozen: bool = False) -> AsyncIterator[Bench]:
    """A venue with the usual book, last and mark price 100. `frozen` stops its market clock."""
    script = ScriptedFeed()
    clock = AnchoredClock(MarketAnchor(T0 + 1000, time.monotonic_ns(), 1e-9 if frozen else 1.0, script.name))
    paper_venue = PaperVenue(script, Ledger(home / "ledger.db", D(100_000)), clock)
    app, admin = build_apps(paper_venue, KEY, name)
    servers = [TestServer(each) for each in (app, admin)]
    for server in servers:
        await server.start_server()
    url, admin_url = (f"http://127.0.0.1:{server.port}" for server in servers)
    async with aiohttp.ClientSession() as http:
        here = Bench(name, paper_venue, adapter(name, url), url, admin_url, http)
        here.feed(book(BIDS, ASKS), trade(100, 1), mark(100))
        try:
            await here.venue.load_instruments()
            yield here
        finally:
            for venue in (here.venue, *here.more):
                await venue.close()
            for server in servers:
                await server.close()
            paper_venue.close()
