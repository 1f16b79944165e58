"""Follows the router's journal: what the bus lost or brought late comes into the books this way.

Guarantees: every row is taken once, in order, and its hash must follow from the one before; what is not committed yet
is kept and tried again; a journal that was replaced or cut is read anew from its first row; a compacted one that lacks
rows which the books lack too is said to be so. Never: a write to it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from actors.execution.journal import JournalMirror
from actors.execution.news import News
from actors.execution.scribe import MAX_ROWS, Scribe
from protos import trading_pb2 as pb
from titan.errors import Transient
from titan.journal import GENESIS, SNAPSHOT, StoredRow, fault

REPLY_ROWS = 1000

Ask = Callable[[pb.JournalFollowRequest], Awaitable[pb.JournalFollowReply]]


class JournalFollower:
    """One reader. `mirror` is the journal's side of the comparison."""

    def __init__(self, venue: str, account: str, ask: Ask, scribe: Scribe, booked_seq: int) -> None:
        self._venue, self._account = venue, account
        self._ask = ask
        self._scribe = scribe
        self._booked_seq = booked_seq
        self._hash = GENESIS
        self._unbooked: deque[tuple[int, list[News]]] = deque()
        self._lock = asyncio.Lock()
        self.mirror = JournalMirror(venue, account)
        self.fault = ""
        self.restarts = 0

    @property
    def booked_seq(self) -> int:
        """The journal row up to which everything is in the books."""
        return self._booked_seq

    async def follow(self) -> None:
        """Takes every row there is now, into mirror and books. Raises Transient; what was taken is not lost."""
        async with self._lock:
            await self._book()
            while True:
                reply = await self._ask(pb.JournalFollowRequest(from_seq=self.mirror.seq, limit=REPLY_ROWS))
                if reply.error:
                    raise Transient(f"the router can't read its journal: {reply.error}")
                if reply.last_seq < self.mirror.seq or not self._chained(reply.rows):
                    self._start_over(reply)
                    continue
                self._take(reply.rows)
                await self._book()
                if self.mirror.seq >= reply.last_seq or not reply.rows:
                    return

    def _chained(self, rows: Sequence[pb.JournalRow]) -> bool:
        last, previous = self.mirror.seq, self._hash
        for row in rows:
            stored = StoredRow(row.seq, row.term, row.kind, row.payload, row.hash, row.ts_ms)
            if fault(stored, last, previous):
                return False
            last, previous = row.seq, row.hash
        return True

    def _start_over(self, reply: pb.JournalFollowReply) -> None:
        if self.mirror.seq == 0:
            self.fault = "the journal's first rows do not match their hashes"
            raise Transient(self.fault)
        # Rows that were cut from the tail are written anew under a later term: their old sequence numbers mean nothing now.
        self.fault = f"the journal ends at row {reply.last_seq} and does not continue row {self.mirror.seq}: read anew"
        self.restarts += 1
        self._booked_seq = 0
        self._hash = GENESIS
        self._unbooked.clear()
        self.mirror = JournalMirror(self._venue, self._account)

    def _take(self, rows: Sequence[pb.JournalRow]) -> None:
        if rows and rows[0].kind == SNAPSHOT and rows[0].seq > self._booked_seq:
            self.fault = (
                f"the ledger has the journal's rows up to {self._booked_seq}, those up to {rows[0].seq} were compacted "
                "away: run `titan ledger rebuild`, it reads them from the archive"
            )
            raise Transient(self.fault)
        for start in range(0, len(rows), MAX_ROWS):
            part = rows[start : start + MAX_ROWS]
            news = self.mirror.take(part)
            self._hash = part[-1].hash
            if part[-1].seq > self._booked_seq:
                self._unbooked.append((part[-1].seq, news))

    async def _book(self) -> None:
        while self._unbooked:
            seq, news = self._unbooked[0]
            await self._scribe.book(news, cursor=seq)
            self._unbooked.popleft()
            self._booked_seq = max(self._booked_seq, seq)
