"""The runner carries out what the machine decides, on lives that a test invents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from supervisors.child import Status
from supervisors.events import Adopted, Command, Effect, Event, Verb
from supervisors.nested import TreeMachine
from supervisors.runner import Life, Runner
from supervisors.spec import ChildSpec, Escalation, Intensity, SupervisorSpec

NAMES = ("a", "b")


class InventedLife:
    """A process that a test holds in its hand."""

    def __init__(self, child: str, pid: int, world: Invented) -> None:
        self.child = child
        self.pid = pid
        self._world = world
        self._end: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()

    def end(self, normal: bool, reason: str) -> None:
        if not self._end.done():
            self._end.set_result((normal, reason))

    async def ready(self) -> None:
        await self._world.on_ready(self.child)

    async def ended(self) -> tuple[bool, str]:
        try:
            return await self._end
        finally:
            self._world.log.append(f"gone {self.child}")

    async def stop(self) -> None:
        self._world.log.append(f"ask {self.child}")
        await self._world.on_stop(self)

    def kill(self) -> None:
        self._world.log.append(f"kill {self.child}")
        self.end(normal=False, reason="killed")


async def _nothing(_: str) -> None:
    return None


async def _obey(life: InventedLife) -> None:
    life.end(normal=True, reason="stopped")


class Invented:
    """Launches invented lives and writes down what happens."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.lives: dict[str, InventedLife] = {}
        self.on_launch: Callable[[str], Awaitable[None]] = _nothing
        self.on_ready: Callable[[str], Awaitable[None]] = _nothing
        self.on_stop: Callable[[InventedLife], Awaitable[None]] = _obey
        self.heard_events: list[Event] = []
        self.defect: Exception | None = None

    async def launch(self, child: str, incarnation: int) -> Life:
        self.log.append(f"launch {child} {incarnation}")
        await self.on_launch(child)
        self.lives[child] = InventedLife(child, 100 + incarnation, self)
        return self.lives[child]

    def heard(self, event: Event, effects: list[Effect]) -> None:
        self.heard_events.append(event)
        if self.defect is not None:
            raise self.defect


def runner_of(world: Invented, start_timeout_ms: int = 60_000, shutdown_timeout_ms: int = 60_000) -> Runner:
    children = tuple(
        ChildSpec(n, start_timeout_ms=start_timeout_ms, shutdown_timeout_ms=shutdown_timeout_ms) for n in NAMES
    )
    spec = SupervisorSpec("root", children, intensity=Intensity(3, 60_000), escalation=Escalation.QUARANTINE)
    return Runner(TreeMachine(spec), world, world)


async def until(runner: Runner, child: str, status: Status) -> None:
    async with asyncio.timeout(20):
        while next(view for view in runner.views() if view.name == child).status is not status:
            await asyncio.sleep(0.005)


async def up(runner: Runner) -> None:
    runner.post(Command(Verb.START))
    for name in NAMES:
        await until(runner, name, Status.READY)


async def test_children_are_launched_in_order_and_stopped_in_reverse() -> None:
    world = Invented()
    runner = runner_of(world)
    await up(runner)
    await runner.stop()
    await runner.close()
    assert world.log == ["launch a 1", "launch b 1", "ask b", "gone b", "ask a", "gone a"]


async def test_a_dead_child_is_launched_again() -> None:
    world = Invented()
    runner = runner_of(world)
    await up(runner)
    world.lives["a"].end(normal=False, reason="boom")
    async with asyncio.timeout(20):
        while "launch a 2" not in world.log:
            await asyncio.sleep(0.005)
    await until(runner, "a", Status.READY)
    assert next(view for view in runner.views() if view.name == "a").pid == 102
    await runner.stop()
    await runner.close()


