"""The root supervisor: one detached Ray actor that Ray restarts without limit; it owns every actor of Titan.

Guarantees: after its own death it finds its living children by name, verifies and keeps them, and finishes the restart it was
in; when the guardian dies it stops its children in order and then ends Ray's processes of this home. Never: a path of an order.
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
from supervisors.control import ROOT_SOCKET, Answer, ControlServer, Fields
from supervisors.processes import Death, kill_all
from supervisors.pulse import PulseSocket
from supervisors.ray_life import RayLauncher
from supervisors.ray_node import family_of
from supervisors.report import Reporter
from supervisors.store import Store
from supervisors.supervision import Outcome, Supervision
from supervisors.tree import GROUPS, NAMESPACE, ROOT_ACTOR, Group, actors_of, tree_of
from titan.logs import configure
from titan.runtime import Runtime

SESSION_ENV = "SUPERVISED_BY_TITAN_SESSION"
RESUME_WITHIN_S = 120.0
ORPHAN_STOP_S = 20.0
CALLS_AT_ONCE = 100


class RootSupervisor:
    """The root. Its methods are also answered on the control socket of `<home>/run`."""

    def __init__(self, home: str, guardian_pid: int, groups: tuple[Group, ...] = GROUPS) -> None:
        self._home = Path(home)
        runtime = Runtime.load(self._home)
        self._log = configure("root", runtime.log_dir, runtime.log_level)
        actors = actors_of(groups)
        launcher = RayLauncher(actors, home)
        session = os.environ.get(SESSION_ENV, "")
        self._reporter = Reporter(runtime, self._log, self._status, self._restart, self._beat)
        self._core = Supervision(
            tree_of(groups), actors, launcher, Store(runtime.run_dir), self._reporter, self._log, session
        )
        self._pulse = PulseSocket(runtime.heartbeat_socket, self._core.beat)
        self._control = ControlServer(runtime.run_dir / ROOT_SOCKET, self._answer)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._control.start()),
            loop.create_task(self._reporter.run(), name="reporter"),
            loop.create_task(self._outlive(guardian_pid), name="guardian-watch"),
        ]
        self._log.info("root", pid=os.getpid(), session=session, resumes=self._core.resumes)
        for task in (*self._tasks, loop.create_task(self._core.failed(), name="supervision")):
            task.add_done_callback(self._ended)
        if self._core.resumes:
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

    def _restart(self, name: str, reason: str) -> str:
        return self._core.restart(name, reason)

    def _beat(self, beat: pb.Heartbeat) -> None:
        self._core.beat(beat)

    async def _resume(self) -> None:
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
                refused = self._core.restart(str(fields.get("name", "")), str(fields.get("reason", "asked")))
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
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=CALLS_AT_ONCE,
    )
    handle: ActorHandle[Any] = options.remote(home, guardian_pid, groups)
    return handle
