"""Carries out what a supervision machine decides, on whatever a `Launcher` can start: Ray actors or plain processes.

Guarantees: every StartChild ends in exactly one Exited; a start follows only on proven death; nothing here decides anything.
All methods belong to one event loop. Never: Ray.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from supervisors.child import ChildView, Status
from supervisors.events import (
    Command,
    Effect,
    Event,
    Exited,
    KillChild,
    Ready,
    StartChild,
    Started,
    StopChild,
    Tick,
    Verb,
)
from supervisors.nested import TreeMachine

LONGEST_SLEEP_S = 1.0


class Life(Protocol):
    """One process of a child, from its birth to its proven death."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    async def ready(self) -> None:
        """Returns when the child does its work; raises what kept it from that."""
        ...

    async def ended(self) -> tuple[bool, str]:
        """Returns when the death is proven: whether it was without error, and why."""
        ...

    async def stop(self) -> None:
        """Asks the child to drain and stop."""
        ...

    def kill(self) -> None:
        """Ends it at once."""
        ...


class Launcher(Protocol):
    """Makes children live."""

    async def launch(self, child: str, incarnation: int) -> Life:
        """Starts a process for the child. When it raises or is cancelled, no process is left."""
        ...


class Listener(Protocol):
    """Hears what happens, in order."""

    def heard(self, event: Event, effects: list[Effect]) -> None:
        """Called after every event with what was decided. Must not block."""
        ...


@dataclass(slots=True)
class _Running:
    incarnation: int
    task: asyncio.Task[None]
    life: Life | None = None


def monotonic_ms() -> int:
    """The clock of supervision: the same in all processes of one boot."""
    return time.monotonic_ns() // 1_000_000


def sentence(error: BaseException) -> str:
    """What an error says, on one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:300]


class Runner:
    """A tree machine with hands. Create it in a running loop."""

    def __init__(
        self, tree: TreeMachine, launcher: Launcher, listener: Listener, clock: Callable[[], int] = monotonic_ms
    ) -> None:
        self.tree = tree
        self._launcher = launcher
        self._listener = listener
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._asks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._abandoned = False
        self._hurry = False
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer = self._task(self._tick(), "supervision-timer")

    def now_ms(self) -> int:
        """The instant, by the clock of supervision."""
        return self._clock()

    def post(self, event: Event) -> None:
        """Hands an event to the machine and carries out the answer. Raises ValueError for an unknown name."""
        if self._abandoned:
            return
        effects = self.tree.handle(event, self._clock())
        for effect in effects:
            self._carry_out(effect)
        self._listener.heard(event, effects)
        self._wake.set()

    def views(self) -> list[ChildView]:
        """Every child now."""
        return self.tree.views(self._clock())

    def life(self, child: str) -> Life | None:
        """The living process of a child."""
        running = self._running.get(child)
        return None if running is None else running.life

    async def failed(self) -> None:
        """Waits for ever, or raises the defect that broke supervision itself: whoever awaits it must end with it."""
        await asyncio.shield(self._failure)

    def hurry(self) -> None:
        """From now on a child that is to stop is killed at once."""
        self._hurry = True
        for view in self.views():
            running = self._running.get(view.name)
            if view.status is Status.STOPPING and running is not None and running.life is not None:
                running.life.kill()

    def hold(self, child: str, incarnation: int, life: Life, *, ready: bool) -> None:
        """Takes over a life that an earlier supervisor started; the machine is told by the caller."""
        task = self._task(self._live(child, incarnation, life, ready), f"live-{child}")
        self._running[child] = _Running(incarnation, task, life)

    async def stop(self, reason: str = "") -> None:
        """Stops everything in order; returns when nothing lives."""
        self.post(Command(Verb.STOP, None, reason))
        while self._running:
            await asyncio.wait(
                {running.task for running in self._running.values()}, return_when=asyncio.FIRST_COMPLETED
            )

    async def close(self) -> None:
        """Ends the timer. To be called after `stop`."""
        self._timer.cancel()
        self._failure.cancel()
        await asyncio.gather(self._timer, *self._asks, return_exceptions=True)

    def abandon(self) -> None:
        """Lets go of all children without touching them: for a supervisor that ends before they do."""
        self._abandoned = True
        self._timer.cancel()
        for running in self._running.values():
            running.task.cancel()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StartChild(child, incarnation):
                task = self._task(self._launch(child, incarnation), f"live-{child}")
                self._running[child] = _Running(incarnation, task)
            case StopChild(child, incarnation):
                running = self._of(child, incarnation)
                if running is not None and running.life is not None and self._hurry:
                    running.life.kill()
                elif running is not None and running.life is not None:
                    self._ask(running.life)
                elif running is not None:
                    running.task.cancel()
            case KillChild(child, incarnation):
                running = self._of(child, incarnation)
                if running is not None and running.life is not None:
                    running.life.kill()
                elif running is not None:
                    running.task.cancel()
            case _:
                return

    def _task(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        task.add_done_callback(self._note_failure)
        return task

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failure.done():
            return
        error = task.exception()
        if error is not None:
            self._failure.set_exception(error)

    def _of(self, child: str, incarnation: int) -> _Running | None:
        running = self._running.get(child)
        return running if running is not None and running.incarnation == incarnation else None

    def _ask(self, life: Life) -> None:
        task = self._task(self._ask_to_stop(life), "ask-to-stop")
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    async def _ask_to_stop(self, life: Life) -> None:
        try:
            await life.stop()
        except Exception:  # noqa: BLE001 -- a child that can't be asked is killed; its end is the death notice
            life.kill()

    async def _launch(self, child: str, incarnation: int) -> None:
        try:
            life = await self._launcher.launch(child, incarnation)
        except asyncio.CancelledError:
            self._gone(child, incarnation, normal=False, reason="stopped before it had a process")
            return
        except Exception as error:  # noqa: BLE001 -- a failed launch is a death notice
            self._gone(child, incarnation, normal=False, reason=sentence(error))
            return
        self._running[child].life = life
        self.post(Started(child, incarnation, life.pid))
        await self._live(child, incarnation, life, ready=False)

    async def _live(self, child: str, incarnation: int, life: Life, ready: bool) -> None:
        ended = asyncio.ensure_future(life.ended())
        why = ""
        if not ready:
            start = asyncio.ensure_future(life.ready())
            await asyncio.wait({ended, start}, return_when=asyncio.FIRST_COMPLETED)
            if start.done() and start.exception() is None:
                self.post(Ready(child, incarnation))
            elif start.done():
                why = sentence(start.exception() or RuntimeError("not ready"))
                life.kill()
            else:
                start.cancel()
        try:
            normal, reason = await ended
        except Exception as error:  # noqa: BLE001 -- whatever broke the watch, the child must be dead before it is reported so
            life.kill()
            normal, reason = False, sentence(error)
        self._gone(child, incarnation, normal=normal and not why, reason=why or reason)

    def _gone(self, child: str, incarnation: int, *, normal: bool, reason: str) -> None:
        self._running.pop(child, None)
        self.post(Exited(child, incarnation, normal, reason))

    async def _tick(self) -> None:
        while True:
            self._wake.clear()
            deadline = self.tree.next_deadline_ms()
            wait_s = LONGEST_SLEEP_S if deadline is None else max(0.0, (deadline - self._clock()) / 1000)
            try:
                async with asyncio.timeout(min(wait_s, LONGEST_SLEEP_S)):
                    await self._wake.wait()
            except TimeoutError:
                self.post(Tick())
