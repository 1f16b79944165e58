"""The journal as a stream between two simulated routers: the real `Mirror`, with the waits of `actors.router.follow`.

Guarantees: rows go sealed over the simulated bus, so they are lost, doubled and delayed like everything else; what is
missing is asked for. Never: the journal itself, for a follower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from actors.router.follow import AGAIN_S, ASK_S, FOLLOWED_S, HOLD_S, SPEAK_S, Answered, Mirror
from protos import trading_pb2 as pb
from simulation.bus import Delivery
from simulation.process import Ask, Process, Signal
from simulation.venue import ACCOUNT, VENUE
from titan import subjects
from titan.errors import Transient
from titan.journal.rows import StoredRow

if TYPE_CHECKING:
    from simulation.world import World

TIMEOUT_MS = 1_000
TAIL = subjects.journal_tail(VENUE, ACCOUNT)


class SimBroadcast:
    """The leader's end."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._until_ms = -1
        self._rows: list[StoredRow] = []

    def begin(self) -> None:
        """Speaks from now on, whenever somebody follows."""
        self._process.after("broadcast", int(SPEAK_S * 1000), self._speak)

    def follow(self) -> None:
        """Somebody follows."""
        self._until_ms = self._world.engine.t_ms + int(FOLLOWED_S * 1000)

    def put(self, rows: Sequence[StoredRow]) -> None:
        """Takes rows that are in the journal."""
        if self._world.engine.t_ms < self._until_ms:
            self._rows.extend(rows)
            self._process.after("broadcast", max(1, int(HOLD_S * 1000)), self._speak)

    def _speak(self) -> None:
        world, rows = self._world, self._rows
        self._rows = []
        if world.engine.t_ms < self._until_ms and world.bus.reaches(self._process):
            journal = world.journal
            tail = pb.JournalTail(term=journal.term, last_seq=journal.last_seq, head=journal.head)
            for row in rows:
                tail.rows.add(term=row.term, seq=row.seq, kind=row.kind, payload=row.payload, ts_ms=row.ts_ms)
            world.bus.send(world.bus.seal("router", TAIL, tail))
        self.begin()

    def answer(self, asked: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        """Rows that a follower asked for."""
        journal = self._world.journal
        self.follow()
        reply = pb.JournalFollowReply(last_seq=journal.last_seq)
        for _, row in zip(range(asked.limit), journal.rows(asked.from_seq), strict=False):
            reply.rows.add(
                term=row.term, seq=row.seq, kind=row.kind, payload=row.payload, hash=row.hash, ts_ms=row.ts_ms
            )
        return reply


class SimFollower:
    """The standby's end."""

    def __init__(self, world: World, process: Process, mirror: Mirror) -> None:
        self._world = world
        self._process = process
        self._mirror = mirror
        self._wake = Signal()
        self.whole = Signal()
        self.following = True

    def run(self) -> Any:
        """Follows until it is told to stop."""
        self._world.bus.subscribe(self._process, TAIL, pb.JournalTail, self._on_tail)
        while self.following:
            self._wake.up = False
            caught_up = yield from self._catch_up()
            yield self._wake.wait(int((ASK_S if caught_up else AGAIN_S) * 1000))

    def _on_tail(self, told: Delivery) -> bool:
        tail = told.message
        assert isinstance(tail, pb.JournalTail)
        if not self.following:
            return True
        if self._mirror.hear(tail):
            self._note_whole()
        else:
            self._wake.set()
        return True

    def _catch_up(self) -> Any:
        mirror = self._mirror
        while True:
            asked = mirror.question(self._process.name)
            try:
                reply = yield Ask(lambda done, asked=asked: self._ask(asked, done))  # type: ignore[misc]
            except Transient:
                return False
            if mirror.held or not self.following:
                return False
            if mirror.answered(reply) is Answered.WHOLE:
                self._note_whole()
                return True

    def _ask(self, asked: pb.JournalFollowRequest, done: Callable[[object], None]) -> None:
        world, engine = self._world, self._world.engine
        waiting = True

        def end(outcome: object) -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                timeout.cancel()
                done(outcome)

        timeout = engine.after(TIMEOUT_MS, lambda: end(Transient("no answer about the journal")))
        leader = world.router
        if not world.bus.reaches(self._process) or engine.t_ms < world.follow_lag_until_ms:
            return
        if leader is None or not leader.leads or not world.bus.reaches(leader):
            engine.after(2, lambda: end(Transient("nobody answers for the journal")))
            return
        chance = engine.chance("follow")
        there, back = chance.randint(1, 4), chance.randint(1, 4)

        def serve() -> None:
            reply = leader.broadcast.answer(asked)
            engine.after(back, lambda: end(reply))

        engine.after(there, lambda: leader.deliver(serve))

    def _note_whole(self) -> None:
        self.whole.set()
