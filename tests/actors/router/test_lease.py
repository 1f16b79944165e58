"""The lease: what a process may do by what it saw, and, with Hypothesis, that no two ever lead at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.router.lease import LEASE_MS, LONGEST_SEND_MS, Entry, Holder, Lease, Record, Standing, Verdict, Write
from titan.venues.exchange import RECV_WINDOW_MS

HERE, THERE = "here", "there"


def process(pid: int, place: str = HERE) -> Holder:
    return Holder(place, "boot", pid, 100 + pid, "router")


def led(pid: int = 1, now_ms: int = 0, place: str = HERE, **record: object) -> Lease:
    """A lease that `pid` holds under term 1."""
    lease = Lease(process(pid, place), eager=True)
    lease.saw(None, now_ms)
    lease.lead(1)
    write = lease.claiming()
    lease.granted(replace(write, record=replace(write.record, **record)), 1, now_ms)  # type: ignore[arg-type]
    return lease


def entry(lease: Lease) -> Entry:
    assert lease.entry is not None
    return lease.entry


def test_a_record_survives_its_own_encoding_and_nothing_else_is_one() -> None:
    record = Record(7, 3, process(1), (THERE,), released=True)
    assert Record.decode(record.encode()) == record
    for raw in (b"{}", b"[]", b"7", b"nonsense", b'{"holder":{}}'):
        with pytest.raises(ValueError):
            Record.decode(raw)


def test_the_longest_send_covers_the_window_in_which_a_venue_takes_a_request() -> None:
    assert LONGEST_SEND_MS >= RECV_WINDOW_MS + 1_000


def test_a_holder_that_can_not_renew_raises_nothing_after_the_lease_and_goes_on_when_it_can() -> None:
    lease = led()
    assert (lease.may_raise(LEASE_MS - 1), lease.standing(LEASE_MS - 1)) == (True, Standing.HELD)
    assert (lease.may_raise(LEASE_MS), lease.standing(LEASE_MS)) == (False, Standing.LAPSED)
    assert lease.may_lower(10 * LEASE_MS)
    lease.saw(entry(lease), 11 * LEASE_MS)
    lease.granted(lease.claiming(), 2, 11 * LEASE_MS)
    assert lease.standing(11 * LEASE_MS) is Standing.HELD
    assert lease.term == 1


def test_a_lease_counts_from_the_question_not_from_the_answer() -> None:
    lease = led()
    lease.granted(lease.claiming(), 2, 1_000)
    assert not lease.may_raise(1_000 + LEASE_MS)


def test_a_lapsed_holder_that_another_place_may_follow_sends_nothing() -> None:
    lease = led(rivals=(THERE,))
    assert lease.may_lower(0)
    assert not lease.may_lower(LEASE_MS)


def test_a_rival_that_may_have_been_told_counts_even_when_the_answer_was_lost() -> None:
    lease = led()
    lease.saw(Entry(replace(entry(lease).record, rivals=(THERE,)), 2), 100)
    lease.claiming()
    assert not lease.may_lower(LEASE_MS)


@pytest.mark.parametrize(
    "other",
    [
        Record(2, 9, process(2)),
        Record(1, 9, process(2)),
        Record(1, 9, process(2, THERE)),
        Record(9, 1, process(2, THERE)),
    ],
)
def test_whoever_sees_another_leader_sends_nothing_ever_again(other: Record) -> None:
    lease = led()
    lease.saw(Entry(other, 5), 10)
    assert (lease.may_raise(10), lease.may_lower(10), lease.standing(10)) == (False, False, Standing.FENCED)
    lease.saw(Entry(Record(1, 10, lease.me), 6), 20)
    assert lease.standing(20) is Standing.FENCED


def test_a_dead_predecessors_record_is_written_over_when_the_bus_is_back() -> None:
    lease = Lease(process(2), eager=False)
    old = Entry(Record(4, 10, process(1), ("third",)), 8)
    lease.saw(old, 0)
    lease.lead(5)
    assert lease.standing(0) is Standing.LAPSED
    assert not lease.may_lower(0), "the dead one's rivals may follow it"
    lease.saw(old, 5_000)
    write = lease.claiming()
    assert (write.revision, write.record.term, write.record.rivals) == (8, 5, ("third",))
    lease.granted(write, 9, 5_000)
    assert lease.standing(5_000) is Standing.HELD


def test_a_key_that_is_gone_is_made_again_by_its_holder_and_taken_by_nobody_else() -> None:
    lease = led()
    lease.saw(None, 100)
    assert lease.claiming() == Write(Record(1, 1, lease.me), 0)
    candidate = Lease(process(2), eager=False)
    candidate.saw(None, 0)
    assert candidate.verdict(60_000, dead=False) is Verdict.WAIT
    assert candidate.verdict(0, dead=True) is Verdict.TAKE
    assert Lease(process(3), eager=True).verdict(0, dead=False) is Verdict.TAKE


def test_a_leader_that_the_bus_forgot_is_waited_out_by_one_whose_journal_knows_a_later_term() -> None:
    for known in (None, Entry(Record(1, 9, process(1, THERE)), 3)):
        lease = Lease(process(2), eager=True)
        lease.saw(known, 0)
        lease.lead(3)
        lease.granted(lease.claiming(), 4, 1_000)
        wait_ms = LEASE_MS + LONGEST_SEND_MS
        for asked_ms in range(1_000, 1_000 + wait_ms, 500):
            assert lease.standing(asked_ms) is Standing.LAPSED
            assert not lease.may_lower(asked_ms)
            lease.granted(lease.claiming(), 5, asked_ms)
        assert lease.standing(1_000 + wait_ms) is Standing.HELD


def test_a_record_that_could_not_be_read_at_first_is_no_forgotten_one() -> None:
    lease = Lease(process(2), eager=True)
    lease.lead(3)
    assert not lease.may_lower(0)
    lease.saw(Entry(Record(2, 9, process(1)), 3), 1_000)
    lease.granted(lease.claiming(), 4, 1_000)
    assert lease.standing(1_000) is Standing.HELD


def test_its_own_record_that_it_never_heard_of_reminds_nobody_of_a_leader() -> None:
    lease = Lease(process(2), eager=True)
    lease.saw(None, 0)
    lease.lead(3)
    lease.saw(Entry(lease.claiming().record, 1), 500)
    lease.granted(lease.claiming(), 2, 500)
    assert lease.standing(1_000) is Standing.LAPSED


def test_a_lapsed_leader_that_finds_no_record_waits_only_when_somebody_could_follow_it() -> None:
    for rivals, standing in ((("there",), Standing.LAPSED), ((), Standing.HELD)):
        lease = led(rivals=rivals)
        lease.saw(None, 4 * LEASE_MS)
        lease.granted(lease.claiming(), 1, 4 * LEASE_MS)
        assert lease.standing(4 * LEASE_MS) is standing
        fresh = led(rivals=rivals)
        fresh.saw(None, LEASE_MS - 1)
        fresh.granted(fresh.claiming(), 1, LEASE_MS - 1)
        assert fresh.standing(LEASE_MS - 1) is Standing.HELD, "nobody took what had not run out"


def test_on_one_place_death_is_enough_and_silence_is_answered_by_a_kill() -> None:
    candidate = Lease(process(2), eager=False)
    held = Entry(Record(1, 1, process(1)), 1)
    for now_ms in range(0, LEASE_MS + 1, 500):
        candidate.saw(held, now_ms)
        assert candidate.verdict(now_ms, dead=False) is Verdict.WAIT
        assert candidate.verdict(now_ms, dead=True) is Verdict.TAKE
    candidate.saw(held, LEASE_MS + 500)
    assert candidate.verdict(LEASE_MS + 500, dead=False) is Verdict.KILL
    candidate.saw(Entry(replace(held.record, beat=2), 2), LEASE_MS + 600)
    assert candidate.verdict(LEASE_MS + 600, dead=False) is Verdict.WAIT
    released = Entry(replace(held.record, beat=3, released=True), 3)
    for now_ms in range(LEASE_MS + 700, 3 * LEASE_MS, 500):
        candidate.saw(released, now_ms)
        assert candidate.verdict(now_ms, dead=False) is Verdict.WAIT, "it said goodbye and is about to end"


def test_time_in_which_nobody_looked_is_held_against_nobody() -> None:
    candidate = Lease(process(2), eager=False)
    held = Entry(Record(1, 1, process(1)), 1)
    candidate.saw(held, 0)
    candidate.saw(held, 60_000)
    assert candidate.verdict(60_000, dead=False) is Verdict.WAIT


def test_whoever_can_not_see_the_key_takes_nothing_but_a_dead_ones_place() -> None:
    candidate = Lease(process(2, THERE), eager=True)
    held = Entry(Record(1, 1, process(1)), 1)
    candidate.saw(held, 0)
    assert candidate.verdict(60_000, dead=False) is Verdict.WAIT


def test_a_first_leader_lowers_nothing_before_the_bus_confirmed_it() -> None:
    lease = Lease(process(1), eager=True)
    lease.saw(None, 0)
    lease.lead(1)
    assert not lease.may_lower(0)
    lease.granted(lease.claiming(), 1, 0)
    assert lease.may_lower(2 * LEASE_MS)


def test_from_another_place_a_silent_holder_is_waited_out_and_only_by_a_confirmed_rival() -> None:
    candidate = Lease(process(2, THERE), eager=False)
    held = Record(1, 1, process(1))
    candidate.saw(Entry(held, 1), 0)
    write = candidate.joining()
    assert write == Write(replace(held, rivals=(THERE,)), 1)
    candidate.granted(write, 2, 0)
    assert candidate.joining() is None
    assert not candidate.confirmed, "the holder does not know yet"

    def watched(record: Record, begin_ms: int, end_ms: int) -> Verdict:
        for now_ms in range(begin_ms, end_ms + 1, 500):
            candidate.saw(Entry(record, 2), now_ms)
        return candidate.verdict(end_ms, dead=False)

    end = LEASE_MS + LONGEST_SEND_MS
    assert watched(write.record, 0, 2 * end) is Verdict.WAIT
    known = replace(write.record, beat=2)
    assert watched(known, 2 * end + 500, 3 * end + 500) is Verdict.WAIT
    assert watched(known, 3 * end + 1_000, 3 * end + 1_000) is Verdict.TAKE
    assert watched(replace(known, beat=3, released=True), 4 * end, 4 * end + LONGEST_SEND_MS) is Verdict.WAIT
    assert candidate.verdict(4 * end + LONGEST_SEND_MS + 1, dead=False) is Verdict.TAKE


def test_a_term_never_falls() -> None:
    lease = Lease(process(2), eager=False)
    lease.saw(Entry(Record(4, 1, process(1)), 1), 0)
    with pytest.raises(ValueError, match="does not follow"):
        lease.lead(4)
    lease.lead(5)
    with pytest.raises(ValueError, match="does not follow"):
        lease.lead(6)
    with pytest.raises(ValueError, match="lead first"):
        Lease(process(2), eager=False).claiming()


def test_only_the_holder_gives_the_lease_back() -> None:
    lease = led()
    write = lease.releasing()
    assert write is not None
    assert write.record.released
    follower = Lease(process(2), eager=False)
    follower.saw(Entry(write.record, 2), 0)
    assert follower.releasing() is None


@dataclass
class _Process:
    """One process of the model, and what is wrong with it: stopped, cut off from the bus, deaf to answers, or slow to be heard."""

    lease: Lease
    alive: bool = True
    stopped: bool = False
    cut: bool = False
    deaf: bool = False
    slow: bool = False
    # Requests on the wire land even when their sender is stopped or dead.
    sent: list[tuple[Write, int]] = field(default_factory=list)


class LeaseRaces(RuleBasedStateMachine):
    """Processes on two places race for one key over a bus that delays, loses answers and cuts processes off.

    The bus may also lose its data. Oracle: at no instant of the model's own clock may two processes raise risk, or one lower it
    while another place's leads, or one raise it while what another place sent last may still reach the venue.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.key: Entry | None = None
        self.revision = 0
        self.processes: list[_Process] = []
        self.journal: dict[str, int] = {HERE: 0, THERE: 0}
        self.lock: dict[str, _Process | None] = {HERE: None, THERE: None}
        self.terms: list[int] = []
        self.raised_ms: dict[str, int] = {}

    @initialize()
    def begin(self) -> None:
        for place in (HERE, THERE, HERE):
            self.start(place)
        self.run(2)

    @rule(place=st.sampled_from([HERE, THERE]))
    def start(self, place: str) -> None:
        if sum(each.alive for each in self.processes) < 4:
            me = Holder(place, "boot", len(self.processes) + 1, 1, "router")
            self.processes.append(_Process(Lease(me, eager=not self.processes)))

    @rule(seconds=st.sampled_from([1, 2, 4, 12]))
    def run(self, seconds: int) -> None:
        """Everybody does what the shell does, twice a second, and the wire carries what it carries."""
        for _ in range(2 * seconds):
            self.now_ms += 500
            for one in list(self.processes):
                self._round(one)
                self._check()
            for one in self.processes:
                while one.sent and not one.slow:
                    self._land(one)
                    self._check()

    @rule(data=st.data(), what=st.sampled_from(["stopped", "cut", "deaf", "slow"]), leader=st.booleans())
    def fault(self, data: st.DataObject, what: str, leader: bool) -> None:
        one = self._pick(data, leader)
        setattr(one, what, not getattr(one, what))

    @rule(data=st.data(), leader=st.booleans())
    def kill(self, data: st.DataObject, leader: bool) -> None:
        self._kill(self._pick(data, leader))

    @rule()
    def wipe(self) -> None:
        """The bus's data are gone. A term may be written again by one that had lapsed."""
        self.key, self.revision = None, 0
        self.terms.clear()

    @rule()
    def mend(self) -> None:
        for one in self.processes:
            one.stopped = one.cut = one.deaf = one.slow = False

    def _pick(self, data: st.DataObject, leader: bool) -> _Process:
        leaders = [each for each in self.processes if each.alive and each.lease.term]
        return leaders[-1] if leader and leaders else data.draw(st.sampled_from(self.processes))

    def _round(self, one: _Process) -> None:
        lease = one.lease
        if not one.alive or one.stopped:
            return
        if not one.cut:
            lease.saw(self.key, self.now_ms)
        if lease.standing(self.now_ms) is Standing.FENCED:
            self._kill(one)
        elif lease.term:
            self._ask(one, lease.claiming())
        else:
            self._follow(one)

    def _follow(self, one: _Process) -> None:
        lease, place = one.lease, one.lease.me.place
        holder = self.lock[place]
        dead = holder is None and lease.entry is not None and lease.entry.record.holder.place == place
        verdict = lease.verdict(self.now_ms, dead=dead)
        if verdict is Verdict.KILL and holder is not None:
            self._kill(holder)
        elif verdict is Verdict.TAKE and holder is None:
            term = max(self.journal[place], lease.last_term) + 1
            lease.lead(term)
            self.journal[place], self.lock[place] = term, one
        elif (write := lease.joining()) is not None:
            self._ask(one, write)

    def _ask(self, one: _Process, write: Write) -> None:
        if not one.cut:
            one.sent.append((write, self.now_ms))

    def _land(self, sender: _Process) -> None:
        write, asked_ms = sender.sent.pop(0)
        if write.revision != (0 if self.key is None else self.key.revision):
            return
        self.revision += 1
        self.key = Entry(write.record, self.revision)
        if not (sender.deaf or sender.cut or sender.stopped) and sender.alive:
            sender.lease.granted(write, self.revision, asked_ms)

    def _kill(self, one: _Process) -> None:
        one.alive = False
        place = one.lease.me.place
        if self.lock[place] is one:
            self.lock[place] = None

    def _check(self) -> None:
        alive = [each for each in self.processes if each.alive]
        raising = [each.lease.me for each in alive if each.lease.may_raise(self.now_ms)]
        assert len(raising) <= 1, f"two raise risk at once: {raising}"
        for me in raising:
            self.raised_ms[me.place] = self.now_ms
            late = [at_ms for place, at_ms in self.raised_ms.items() if place != me.place]
            assert all(self.now_ms - at_ms >= LONGEST_SEND_MS for at_ms in late), (
                f"{me} sends while others' sends arrive"
            )
        lowering = [each.lease.me for each in alive if each.lease.may_lower(self.now_ms)]
        assert len(lowering) <= 1 or not raising, f"one lowers beside a leader: {lowering}"
        if self.key is not None and (not self.terms or self.terms[-1] != self.key.record.term):
            self.terms.append(self.key.record.term)
            assert self.terms == sorted(set(self.terms)), f"a term fell or was taken twice: {self.terms}"

    @invariant()
    def one_leader(self) -> None:
        self._check()


LeaseRaces.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestLeaseRaces = LeaseRaces.TestCase
