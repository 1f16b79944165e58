"""Faults of the bus: the same bytes again, bytes that nobody can read, everything it stored gone.

Guarantees: what is sent again is what was heard, byte by byte. Never: an intent of a campaign's own making that could trade.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path

from ops.chaos.arena import Arena
from ops.chaos.eyes import Sight
from ops.chaos.fault import Injected, Skip
from ops.chaos.processes import answered
from protos import trading_pb2 as pb
from titan import subjects

HEARD_WITHIN_S = 5.0
AGAIN = 3


async def redelivered(arena: Arena) -> Injected:
    """The last intents come again, on the core and through the stream."""
    eyes = arena.eyes
    await arena.trader.signal()
    if not await arena.until(lambda: bool(eyes.intents), HEARD_WITHIN_S):
        raise Skip("no intent was heard")
    copies = eyes.intents[-10:]
    for _ in range(AGAIN):
        for subject, data in copies:
            await eyes.bus.client.publish(subject, data)
    for subject, data in copies:
        await eyes.bus.jetstream.publish(subject, data)
    await eyes.bus.flush()
    return Injected(time.monotonic(), note=f"{len(copies)} intents again, {AGAIN + 1} times each")


async def poisoned(arena: Arena) -> Injected:
    """Bytes that are no message, a message that was signed for another subject, an intent that makes no sense."""
    bus, symbol = arena.eyes.bus, arena.eyes.runtime.symbols[0]
    place = subjects.intent_place("bybit", "main", symbol)
    before = dict(await _pids(arena))
    for subject in (place, subjects.SIGNAL_SUBMIT, subjects.operator("halt"), subjects.ROUTER_STATE):
        for poison in (b"", b"\x00\xff" * 40, b"not a message"):
            await bus.client.publish(subject, poison)
    _, sealed = bus.seal(subjects.SIGNAL_SUBMIT, pb.Signal(signal_id="poison"))
    await bus.client.publish(place, sealed)
    await bus.publish(place, pb.Intent(intent_id="", venue="bybit", account="main", symbol=symbol))
    await bus.publish(subjects.SIGNAL_SUBMIT, pb.Signal(signal_id="", symbol="NOT/LISTED", requested_size_usd="-1e999"))
    await bus.flush()
    await asyncio.sleep(1.0)

    def broken(sight: Sight) -> str:
        other = [name for name, actor in sight.actors.items() if before.get(name, actor.pid) != actor.pid]
        return f"a poison message made {', '.join(other)} restart" if other else ""

    return Injected(time.monotonic(), broken=broken)


async def _pids(arena: Arena) -> dict[str, int]:
    return {name: actor.pid for name, actor in (await arena.system.actors()).items()}


async def forgotten(arena: Arena) -> Injected:
    """NATS dies, and with it everything that JetStream stored."""
    pid = arena.server_pid("nats")
    store = _store(arena.system.home)
    phase = await arena.moment()
    arena.strike(pid, signal.SIGSTOP)
    away = store.with_name(f"{store.name}.gone-{time.monotonic_ns()}")
    store.rename(away)
    arena.strike(pid, signal.SIGKILL)
    injected = await answered(arena, "nats", pid, phase)
    await asyncio.to_thread(shutil.rmtree, away, True)
    return injected


def _store(home: Path) -> Path:
    found = sorted((home / "data" / "nats").resolve().glob("**/jetstream"))
    if not found:
        raise Skip(f"no JetStream directory below {home / 'data' / 'nats'}")
    return found[0]
