"""A router as a real process between a real NATS server and the real paper venue.

The test plays market data (tickers read from the venue) and the brain (heartbeats and signed intents).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import yarl
from aiohttp import web

from protos import market_pb2, system_pb2, trading_pb2
from tests.processes import Process
from tests.waiting import until
from titan import subjects
from titan.bus import Bus, Received
from titan.clock import open_clock
from titan.codec import intent_to_pb
from titan.ids import IntentId, SignalId, new_ulid
from titan.model import Action, Intent, OrderType, Phase, Side
from titan.policy import load_policy
from titan.runtime import Runtime, VenueAddress
from titan.servers import Addresses, Kind, embedded
from titan.testing import runtime_for_tests

ROOT = Path(__file__).resolve().parents[3]
BTC = "BTC/USDT:USDT"
SPEED = 20.0
CREATES = (
    "/v5/order/create",
    "/fapi/v1/order",
    "/api/v1/private/order/create",
    "/api/v1/private/planorder/place/v2",
)


class Proxy:
    """Stands before the venue's REST and spoils the answers to new orders: pass, drop (after accept), deny (429)."""

    def __init__(self, upstream: str, http: aiohttp.ClientSession) -> None:
        self.mode = "pass"
        self.creates = 0
        self._upstream = upstream
        self._http = http
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]  # asyncio's server

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        create = request.method == "POST" and request.path in CREATES
        self.creates += create
        if create and self.mode == "deny":
            return web.Response(status=429, text="Too Many Requests")
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")
        }
        target = yarl.URL(f"{self._upstream}{request.raw_path}", encoded=True)
        async with self._http.request(request.method, target, data=await request.read(), headers=headers) as answer:
            body = await answer.read()
        if create and self.mode == "drop":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=answer.status, body=body, content_type="application/json")


@dataclass
class World:
    """Everything around one router."""

    home: Path
    runtime: Runtime
    venue: Process
    bus: Bus
    http: aiohttp.ClientSession
    proxy: Proxy
    playing: asyncio.Task[None] = field(init=False)
    router: Process | None = None
    played: int = 0
    orders: list[trading_pb2.OrderEvent] = field(default_factory=list)
    fills: list[trading_pb2.Fill] = field(default_factory=list)
    rejects: list[trading_pb2.Reject] = field(default_factory=list)
    state: trading_pb2.RouterState | None = None

    @property
    def policy_hash(self) -> str:
        return load_policy(self.runtime.policy_path).hash

    async def start_router(self, path: str = "actors.router.actor:Router") -> None:
        """Starts a router and waits until it is Ready and has heard a ticker and the brain."""
        self.router = await Process.start("titan.process", path, "--home", str(self.home))
        await self.told()

    async def told(self) -> None:
        """Waits until whoever runs now has heard a ticker and the brain."""
        heard = self.played

        async def fresh() -> bool:
            return self.played > heard + 1

        await until(fresh, "a ticker and a heartbeat")
        await self.bus.flush()

    async def kill_router(self) -> None:
        assert self.router is not None
        await self.router.kill()

    async def ledger(self, name: str) -> list[dict[str, Any]]:
        """The venue's own books: the oracle."""
        async with self.http.get(f"{self.runtime.venue.admin_url}/ledger/{name}") as answer:
            body = await answer.json()
        found: list[dict[str, Any]] = body if isinstance(body, list) else body.get("rows", body)
        return found

    async def price(self) -> dict[str, str]:
        url = f"{self.runtime.venue.rest_url}/v5/market/tickers"
        async with self.http.get(url, params={"category": "linear", "symbol": "BTCUSDT"}) as answer:
            body = await answer.json()
        found: dict[str, str] = body["result"]["list"][0]
        return {**found, "time": str(body["time"])}

    async def play_market(self) -> None:
        """Tickers and the brain's heartbeat, for ever."""
        clock = open_clock(self.runtime.run_dir)
        while True:
            raw = await self.price()
            ticker = market_pb2.Ticker(
                venue=self.runtime.venue.name,
                symbol=BTC,
                ts_ms=clock.now().market_ms,
                last=raw["lastPrice"],
                mark=raw["markPrice"],
                bid=raw["bid1Price"],
                ask=raw["ask1Price"],
            )
            await self.bus.publish(subjects.ticker(self.runtime.venue.name, BTC), ticker)
            beat = system_pb2.Heartbeat(service="brain", state=system_pb2.ACTOR_STATE_READY)
            await self.bus.publish(subjects.heartbeat("brain"), beat)
            self.played += 1
            await asyncio.sleep(0.2)

    async def intent(self, side: Side = Side.BUY, usd: str = "1000", name: str = "", **overrides: Any) -> Intent:
        """An opening at the present price with its stop five percent away."""
        raw = await self.price()
        price = Decimal(raw["ask1Price"] if side is Side.BUY else raw["bid1Price"])
        now = open_clock(self.runtime.run_dir).now().market_ms
        away = Decimal("0.95") if side is Side.BUY else Decimal("1.05")
        values: dict[str, Any] = {
            "intent_id": IntentId(name or new_ulid()),
            "signal_id": SignalId(f"signal-{name or new_ulid()}"),
            "phase": Phase.SCAVENGER,
            "action": Action.OPEN,
            "venue": self.runtime.venue.name,
            "account": "main",
            "symbol": BTC,
            "side": side,
            "size_usd": Decimal(usd),
            "quantity": None,
            "order_type": OrderType.MARKET,
            "limit_price": None,
            "reference_price": price,
            "stop_price": price * away,
            "target_price": None,
            "max_slippage_bps": 100,
            "leverage": Decimal(1),
            "policy_hash": self.policy_hash,
            "t_signal_ms": now,
            "t_decision_ms": now,
            "ttl_ms": 60_000,
            "t_wall_ns": time.time_ns(),
            **overrides,
        }
        return Intent(**values)

    async def order(self, wanted: Intent) -> None:
        """Publishes an intent as the brain does."""
        subject = subjects.intent_place(wanted.venue, wanted.account, wanted.symbol)
        await self.bus.publish(subject, intent_to_pb(wanted), idempotency_key=wanted.intent_id)

    async def command(
        self, verb: str, reason: str = "test", client_order_id: str = "", price: str = "", quantity: str = ""
    ) -> trading_pb2.OperatorReceipt:
        command = trading_pb2.OperatorCommand(
            command_id=new_ulid(),
            action=verb,
            reason=reason,
            operator_id="tester",
            client_order_id=client_order_id,
            price=price,
            quantity=quantity,
        )
        return await self.bus.request(subjects.operator(verb), command, trading_pb2.OperatorReceipt, timeout_s=30)

    async def settled(self, intent_id: str) -> trading_pb2.OrderEvent:
        """The terminal event of an intent's order."""

        async def ended() -> Any:
            states = (
                trading_pb2.ORDER_STATE_FILLED,
                trading_pb2.ORDER_STATE_CANCELED,
                trading_pb2.ORDER_STATE_REJECTED,
            )
            own = [each for each in self.orders if each.intent_id == intent_id and each.role in (1, 4, 5)]
            refused = [each for each in self.rejects if each.intent_id == intent_id]
            assert own or not refused, refused
            return next((each for each in own if each.state in states), None)

        found: trading_pb2.OrderEvent = await until(ended, f"an end of {intent_id}")
        return found

    async def venue_position(self) -> Decimal:
        return sum((Decimal(str(each["size"])) for each in await self.ledger("positions")), Decimal(0))

    async def journal(self) -> list[dict[str, Any]]:
        """Every row the router gives away, decoded."""
        found: list[dict[str, Any]] = []
        while True:
            asked = trading_pb2.JournalFollowRequest(from_seq=len(found), limit=500)
            reply = await self.bus.request(subjects.RPC_JOURNAL, asked, trading_pb2.JournalFollowReply)
            assert not reply.error
            found += [{"kind": row.kind, "seq": row.seq, **json.loads(row.payload)} for row in reply.rows]
            if not reply.rows or reply.rows[-1].seq >= reply.last_seq:
                return found


