"""The Ray actor that hosts one Titan actor: Ray gives the process, the supervisor the life.

Guarantees: one Titan actor a process, on this actor's event loop; `run` pends as the supervisor's death link, renewed once a
minute; it returns when the actor has stopped and raises what killed it. The process never ends by itself: the supervisor
kills it after the last word, so that a death is always proven. Never: a restart, a decision, a message of the hot path.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.actor import ActorHandle

from supervisors.host_order import NOBODY, HostOrder, HostReport, WarmOrder
from supervisors.tree import NAMESPACE, SHARE, resource_of
from titan.errors import TitanError
from titan.logs import get_logger
from titan.runtime import Runtime

if TYPE_CHECKING:
    from titan.actor import Actor

CALLS_AT_ONCE = 1_000
SPARE = "Spare"
_TITLE_AFTER_S = 0.1
# Two hooks, drain and stop, share the shutdown timeout of five seconds.
STOP_HOOK_S = 2.2
LINK_S = 60.0


def _signals() -> int | None:
    """Where signals are told as bytes. Ray's main thread never comes back to Python, so that a handler would never run;
    this is written by the interpreter's own handler, in whichever thread. None where it can't be had."""
    if threading.current_thread() is not threading.main_thread():
        return None
    told, tells = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    return told


# Only a worker has to hear them: in a driver or a test the main thread is Python's own.
_SIGNALS = _signals() if os.environ.get("RAY_RAYLET_PID") else None


class ActorCrashed(TitanError):
    """What ended a hosted actor, as text: `ErrorClass: what it said`."""


def crashed(error: BaseException) -> ActorCrashed:
    """The notice of an error."""
    return ActorCrashed(f"{type(error).__name__}: {' '.join(str(error).split())}")


class Host:
    """Hosts one actor. Every method runs on the actor's event loop."""

    def __init__(self, order: HostOrder = NOBODY) -> None:
        self._order = order
        self._actor: Actor | None = None
        self._ready = False
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if _SIGNALS is not None:
            asyncio.get_running_loop().add_reader(_SIGNALS, self._signalled)
        self._begun: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"{self._order.class_name}({NAMESPACE}.{self._order.name})"

    async def describe(self) -> HostReport:
        """Who this is."""
        self._show()
        order = self._order
        node = ray.get_runtime_context().get_node_id()
        return HostReport(order.name, os.getpid(), order.incarnation, self._ready, order.home, node)

    async def warm(self, order: WarmOrder) -> None:
        """Imports what actors need, one module at a time, until there is an actor to be. Raises what an import raises.

        On a thread: an import of seconds must not keep an order waiting.
        """
        from titan.actor import load_actor

        try:
            for module in order.modules:
                if self._order.name:
                    return
                await asyncio.to_thread(importlib.import_module, module)
            for path in order.paths:
                if self._order.name:
                    return
                await asyncio.to_thread(load_actor, path)
        finally:
            # It may have become an actor meanwhile, and at the end of a call Ray shows the spare again.
            self._show()

    async def take(self, order: HostOrder) -> HostReport:
        """Becomes the host of an order. Raises ValueError when it is one already."""
        if self._order.name:
            raise ValueError(f"this host is {self._order.name} already, it can't be {order.name}")
        self._order = order
        return await self.describe()

    def _show(self) -> None:
        """The actor's name for `ps` and `top`: Ray shows a spare's class, and again with every call."""
        title = f"ray::{self._order.class_name or SPARE}"
        asyncio.get_running_loop().call_later(_TITLE_AFTER_S, ray._raylet.setproctitle, title)  # type: ignore[attr-defined]

    async def start(self) -> None:
        """Builds the actor and waits until it is Ready. Raises what kept it from that."""
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_task(self._begin())
        self._show()
        try:
            await asyncio.shield(self._begun)
        finally:
            self._show()

    async def _begin(self) -> None:
        # Imported here: the root imports this module to make hosts, and must stay small.
        from titan.actor import ActorContext, load_actor

        order = self._order
        try:
            runtime = Runtime.load(Path(order.home))
            actor = load_actor(order.path)(ActorContext(runtime, order.incarnation))
            self._actor = actor
            await actor.start()
        except Exception as error:  # noqa: BLE001 -- the death notice; an error of any class must survive the way
            get_logger(order.name).exception("not started")
            raise crashed(error) from None
        self._ready = True
        self._watch = asyncio.get_running_loop().create_task(self._follow(actor))

    async def run(self) -> str:
        """Pends while the actor lives: returns "stopped" after a stop, raises the actor's own error after a crash.

        Returns "" when it lives on after `LINK_S`: ask again. A call whose caller has died would pend for the actor's
        whole life, and Ray keeps the connection of every pending call open.
        """
        self._show()
        try:
            async with asyncio.timeout(LINK_S):
                return await asyncio.shield(self._over)
        except TimeoutError:
            return ""
        finally:
            # A dead root's call ends beside that of the living one.
            self._show()

    async def drain_and_stop(self, timeout_s: float) -> None:
        """Lets the actor finish what it does, within `timeout_s` for each hook, and stop."""
        self._ready = False
        for task in (self._begun, self._watch):
            if task is not None:
                task.cancel()
        if self._actor is not None:
            await self._actor.shutdown(timeout_s)
        if not self._over.done():
            self._over.set_result("stopped")

    def _signalled(self) -> None:
        """SIGTERM ends the actor as its supervisor would: drained, stopped, and told as a stop."""
        assert _SIGNALS is not None
        if signal.SIGTERM in os.read(_SIGNALS, 64) and self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self.drain_and_stop(STOP_HOOK_S))

    async def _follow(self, actor: Actor) -> None:
        try:
            await actor.run()
        except Exception as error:
            actor.log.exception("crashed")
            self._ready = False
            if not self._over.done():
                self._over.set_exception(crashed(error))
            return
        await self.drain_and_stop(1.0)


def create(order: HostOrder, ray_name: str, role: str) -> ActorHandle[Any]:
    """Makes the detached, named Ray actor of an order, or of none yet, on a node of its role. Blocking.

    Raises ValueError while the name is still taken.
    """
    # A class of its own name is what the dashboard and the process title show.
    hosted: Any = ray.remote(type(order.class_name or SPARE, (Host,), {}))
    options = hosted.options(
        name=ray_name,
        namespace=NAMESPACE,
        lifetime="detached",
        num_cpus=0,
        resources={resource_of(role): SHARE},
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=CALLS_AT_ONCE,
    )
    handle: ActorHandle[Any] = options.remote(order)
    return handle
