"""Announces journalled rows on the bus: in order, at least once, off the order's way.

Guarantees: only rows that are in the journal are announced; after a crash the rows not known to be announced are
announced again with the same envelope ids. Never: a wait on the path of an order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from actors.router.announce import messages_of
from titan.bus import Bus
from titan.errors import Transient
from titan.journal import Journal, JournalFailed, StoredRow
from titan.logs import Log

BATCH_ROWS = 32
RETRY_S = 0.2
HOLD_S = 0.001


class Outbox:
    """The rows that wait for the bus."""

    def __init__(self, bus: Bus, journal: Journal, log: Log) -> None:
        self._bus = bus
        self._journal = journal
        self._log = log
        self._rows: deque[StoredRow] = deque()
        self._announced = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, rows: Iterable[StoredRow]) -> None:
        """Queues rows that are in the journal."""
        self._rows.extend(rows)
        if self._rows:
            self._idle.clear()
            # The order these rows are about leaves first.
            asyncio.get_running_loop().call_later(HOLD_S, self._wake.set)

    async def run(self) -> None:
        """Announces for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._rows:
                batch = [self._rows[index] for index in range(min(BATCH_ROWS, len(self._rows)))]
                await self._announce(batch)
                for _ in batch:
                    self._rows.popleft()
                self._announced = batch[-1].seq
            self._idle.set()

    async def drained(self, timeout_s: float) -> bool:
        """Waits until everything queued is announced; False after `timeout_s`."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def _announce(self, batch: Sequence[StoredRow]) -> None:
        waiting = [message for row in batch for message in messages_of(row)]
        while waiting:
            # Started in order on one connection, so they reach the server in order; the acknowledgements are awaited together.
            outcomes = await asyncio.gather(
                *(
                    self._bus.publish_durable(
                        each.subject,
                        each.message,
                        correlation_id=each.correlation_id,
                        idempotency_key=each.idempotency_key,
                        envelope_id=each.envelope_id,
                    )
                    for each in waiting
                ),
                return_exceptions=True,
            )
            failed = []
            for each, outcome in zip(waiting, outcomes, strict=True):
                if isinstance(outcome, Transient):
                    failed.append(each)
                elif isinstance(outcome, BaseException):
                    raise outcome
            if failed:
                self._log.info("events wait for the bus", count=len(failed))
                await asyncio.sleep(RETRY_S)
            waiting = failed

    def note(self) -> None:
        """Keeps how far the bus is; call it now and then."""
        try:
            self._journal.mark_published(self._announced)
        except JournalFailed as error:
            # Forgetting how far the bus is only announces rows twice.
            self._log.warning("published mark not kept", error=str(error))
