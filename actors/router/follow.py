"""The journal as a stream: the leader sends what it writes to whoever follows, a follower keeps a mirror of the core's state.

It goes over NATS like everything between processes: signed, on every node, without a second server to keep alive. The stream is
a hint: a follower that missed rows asks for them (`titan.rpc.router.journal.v1`), and on promotion the file is the truth.
Guarantees: a mirror takes rows only in sequence and only as the chain of hashes allows; what does not continue it makes it
begin anew; the leader pays nothing while nobody follows. Never: the journal's file, a wait on the path of an order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto

from actors.router.core import RouterCore
from protos import trading_pb2 as pb
from titan import subjects
from titan.bus import Bus, Received
from titan.errors import Transient
from titan.journal import GENESIS, SNAPSHOT, Journal, Row, StoredRow, fault, row_hash
from titan.logs import Log

FOLLOWED_S = 10.0
SPEAK_S = 1.0
ASK_S = 2.0
AGAIN_S = 0.1
HOLD_S = 0.001
KEPT_ROWS = 10_000
ASKED_ROWS = 500

Ask = Callable[[pb.JournalFollowRequest], Awaitable[pb.JournalFollowReply]]


class Broadcast:
    """The leader's end."""

    def __init__(self, bus: Bus, journal: Journal, venue: str, account: str) -> None:
        self._bus = bus
        self._journal = journal
        self._subject = subjects.journal_tail(venue, account)
        self._until_s = 0.0
        self._rows: list[Row] = []
        self._wake = asyncio.Event()

    def follow(self) -> None:
        """Somebody follows: for a while every new row is sent."""
        self._until_s = time.monotonic() + FOLLOWED_S

    def put(self, rows: Sequence[Row]) -> None:
        """Takes rows that are in the journal. What can't be sent is dropped; the follower sees the gap."""
        if not self._followed or len(self._rows) >= KEPT_ROWS:
            return
        self._rows.extend(rows)
        # The order these rows are about leaves first.
        asyncio.get_running_loop().call_later(HOLD_S, self._wake.set)

    @property
    def _followed(self) -> bool:
        return time.monotonic() < self._until_s

    async def run(self) -> None:
        """Sends for ever; once a second also when there is nothing to send, so that a follower knows it misses nothing."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), SPEAK_S)
            self._wake.clear()
            rows, self._rows = self._rows, []
            if self._followed and self._bus.connected:
                await self._bus.publish(self._subject, self._tail(rows))

    def _tail(self, rows: Sequence[Row]) -> pb.JournalTail:
        journal = self._journal
        tail = pb.JournalTail(term=journal.term, last_seq=journal.last_seq, head=journal.head)
        for row in rows:
            tail.rows.add(term=journal.term, seq=row.seq, kind=row.kind, payload=row.payload, ts_ms=row.ts_ms)
        return tail


class Answered(Enum):
    """What an answer made of a mirror: nothing is missing, more is to be asked for, or it was of another journal."""

    WHOLE = auto()
    MORE = auto()
    ANOTHER = auto()


class Mirror:
    """A core that is kept where the leader's journal is."""

    def __init__(self, make: Callable[[], RouterCore]) -> None:
        self._make = make
        self.core = make()
        self.seq = 0
        self.head = GENESIS
        # While its core is being taken over, what still comes in from the late leader is left to the journal's file.
        self.held = False
        self._asked = self.seq, self.head

    def take(self, rows: Sequence[pb.JournalRow]) -> bool:
        """Takes rows, known ones apart; False, with nothing more taken, when one does not continue the chain.

        Rows of the stream carry no hash of their own: they are checked by the head that comes with them.
        """
        for message in rows:
            if message.seq <= self.seq or self.held:
                continue
            if message.kind == SNAPSHOT and self.seq:
                return False
            digest = message.hash or row_hash(
                self.head, message.term, message.seq, message.kind, message.payload, message.ts_ms
            )
            row = StoredRow(message.seq, message.term, message.kind, message.payload, digest, message.ts_ms)
            if fault(row, self.seq, self.head):
                return False
            self.core.replay((row,))
            self.seq, self.head = row.seq, row.hash
        return True

    def hear(self, tail: pb.JournalTail) -> bool:
        """Takes what the stream says; whether the mirror is whole now. When not, the leader has to be asked.

        More rows than the leader has, or others, are no whole mirror either: the next answer shows which it is.
        """
        gap = bool(tail.rows) and tail.rows[0].seq > self.seq + 1
        return not gap and self.take(tail.rows) and self.seq == tail.last_seq and self.head == tail.head

    def question(self, name: str) -> pb.JournalFollowRequest:
        """What to ask. The last row of ours is asked for again: it shows whether both sides speak of one journal."""
        self._asked = self.seq, self.head
        return pb.JournalFollowRequest(from_seq=max(0, self.seq - 1), limit=ASKED_ROWS, follower=name)

    def answered(self, reply: pb.JournalFollowReply) -> Answered:
        """Takes an answer to the latest question."""
        # The stream may have brought more meanwhile.
        seq, head = self._asked
        same = seq == 0 or any(row.seq == seq and row.hash == head for row in reply.rows)
        if not same or not self.take(reply.rows):
            self.begin_anew()
            return Answered.ANOTHER
        return Answered.WHOLE if self.seq >= reply.last_seq else Answered.MORE

    def begin_anew(self) -> None:
        """Forgets everything: the journal is another one, or was cut."""
        quotes, beat_ms = self.core.state.quotes, self.core.state.brain_beat_ms
        self.core, self.seq, self.head = self._make(), 0, GENESIS
        self.core.state.quotes, self.core.state.brain_beat_ms = quotes, beat_ms


