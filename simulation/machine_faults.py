"""Faults of processes and of the machine they run on: kills, stops, crash loops, power and disk.

Guarantees: each ends by itself or with `simulation.faults.mend`. Never: a draw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.router.lease import LEASE_MS
from simulation.follow import TAIL
from simulation.plan import Act, Fault

if TYPE_CHECKING:
    from simulation.world import World


def _kill(name: str, world: World) -> None:
    life = world.supervision.lives.get(name)
    if life is not None:
        life.kill("SIGKILL")


def _pause(name: str, world: World, act: Act) -> None:
    life = world.supervision.lives.get(name)
    if life is not None:
        life.pause()
        world.engine.after(300 + act.a % 8_000, life.wake)


def _leader(world: World) -> str:
    """The child that leads, or led last."""
    return "router" if world.router is None else world.router.name


def _fuse(world: World, act: Act) -> None:
    if world.router is not None:
        world.router.fuse = act.a % 14


def _router_loop(world: World, act: Act) -> None:
    world.start_crashes = 1 + act.a % 8
    _kill(_leader(world), world)


def _promotion_kill(world: World, act: Act) -> None:
    """The leader dies, and so does its successor on its way."""
    world.promotion_fuse = act.a % 9
    _kill(_leader(world), world)


def _standby_kill(world: World, _act: Act) -> None:
    if world.standby is not None:
        _kill(world.standby.name, world)


def _root_pause(world: World, for_ms: int) -> None:
    world.supervision.pause()
    world.engine.after(for_ms, world.supervision.wake)


def _zombie(world: World, act: Act) -> None:
    """The leader stands still for longer than its lease, and no supervisor sees it."""
    for_ms = LEASE_MS - 200 + act.a % 9_000
    _root_pause(world, for_ms + act.b % 2_000)
    life = world.router
    if life is not None:
        life.pause()
        world.engine.after(for_ms, life.wake)


def _follow_lag(world: World, act: Act) -> None:
    world.follow_lag_until_ms = world.engine.t_ms + 1_000 + act.a % 8_000
    world.bus.slow[TAIL] = 500 + act.b % 4_000


def _phase_loop(world: World, act: Act) -> None:
    name = "scavenger"
    world.supervision.looping.add(name)

    def again() -> None:
        if name in world.supervision.looping:
            _kill(name, world)
            world.engine.after(250 + act.a % 300, again)

    again()


def _power(world: World, act: Act) -> None:
    """The machine goes dark and boots again: rows that were not synced may be gone."""
    lives = list(world.supervision.lives.values())
    world.supervision.abandon()
    for life in lives:
        life.kill("power loss")
    world.cut_rows += world.journal.lose_power(act.a % 40)
    world.checks.cut(list(world.journal.rows()))
    world.operators.promised = None
    world.boots += 1
    world.started_ms += 1 + world.engine.t_ms
    world.engine.after(800 + act.b % 2_000, world.supervision.up_again)


def _disk_full(world: World, act: Act) -> None:
    world.journal.full = True

    def free() -> None:
        world.journal.full = False

    world.engine.after(200 + act.a % 4_000, free)


MACHINE: dict[Fault, Callable[[World, Act], None]] = {
    Fault.ROUTER_KILL: lambda world, _act: _kill(_leader(world), world),
    Fault.ROUTER_FUSE: _fuse,
    Fault.ROUTER_PAUSE: lambda world, act: _pause(_leader(world), world, act),
    Fault.ROUTER_LOOP: _router_loop,
    Fault.BRAIN_KILL: lambda world, _act: _kill("brain", world),
    Fault.BRAIN_PAUSE: lambda world, act: _pause("brain", world, act),
    Fault.LEDGER_KILL: lambda world, _act: _kill("execution", world),
    Fault.PHASE_LOOP: _phase_loop,
    Fault.PROMOTION_KILL: _promotion_kill,
    Fault.STANDBY_KILL: _standby_kill,
    Fault.FOLLOW_LAG: _follow_lag,
    Fault.ROOT_PAUSE: lambda world, act: _root_pause(world, 500 + act.a % 6_000),
    Fault.ZOMBIE: _zombie,
    Fault.POWER: _power,
    Fault.DISK_FULL: _disk_full,
}
