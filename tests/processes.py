"""Real processes that say on one line when they are ready: actors and the paper venue, as the supervisor starts them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
READY_WITHIN_S = 30.0
STOP_WITHIN_S = 20.0


@dataclass
class Process:
    """A child that said it is ready; its standard error is the test's own."""

    process: asyncio.subprocess.Process
    ready: dict[str, Any]

    @classmethod
    async def start(cls, *arguments: str) -> Process:
        """Starts `python -m ARGUMENTS` and waits for its word."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN_S)
            assert line, f"{' '.join(arguments)} ended before it was ready; its words are in the captured output"
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return cls(process, json.loads(line))

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, unless it has ended; its exit code."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), STOP_WITHIN_S)

    async def kill(self) -> None:
        """Ends it at once."""
        await self.stop(signal.SIGKILL)


async def start_actor(actor: str, home: Path) -> Process:
    """Starts an actor, named `module:Class`, on the runtime under `home`."""
    return await Process.start("titan.process", actor, "--home", str(home))


@contextlib.asynccontextmanager
async def running_actor(actor: str, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """An actor for the length of a block; one that the block has not ended must stop in order."""
    child = await start_actor(actor, home)
    try:
        yield child.process
    finally:
        if child.process.returncode is None:
            assert await child.stop() == 0
