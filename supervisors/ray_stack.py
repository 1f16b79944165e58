"""Ray and everything in it as one supervised child of the guardian: node, root, actors.

Guarantees: Ready when every actor is; ended when GCS, raylet or the root can't be reached any more, and then every process of
the node is dead. Never: the import of Ray.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from supervisors.control import Answer, ask
from supervisors.processes import Death
from supervisors.ray_node import RayNode
from titan.errors import ConfigError, ExitCode, NotRunning, TimedOut, TitanError

UP_WITHIN_S = 150.0
UP_ASK_S = 120.0
DOWN_WITHIN_S = 25.0
ROOT_BACK_WITHIN_S = 5.0
LOOK_EVERY_S = 1.0
ROOT_ANSWERS_WITHIN_S = 2.0
ROOT_HANGS_S = 3.0
# On a machine at its limit Ray needs a quarter of a minute for a new root; to start everything anew would take several times that.
ROOT_AWAY_S = 45.0
# On two busy cores an agent may need several seconds to answer.
NODE_UNHEALTHY_S = 20.0
HEALTH_EVERY_S = 2.0


class StartFailed(TitanError):
    """Actors that are needed did not come up; the sentence is theirs."""

    def __init__(self, sentence: str, exit_code: ExitCode) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class RayStack:
    """One run of Ray. Implements a supervised life."""

    def __init__(self, node: RayNode, on_step: Callable[[str], None], needed: tuple[str, ...]) -> None:
        self._node = node
        self._on_step = on_step
        self._needed = needed
        self._stopping = asyncio.Event()
        self._killed = asyncio.Event()
        self.error: TitanError | None = None
        self.degraded: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """The raylet's process id."""
        return 0 if self._node.booted is None else self._node.booted.raylet_pid

    async def ready(self) -> None:
        """Has the root start every actor. Raises StartFailed when one that is needed does not come up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UP_WITHIN_S
        progress = loop.create_task(self._follow_start())
        try:
            answer = await self._ask_up(deadline)
        except TitanError as error:
            self.error = error
            raise
        finally:
            progress.cancel()
        problems = answer.get("problems")
        self.degraded = {str(name): str(why) for name, why in problems.items()} if isinstance(problems, dict) else {}
        blocking = {name: why for name, why in self.degraded.items() if name in self._needed}
        if blocking:
            self.error = _failure(blocking)
            raise self.error

    async def _ask_up(self, deadline: float) -> Answer:
        while True:
            try:
                return await ask(self._node.run_dir, "up", UP_ASK_S + 5, timeout_s=UP_ASK_S)
            except NotRunning:
                # Killed in the middle of the start: Ray makes a new root, which goes on.
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def ended(self) -> tuple[bool, str]:
        """Watches until it is stopped or broken; ends every process of the node."""
        loop = asyncio.get_running_loop()
        watches = {
            loop.create_task(self._node.died(), name="ray-died"),
            loop.create_task(self._unhealthy(), name="ray-health"),
            loop.create_task(self._root_away(), name="root-watch"),
        }
        ends = {loop.create_task(event.wait()) for event in (self._stopping, self._killed)}
        dashboard = self._node.dashboard()
        keeps = {loop.create_task(dashboard.keep(), name="ray-dashboard")} if dashboard is not None else set()
        try:
            await asyncio.wait(watches | ends, return_when=asyncio.FIRST_COMPLETED)
            why = next((task.result() for task in watches if task.done()), "")
        finally:
            for task in watches | ends | keeps:
                task.cancel()
            await asyncio.gather(*keeps, return_exceptions=True)
        normal = self._stopping.is_set() and not self._killed.is_set()
        if normal:
            await self._down()
        await self._node.stop()
        return normal, "stopped" if normal else why or "killed"

    async def stop(self) -> None:
        """Lets `ended` take everything down in order."""
        self._stopping.set()

    def kill(self) -> None:
        """Lets `ended` take everything down at once."""
        self._killed.set()

    async def _down(self) -> None:
        self._on_step("stopping the actors")
        asking = asyncio.ensure_future(self._ask_down())
        killed = asyncio.ensure_future(self._killed.wait())
        try:
            await asyncio.wait({asking, killed}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()
        except TitanError as error:
            self.error = error
        finally:
            asking.cancel()
            killed.cancel()
        self._on_step("stopping Ray")

    async def _ask_down(self) -> None:
        deadline = asyncio.get_running_loop().time() + ROOT_BACK_WITHIN_S
        while True:
            try:
                await ask(self._node.run_dir, "down", DOWN_WITHIN_S + 15, timeout_s=DOWN_WITHIN_S)
                return
            except NotRunning:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def _follow_start(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            try:
                answer = await ask(self._node.run_dir, "snapshot", 5)
            except TitanError:
                continue
            actors = answer.get("actors")
            names = (
                [str(actor["name"]) for actor in actors or () if actor.get("state") == "ACTOR_STATE_STARTING"]
                if isinstance(actors, list)
                else []
            )
            if names:
                self._on_step(f"starting {', '.join(names)}")

    async def _unhealthy(self) -> str:
        loop = asyncio.get_running_loop()
        well = loop.time()
        while True:
            await asyncio.sleep(HEALTH_EVERY_S)
            seen = await self._node.healthy()
            if not seen:
                well = loop.time()
            elif loop.time() - well > NODE_UNHEALTHY_S:
                return seen

    async def _root_away(self) -> str:
        """A root that is killed is back within a second; one that hangs is killed here, so that Ray makes a new one."""
        loop = asyncio.get_running_loop()
        seen = killed = loop.time()
        root: Death | None = None
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                answer = await ask(self._node.run_dir, "hello", ROOT_ANSWERS_WITHIN_S)
            except (NotRunning, TimedOut) as error:
                now = loop.time()
                if now - seen > ROOT_AWAY_S:
                    return str(error)
                if isinstance(error, TimedOut) and now - max(seen, killed) > ROOT_HANGS_S and root is not None:
                    killed = now
                    root.kill()
                continue
            seen = loop.time()
            pid = int(str(answer["pid"]))
            if root is None or root.pid != pid:
                if root is not None:
                    root.close()
                root = _death_of(pid)


def _death_of(pid: int) -> Death | None:
    try:
        return Death(pid)
    except ProcessLookupError:
        return None


def _failure(problems: dict[str, str]) -> StartFailed:
    name, why = next(iter(problems.items()))
    kind, _, text = why.partition(": ")
    bad = kind in {"ConfigError", *(error.__name__ for error in ConfigError.__subclasses__())}
    if why.startswith(f"OSError: [Errno {errno.EADDRINUSE}]"):
        return StartFailed(f"{name} does not start: its port is taken: {text}", ExitCode.BAD_CONFIG)
    sentence = f"{name} does not start: {text if bad else why}"
    return StartFailed(sentence, ExitCode.BAD_CONFIG if bad else ExitCode.FAILED)
