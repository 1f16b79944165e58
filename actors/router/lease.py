"""Who may trade an account: a lease with a rising term, kept in one key that is changed by compare-and-set only.

The record names the holder, its term and a beat that rises with every renewal. Each process judges time by its own clock: the
holder counts from when it asked for a renewal, everybody else from when the answer with a new beat came in, so no two clocks
need agree. A *place* is one journal: processes of a place share its lock and can be killed and proven dead; another place
can only be waited out.

Guarantees: (1) two processes never both hold a fresh lease; (2) a term is taken once and never falls; (3) a process that may
not have been the last to write the record raises no risk; (4) it lowers risk only while no other place can have taken over:
one on another place may take an expired lease only after the holder itself wrote its name into the record (`rivals`), or
when an operator told it to trade (`eager`); (5) a process that saw another leader after it began to lead sends nothing ever
again; (6) where the record has forgotten a leader, because the bus lost its data, a new grant counts only when that leader's
last send is too old for the venue. Never: a clock, a bus. Times are milliseconds of a clock that also runs while the machine
sleeps.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

LEASE_MS = 3_000
# A venue takes a request for its receive window (five seconds) after its timestamp, which may be a second ahead.
LONGEST_SEND_MS = 6_000
# Whoever has not looked for that long knows nothing of the time between.
BLIND_MS = 1_500


@dataclass(frozen=True, slots=True)
class Holder:
    """One process. `place` is its journal, `boot` the kernel that knows its pid, `start` its start in ticks since that boot."""

    place: str
    boot: str
    pid: int
    start: int
    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """The key's value. `rivals` are the other places that may follow a silent holder."""

    term: int
    beat: int
    holder: Holder
    rivals: tuple[str, ...] = ()
    released: bool = False

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Record:
        """The inverse of `encode`. Raises ValueError for anything else."""
        try:
            found = json.loads(raw)
            holder = Holder(**found["holder"])
            rivals = tuple(str(each) for each in found["rivals"])
            return cls(int(found["term"]), int(found["beat"]), holder, rivals, bool(found["released"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a lease record: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Entry:
    """The key as it was read."""

    record: Record
    revision: int


@dataclass(frozen=True, slots=True)
class Write:
    """A change to try: it must be refused unless the key's revision still is `revision` (0: there is no such key)."""

    record: Record
    revision: int


class Standing(StrEnum):
    """How a process stands to the lease."""

    FOLLOWING = "following"
    HELD = "held"
    LAPSED = "lapsed"
    FENCED = "fenced"


class Verdict(StrEnum):
    """What a process that does not lead may do about the lease now."""

    WAIT = "wait"
    KILL = "kill"
    """The holder is on this place and silent: kill it, prove it, then take the lease."""
    TAKE = "take"


class Lease:
    """The lease as one process knows it. `eager`: it was told to trade, so it may be the first, and take over by itself."""

    def __init__(
        self, me: Holder, *, eager: bool, lease_ms: int = LEASE_MS, longest_send_ms: int = LONGEST_SEND_MS
    ) -> None:
        self.me = me
        self._eager = eager
        self._lease_ms = lease_ms
        self._longest_send_ms = longest_send_ms
        self.entry: Entry | None = None
        # Ours when not zero.
        self.term = 0
        self._renewed_ms: int | None = None
        self._fenced = False
        self._sure = False
        self._told: frozenset[str] = frozenset()
        self._led_over: tuple[int, int, Holder] | None = None
        # Whether somebody may have led elsewhere of whom the record says nothing, and until when that one's sends may arrive.
        self._forgotten = False
        self._silent_until_ms: int | None = None
        # As a candidate: since when the present beat is known, and which beat was ours to join at.
        self._looked_ms: int | None = None
        self._beat_ms = 0
        self._joined: tuple[int, int] | None = None

    # What was learned.

    def saw(self, entry: Entry | None, now_ms: int) -> None:
        """The key was read and is so; None when there is none."""
        known = self.entry
        blind = self._looked_ms is None or now_ms - self._looked_ms > BLIND_MS
        self._looked_ms = now_ms
        if blind or entry is None or known is None or _beat_of(entry) != _beat_of(known):
            self._beat_ms = now_ms
        self.entry = entry
        if entry is None:
            self._joined = None
            return
        record = entry.record
        if self.me.place not in record.rivals:
            self._joined = None
        elif self._joined is None:
            self._joined = (record.term, record.beat)
        if self.term:
            if record.holder != self.me and record.term >= self.term - 1:
                self._forgotten = False
            self._told |= set(record.rivals) - {self.me.place}
            self._fenced = self._fenced or self._supersedes(entry)

    def _supersedes(self, entry: Entry) -> bool:
        """Whether somebody else leads. A record of this place is of one that is dead, unless its term is not earlier."""
        record = entry.record
        if record.holder.place == self.me.place:
            return record.term >= self.term and record.holder != self.me
        return _beat_of(entry) != self._led_over

    def lead(self, term: int) -> None:
        """This process holds its place's journal under this term; from now on it wants the lease. To be called once.

        Raises ValueError for a term that is not later than the lease's.
        """
        if self.term or term <= self.last_term:
            raise ValueError(f"term {term} does not follow term {max(self.term, self.last_term)}")
        self.term = term
        # The journal knows of a term that the record, as far as it was read, does not.
        self._forgotten = term - 1 > self.last_term
        # Whoever held the lease on this place is dead, or this process would not hold the journal.
        self._sure = self.entry is not None and self.entry.record.holder.place == self.me.place
        if self.entry is not None:
            self._led_over = _beat_of(self.entry)
            self._told = frozenset(self.entry.record.rivals) - {self.me.place}

    def granted(self, write: Write, revision: int, asked_ms: int) -> None:
        """A change of ours, asked for at `asked_ms`, is the key's value now."""
        record = write.record
        self.entry = Entry(record, revision)
        if self.term and record.holder == self.me and record.term == self.term:
            followed = self._renewed_ms is not None and not self._fresh(asked_ms) and self._told
            if self._forgotten or (write.revision == 0 and followed):
                self._forgotten = False
                self._silent_until_ms = asked_ms + self._lease_ms + self._longest_send_ms
            self._renewed_ms, self._sure = asked_ms, True
            self._told = frozenset(record.rivals)

    # What may be tried.

    @property
    def last_term(self) -> int:
        """The last term known of; 0 when none."""
        return 0 if self.entry is None else self.entry.record.term

    def verdict(self, now_ms: int, *, dead: bool) -> Verdict:
        """What a process that does not lead may do. `dead`: the holder is of this place and proven dead."""
        if self.entry is None:
            return Verdict.TAKE if self._eager or dead else Verdict.WAIT
        record = self.entry.record
        if dead and record.holder.place == self.me.place:
            return Verdict.TAKE
        if self._looked_ms is None or now_ms - self._looked_ms > BLIND_MS:
            return Verdict.WAIT
        silent_ms = now_ms - self._beat_ms
        if record.holder.place == self.me.place:
            return Verdict.KILL if silent_ms > self._lease_ms and not record.released else Verdict.WAIT
        over_ms = self._longest_send_ms + (0 if record.released else self._lease_ms)
        may = self._eager or self.confirmed
        return Verdict.TAKE if may and silent_ms > over_ms else Verdict.WAIT

    @property
    def confirmed(self) -> bool:
        """Whether the holder itself wrote this place's name: from then on it reckons with being followed from here."""
        return self._joined is not None and self.entry is not None and _beat_of(self.entry)[:2] > self._joined

    def joining(self) -> Write | None:
        """The change that makes this place a rival of a holder elsewhere; None when it is one, or needs not be."""
        if self.entry is None or self.term:
            return None
        record = self.entry.record
        if record.holder.place == self.me.place or self.me.place in record.rivals:
            return None
        self._joined = (record.term, record.beat)
        return Write(replace(record, rivals=tuple(sorted({*record.rivals, self.me.place}))), self.entry.revision)

    def claiming(self) -> Write:
        """The change that makes this leader the holder, first or again. To be asked for after every refusal."""
        if not self.term:
            raise ValueError("claiming needs a term: lead first")
        beat, rivals, revision = 0, set(self._told), 0
        if self.entry is not None:
            beat, revision = self.entry.record.beat, self.entry.revision
            rivals |= set(self.entry.record.rivals)
        # It may be the key's value without our ever hearing so: whoever it names is reckoned with from now on.
        self._told = frozenset(rivals - {self.me.place})
        return Write(Record(self.term, beat + 1, self.me, tuple(sorted(self._told))), revision)

    def releasing(self) -> Write | None:
        """The change that gives the lease back; None when it is not ours to give."""
        if self.entry is None or not self.term or self.entry.record.holder != self.me:
            return None
        record = self.entry.record
        return Write(replace(record, beat=record.beat + 1, released=True), self.entry.revision)

    # What may be sent.

    def standing(self, now_ms: int) -> Standing:
        """How this process stands."""
        if self._fenced:
            return Standing.FENCED
        if not self.term:
            return Standing.FOLLOWING
        return Standing.HELD if self._fresh(now_ms) and not self._silent(now_ms) else Standing.LAPSED

    def _fresh(self, now_ms: int) -> bool:
        return self._renewed_ms is not None and now_ms - self._renewed_ms < self._lease_ms

    def _silent(self, now_ms: int) -> bool:
        """Whether a leader of whom the record says nothing may still be heard at the venue."""
        return self._forgotten or (self._silent_until_ms is not None and now_ms < self._silent_until_ms)

    def may_raise(self, now_ms: int) -> bool:
        """Whether an order that raises risk may leave now."""
        return self.standing(now_ms) is Standing.HELD

    def may_lower(self, now_ms: int) -> bool:
        """Whether a cancel or a reduce-only order may leave now."""
        standing = self.standing(now_ms)
        return standing is Standing.HELD or (
            standing is Standing.LAPSED and self._sure and not self._told and not self._silent(now_ms)
        )


def _beat_of(entry: Entry) -> tuple[int, int, Holder]:
    return entry.record.term, entry.record.beat, entry.record.holder