class Follower:
    """The standby's end: keeps a mirror whole until it is stopped."""

    def __init__(self, bus: Bus, mirror: Mirror, name: str, venue: str, account: str, ask: Ask, log: Log) -> None:
        self._bus = bus
        self._mirror = mirror
        self._name = name
        self._venue, self._account = venue, account
        self._ask = ask
        self._log = log
        self._wake = asyncio.Event()
        self._whole_s: float | None = None
        self.restarts = 0
        self.whole = asyncio.Event()

    @property
    def lag_s(self) -> float:
        """Since when the mirror is known to have every row; below zero when it never had."""
        return -1.0 if self._whole_s is None else time.monotonic() - self._whole_s

    async def run(self) -> None:
        """Follows until it is cancelled."""
        subscription = await self._bus.subscribe(
            subjects.journal_tail(self._venue, self._account), pb.JournalTail, self._on_tail
        )
        try:
            while True:
                self._wake.clear()
                caught_up = await self._catch_up()
                try:
                    await asyncio.wait_for(self._wake.wait(), ASK_S if caught_up else AGAIN_S)
                except TimeoutError:
                    continue
        finally:
            if self._bus.connected:
                await subscription.unsubscribe()

    async def _on_tail(self, received: Received[pb.JournalTail]) -> None:
        if self._mirror.hear(received.message):
            self._note_whole()
        else:
            self._wake.set()

    async def _catch_up(self) -> bool:
        """Asks until nothing is missing; whether that was reached."""
        mirror = self._mirror
        while True:
            seq = mirror.seq
            try:
                reply = await self._ask(mirror.question(self._name))
            except Transient as error:
                self._log.info("the leader's journal can't be followed", error=str(error))
                return False
            if reply.error:
                self._log.warning("the leader can't read its journal", error=reply.error)
                return False
            if mirror.held:
                return False
            answered = mirror.answered(reply)
            if answered is Answered.ANOTHER:
                self.restarts += 1
                self._log.warning("the journal does not continue what was followed", seq=seq)
            elif answered is Answered.WHOLE:
                self._note_whole()
                return True

    def _note_whole(self) -> None:
        self._whole_s = time.monotonic()
        self.whole.set()