@contextlib.asynccontextmanager
async def world(
    open_dir: Path, *, speed: float = SPEED, feed: str = "synthetic:7", speaks: str = "bybit", **overrides: Any
) -> AsyncIterator[World]:
    """NATS, the paper venue that speaks like an exchange, and a bus; the router is for the test to start."""
    home = open_dir / f"router-{new_ulid()}"
    async with embedded(home, {Kind.NATS}, durable=False) as addresses:
        venue = await Process.start(
            "titan.paper",
            "--feed",
            feed,
            "--speed",
            str(speed),
            "--home",
            str(home),
            "--symbols",
            BTC,
            "--speaks",
            speaks,
        )
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(venue.stop)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            proxy = Proxy(f"http://127.0.0.1:{venue.ready['port']}", http)
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            runtime = _runtime(home, addresses, venue, speed, proxy.url, speaks, **overrides)
            bus = await Bus.connect(runtime, "brain")
            stack.push_async_callback(bus.close)
            here = World(home, runtime, venue, bus, http, proxy)
            await _listen(here)
            here.playing = asyncio.create_task(here.play_market())
            try:
                yield here
            finally:
                here.playing.cancel()
                await asyncio.gather(here.playing, return_exceptions=True)
                if here.router is not None:
                    await here.router.stop()


def _runtime(
    home: Path, addresses: Addresses, venue: Process, speed: float, rest_url: str, speaks: str, **overrides: Any
) -> Runtime:
    keys = json.loads((home / "run" / "paper_credentials.json").read_text())
    port, admin = venue.ready["port"], venue.ready["admin_port"]
    address = VenueAddress(
        name=speaks,
        rest_url=rest_url,
        ws_url=f"ws://127.0.0.1:{port}",
        api_key=keys["api_key"],
        api_secret=keys["api_secret"],
        paper=True,
        admin_url=f"http://127.0.0.1:{admin}",
    )
    return runtime_for_tests(
        home,
        nats_url=addresses.nats_url,
        nats_user=addresses.nats_user,
        nats_password=addresses.nats_password,
        venues=(address,),
        symbols=(BTC,),
        speed=speed,
        started_ms=time.time_ns() // 1_000_000,
        **overrides,
    )


async def _listen(here: World) -> None:
    async def order(received: Received[trading_pb2.OrderEvent]) -> None:
        here.orders.append(received.message)

    async def fill(received: Received[trading_pb2.Fill]) -> None:
        here.fills.append(received.message)

    async def reject(received: Received[trading_pb2.Reject]) -> None:
        here.rejects.append(received.message)

    async def state(received: Received[trading_pb2.RouterState]) -> None:
        here.state = received.message

    await here.bus.subscribe(subjects.ORDER_EVENT, trading_pb2.OrderEvent, order)
    await here.bus.subscribe(subjects.FILL_ALL, trading_pb2.Fill, fill)
    await here.bus.subscribe(subjects.REJECT, trading_pb2.Reject, reject)
    await here.bus.subscribe(subjects.ROUTER_STATE, trading_pb2.RouterState, state)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
