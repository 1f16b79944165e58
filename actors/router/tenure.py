"""The lease on the bus: reads, claims, renews and gives back the key of one account.

Guarantees: every change is a compare-and-set on the key's revision; the time of a renewal is the time at which it was asked
for; an answer that does not come is no renewal. Never: a decision, those are `lease`'s; a wait without a limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import nats.errors
import nats.js.errors
from nats.js.kv import KeyValue

from actors.router.lease import Entry, Holder, Lease, Record, Standing, Write
from titan.bus import Bus
from titan.errors import Fatal, Transient
from titan.logs import Log
from titan.runtime import Runtime
from titan.servers.identity import own_id

BUCKET = "titan_lease"
ROUND_S = 0.5
ANSWER_S = 1.0

_FAILURES = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError, Transient)


class Superseded(Fatal):
    """Another router leads this account: nothing may be sent any more, the supervisor starts a standby in our stead."""


def now_ms() -> int:
    """Milliseconds of the clock that also runs while the machine sleeps or this process is stopped."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def boot_of() -> str:
    """The kernel and the pid namespace that this process's pid belongs to."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"


def holder_of(runtime: Runtime, name: str) -> Holder:
    """This process as a holder. Its place is the journal of this home on this machine."""
    me = own_id()
    journal = f"{platform.node()}\x1f{runtime.journal_path.resolve()}"
    return Holder(hashlib.sha256(journal.encode()).hexdigest()[:16], boot_of(), me.pid, me.start, name)


class Tenure:
    """One process's dealings with the key of one account."""

    def __init__(self, bus: Bus, lease: Lease, venue: str, account: str, log: Log) -> None:
        self.lease = lease
        self._bus = bus
        self._key = f"router.{venue}.{account}"
        self._log = log
        self._bucket: KeyValue | None = None

    async def look(self) -> bool:
        """Reads the key; whether there was an answer."""
        try:
            async with asyncio.timeout(ANSWER_S):
                bucket = await self._open()
                try:
                    found = await bucket.get(self._key)
                except nats.js.errors.KeyNotFoundError:
                    self.lease.saw(None, now_ms())
                    return True
        except _FAILURES as error:
            self._lost(error)
            return False
        if found.value is None or found.revision is None:
            return False
        try:
            record = Record.decode(found.value)
        except ValueError as error:
            raise Fatal(f"the lease {self._key} is unreadable: {error}; delete the key in {BUCKET}") from error
        self.lease.saw(Entry(record, found.revision), now_ms())
        return True

    async def claim(self) -> bool:
        """Claims or renews the lease for the term that leads here; whether it is held. Raises Superseded."""
        for _ in range(2):
            if await self._write(self.lease.claiming()):
                return self.lease.may_raise(now_ms())
            if not await self.look():
                return False
            self.check()
        return False

    async def join(self) -> None:
        """Makes this place known to a holder elsewhere, when that is needed."""
        write = self.lease.joining()
        if write is not None:
            await self._write(write)

    async def release(self) -> None:
        """Gives the lease back; one that can't be given back runs out."""
        write = self.lease.releasing()
        if write is not None:
            await self._write(write)

    def check(self) -> None:
        """Raises Superseded when somebody else leads."""
        if self.lease.standing(now_ms()) is Standing.FENCED:
            record = None if self.lease.entry is None else self.lease.entry.record
            raise Superseded(f"term {self.lease.term} is over, the lease says: {record}")

    async def keep(self, held: bool, changed: Callable[[bool], None]) -> None:
        """Renews for ever; tells when the lease, `held` at first or not, lapses or is held again. Raises Superseded."""
        while True:
            began = time.monotonic()
            await self.claim()
            if self.lease.may_raise(now_ms()) is not held:
                held = not held
                changed(held)
            await asyncio.sleep(max(0.0, ROUND_S - (time.monotonic() - began)))

    async def _write(self, write: Write) -> bool:
        asked_ms = now_ms()
        try:
            async with asyncio.timeout(ANSWER_S):
                bucket = await self._open()
                raw = write.record.encode()
                if write.revision:
                    revision = await bucket.update(self._key, raw, last=write.revision)
                else:
                    # A key that somebody deleted has left a mark, which only this call knows to step over.
                    revision = await bucket.create(self._key, raw)
        except nats.js.errors.KeyWrongLastSequenceError:
            return False
        except _FAILURES as error:
            self._lost(error)
            return False
        self.lease.granted(write, revision, asked_ms)
        return True

    async def _open(self) -> KeyValue:
        if self._bucket is None:
            if not self._bus.connected:
                raise Transient("the bus is away")
            self._bucket = await self._bus.kv(BUCKET)
        return self._bucket

    def _lost(self, error: Exception) -> None:
        # A server that came back without its data has no such bucket: it is made again at the next try.
        self._bucket = None
        self._log.info("no answer about the lease", key=self._key, error=repr(error))
