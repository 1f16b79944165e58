"""Faults of processes: actors, the root supervisor, Ray, servers.

Guarantees: a process is struck by its pid, as its supervisor or its record names it. Never: a name.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from ops.chaos.arena import Arena
from ops.chaos.eyes import Sight
from ops.chaos.fault import Inject, Injected, Skip
from ops.chaos.hooked import BLOCK, RAISE, START, order
from ops.chaos.system import gone

STOP_S = 5.0
BLOCK_S = 10.0
IGNORED_AFTER_S = 3.0
FAILED_STARTS = 2
SERVER_WITHIN_S = 40.0


def _back(name: str, pid: int, term: int) -> Callable[[Sight], bool]:
    def back(sight: Sight) -> bool:
        actor = sight.actors.get(name)
        fresh = actor is not None and actor.ready and actor.pid not in (0, pid)
        # A router is back when one of a later term speaks, be it a new process or a standby.
        return fresh and (name != "router" or (sight.term > term and sight.speaking))

    return back


async def _before(arena: Arena, name: str) -> tuple[int, Callable[[Sight], bool]]:
    actor = await arena.actor(name)
    term = (await arena.eyes.look()).term
    return actor.pid, _back(name, actor.pid, term)


def signalled(name: str, number: signal.Signals) -> Inject:
    """An actor's process gets a signal, at a moment of an order's life."""

    async def inject(arena: Arena) -> Injected:
        pid, back = await _before(arena, name)
        phase = await arena.moment(cancels=True)
        since = arena.strike(pid, number)
        if number is signal.SIGTERM and not await gone(pid, IGNORED_AFTER_S):
            # Ray's workers do not end by it: then the actor must go on as if nothing had been.
            return Injected(time.monotonic(), note=f"{phase}; the process took no notice")
        return Injected(since, back, note=phase)

    return inject


def frozen(name: str, seconds: float = STOP_S) -> Inject:
    """An actor's process is stopped, and wakes later as a zombie if it still can."""

    async def inject(arena: Arena) -> Injected:
        pid, back = await _before(arena, name)
        phase = await arena.moment(cancels=True)
        began, _ = await arena.freeze(pid, seconds)
        return Injected(began, back, note=phase)

    return inject


def raised(name: str) -> Inject:
    """An exception in an actor."""

    async def inject(arena: Arena) -> Injected:
        pid, back = await _before(arena, name)
        phase = await arena.moment(cancels=True)
        order(arena.system.home, name, RAISE)
        await gone(pid, 5.0)
        return Injected(time.monotonic(), back, note=phase)

    return inject


def fails_to_start(name: str) -> Inject:
    """An actor dies, and its next starts end in an exception: a short crash loop."""

    async def inject(arena: Arena) -> Injected:
        pid, back = await _before(arena, name)
        order(arena.system.home, name, START, FAILED_STARTS)
        return Injected(arena.strike(pid, signal.SIGKILL), back, note=f"{FAILED_STARTS} failed starts")

    return inject


def blocked(name: str) -> Inject:
    """An actor's event loop hangs."""

    async def inject(arena: Arena) -> Injected:
        pid, back = await _before(arena, name)
        phase = await arena.moment(cancels=True)
        path = order(arena.system.home, name, BLOCK, BLOCK_S)
        if not await arena.until(lambda: not path.exists(), 3.0):
            raise Skip(f"{name} did not take the order")
        began = time.monotonic()
        await gone(pid, BLOCK_S + 2)
        return Injected(began, back, note=phase)

    return inject


def ray_killed(title: str) -> Inject:
    """A process of Ray dies."""

    async def inject(arena: Arena) -> Injected:
        pid = arena.system.ray_process(title)
        if pid is None:
            raise Skip(f"no {title} runs")
        phase = await arena.moment()
        began = arena.strike(pid, signal.SIGKILL)
        await gone(pid, 5.0)

        def back(sight: Sight) -> bool:
            # The actors outlive Ray's head for a while: it is over when a new one rules.
            return sight.active and arena.system.up and arena.system.ray_process(title) not in (None, pid)

        return Injected(began, back, note=phase)

    return inject


def root_struck(*, seconds: float = 0.0) -> Inject:
    """The root supervisor dies, or stands still for a while: no healthy child may be restarted for that."""

    async def inject(arena: Arena) -> Injected:
        pid = arena.system.ray_process("ray::RootSupervisor")
        if pid is None:
            raise Skip("no root supervisor runs")
        before = {name: actor.pid for name, actor in (await arena.system.actors()).items()}
        phase = await arena.moment()
        if seconds:
            _, since = await arena.freeze(pid, seconds)
        else:
            since = arena.strike(pid, signal.SIGKILL)
            await gone(pid, 5.0)

        def broken(sight: Sight) -> str:
            other = [name for name, actor in sight.actors.items() if before.get(name, actor.pid) != actor.pid]
            return f"restarted without need: {', '.join(other)}" if other else ""

        return Injected(since, lambda sight: sight.ready, broken, phase)

    return inject


async def answered(arena: Arena, name: str, old_pid: int, note: str) -> Injected:
    """Waits until a server has come back and answers: recovery counts from that instant, and never comes without it."""
    system = arena.system
    began = time.monotonic()
    while time.monotonic() < began + SERVER_WITHIN_S:
        record = system.server(name)
        if record is not None and record.pid != old_pid and await arena.reachable(name):
            return Injected(time.monotonic(), note=f"{note}; {name} answered after {time.monotonic() - began:.1f} s")
        await asyncio.sleep(0.02)
    return Injected(began, lambda _: False, note=f"{note}; {name} did not answer for {SERVER_WITHIN_S:g} s")


def server_struck(name: str, number: signal.Signals) -> Inject:
    """A server gets a signal and is started again by the guardian. Recovery counts from its first answer."""

    async def inject(arena: Arena) -> Injected:
        pid = arena.server_pid(name)
        phase = await arena.moment()
        arena.strike(pid, number, group=number == signal.SIGKILL)
        return await answered(arena, name, pid, phase)

    return inject


def server_frozen(name: str, seconds: float = STOP_S) -> Inject:
    """A server stands still with its sockets open. Recovery counts from when it goes on, or its successor answers."""

    async def inject(arena: Arena) -> Injected:
        pid = arena.server_pid(name)
        phase = await arena.moment()
        _, since = await arena.freeze(pid, seconds, group=True)
        if arena.system.server(name) is None or arena.server_pid(name) != pid:
            return await answered(arena, name, pid, phase)
        return Injected(since, note=phase)

    return inject
