"""quarantine: a phase that raises in its start, fifty times if it is let, and what the others feel of it.

The whole system trades. Measured from a signal published until the brain's decision and until the venue took its order, and
how many prices a second market data tells: before the loop, while it lasts, and after the phase was put aside.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field

from ops.bench.children import quiet_loop
from ops.bench.result import Options, Report, Row, Target, row
from ops.chaos.arena import Arena
from ops.chaos.eyes import Eyes
from ops.chaos.hooked import START, order
from ops.chaos.system import QUARANTINED, System, whole_system
from protos import brain_pb2, market_pb2, trading_pb2
from titan import subjects
from titan.bus import Bus, Received
from titan.errors import TimedOut

PHASE = "scavenger"
RAISES = 50
UP_WITHIN_S = 120.0
PUT_ASIDE_WITHIN_S = 300.0
EVERY_S = 0.5
ANSWER_WITHIN_S = 3.0
PARTS = ("before", "while it loops", "put aside")


@dataclass(slots=True)
class _Felt:
    """What was measured, by part."""

    sent: dict[str, tuple[str, float]] = field(default_factory=dict)
    decided: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    prices: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    told: int = 0

    async def on_decision(self, received: Received[brain_pb2.Decision]) -> None:
        """A decision on one of ours."""
        part, began = self.sent.get(received.message.signal_id, ("", 0.0))
        if part:
            self.decided[part].append((time.perf_counter() - began) * 1000)

    async def on_order(self, received: Received[trading_pb2.OrderEvent]) -> None:
        """An order of one of ours, the first time that the venue is known to have it."""
        event = received.message
        if event.role == trading_pb2.ORDER_ROLE_ENTRY and event.venue_order_id:
            part, began = self.sent.pop(event.signal_id, ("", 0.0))
            if part:
                self.taken[part].append((time.perf_counter() - began) * 1000)

    async def on_price(self, _received: Received[market_pb2.Ticker]) -> None:
        """A price."""
        self.told += 1


async def _part(arena: Arena, felt: _Felt, name: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        told, began = felt.told, time.perf_counter()
        signal_id = await arena.trader.signal()
        if signal_id:
            felt.sent[signal_id] = (name, began)
        await arena.trader.reset()
        await asyncio.sleep(EVERY_S)
        felt.prices[name].append((felt.told - told) / (time.perf_counter() - began))


async def _put_aside(system: System) -> None:
    deadline = time.monotonic() + PUT_ASIDE_WITHIN_S
    while time.monotonic() < deadline:
        found = (await system.actors()).get(PHASE)
        if found is not None and found.state == QUARANTINED:
            return
        await asyncio.sleep(0.1)
    raise TimedOut(f"{PHASE} was not put aside within {PUT_ASIDE_WITHIN_S:.0f} s")


async def _listen(eyes: Eyes, felt: _Felt) -> Bus:
    """A connection of its own: what the eyes' connection has heard before is a duplicate on it."""
    bus = await eyes.another()
    await bus.subscribe(subjects.DECISION, brain_pb2.Decision, felt.on_decision)
    await bus.subscribe(subjects.ORDER_EVENT, trading_pb2.OrderEvent, felt.on_order)
    ticker = subjects.ticker(eyes.runtime.venue.name, eyes.runtime.symbols[0])
    await bus.subscribe(ticker, market_pb2.Ticker, felt.on_price)
    return bus


async def _measure(system: System, seconds: float) -> Report:
    arena = Arena(system, 1)
    felt = _Felt()
    await arena.open()
    ears: Bus | None = None
    try:
        await arena.rest()
        ears = await _listen(arena.eyes, felt)
        deadline = time.monotonic() + UP_WITHIN_S
        while not (await arena.eyes.look()).active:
            if time.monotonic() > deadline:
                raise TimedOut(f"not trading within {UP_WITHIN_S:.0f} s: {(await arena.eyes.look()).missing()}")
            await asyncio.sleep(0.1)
        await _part(arena, felt, PARTS[0], seconds)
        before = await arena.system.actors()
        path = order(system.home, PHASE, START, RAISES)
        arena.strike(before[PHASE].pid, signal.SIGKILL)
        looping = asyncio.create_task(_part(arena, felt, PARTS[1], PUT_ASIDE_WITHIN_S))
        began = time.monotonic()
        try:
            await _put_aside(system)
        finally:
            looping.cancel()
            await asyncio.gather(looping, return_exceptions=True)
        took, raised = time.monotonic() - began, RAISES - float(path.read_text())
        await _part(arena, felt, PARTS[2], seconds)
        await asyncio.sleep(ANSWER_WITHIN_S)
        after = await arena.system.actors()
    finally:
        if ears is not None:
            await ears.close()
        await arena.close()
    touched = [name for name, actor in after.items() if name != PHASE and actor.pid != before[name].pid]
    note = f"{PHASE} raised {raised:.0f} times in its start and was put aside after {took:.1f} s"
    notes = (note, f"restarted beside it: {', '.join(touched) or 'nobody'}")
    return Report("quarantine", (*_rows("signal to decision", "ms", felt.decided), *_taken(felt)), notes)


def _taken(felt: _Felt) -> list[Row]:
    return [
        *_rows("signal to the venue's order", "ms", felt.taken),
        *_rows("prices of one symbol told", "a second", felt.prices, Target(better="high")),
    ]


def _rows(metric: str, unit: str, parts: dict[str, list[float]], target: Target | None = None) -> list[Row]:
    return [row(f"{metric}, {part}", unit, parts[part], target) for part in PARTS if parts.get(part)]


def run(options: Options) -> Report:
    """A whole Titan of its own; each part lasts `seconds`, the loop as long as it takes."""
    with whole_system() as system:
        return quiet_loop(_measure(system, options.seconds))
