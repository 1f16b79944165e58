"""Warm processes in reserve: hosts that have imported what actors need and wait to be told which actor to be.

Most of a restart is Python starting and importing; a spare has done that before. Guarantees: a spare becomes one actor only;
one that does not take its order is dead, proven by the kernel, before anybody else is started instead. Never: a spare where
roles have nodes of their own: it would be on the wrong one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from supervisors.host_order import HostOrder, HostReport
from supervisors.processes import Death
from titan.logs import Log

TAKE_WITHIN_S = 10.0
MADE_WITHIN_S = 8.0
AGAIN_AFTER_S = 3.0


class SpareHandle(Protocol):
    """A host without an actor."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    async def take(self, order: HostOrder) -> HostReport:
        """Becomes the actor of an order. Raises when it can't be reached."""
        ...

    async def warm(self) -> None:
        """Imports what actors need. Raises what an import raised."""
        ...

    async def end(self) -> None:
        """Ends it for good."""
        ...


S = TypeVar("S", bound=SpareHandle)


@dataclass(eq=False, slots=True)
class _Spare(Generic[S]):
    handle: S
    death: Death


class Spares(Generic[S]):
    """At most `count` of them. Create it in a running loop; `make` gives None where there must be none."""

    def __init__(
        self, count: int, make: Callable[[], Awaitable[S | None]], settled: Callable[[], bool], log: Log
    ) -> None:
        self._count = count
        self._make = make
        self._settled = settled
        self._log = log
        self._idle: list[_Spare[S]] = []
        self._making: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits = False
        self._closed = False

    def fill(self, after_s: float = 0.0) -> None:
        """Sees to it that there is one again, in the background."""
        if self._closed or self._making is not None or len(self._idle) >= self._count:
            return
        self._waits = after_s > 0
        self._making = asyncio.get_running_loop().create_task(self._fill(after_s), name="spare")

    def keep(self, handle: S) -> None:
        """Takes over one that an earlier supervisor made; one too many is ended."""
        spare = self._watched(handle)
        if spare is None or len(self._idle) >= self._count:
            self._spawn(handle.end())
            return
        self._idle.append(spare)

    async def take(self, order: HostOrder) -> tuple[S, HostReport] | None:
        """A spare that is this order's actor now; None when there is none, and then none has heard of the order."""
        if not self._idle and self._making is not None and not self._waits:
            # Its process is on the way: no later than one that would be begun now.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._making), MADE_WITHIN_S)
        if not self._idle:
            self.fill(self._pause())
            return None
        spare = self._idle.pop(0)
        try:
            async with asyncio.timeout(TAKE_WITHIN_S):
                report = await spare.handle.take(order)
        except asyncio.CancelledError:
            self._spawn(self._end(spare))
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it died of, another process does its work
            self._log.warning("a spare did not take its order", child=order.name, error=repr(error))
            await self._end(spare)
            return None
        finally:
            self.fill(self._pause())
        spare.death.close()
        return spare.handle, report

    def close(self) -> None:
        """Makes no more."""
        self._closed = True
        for task in (self._making, *self._tasks):
            if task is not None:
                task.cancel()

    def _pause(self) -> float:
        """During a start the next one is wanted soon; after a crash its actor has the cores first."""
        return AGAIN_AFTER_S if self._settled() else 0.0

    async def _fill(self, after_s: float) -> None:
        try:
            await asyncio.sleep(after_s)
            self._waits = False
            handle = await self._make()
        except Exception as error:  # noqa: BLE001 -- without a spare a restart takes longer, and that is all
            self._log.warning("no spare", error=repr(error))
            handle = None
        finally:
            self._waits = False
            self._making = None
        if handle is None:
            return
        if (spare := self._watched(handle)) is not None:
            self._idle.append(spare)
            self._spawn(self._warm(spare))

    def _watched(self, handle: S) -> _Spare[S] | None:
        try:
            spare = _Spare(handle, Death(handle.pid))
        except ProcessLookupError:
            return None
        self._spawn(self._bury(spare))
        return spare

    async def _warm(self, spare: _Spare[S]) -> None:
        began = time.monotonic()
        try:
            await spare.handle.warm()
        except Exception as error:  # noqa: BLE001 -- it still is a process that can become an actor
            self._log.warning("a spare is not warm", error=repr(error))
        else:
            self._log.info("spare", pid=spare.handle.pid, seconds=round(time.monotonic() - began, 2))

    async def _bury(self, spare: _Spare[S]) -> None:
        await spare.death.wait()
        if spare in self._idle:
            self._idle.remove(spare)
            self.fill(AGAIN_AFTER_S)

    async def _end(self, spare: _Spare[S]) -> None:
        spare.death.kill()
        self._spawn(spare.handle.end())
        await spare.death.wait()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
