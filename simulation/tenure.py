"""The lease of a world: its key on the bus, and how routers take, renew and succeed each other in it.

The decisions are the real ones of `actors.router.lease`; the waits around them follow `actors.router.tenure` and
`actors.router.succession` step by step. Guarantees: a change of the key is a compare-and-set on its revision; an answer
that does not come is no renewal. Never: a decision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors.router.lease import Entry, Holder, Lease, Standing, Verdict, Write
from actors.router.tenure import ANSWER_S, ROUND_S, Superseded
from simulation.process import Ask, Process, Signal, Sleep
from titan.errors import Transient

if TYPE_CHECKING:
    from simulation.bus import SimBus
    from simulation.engine import Engine
    from simulation.router import SimRouter
    from simulation.world import World

ROUND_MS = int(ROUND_S * 1000)
ANSWER_MS = int(ANSWER_S * 1000)

Answer = Callable[[object], None]


class LeaseKey:
    """The one key: an entry, and a revision that rises with every change."""

    def __init__(self, engine: Engine, bus: SimBus) -> None:
        self._engine = engine
        self._bus = bus
        self._revision = 0
        self._before: Entry | None = None
        self.entry: Entry | None = None
        self.silent_until_ms = -1
        self.lost_answers = 0

    def read(self, process: Process, done: Answer) -> None:
        """Answers with the entry."""
        self._carry(process, lambda: self.entry, done)

    def write(self, process: Process, write: Write, done: Answer) -> None:
        """Answers with the new revision; 0 when the key's revision is another one by now."""

        def change() -> int:
            if write.revision != (0 if self.entry is None else self.entry.revision):
                return 0
            self._revision += 1
            self._before, self.entry = self.entry, Entry(write.record, self._revision)
            return self._revision

        self._carry(process, change, done)

    def _carry(self, process: Process, serve: Callable[[], object], done: Answer) -> None:
        engine = self._engine
        if not self._bus.reaches(process) or engine.t_ms < self.silent_until_ms:
            engine.after(ANSWER_MS, lambda: done(Transient("no answer about the lease")))
            return
        chance = engine.chance("lease")
        there, back = chance.randint(1, 3), chance.randint(1, 3)

        def arrive() -> None:
            outcome = serve()
            if self.lost_answers > 0 or not self._bus.reaches(process):
                self.lost_answers = max(0, self.lost_answers - 1)
                engine.after(ANSWER_MS - there, lambda: done(Transient("the answer about the lease was lost")))
            else:
                engine.after(back, lambda: done(outcome))

        engine.after(there, arrive)

    # faults

    def wipe(self) -> None:
        """The bucket is gone; a new one counts from one again."""
        self.entry = self._before = None
        self._revision = 0

    def delete(self) -> None:
        """Somebody deleted the key."""
        self.entry = None
        self._revision += 1

    def restore(self) -> None:
        """Somebody wrote an older value back."""
        if self._before is not None:
            self._revision += 1
            self.entry = replace(self._before, revision=self._revision)


class SimTenure:
    """One process's dealings with the key, as `actors.router.tenure.Tenure` has them."""

    def __init__(self, engine: Engine, key: LeaseKey, process: Process, lease: Lease) -> None:
        self._engine = engine
        self._key = key
        self._process = process
        self.lease = lease

    def look(self) -> Any:
        """Reads the key; whether there was an answer."""
        try:
            entry = yield Ask(lambda done: self._key.read(self._process, done))
        except Transient:
            return False
        self.lease.saw(entry, self._engine.t_ms)
        return True

    def claim(self) -> Any:
        """Claims or renews; whether the lease is held. Raises Superseded."""
        for _ in range(2):
            if (yield from self._write(self.lease.claiming())):
                return self.lease.may_raise(self._engine.t_ms)
            if not (yield from self.look()):
                return False
            self.check()
        return False

    def join(self) -> Any:
        """Makes this place known to a holder elsewhere."""
        write = self.lease.joining()
        if write is not None:
            yield from self._write(write)

    def check(self) -> None:
        """Raises Superseded when somebody else leads."""
        if self.lease.standing(self._engine.t_ms) is Standing.FENCED:
            raise Superseded(f"term {self.lease.term} is over")

    def keep(self, held: bool, changed: Callable[[bool], None]) -> Any:
        """Renews for ever; tells when the lease lapses and when it is held again. Raises Superseded."""
        while True:
            began = self._engine.t_ms
            yield from self.claim()
            if self.lease.may_raise(self._engine.t_ms) is not held:
                held = not held
                changed(held)
            yield Sleep(max(0, ROUND_MS - (self._engine.t_ms - began)))

    def _write(self, write: Write) -> Any:
        asked_ms = self._engine.t_ms
        try:
            revision = yield Ask(lambda done: self._key.write(self._process, write, done))
        except Transient:
            return False
        if not revision:
            return False
        self.lease.granted(write, revision, asked_ms)
        return True


class SimSuccession:
    """When a router that does not lead may begin to, as `actors.router.succession.Succession` has it."""

    def __init__(self, world: World, tenure: SimTenure) -> None:
        self._world = world
        self._tenure = tenure
        self.bell = Signal()

    def is_open(self) -> Any:
        """One look: whether nobody leads, or nobody who lives."""
        while not (yield from self._tenure.look()):
            yield Sleep(ROUND_MS)
        return self.verdict() is Verdict.TAKE

    def turn(self) -> Any:
        """Returns when this process may take the lease."""
        while True:
            match self.verdict():
                case Verdict.TAKE:
                    return
                case Verdict.KILL:
                    self.kill_leader()
                    yield Sleep(1)
                    continue
                case Verdict.WAIT:
                    pass
            self.bell.up = False
            rung = yield self.bell.wait(ROUND_MS)
            if not rung and (yield from self._tenure.look()):
                yield from self._tenure.join()

    def kill_leader(self) -> None:
        """Ends a silent leader of this place."""
        leader = self._watched()
        if leader is not None:
            leader.kill("silent, and killed by its successor")

    def verdict(self) -> Verdict:
        """What the lease says, with what the kernel says of the holder's process."""
        lease = self._tenure.lease
        here = lease.entry is not None and lease.entry.record.holder.place == lease.me.place
        return lease.verdict(self._world.engine.t_ms, dead=here and self._watched() is None)

    def _watched(self) -> SimRouter | None:
        """The living process that the record names, if it is one of this place and boot."""
        lease = self._tenure.lease
        if lease.entry is None:
            return None
        holder = lease.entry.record.holder
        if (holder.place, holder.boot) != (lease.me.place, lease.me.boot):
            return None
        return next((each for each in self._world.routers if each.alive and each.holder == holder), None)


def holder_of(world: World, name: str, place: str) -> Holder:
    """A new process as a holder."""
    world.pids += 1
    return Holder(place, f"boot-{world.boots}", world.pids, world.engine.t_ms, name)
