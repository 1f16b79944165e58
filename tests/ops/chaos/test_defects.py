"""Broken promises on purpose: when one counts as noticed, and that each defect breaks what it says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from actors.router.lease import Holder, Lease, Standing
from ops.chaos import defects, sabotage
from ops.chaos.defects import DEFECTS, STAYS, Defect, show
from ops.chaos.fault import Skip
from ops.chaos.hooked import FORGETFUL, GROUPS
from ops.chaos.result import Result
from tests.ops.chaos.test_campaign import Arena
from tests.titan.invariants.world import venue, world
from titan.invariants import Invariant, check
from titan.journal import JournalFailed, Row
from titan.model import OrderType

OFF = world(venue=venue(position="0.06"))
BREAKS = frozenset({Invariant.POSITIONS_AGREE})


class Broken(Arena):
    """Cardboard whose router can't be struck."""

    usurper: asyncio.subprocess.Process | None = None

    async def actor(self, name: str) -> None:
        raise Skip(f"{name} is not ready")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defects, "READ_EVERY_S", 0.001)
    monkeypatch.setattr(defects, "CAUGHT_WITHIN_S", 0.3)


def arena(*worlds: Any) -> Any:
    made = Broken(worlds=list(worlds))
    made.trader.signal = made.trader.reset = _nothing  # type: ignore[attr-defined]
    return made


async def _nothing(*_: object) -> None:
    return None


def defect(make: Any = _nothing) -> Defect:
    return Defect("d", "does", BREAKS, make)


async def test_a_defect_is_noticed_when_its_invariant_is_named_in_every_reading() -> None:
    shown = await show(arena(OFF), defect(), set())
    assert shown.caught
    assert shown.as_json()["found"] == ["I3"]
    assert "the venue 0.06" in str(shown.as_json()["text"])


async def test_what_passes_is_no_notice() -> None:
    shown = await show(arena(OFF, *[world()] * STAYS), defect(), set())
    assert not shown.caught
    assert shown.as_json()["found"] == []


async def test_what_was_off_before_the_defect_is_no_notice_and_what_it_did_is_known_afterwards() -> None:
    known = {(each.invariant, each.key) for each in check(OFF)}
    assert not (await show(arena(OFF), defect(), set(known))).caught
    later: set[tuple[Invariant, str]] = set()
    await show(arena(OFF), defect(), later)
    assert later == known


async def test_another_invariant_is_no_notice() -> None:
    other = Defect("d", "does", frozenset({Invariant.ONE_ROUTER}), _nothing)
    assert not (await show(arena(OFF), other, set())).caught


async def test_a_defect_that_could_not_be_put_in_was_not_noticed() -> None:
    async def make(_arena: object) -> None:
        raise Skip("the router did not take the order")

    shown = await show(arena(OFF), defect(make), set())
    assert not shown.caught
    assert shown.as_json()["text"] == "the router did not take the order"
    assert not Result(defects=[shown]).passed


def test_each_promise_of_the_specification_is_broken_once() -> None:
    assert [each.name for each in DEFECTS] == [
        "forgets-intensity",
        "duplicate-send",
        "lost-fill",
        "skipped-row",
        "stale-leader",
    ]
    assert [group.max_restarts for group in FORGETFUL] != [group.max_restarts for group in GROUPS]


# What the defects do to a router.


async def test_a_duplicate_send_reaches_the_venue_twice() -> None:
    sent: list[object] = []

    async def submit(order: object) -> str:
        sent.append(order)
        return "ack"

    router = SimpleNamespace(_venue=SimpleNamespace(submit=submit))
    sabotage.duplicate_send(router)
    market, limit = SimpleNamespace(order_type=OrderType.MARKET), SimpleNamespace(order_type=OrderType.LIMIT)
    assert await router._venue.submit(market) == await router._venue.submit(limit) == "ack"
    assert sent == [market, market, limit]


async def test_a_lost_fill_is_heard_of_nowhere() -> None:
    first, second = (SimpleNamespace(venue_trade_id=name) for name in "ab")

    async def watch() -> list[object]:
        return [first]

    async def executions(_since: int, _until: int) -> list[object]:
        return [first, second]

    router = SimpleNamespace(_venue=SimpleNamespace(watch_executions=watch, executions=executions))
    sabotage.lost_fill(router)
    assert await router._venue.executions(0, 1) == [first, second]
    assert await router._venue.watch_executions() == []
    assert await router._venue.executions(0, 1) == [second]


def test_a_skipped_row_is_the_one_that_begins_an_order() -> None:
    written: list[int] = []

    def append(rows: list[Row]) -> None:
        written.extend(row.seq for row in rows)

    router = SimpleNamespace(_journal=SimpleNamespace(append=append))
    sabotage.skipped_row(router)
    for seq, event in ((1, "FILL"), (2, "NEW"), (3, "NEW")):
        router._journal.append([Row(seq, "order", orjson.dumps({"event": event}), 0)])
    assert written == [1, 3]


def test_an_unfenced_router_leads_on_whatever_happens() -> None:
    def append(_rows: list[Row]) -> None:
        raise JournalFailed("another router writes it")

    lease = Lease(Holder("p", "b", 1, 2, "router"), eager=True)
    journal = SimpleNamespace(append=append, last_seq=4)
    router = SimpleNamespace(_tenure=SimpleNamespace(lease=lease, check=None), _journal=journal)
    sabotage.unfenced(cast("Any", router))
    assert lease.standing(0) is Standing.HELD
    assert lease.may_raise(0)
    journal.append([Row(5, "order", b"{}", 0)])
    assert journal.last_seq == 5
