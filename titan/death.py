"""The end of a process of this node, proven by the kernel.

Guarantees: a `Death` waits on a pidfd, so it can't be fooled by a pid that is used again; it kills exactly the process that it
watches. Never: a poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

_LET_GO_S = 0.5


class Death:
    """The end of one process of this node, as an awaitable fact. Made in a running loop, for that loop."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when no such process lives."""
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self._gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._on_exit)

    @property
    def proven(self) -> bool:
        """Whether the process is known to be gone."""
        return self._gone.is_set()

    def kill(self) -> None:
        """SIGKILL, to exactly this process."""
        if self._fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    async def wait(self) -> None:
        """Returns when the process is gone. Several may wait."""
        await self._gone.wait()

    def close(self) -> None:
        """Stops watching."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            # Not before the loop has really let go of it: a number that is used again would be watched for us.
            self._loop.call_later(_LET_GO_S, os.close, self._fd)
            self._fd = -1

    def _on_exit(self) -> None:
        self._gone.set()
        self.close()