async def test_a_launch_that_fails_is_a_death_with_its_reason() -> None:
    world = Invented()

    async def refuse(child: str) -> None:
        if child == "a":
            raise RuntimeError("no room\nfor it")

    world.on_launch = refuse
    runner = runner_of(world)
    runner.post(Command(Verb.START))
    await until(runner, "a", Status.QUARANTINED)
    assert next(view for view in runner.views() if view.name == "a").last_exit == "no room for it"
    await until(runner, "b", Status.READY)
    await runner.stop()
    await runner.close()


async def test_a_child_that_is_not_ready_is_killed_with_its_own_reason() -> None:
    world = Invented()

    async def refuse(child: str) -> None:
        if child == "a":
            raise ValueError("bad settings")

    world.on_ready = refuse
    runner = runner_of(world)
    runner.post(Command(Verb.START))
    await until(runner, "a", Status.QUARANTINED)
    assert next(view for view in runner.views() if view.name == "a").last_exit == "bad settings"
    assert "kill a" in world.log
    await runner.stop()
    await runner.close()


async def test_a_stop_cuts_a_launch_short() -> None:
    world = Invented()

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    world.on_launch = never
    runner = runner_of(world)
    runner.post(Command(Verb.START))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await runner.stop()
    await runner.close()
    assert world.log == ["launch a 1"]


async def test_a_launch_that_takes_too_long_is_cut_short() -> None:
    world = Invented()

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    world.on_launch = never
    runner = runner_of(world, start_timeout_ms=10)
    runner.post(Command(Verb.START))
    await until(runner, "a", Status.QUARANTINED)
    await runner.stop()
    await runner.close()


async def test_a_child_that_does_not_stop_in_time_is_killed() -> None:
    world = Invented()

    async def ignore(_: InventedLife) -> None:
        return None

    world.on_stop = ignore
    runner = runner_of(world, shutdown_timeout_ms=10)
    await up(runner)
    async with asyncio.timeout(20):
        await runner.stop()
    await runner.close()
    assert world.log[2:] == ["ask b", "kill b", "gone b", "ask a", "kill a", "gone a"]


async def test_a_child_that_cannot_be_asked_is_killed() -> None:
    world = Invented()

    async def fail(_: InventedLife) -> None:
        raise ConnectionError("it does not listen")

    world.on_stop = fail
    runner = runner_of(world)
    await up(runner)
    async with asyncio.timeout(20):
        await runner.stop()
    await runner.close()
    assert "kill a" in world.log


async def test_in_a_hurry_nobody_is_asked() -> None:
    world = Invented()

    async def ignore(_: InventedLife) -> None:
        return None

    world.on_stop = ignore
    runner = runner_of(world)
    await up(runner)
    stopping = asyncio.create_task(runner.stop())
    await asyncio.sleep(0.01)
    runner.hurry()
    async with asyncio.timeout(20):
        await stopping
    await runner.close()
    assert world.log[2:] == ["ask b", "kill b", "gone b", "kill a", "gone a"]


async def test_a_held_life_is_watched_like_a_launched_one() -> None:
    world = Invented()
    runner = runner_of(world)
    life = InventedLife("a", 7, world)
    runner.hold("a", 4, life, ready=True)
    runner.post(Adopted("a", 4, 7, ready=True))
    await up(runner)
    assert world.log == ["launch b 1"]
    life.end(normal=False, reason="boom")
    async with asyncio.timeout(20):
        while "launch a 5" not in world.log:
            await asyncio.sleep(0.005)
    await runner.stop()
    await runner.close()


async def test_letting_go_touches_no_child() -> None:
    world = Invented()
    runner = runner_of(world)
    await up(runner)
    runner.abandon()
    await asyncio.sleep(0.01)
    assert not any(line.startswith(("ask", "kill")) for line in world.log)
    world.lives["a"].end(normal=False, reason="later")


async def test_a_defect_in_supervision_itself_is_not_swallowed() -> None:
    world = Invented()
    runner = runner_of(world)
    await up(runner)
    world.defect = KeyError("a defect")
    world.lives["a"].end(normal=False, reason="boom")
    with pytest.raises(KeyError, match="a defect"):
        async with asyncio.timeout(20):
            await runner.failed()
    runner.abandon()
