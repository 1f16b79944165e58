"""Ray's dashboard server, kept alive beside Ray: Ray itself starts it once and never again.

Nobody trades through it. Guarantees: one that dies is started again with the same command line, each time after a longer
pause; its death never touches an actor; what is started here dies with the guardian. Never: more than `GIVE_UP_AFTER` starts
without a minute's life between them: then it stays away until the next start of Titan, and the log says so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from supervisors.processes import Death
from titan.logs import get_logger
from titan.servers.process import before_exec

FIRST_PAUSE_S = 0.5
LONG_LIFE_S = 60.0
GIVE_UP_AFTER = 5


class Dashboard:
    """The server that the boot process started as `pid` with `command`."""

    def __init__(self, command: Sequence[str], pid: int, environment: Mapping[str, str], log_path: Path) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._log_path = log_path
        self._log = get_logger("guardian")
        self.pid = pid
        self.restarts = 0

    async def keep(self) -> None:
        """Starts it again whenever it is gone; returns when it is given up."""
        loop = asyncio.get_running_loop()
        await self._gone()
        in_a_row = 0
        while in_a_row < GIVE_UP_AFTER:
            self._log.error("the Ray dashboard died; trading goes on and it is started again", pid=self.pid)
            await asyncio.sleep(FIRST_PAUSE_S * 2**in_a_row)
            began = loop.time()
            with self._log_path.open("ab") as out:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    preexec_fn=before_exec(os.getpid(), signal.SIGKILL),
                )
            self.pid, self.restarts = process.pid, self.restarts + 1
            try:
                await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
            in_a_row = 0 if loop.time() - began > LONG_LIFE_S else in_a_row + 1
        self._log.error(
            "the Ray dashboard is given up until the next start of Titan", starts=self.restarts, see=str(self._log_path)
        )

    async def _gone(self) -> None:
        try:
            death = Death(self.pid)
        except ProcessLookupError:
            return
        try:
            await death.wait()
        finally:
            death.close()
