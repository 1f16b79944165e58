"""When a router that does not lead may begin to: the lease says who leads, the kernel says whether it still lives.

Guarantees: on one place the leader is dead, proven by its pidfd, before `turn` returns; it is killed when it has not renewed
its lease for longer than the lease while the bus answered us. From another place the lease and the longest send are waited
out. Never: a process that is not the holder of the record.
"""

from __future__ import annotations

import asyncio
import contextlib

from actors.router.lease import Holder, Verdict
from actors.router.tenure import ROUND_S, Tenure, now_ms
from titan.death import Death
from titan.logs import Log
from titan.servers.identity import ProcessId


class Succession:
    """Watches the leader on behalf of one process."""

    def __init__(self, tenure: Tenure, log: Log) -> None:
        self._tenure = tenure
        self._log = log
        self._watched: Holder | None = None
        self._death: Death | None = None

    async def is_open(self) -> bool:
        """One look: whether nobody leads, or nobody who lives. A first look that finds no answer is repeated."""
        while not await self._tenure.look():
            await asyncio.sleep(ROUND_S)
        self._watch()
        return self._verdict() is Verdict.TAKE

    async def turn(self) -> None:
        """Returns when this process may take the lease."""
        while True:
            self._watch()
            verdict = self._verdict()
            if verdict is Verdict.TAKE:
                return
            if verdict is Verdict.KILL and self._death is not None:
                self._log.warning("the leader is silent and is killed", holder=repr(self._watched))
                self._death.kill()
                await self._death.wait()
                continue
            if not await self._died_within(ROUND_S):
                await self._look()

    def close(self) -> None:
        """Stops watching."""
        if self._death is not None:
            self._death.close()
        self._death = self._watched = None

    async def _look(self) -> None:
        looking = asyncio.ensure_future(self._tenure.look())
        died = asyncio.ensure_future(self._died_within(None))
        try:
            # An answer that is late must not delay what the kernel has said already.
            await asyncio.wait({looking, died}, return_when=asyncio.FIRST_COMPLETED)
            if looking.done() and looking.result():
                await self._tenure.join()
        finally:
            for task in (looking, died):
                task.cancel()
            await asyncio.gather(looking, died, return_exceptions=True)

    async def _died_within(self, seconds: float | None) -> bool:
        """Waits for the leader's death; whether it came."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self._death is None:
                    await asyncio.get_running_loop().create_future()
                else:
                    await self._death.wait()
        return self._death is not None and self._death.proven

    def _verdict(self) -> Verdict:
        lease = self._tenure.lease
        holder = None if lease.entry is None else lease.entry.record.holder
        here = holder is not None and holder.place == lease.me.place
        # A holder of this place that is not watched is gone, or of an earlier boot; the journal's lock has the last word.
        dead = here and (self._death is None or self._death.proven)
        return lease.verdict(now_ms(), dead=dead)

    def _watch(self) -> None:
        lease = self._tenure.lease
        holder = None if lease.entry is None else lease.entry.record.holder
        if holder == self._watched:
            return
        self.close()
        self._watched = holder
        if holder is None or (holder.place, holder.boot) != (lease.me.place, lease.me.boot):
            return
        with contextlib.suppress(ProcessLookupError):
            death = Death(holder.pid)
            # Asked after the pidfd was opened: it is this very process that the pidfd names.
            found = ProcessId.of(holder.pid)
            if found is not None and found.start == holder.start:
                self._death = death
            else:
                death.close()
