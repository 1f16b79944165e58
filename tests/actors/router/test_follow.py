"""A mirror follows its leader's journal row by row, and never past a break of the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from actors.router import rows
from actors.router.core import RouterCore
from actors.router.follow import Broadcast, Follower, Mirror
from protos import trading_pb2 as pb
from tests.actors.router.support import config
from tests.waiting import until
from titan.errors import Transient
from titan.journal import Journal, Row
from titan.logs import get_logger


def reject(seq: int, name: str = "") -> Row:
    payload: dict[str, rows.Scalar] = {
        "code": "HALTED",
        "detail": "",
        "expected_policy_hash": "",
        "got_policy_hash": "",
        "intent_id": name or f"i{seq}",
        "phase": "SCAVENGER",
        "side": "BUY",
        "signal_id": "s",
        "symbol": "BTC/USDT:USDT",
        "ts_ms": 1,
    }
    return Row(seq, "reject", rows.encode(payload), 1_000 + seq)


def journal_of(path: Path, count: int, name: str = "") -> Journal:
    journal = Journal.open(path)
    for seq in range(journal.last_seq + 1, count + 1):
        journal.append([reject(seq, name)])
    return journal


def sent(journal: Journal, after: int = 0, *, hashes: bool = True) -> list[pb.JournalRow]:
    return [
        pb.JournalRow(
            term=row.term,
            seq=row.seq,
            kind=row.kind,
            payload=row.payload,
            hash=row.hash if hashes else b"",
            ts_ms=row.ts_ms,
        )
        for row in journal.rows(after)
    ]


class Leader:
    """Both ends of the bus: answers a follower from a journal, and carries what is published to it."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.connected = True
        self.away = False
        self.asked = 0
        self.published: list[pb.JournalTail] = []

    async def ask(self, request: pb.JournalFollowRequest) -> pb.JournalFollowReply:
        self.asked += 1
        if self.away:
            raise Transient("nobody leads")
        found = sent(self.journal, request.from_seq)[: request.limit]
        return pb.JournalFollowReply(rows=found, last_seq=self.journal.last_seq)

    async def publish(self, subject: str, message: pb.JournalTail) -> None:
        assert subject == "titan.sys.journal.v1.bybit.main"
        self.published.append(message)


def mirror_of() -> Mirror:
    return Mirror(lambda: RouterCore(config(), 0))


def follower_of(mirror: Mirror, leader: Leader) -> Follower:
    return Follower(cast("Any", leader), mirror, "router_standby", "bybit", "main", leader.ask, get_logger("test"))


async def heard(follower: Follower, tail: pb.JournalTail) -> None:
    await follower._on_tail(cast("Any", _Received(tail)))


class _Received:
    def __init__(self, message: pb.JournalTail) -> None:
        self.message = message


def intents(mirror: Mirror) -> Sequence[str]:
    return sorted(mirror.core.state.intents)


@pytest.mark.parametrize("hashes", [True, False])
def test_a_mirror_is_what_the_journal_makes_and_ends_at_its_head(tmp_path: Path, hashes: bool) -> None:
    journal = journal_of(tmp_path / "j.db", 3)
    mirror = mirror_of()
    assert mirror.take(sent(journal, hashes=hashes))
    assert mirror.take(sent(journal, hashes=hashes)), "known rows are passed over"
    assert (mirror.seq, mirror.head, mirror.core.state.seq) == (3, journal.head, 3)
    assert intents(mirror) == ["i1", "i2", "i3"]
    journal.close()


def test_a_gap_or_a_changed_row_is_not_taken(tmp_path: Path) -> None:
    journal = journal_of(tmp_path / "j.db", 3)
    mirror = mirror_of()
    assert not mirror.take(sent(journal, after=1))
    changed = sent(journal)
    changed[1].payload = b'{"intent_id":"other"}'
    assert not mirror.take(changed)
    assert intents(mirror) == ["i1"]
    journal.close()


def test_a_mirror_that_is_being_taken_over_stands_still(tmp_path: Path) -> None:
    journal = journal_of(tmp_path / "j.db", 2)
    mirror = mirror_of()
    mirror.held = True
    assert mirror.take(sent(journal))
    assert (mirror.seq, intents(mirror)) == (0, [])
    journal.close()


async def test_a_follower_catches_up_and_then_lives_on_the_stream(tmp_path: Path) -> None:
    leader = Leader(journal_of(tmp_path / "j.db", 1_200))
    mirror = mirror_of()
    follower = follower_of(mirror, leader)
    assert follower.lag_s == -1
    assert await follower._catch_up()
    assert (mirror.seq, leader.asked) == (1_200, 3)
    assert follower.whole.is_set()
    leader.journal.append([reject(1_201)])
    tail = pb.JournalTail(last_seq=1_201, head=leader.journal.head, rows=sent(leader.journal, 1_200, hashes=False))
    await heard(follower, tail)
    assert (mirror.seq, follower._wake.is_set()) == (1_201, False)
    # A row that is missed, or one whose head is another's, is asked for.
    await heard(follower, pb.JournalTail(last_seq=1_203, head=b"x"))
    assert follower._wake.is_set()
    leader.journal.close()


async def test_a_journal_that_was_cut_or_replaced_is_followed_anew(tmp_path: Path) -> None:
    leader = Leader(journal_of(tmp_path / "one.db", 5))
    mirror = mirror_of()
    follower = follower_of(mirror, leader)
    assert await follower._catch_up()
    leader.journal.close()
    leader.journal = journal_of(tmp_path / "two.db", 7, "other")
    assert await follower._catch_up()
    assert (mirror.seq, mirror.head, intents(mirror)) == (7, leader.journal.head, ["other"])
    assert follower.restarts == 1
    leader.away = True
    assert not await follower._catch_up()
    leader.journal.close()


async def test_a_leader_sends_nothing_until_somebody_follows(tmp_path: Path) -> None:
    leader = Leader(journal_of(tmp_path / "j.db", 1))
    broadcast = Broadcast(cast("Any", leader), leader.journal, "bybit", "main")
    running = asyncio.create_task(broadcast.run())
    try:
        broadcast.put([reject(1)])
        broadcast.follow()
        leader.journal.append([reject(2)])
        broadcast.put([reject(2)])
        await until(lambda: leader.published, "a tail")
        (tail,) = leader.published
        assert ([row.seq for row in tail.rows], tail.last_seq, tail.head) == ([2], 2, leader.journal.head)
        await until(lambda: len(leader.published) > 1, "a word although nothing was written")
        assert not leader.published[1].rows
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        leader.journal.close()
