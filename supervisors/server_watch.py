"""Asks the guardian's servers whether they still work, and tells the supervision machine who is silent.

Guarantees: a server is asked in its own protocol, each by a task of its own with a limit, so that one that hangs holds up
nobody; one that was silent for longer than it may is killed and started again by the same machine that sees deaths. A server
that answers but refuses work is restarted in order once its disk has room. Never: a wait on the guardian's own path.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import asyncpg

from supervisors.child import ChildView, Status
from supervisors.events import Command, Effect, Event, Exited, KillChild, Ready, StopChild, Verb
from supervisors.liveness import Liveness
from supervisors.remedy import Patience, Remedy
from supervisors.runner import Runner
from supervisors.server_life import SILENCE_MS, ServerLife
from titan.logs import Log
from titan.servers import ServerSpec

ASK_EVERY_S = 1.0
ANSWER_WITHIN_S = 2.0
LOOK_EVERY_S = 0.2


def free_bytes(path: Path) -> int:
    """Room on the disk of a directory; nothing when it can't be told."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return 0


class ServerWatch:
    """The watch over all servers of one guardian. `run` it as a task of the runner's loop."""

    def __init__(
        self,
        runner: Callable[[], Runner],
        log: Log,
        patience: Patience | None = None,
        room: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._runner = runner
        self._log = log
        self._room = room
        self._live = Liveness()
        self._remedy = Remedy(patience or Patience())
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, int] = {}

    def heard(self, event: Event, effects: list[Effect]) -> None:
        """Follows who lives."""
        match event:
            case Ready(child, incarnation) if child in SILENCE_MS:
                self._begin(child, incarnation)
            case Exited(child):
                self._end(child)
            case _:
                pass
        for effect in effects:
            if isinstance(effect, StopChild | KillChild):
                self._end(effect.child)

    async def run(self) -> None:
        """Looks for silence until it is cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                runner = self._runner()
                for silent in self._live.silent(runner.now_ms()):
                    self._log.warning("server silent", server=silent.child, silent_ms=silent.silent_ms)
                    runner.post(silent)
        finally:
            for task in self._asking.values():
                task.cancel()

    def rows(self) -> list[dict[str, object]]:
        """Every child of the guardian as an entry of `ServerStatus`."""
        runner = self._runner()
        now_ms = runner.now_ms()
        return [self._row(view, now_ms) for view in runner.views()]

    def _row(self, view: ChildView, now_ms: int) -> dict[str, object]:
        age_ms = self._live.age_ms(view.name, now_ms)
        state = Status.STOPPING if view.status is Status.KILLING else view.status
        return {
            "name": view.name,
            "pid": view.pid,
            "state": f"ACTOR_STATE_{state.name}",
            "restarts": view.restarts,
            "graceful_restarts": view.graceful_restarts,
            "intensity_left": view.intensity_left,
            "answer_age_s": -1.0 if age_ms is None else age_ms / 1000,
            "last_exit": view.last_exit,
            "last_recovery_s": max(0, view.last_recovery_ms) / 1000,
            "trouble": self._remedy.complaint(view.name),
        }

    def _begin(self, child: str, incarnation: int) -> None:
        runner = self._runner()
        life = runner.life(child)
        if not isinstance(life, ServerLife) or life.spec.alive is None:
            return
        self._end(child)
        self._live.watch(child, incarnation, SILENCE_MS[child], runner.now_ms())
        work = self._ask_for_ever(child, incarnation, life.spec)
        self._asking[child] = asyncio.get_running_loop().create_task(work, name=f"ask-{child}")

    def _end(self, child: str) -> None:
        self._live.forget(child)
        self._remedy.forget(child)
        task = self._asking.pop(child, None)
        if task is not None:
            task.cancel()

    async def _ask_for_ever(self, child: str, incarnation: int, spec: ServerSpec) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            if await _answers(spec):
                count = self._answers[child] = self._answers.get(child, 0) + 1
                self._live.beat(child, incarnation, count, self._runner().now_ms())
                await self._listen(child, spec)

    async def _listen(self, child: str, spec: ServerSpec) -> None:
        if spec.trouble is None:
            return
        complaint = ""
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN_S):
                complaint = await spec.trouble()
        if complaint and complaint != self._remedy.complaint(child):
            self._log.warning("server complains", server=child, complaint=complaint)
        runner = self._runner()
        room = await asyncio.to_thread(self._room, spec.data_dir) if complaint else 0
        why = self._remedy.heard(child, complaint, room, runner.now_ms())
        if why:
            self._log.warning("server restarted in order", server=child, reason=why)
            runner.post(Command(Verb.RESTART, child, why))


async def _answers(spec: ServerSpec) -> bool:
    assert spec.alive is not None
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await spec.alive()
    except (OSError, EOFError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
