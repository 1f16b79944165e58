"""lane: a signal published until its order is handed to the venue session, over the fast lane, while 5,000 trades/s flow.

The same real processes as in signal-to-socket, with the fast lanes and the bus beside them; on the same bus a market data actor
publishes a tape of 5,000 trades a second, in frames of some ten, and a real Scavenger takes them. The bench plays the phase and
sends one signed signal at a time. The order is handed over when the router's session calls the venue's adapter; what ccxt needs
from there to the first byte at the socket is a row of its own. Measured one after the other on systems of their own: the router's
loop not pinned, pinned on a core that it shares, and pinned on a core that everybody else keeps off.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from ops.bench.absorb import taken_trades
from ops.bench.children import Child, quiet_loop, started
from ops.bench.handed import Ear
from ops.bench.result import Options, Report, Target, row
from ops.bench.signal_path import PlayedPhase
from ops.bench.town import flooded, town
from titan.servers import Kind

TARGET = Target(p50=0.3, p99=1.5)
SPEED = 1.0
FLOWING = "DOGE/USDT:USDT"
ACTORS = (
    "ops.bench.handed:HandedRouter",
    "actors.execution.actor:Execution",
    "actors.brain.actor:Brain",
    "actors.market_data.actor:MarketData",
)


@dataclass(slots=True)
class Seen:
    """Milliseconds of each signal's way to the venue session, of ccxt's from there to the socket, and what went beside."""

    handed: list[float] = field(default_factory=list)
    ccxt: list[float] = field(default_factory=list)
    misses: int = 0
    flow: float = 0.0


def run(options: Options) -> Report:
    """Every placing of the router's loop that this machine allows."""
    cores = sorted(os.sched_getaffinity(0))
    last = str(cores[-1])
    placings = [("the loop not pinned", "off", False), (f"the loop pinned to core {last}", "auto", False)]
    if len(cores) > 1:
        placings.append((f"core {last} the loop's own", last, True))
    rows, notes = [], []
    for name, setting, alone in placings:
        with _kept_off(int(last) if alone else None):
            seen = quiet_loop(measure(options.seconds, setting))
        rows.append(row(f"signal published to the venue session, {name}", "ms", seen.handed, TARGET))
        rows.append(row("then ccxt: to the socket", "ms", seen.ccxt))
        notes.append(f"{name}: {seen.flow:,.0f} trades/s flowed, {seen.misses} signals became no order")
    return Report("lane", tuple(rows), tuple(notes))


@contextlib.contextmanager
def _kept_off(core: int | None) -> Iterator[None]:
    """Keeps this process, and what it starts, off a core."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, before - {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def measure(seconds: float, router_cpu: str) -> Seen:
    """One placing: the router is told `router_cpu` (`off`, `auto` or a core)."""
    seen = Seen()
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(
            town(tuple(Kind), speed=SPEED, service="scavenger", router_cpu=router_cpu)
        )
        ear = Ear(here.runtime)
        stack.callback(ear.close)
        await started(stack, *(Child.actor(actor, here.runtime.home) for actor in ACTORS))
        phase = PlayedPhase(here)
        await phase.listen()
        url = await stack.enter_async_context(flooded(here, FLOWING, "ops.bench.flood:Flow"))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await phase.warm()

        def took(began_ns: int, arrived_ns: int) -> None:
            handed_ns = ear.last()
            seen.handed.append((handed_ns - began_ns) / 1e6)
            seen.ccxt.append((arrived_ns - handed_ns) / 1e6)

        began, before = time.perf_counter(), await taken_trades(http, url)
        seen.misses = await phase.many(seconds, took)
        seen.flow = (await taken_trades(http, url) - before) / (time.perf_counter() - began)
    return seen
