"""recovery: from kill -9 of an actor's process until the supervisor has it Ready again, on the whole running system.

Each actor is killed in turn while it trades, and the root supervisor after each round. A kill waits until the actor's last one
is so long ago that neither backoff nor the intensity of its supervisor plays a part, and until there is a process in
reserve. The clock starts at the kill and ends at the supervisor's own event.
A router with a standby is measured apart, without Ray: until the next order that the venue accepted (`takeover`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import defaultdict
from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from ops.bench.children import quiet_loop
from ops.bench.result import Options, Report, Row, Target, row
from ops.bench.takeover import takeovers
from ops.bench.tree import whole_titan
from protos import system_pb2
from supervisors.control import ask
from supervisors.ray_node import family_of
from supervisors.tree import GROUPS, STABLE_MS
from titan import subjects
from titan.bus import Bus, Received
from titan.errors import Fatal, NotRunning, TimedOut, Transient
from titan.logs import configure
from titan.runtime import Runtime

TARGET = Target(p50=1.5)
TAKEOVERS = 10
HELLO_WITHIN_S = 0.5
SPARE_WITHIN_S = 15.0
WARM_AFTER_S = 4.0
LOOK_EVERY_S = 0.01
RECOVERY_TIMEOUT_S = 30.0
SETTLE_S = STABLE_MS / 1000 + 1.0
PERIOD_S = max(group.period_s for group in GROUPS)


def _spare_age_s(home: Path, actors: Set[int]) -> float:
    """How long the process in reserve has been there; zero without one. One that became an actor keeps its title for a while."""
    ages = [0.0]
    for identity in family_of(home):
        if identity.pid in actors:
            continue
        with contextlib.suppress(psutil.Error, IndexError):
            process = psutil.Process(identity.pid)
            if process.cmdline()[0].startswith("ray::Spare"):
                ages.append(time.time() - process.create_time())
    return max(ages)


class _Killer:
    """Kills one actor at a time and waits for its return."""

    def __init__(self, runtime: Runtime, bus: Bus) -> None:
        self._runtime = runtime
        self._bus = bus
        self._returned: asyncio.Queue[system_pb2.ActorRestarted] = asyncio.Queue()
        self._last: dict[str, float] = {}
        self._kills: dict[str, list[float]] = defaultdict(list)

    async def listen(self) -> None:
        """Follows the supervisor's events."""

        async def restarted(received: Received[system_pb2.ActorRestarted]) -> None:
            self._returned.put_nowait(received.message)

        await self._bus.subscribe(subjects.ACTOR_RESTARTED, system_pb2.ActorRestarted, restarted)

    async def kill(self, group: str, limit: int, name: str) -> tuple[float, float]:
        """Kills an actor; returns seconds from the kill to Ready, and the supervisor's own from notice to Ready."""
        await self._patience(group, limit, name)
        while not self._returned.empty():
            self._returned.get_nowait()
        pid = await self._pid(name)
        began = time.time()
        os.kill(pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(RECOVERY_TIMEOUT_S):
                while True:
                    event = await self._returned.get()
                    if event.name == name:
                        break
        except TimeoutError:
            raise TimedOut(f"{name} was not Ready {RECOVERY_TIMEOUT_S:.0f} s after kill -9") from None
        self._last[name] = time.monotonic()
        self._kills[group].append(time.monotonic())
        return event.ts_ms / 1000 - began, event.recovery_s

    async def kill_root(self) -> float:
        """Kills the root supervisor; returns seconds until its successor has adopted everybody. Raises Fatal when it did not."""
        run_dir = self._runtime.run_dir
        before = await self._pids()
        root: Any = (await ask(run_dir, "hello", RECOVERY_TIMEOUT_S))["pid"]
        began = time.monotonic()
        os.kill(root, signal.SIGKILL)
        while time.monotonic() < began + RECOVERY_TIMEOUT_S:
            with contextlib.suppress(NotRunning, TimedOut, OSError, ValueError):
                said = await ask(run_dir, "hello", HELLO_WITHIN_S)
                if said.get("ready") and said["pid"] != root:
                    took = time.monotonic() - began
                    if (after := await self._pids()) != before:
                        raise Fatal(f"the new root restarted somebody: {before} became {after}")
                    await self._heard()
                    return took
            await asyncio.sleep(LOOK_EVERY_S)
        raise TimedOut(f"no root had adopted everybody {RECOVERY_TIMEOUT_S:.0f} s after kill -9")

    async def _heard(self) -> None:
        """Waits until the new root also speaks on the bus: the next restart is told there."""
        deadline = time.monotonic() + RECOVERY_TIMEOUT_S
        while True:
            try:
                await self._snapshot()
                return
            except Transient:
                if time.monotonic() > deadline:
                    raise

    async def _snapshot(self) -> system_pb2.ActorsSnapshot:
        asked = system_pb2.ActorsRequest(requested_by="bench")
        return await self._bus.request(subjects.RPC_ACTORS, asked, system_pb2.ActorsSnapshot)

    async def _pids(self) -> dict[str, int]:
        rows: Any = (await ask(self._runtime.run_dir, "snapshot", RECOVERY_TIMEOUT_S))["actors"]
        return {row["name"]: int(row.get("pid", 0)) for row in rows}

    async def _patience(self, group: str, limit: int, name: str) -> None:
        while True:
            now = time.monotonic()
            recent = [at for at in self._kills[group] if now - at < PERIOD_S]
            if now - self._last.get(name, -SETTLE_S) >= SETTLE_S and len(recent) < limit:
                break
            await asyncio.sleep(0.2)
        await self._spare()

    async def _spare(self) -> None:
        """Waits until the process in reserve has been made again and is warm: a restart is measured as it mostly happens."""
        deadline = time.monotonic() + SPARE_WITHIN_S
        while time.monotonic() < deadline:
            actors = set((await self._pids()).values())
            if await asyncio.to_thread(_spare_age_s, self._runtime.home, actors) >= WARM_AFTER_S:
                return
            await asyncio.sleep(0.2)

    async def _pid(self, name: str) -> int:
        for actor in (await self._snapshot()).actors:
            if actor.name == name and actor.state == system_pb2.ACTOR_STATE_READY and actor.pid:
                return actor.pid
        raise TimedOut(f"{name} is not Ready and can't be killed")


def run(options: Options) -> Report:
    """Every actor and the root `repeat` times; then a router that has a standby, as often and at least ten times."""
    with whole_titan() as home:
        report = measure(home, options.repeat)
    samples = quiet_loop(takeovers(max(TAKEOVERS, options.repeat)))
    taken = row("router with standby: kill -9 to next accepted order", "s", samples, Target(p50=0.15))
    return replace(report, rows=(*report.rows, taken))


def measure(home: Path, repeat: int) -> Report:
    """Kills every actor of the Titan that runs under `home`, `repeat` times."""
    return quiet_loop(_measure(home, repeat))


async def _measure(home: Path, repeat: int) -> Report:
    runtime = await asyncio.to_thread(Runtime.load, home)
    configure("bench", runtime.log_dir, "WARNING")
    bus = await Bus.connect(runtime.as_owner(), "bench")
    seen: dict[str, list[tuple[float, float]]] = defaultdict(list)
    roots: list[float] = []
    try:
        killer = _Killer(runtime, bus)
        await killer.listen()
        for _ in range(repeat):
            for group in GROUPS:
                for actor in group.actors:
                    seen[actor.name].append(await killer.kill(group.name, group.max_restarts, actor.name))
            roots.append(await killer.kill_root())
    finally:
        await bus.close()
    rows: list[Row] = [
        row(f"{name}: kill -9 to Ready", "s", [each[0] for each in samples], TARGET) for name, samples in seen.items()
    ]
    rows.append(row("root: kill -9 to everybody adopted", "s", roots, TARGET))
    own = [each[1] for samples in seen.values() for each in samples]
    rows.append(row("all: death noticed to Ready", "s", own))
    notice = [max(0.0, whole - part) for samples in seen.values() for whole, part in samples]
    rows.append(row("all: kill to death noticed", "s", notice))
    return Report("recovery", tuple(rows))
