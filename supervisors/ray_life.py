"""Children as Ray actors: launched, linked, adopted, killed, with the death proven by the operating system.

Guarantees: a pending call is the link (it fails about 11 ms after a death) and a pidfd the proof; a life is reported as ended
only when the process is gone, so a name never has two processes. Blocking Ray calls run in a thread: the supervisor's loop
never waits for a GCS that is away. Never: Ray's own restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import ray.util
from ray.actor import ActorHandle

from supervisors.host import STOP_HOOK_S, ActorCrashed, create
from supervisors.host_order import NOBODY, HostOrder, HostReport, WarmOrder
from supervisors.processes import Death, bury
from supervisors.runner import Life, sentence
from supervisors.spares import Spares
from supervisors.tree import CORE_ROLE, NAMESPACE, ActorSpec
from titan.errors import Transient
from titan.logs import get_logger

NAME_FREE_WITHIN_S = 5.0
DESCRIBE_WITHIN_S = 2.0
BURY_WITHIN_S = 5.0
_RETRY_S = 0.01
SPARE = f"{NAMESPACE}.spare."


class RayLife:
    """One hosted actor."""

    def __init__(self, handle: ActorHandle[Any], report: HostReport) -> None:
        self._handle = handle
        self.report = report
        self._death: Death | None
        try:
            self._death = Death(report.pid)
        except ProcessLookupError:
            self._death = None
        self._link: asyncio.Task[str] = asyncio.get_running_loop().create_task(
            self._follow(), name=f"link-{report.name}"
        )

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self.report.pid

    async def _follow(self) -> str:
        word = ""
        while word == "":
            word = str(await self._handle.run.remote())
        return word

    async def ready(self) -> None:
        """Starts the actor and waits until it is Ready. Raises its own error."""
        try:
            await self._handle.start.remote()
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error) from error

    async def stop(self) -> None:
        """Asks the actor to drain and stop."""
        await self._handle.drain_and_stop.remote(STOP_HOOK_S)

    def kill(self) -> None:
        """SIGKILL, through the kernel and through Ray."""
        if self._death is not None:
            self._death.kill()
        _spawn(kill_actor(self._handle))

    async def ended(self) -> tuple[bool, str]:
        """Returns when the process is gone: without error only after a stop."""
        normal, reason = await self._last_word()
        self.kill()
        if self._death is not None:
            await self._death.wait()
            self._death.close()
        return normal, reason

    async def _last_word(self) -> tuple[bool, str]:
        death = asyncio.ensure_future(self._death.wait() if self._death is not None else asyncio.sleep(0))
        try:
            await asyncio.wait({self._link, death}, return_when=asyncio.FIRST_COMPLETED)
            if not self._link.done():
                self._link.cancel()
                return False, f"process {self.pid} was killed or ended"
            return True, self._link.result()
        except ray.exceptions.RayTaskError as error:
            return False, sentence(cause_of(error))
        except ray.exceptions.RayError:
            return False, f"process {self.pid} was killed or ended"
        finally:
            death.cancel()


class RaySpare:
    """A host that has no actor yet."""

    def __init__(self, handle: Any, pid: int, order: WarmOrder) -> None:
        self.handle = handle
        self._pid = pid
        self._order = order

    @property
    def pid(self) -> int:
        """Its process."""
        return self._pid

    async def take(self, order: HostOrder) -> HostReport:
        """Becomes the actor of an order."""
        report: HostReport = await self.handle.take.remote(order)
        return report

    async def warm(self) -> None:
        """Imports what actors need."""
        await self.handle.warm.remote(self._order)

    async def end(self) -> None:
        """Ends it for good."""
        await kill_actor(self.handle)


class RayLauncher:
    """Launches actors of a table for one home, from `spares` warm processes where it can."""

    def __init__(
        self, actors: dict[str, ActorSpec], home: str, spares: int = 0, settled: Callable[[], bool] = lambda: True
    ) -> None:
        self._actors = actors
        self._home = home
        self._spares = Spares(spares, self._spare, settled, get_logger("root"))
        self._heard: asyncio.Task[dict[str, list[RayLife]]] | None = None
        self._settled = settled
        self._next: ActorSpec | None = next(iter(actors.values()), None)

    async def launch(self, child: str, incarnation: int) -> Life:
        """Makes the actor's process. When it raises or is cancelled, no process is left."""
        spec = self._actors[child]
        order = HostOrder(child, spec.path, incarnation, self._home)
        names = list(self._actors)
        self._next = self._actors.get(names[names.index(child) + 1]) if child != names[-1] else None
        taken = await self._spares.take(order)
        if taken is not None:
            spare, report = taken
            return RayLife(spare.handle, report)
        handle: Any = await self._created(order, spec)
        try:
            report = await handle.describe.remote()
        except BaseException:
            # Also a cancellation: a process that nobody watches must not stay.
            _spawn(kill_actor(handle))
            raise
        return RayLife(handle, report)

    async def adopt(self, child: str) -> RayLife | None:
        """The living actor of that name, verified to be ours and answering; anything else by that name is killed."""
        if self._heard is None:
            self._heard = asyncio.get_running_loop().create_task(self._listen())
        lives = (await asyncio.shield(self._heard)).get(child, [])
        named = await self._named(child)
        if named is not None:
            lives = [*lives, named]
        # At most one, because a start follows on proven death; were there two, the younger would be the one to keep.
        lives.sort(key=lambda life: life.report.incarnation)
        for older in lives[:-1]:
            older.kill()
        return lives[-1] if lives else None

    async def _named(self, child: str) -> RayLife | None:
        spec = self._actors[child]
        try:
            handle: Any = await asyncio.to_thread(ray.get_actor, spec.ray_name, NAMESPACE)
        except ValueError:
            return None
        try:
            async with asyncio.timeout(DESCRIBE_WITHIN_S):
                report: HostReport = await handle.describe.remote()
        except (TimeoutError, ray.exceptions.RayError):
            await kill_actor(handle)
            return None
        if report.home != self._home or report.name != child:
            await kill_actor(handle)
            return None
        return RayLife(handle, report)

    async def _listen(self) -> dict[str, list[RayLife]]:
        """Asks everybody who was a spare once who he is: who became an actor, by its name; who did not stays in reserve."""
        names = await asyncio.to_thread(ray.util.list_named_actors, all_namespaces=True)
        spares = [each["name"] for each in names if each["namespace"] == NAMESPACE and each["name"].startswith(SPARE)]
        found: dict[str, list[RayLife]] = {}
        for handle, report in await asyncio.gather(*(self._who(name) for name in spares)):
            if report is None or report.home not in ("", self._home):
                if handle is not None:
                    await kill_actor(handle)
            elif not report.name:
                self._spares.keep(RaySpare(handle, report.pid, self._warm_order()))
            else:
                found.setdefault(report.name, []).append(RayLife(handle, report))
        self._spares.fill()
        return found

    @staticmethod
    async def _who(ray_name: str) -> tuple[Any, HostReport | None]:
        try:
            handle: Any = await asyncio.to_thread(ray.get_actor, ray_name, NAMESPACE)
        except ValueError:
            return None, None
        try:
            async with asyncio.timeout(DESCRIBE_WITHIN_S):
                report: HostReport = await handle.describe.remote()
        except (TimeoutError, ray.exceptions.RayError):
            return handle, None
        return handle, report

    async def _spare(self) -> RaySpare | None:
        if await asyncio.to_thread(_several_nodes):
            return None
        handle: Any = await _uncut(NOBODY, f"{SPARE}{time.time_ns()}", CORE_ROLE)
        try:
            report: HostReport = await handle.describe.remote()
        except BaseException:
            _spawn(kill_actor(handle))
            raise
        return RaySpare(handle, report.pid, self._warm_order())

    def _warm_order(self) -> WarmOrder:
        """During an ordered start what the next child needs, so that nobody holds what he does not; else what any may need."""
        specs = list(self._actors.values()) if self._settled() or self._next is None else [self._next]
        needs = dict.fromkeys(need for spec in specs for need in spec.needs)
        return WarmOrder(("titan.actor", *needs), tuple(spec.path for spec in specs))

    async def bury(self, child: str, pid: int) -> None:
        """Kills the worker of this home that the child was; on another node only its fencing term keeps it from trading."""
        while not await asyncio.to_thread(bury, pid, Path(self._home), BURY_WITHIN_S):
            get_logger("root").error("a process of an earlier life does not end", child=child, pid=pid)

    async def _created(self, order: HostOrder, spec: ActorSpec) -> ActorHandle[Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + NAME_FREE_WITHIN_S
        while True:
            try:
                return await _uncut(order, spec.ray_name, spec.role)
            except ValueError as error:
                # The GCS gives the name of a dead actor free a moment after the process is gone.
                if loop.time() > deadline:
                    raise Transient(f"the name {spec.ray_name} is still taken in Ray: {sentence(error)}") from error
                await asyncio.sleep(_RETRY_S)


async def _uncut(order: HostOrder, ray_name: str, role: str) -> ActorHandle[Any]:
    """Creates the actor in a thread; when the wait is cancelled, what the thread still makes is killed."""
    making = asyncio.ensure_future(asyncio.to_thread(create, order, ray_name, role))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:

        def end(made: asyncio.Future[ActorHandle[Any]]) -> None:
            if made.exception() is None:
                _spawn(kill_actor(made.result()))

        making.add_done_callback(end)
        raise


def _several_nodes() -> bool:
    """Whether roles may have nodes of their own. Blocking."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return sum(bool(node["Alive"]) for node in nodes) > 1


async def kill_actor(handle: ActorHandle[Any]) -> None:
    """Tells Ray to end an actor for good; one that is gone already is fine."""
    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        await asyncio.to_thread(ray.kill, handle, no_restart=True)


def cause_of(error: ray.exceptions.RayTaskError) -> Exception:
    """The actor's own error inside Ray's."""
    cause: object = error.cause
    return cause if isinstance(cause, ActorCrashed) else RuntimeError(sentence(error))


_background: set[asyncio.Task[None]] = set()


def _spawn(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
