"""absorb: trades a second that one phase takes, in batches of 256, injected where ccxt hands them on.

In one process: the market data core gathers and signs, the Scavenger's shell path verifies, decodes and detects with traps
near the price. Across processes: `ops.bench.flood` plays the venue session of a real market data actor, NATS carries (and
stores) the batches, a real Scavenger process takes them; its own counter of trades is read over HTTP. Both sides and the
server share the machine's cores; the injector never runs more than a short backlog ahead.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from pathlib import Path

import aiohttp

from actors.market_data import shapes
from actors.market_data.core import Connected, MarketDataCore, Scales
from actors.scavenger import translate
from actors.scavenger.core import HISTORY, ScavengerCore
from actors.scavenger.events import HistoryLoaded
from ops.bench.children import Child, quiet_loop
from ops.bench.result import Options, Report, Row, Target, row
from ops.bench.tape import BATCH, PRICE_SCALE, QTY_SCALE, SYMBOL, Tape, bars
from protos import market_pb2
from titan.clock import WallClock
from titan.effects import Publish
from titan.envelope import Head, KeyRing, SigningKey, Verifier, seal
from titan.runtime import VenueAddress
from titan.servers import Kind, embedded
from titan.testing import runtime_for_tests

TARGET = Target(p50=50_000, better="high")
RATE = Target(better="high")
COUNTER = re.compile(rb"^titan_scavenger_binance_ticks_total\{[^}]*\} (\S+)$", re.MULTILINE)
WARM_UP_S = 2.0
SAMPLE_S = 0.5


def run(options: Options) -> Report:
    """Each core alone, then the whole way across processes."""
    inside = _inside(options.seconds / 3)
    across = quiet_loop(_across(options.seconds))
    return Report("absorb", (across, *inside))


def _inside(seconds: float) -> tuple[Row, ...]:
    clock, tape = WallClock(), Tape()
    keys = KeyRing(SigningKey("bench", os.urandom(32)))
    verifier = Verifier(keys)
    source = MarketDataCore("bybit", (SYMBOL,))
    source.handle(Connected({SYMBOL: Scales(PRICE_SCALE, QTY_SCALE)}), clock.now())
    phase = ScavengerCore((SYMBOL,))
    for interval_s, count in HISTORY:
        history = bars(interval_s, count, clock.now().market_ms)
        phase.handle(HistoryLoaded(SYMBOL, interval_s, history), clock.now())
    gather: list[float] = []
    decode: list[float] = []
    detect: list[float] = []
    deadline = time.monotonic() + seconds
    while not detect or time.monotonic() < deadline:
        now = clock.now()
        rows = tape.batch(now.market_ms)
        t0 = time.perf_counter()
        wires = [
            (effect.subject, seal(keys.current, _head(effect), effect.message.SerializeToString(), os.urandom(26))[1])
            for effect in source.handle(shapes.trades(SYMBOL, rows), now)
            if isinstance(effect, Publish) and isinstance(effect.message, market_pb2.TradeBatch)
        ]
        t1 = time.perf_counter()
        batches = []
        for subject, wire in wires:
            opened = verifier.open(wire, subject, now.wall_ms)
            batches.append(translate.columns(market_pb2.TradeBatch.FromString(opened.envelope.payload)))
        t2 = time.perf_counter()
        for columns in batches:
            phase.handle(columns, now)
        t3 = time.perf_counter()
        gather.append(BATCH / (t1 - t0))
        decode.append(BATCH / (t2 - t1))
        detect.append(BATCH / (t3 - t2))
    both = [1 / (1 / one + 1 / other) for one, other in zip(decode, detect, strict=True)]
    return (
        row("in process: phase, bytes to decision", "trades/s", both, RATE),
        row("in process: phase, verify and decode", "trades/s", decode, RATE),
        row("in process: phase, detect", "trades/s", detect, RATE),
        row("in process: market data, ccxt rows to bytes", "trades/s", gather, RATE),
    )


def _head(effect: Publish) -> Head:
    return Head(effect.subject, effect.message.DESCRIPTOR.full_name, "bench", time.time_ns() // 1_000_000)


async def _across(seconds: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="titan-bench-") as folder:
        async with embedded(Path(folder) / "servers", {Kind.NATS}) as servers:
            runtime = runtime_for_tests(
                Path(folder) / "home",
                nats_url=servers.nats_url,
                nats_user=servers.nats_user,
                nats_password=servers.nats_password,
                venues=(VenueAddress(name="bybit"),),
                symbols=(SYMBOL,),
            )
            async with (
                Child.actor("actors.scavenger.actor:Scavenger", runtime.home),
                Child.actor("ops.bench.flood:Flood", runtime.home),
            ):
                return await _watch(f"http://127.0.0.1:{runtime.ports['scavenger_http']}/metrics", seconds)


async def _watch(url: str, seconds: float) -> Row:
    rates: list[float] = []
    async with aiohttp.ClientSession() as http:
        await asyncio.sleep(min(WARM_UP_S, seconds))
        before, taken = time.perf_counter(), await taken_trades(http, url)
        deadline = before + seconds
        while not rates or time.perf_counter() < deadline:
            await asyncio.sleep(SAMPLE_S)
            count, now = await taken_trades(http, url), time.perf_counter()
            rates.append((count - taken) / (now - before))
            before, taken = now, count
    return row("across processes over the bus", "trades/s", rates, TARGET)


async def taken_trades(http: aiohttp.ClientSession, url: str) -> float:
    """How many trades a Scavenger says it has taken."""
    async with http.get(url) as answer:
        return sum(float(each) for each in COUNTER.findall(await answer.read()))
