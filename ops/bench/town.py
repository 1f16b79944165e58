"""A small Titan without Ray: real servers, the real paper venue behind a wire tap, actors as plain processes.

Guarantees: everything is of this bench alone (own home, free ports) and is stopped when the block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from ops.bench.absorb import taken_trades
from ops.bench.children import Child
from ops.bench.wiretap import WireTap
from titan.bus import Bus
from titan.clock import ANCHOR_FILE, Clock, open_clock
from titan.logs import configure
from titan.runtime import Runtime, VenueAddress
from titan.servers import Kind, embedded
from titan.testing import runtime_for_tests

SYMBOL = "BTC/USDT:USDT"
FEED = "synthetic:42"


@dataclass(frozen=True, slots=True)
class Town:
    """Servers, venue and tap; actors are for the bench to start."""

    runtime: Runtime
    tap: WireTap
    bus: Bus
    clock: Clock


@contextlib.asynccontextmanager
async def town(
    kinds: Collection[Kind], *, speed: float, service: str, fast_lane: bool = True, router_cpu: str = "off"
) -> AsyncIterator[Town]:
    """Starts servers, venue, tap and a bus that signs as `service`, with the fast lanes beside it or without."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="titan-bench-")))
        # As root PostgreSQL runs under another user, who must be able to walk in.
        await asyncio.to_thread(folder.chmod, 0o711)
        home = folder / "home"
        servers = await stack.enter_async_context(embedded(home, kinds))
        arguments = ("--feed", FEED, "--speed", str(speed), "--home", str(home), "--symbols", SYMBOL)
        venue = await stack.enter_async_context(Child.run("titan.paper", *arguments))
        tap = WireTap(int(venue.ready["port"]))
        rest_url = await tap.start()
        stack.push_async_callback(tap.stop)
        keys = json.loads((home / "run" / "paper_credentials.json").read_text())
        address = VenueAddress(
            name="bybit",
            rest_url=rest_url,
            ws_url=f"ws://127.0.0.1:{venue.ready['port']}",
            api_key=keys["api_key"],
            api_secret=keys["api_secret"],
            paper=True,
            admin_url=f"http://127.0.0.1:{venue.ready['admin_port']}",
        )
        runtime = runtime_for_tests(
            home,
            nats_url=servers.nats_url,
            nats_user=servers.nats_user,
            nats_password=servers.nats_password,
            postgres_dsn=servers.postgres_dsn,
            redis_url=servers.redis_url,
            venues=(address,),
            symbols=(SYMBOL,),
            speed=speed,
            fast_lane=fast_lane,
            router_cpu=router_cpu,
            started_ms=time.time_ns() // 1_000_000,
        )
        configure("bench", runtime.log_dir, "WARNING")
        bus = await Bus.connect(runtime, service)
        stack.push_async_callback(bus.close)
        yield Town(runtime, tap, bus, open_clock(runtime.run_dir))


@contextlib.asynccontextmanager
async def flooded(here: Town, symbol: str, injector: str) -> AsyncIterator[str]:
    """Runs an injector of trades and a Scavenger on the town's NATS; gives the URL of the Scavenger's metrics once they flow."""
    town_runtime = here.runtime
    home = town_runtime.home / "flood"
    runtime = await asyncio.to_thread(
        runtime_for_tests,
        home,
        nats_url=town_runtime.nats_url,
        nats_user=town_runtime.nats_user,
        nats_password=town_runtime.nats_password,
        venues=town_runtime.venues,
        symbols=(symbol,),
        hmac_key=town_runtime.hmac_key,
    )
    anchor = (town_runtime.run_dir / ANCHOR_FILE).read_bytes()
    (runtime.run_dir / ANCHOR_FILE).write_bytes(anchor)
    async with (
        Child.actor("actors.scavenger.actor:Scavenger", home),
        Child.actor(injector, home),
        aiohttp.ClientSession() as http,
    ):
        url = f"http://127.0.0.1:{runtime.ports['scavenger_http']}/metrics"
        while await taken_trades(http, url) == 0:
            await asyncio.sleep(0.1)
        yield url
