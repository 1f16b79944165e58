"""Processes that a bench starts and always stops.

Guarantees: a child that does not become ready in time is an error with its last words; leaving the block ends every
process that was started in it. Never: a process of somebody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from ops.bench.machine import ROOT
from titan.errors import Fatal, TimedOut

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
T = TypeVar("T")


def quiet_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on a uvloop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _ready_line(output: asyncio.StreamReader) -> bytes:
    """The object that a process prints when it is ready, after whatever it logs before; empty when it ended instead."""
    while True:
        line = await output.readline()
        if not line or line.startswith(b"{"):
            return line


@dataclass(frozen=True, slots=True)
class Child:
    """A process that said it is ready; `ready` is the JSON object it said it with."""

    pid: int
    ready: dict[str, Any]

    @classmethod
    def actor(cls, path: str, home: Path) -> contextlib.AbstractAsyncContextManager[Child]:
        """An actor as a plain process."""
        return cls.run("titan.process", path, "--home", str(home))

    @classmethod
    @contextlib.asynccontextmanager
    async def run(cls, module: str, *arguments: str) -> AsyncIterator[Child]:
        """`python -m module arguments` for the length of the block. Raises Fatal or TimedOut when it does not get ready."""
        with tempfile.TemporaryFile() as words:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=words,
            )
            try:
                assert process.stdout is not None
                try:
                    line = await asyncio.wait_for(_ready_line(process.stdout), READY_TIMEOUT_S)
                except TimeoutError:
                    raise TimedOut(f"{module} {arguments[0]} was not ready within {READY_TIMEOUT_S:.0f} s") from None
                if not line:
                    await process.wait()
                    words.seek(0)
                    said = words.read().decode(errors="replace").strip().splitlines()
                    raise Fatal(f"{module} {arguments[0]} did not start: {said[-1] if said else 'it said nothing'}")
                yield cls(process.pid, json.loads(line))
            finally:
                await _end(process)


async def started(
    stack: contextlib.AsyncExitStack, *children: contextlib.AbstractAsyncContextManager[Child]
) -> tuple[Child, ...]:
    """Starts several at once, each until the stack is left. Raises what the first failure raised; none of them stays."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(stack.enter_async_context(child)) for child in children]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return tuple(task.result() for task in tasks)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
