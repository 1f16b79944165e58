"""The root supervisor: one detached Ray actor that Ray restarts without limit; it owns every actor of Titan.

Guarantees: after its own death it finds its living children by name, verifies and keeps them, and finishes the restart it was
in; of two roots of one home the younger withdraws before it has touched anything; when the guardian dies it stops its children
in order and then ends Ray's processes of this home. Never: a path of an order.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import ray
from google.protobuf.json_format import MessageToDict
from ray.actor import ActorHandle

from protos import system_pb2 as pb
from supervisors.appetite import MB, Limits
from supervisors.control import ROOT_SOCKET, Answer, ControlServer, Fields
from supervisors.processes import Death, kill_all
from supervisors.pulse import PulseSocket
from supervisors.ray_life import RayLauncher
from supervisors.ray_node import family_of
from supervisors.report import Reporter
from supervisors.store import RootLock, Store
from supervisors.supervision import Outcome, Supervision
from supervisors.tree import CORE_ROLE, GROUPS, NAMESPACE, ROOT_ACTOR, SHARE, Group, actors_of, resource_of, tree_of
from titan.logs import configure
from titan.runtime import Runtime

SESSION_ENV = "SUPERVISED_BY_TITAN_SESSION"
RESUME_WITHIN_S = 120.0
ORPHAN_STOP_S = 20.0
RESTART_WITHIN_S = 60.0
CALLS_AT_ONCE = 100


class RootSupervisor:
    """The root. Its methods are also answered on the control socket of `<home>/run`."""

    def __init__(self, home: str, guardian_pid: int, groups: tuple[Group, ...] = GROUPS) -> None:
        self._home = Path(home)
        runtime = Runtime.load(self._home)
        # First of all: a root that is one too many must not touch the sockets of the one that works.
        self._lock = RootLock(runtime.run_dir)
        self._log = configure("root", runtime.log_dir, runtime.log_level)
        actors = actors_of(groups)
        launcher = RayLauncher(actors, home, runtime.spares, lambda: self._core.is_ready)
        session = os.environ.get(SESSION_ENV, "")
        self._reporter = Reporter(runtime, self._log, self._status, self._restart, self._beat)
        self._core = Supervision(
            tree_of(groups),
            actors,
            launcher,
            Store(runtime.run_dir),
            self._reporter,
            self._log,
            session,
            Limits(runtime.memory_warn_mb * MB, runtime.memory_recycle_mb * MB),
            self._reporter.kept,
        )
        self._pulse = PulseSocket(runtime.heartbeat_socket, self._core.beat)
        self._control = ControlServer(runtime.run_dir / ROOT_SOCKET, self._answer)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._control.start()),
            loop.create_task(self._reporter.run(), name="reporter"),
            loop.create_task(self._outlive(guardian_pid), name="guardian-watch"),
        ]
        self._log.info("root", pid=os.getpid(), session=session)
        for task in (*self._tasks, loop.create_task(self._core.failed(), name="supervision")):
            task.add_done_callback(self._ended)
        self._tasks.append(loop.create_task(self._resume(), name="resume"))

    def __repr__(self) -> str:
        return f"RootSupervisor({ROOT_ACTOR})"

    async def hello(self) -> int:
        """This process's id."""
        return os.getpid()

    async def up(self, timeout_s: float = RESUME_WITHIN_S) -> Outcome:
        """Starts, or takes over, every actor in order."""
        return await self._core.up(timeout_s)

    async def down(self, timeout_s: float = ORPHAN_STOP_S) -> bool:
        """Stops every actor in reverse order; whether none had to be killed for want of time."""
        return await self._core.down(timeout_s)

    async def snapshot(self) -> pb.ActorsSnapshot:
        """Every actor now."""
        return self._reporter.snapshot()

    async def restart(self, name: str, reason: str) -> str:
        """Drains, stops and starts an actor; "" or why not. Raises ValueError for an unknown name."""
        return self._core.restart(name, reason)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            # A supervisor with a defect inside must not look alive: Ray makes a new one, which adopts the children.
            self._log.error("the root is broken", task=task.get_name(), exc_info=task.exception())
            os._exit(1)

    def _status(self) -> list[pb.ActorStatus]:
        return self._core.status()

    async def _restart(self, name: str, reason: str) -> pb.RestartActorReply:
        return await self._core.restart_and_wait(name, reason, RESTART_WITHIN_S)

    def _beat(self, beat: pb.Heartbeat) -> None:
        self._core.beat(beat)

    async def _resume(self) -> None:
        if not await self._core.recall():
            return
        outcome = await self._core.up(RESUME_WITHIN_S)
        self._log.info("resumed", ready=outcome.ready, problems=outcome.problems)

    async def _answer(self, verb: str, fields: Fields) -> Answer:
        match verb:
            case "hello":
                return {"pid": os.getpid(), "ready": self._core.is_ready}
            case "up":
                outcome = await self._core.up(float(fields.get("timeout_s", RESUME_WITHIN_S)))
                return {"ready": outcome.ready, "problems": outcome.problems}
            case "down":
                return {"clean": await self._core.down(float(fields.get("timeout_s", ORPHAN_STOP_S)))}
            case "restart":
                name, reason = str(fields.get("name", "")), str(fields.get("reason", "asked"))
                if fields.get("wait"):
                    reply = await self._core.restart_and_wait(name, reason, RESTART_WITHIN_S)
                    return MessageToDict(
                        reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
                    )
                refused = self._core.restart(name, reason)
                return {"accepted": not refused, "detail": refused}
            case "snapshot":
                actors = [MessageToDict(actor, preserving_proto_field_name=True) for actor in self._core.status()]
                return {"actors": actors, "escalated": self._core.escalated(), "ready": self._core.is_ready}
            case _:
                raise ValueError(f"unknown verb {verb!r}: hello, up, down, restart, snapshot")

    async def _outlive(self, guardian_pid: int) -> None:
        try:
            guardian = Death(guardian_pid)
        except ProcessLookupError:
            self._log.error("the guardian is gone", pid=guardian_pid)
        else:
            await guardian.wait()
            self._log.error("the guardian died", pid=guardian_pid)
        await self._core.down(ORPHAN_STOP_S)
        kill_all(family_of(self._home), 1.0)
        os._exit(0)


def create_root(home: str, guardian_pid: int, groups: tuple[Group, ...] = GROUPS) -> ActorHandle[Any]:
    """Makes the root, or finds the living one. Blocking."""
    hosted: Any = ray.remote(RootSupervisor)
    options = hosted.options(
        name=ROOT_ACTOR,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        resources={resource_of(CORE_ROLE): SHARE},
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=CALLS_AT_ONCE,
    )
    handle: ActorHandle[Any] = options.remote(home, guardian_pid, groups)
    return handle
