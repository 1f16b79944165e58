"""The one who writes: collects news from all consumers, commits them together, and waits out a database that is away.

Guarantees: `book` returns only after its news are committed; one bad piece of news fails alone; while PostgreSQL is
away every call fails at once with Transient, so nothing is acknowledged and nothing piles up here. Never: a reorder
that could be seen (the books themselves order by journal row).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.execution.books import Written
from actors.execution.news import Batch, News, plan
from titan.errors import Transient

MAX_ROWS = 200
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 1.0
ENDED = "the books are being closed"


class Writer(Protocol):
    """What commits a batch."""

    async def write(self, batch: Batch) -> Written:
        """Commits or raises Transient (try later) or ValueError (never)."""
        ...


@dataclass(slots=True)
class _Waiting:
    news: tuple[News, ...]
    cursor: int
    done: asyncio.Future[None]


class Scribe:
    """Run `run` as a task; call `book` from anywhere on the same loop."""

    def __init__(
        self, writer: Writer, on_written: Callable[[Written], None], on_store: Callable[[bool, str], None]
    ) -> None:
        self._writer = writer
        self._on_written = on_written
        self._on_store = on_store
        self._queue: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._backoff_s = 0.0
        self._retry_at = 0.0
        self.error = ""
        self.answered_at = time.monotonic()
        self.batches = 0
        self.busy = False
        self._ended = False
        self.rows = 0

    @property
    def up(self) -> bool:
        """Whether the last attempt to write succeeded."""
        return not self.error

    async def book(self, news: Sequence[News], cursor: int = 0) -> None:
        """Returns once the news are committed. Raises Transient while the database is away, ValueError for bad news."""
        if self._ended:
            raise Transient(ENDED)
        wait = self._retry_at - time.monotonic()
        if wait > 0:
            raise Transient(self.error, retry_after_s=wait)
        waiting = _Waiting(tuple(news), cursor, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._wake.set()
        await waiting.done

    async def run(self) -> None:
        """Commits what waits, until it is cancelled; whoever waits then is told to come again."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._commit(self._take())
        finally:
            self._ended = True
            for one in self._queue:
                _settle(one, Transient(ENDED))

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        rows = 0
        while self._queue and (not taken or rows + len(self._queue[0].news) <= MAX_ROWS):
            taken.append(self._queue.pop(0))
            rows += len(taken[-1].news)
        return taken

    async def _commit(self, waiting: list[_Waiting]) -> None:
        batch = plan((news for one in waiting for news in one.news), max(one.cursor for one in waiting))
        self.busy = True
        try:
            written = await self._writer.write(batch)
        except Transient as error:
            self._paused(str(error))
            for one in waiting:
                _settle(one, Transient(str(error), retry_after_s=self._backoff_s))
        except ValueError as error:
            if len(waiting) == 1:
                _settle(waiting[0], error)
                return
            for one in waiting:
                await self._commit([one])
        else:
            self._answered()
            self.batches += 1
            self.rows += written.rows
            self._on_written(written)
            for one in waiting:
                _settle(one, None)
        finally:
            self.busy = False
            for one in waiting:
                # Whoever is not answered by now waits for a commit that was cancelled.
                _settle(one, Transient(ENDED))

    def _paused(self, error: str) -> None:
        self._backoff_s = min(MAX_BACKOFF_S, max(FIRST_BACKOFF_S, self._backoff_s * 2))
        self._retry_at = time.monotonic() + self._backoff_s
        self.error = error
        self._on_store(False, error)

    def _answered(self) -> None:
        self._backoff_s = 0.0
        self._retry_at = 0.0
        self.answered_at = time.monotonic()
        if self.error:
            self.error = ""
            self._on_store(True, "")


def _settle(waiting: _Waiting, error: Exception | None) -> None:
    if waiting.done.done():
        return
    if error is None:
        waiting.done.set_result(None)
    else:
        waiting.done.set_exception(error)
