"""The conversation with a venue, spoken by a venue that misbehaves on request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from actors.router import session as module
from actors.router.events import (
    Acked,
    CancelFailed,
    Event,
    ExecutionsSeen,
    LinkChanged,
    LookedUp,
    OrdersSeen,
    SendFailed,
    VenueReport,
)
from actors.router.session import VenueSession
from tests.actors.router.support import T0, Bottle, execution, intent, shown
from titan.clock import ManualClock
from titan.errors import Ambiguous, Rejected, Transient
from titan.instruments import Instrument
from titan.logs import get_logger
from titan.metrics import Metrics
from titan.model import Order, OrderState
from titan.venues.base import (
    Venue,
    VenueAck,
    VenueCapabilities,
    VenueExecution,
    VenueOrder,
    VenuePosition,
    VenueWallet,
)
from titan.venues.bybit import PROFILE


@dataclass
class ScriptedVenue:
    """Answers what the test put in, or raises it. Streams wait on queues; an exception in one breaks it."""

    name: str = "bybit"
    account: str = "main"
    answers: dict[str, list[Any]] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    orders: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    fills: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    def say(self, call: str, *answers: Any) -> None:
        self.answers.setdefault(call, []).extend(answers)

    def _answer(self, call: str, default: Any, *given: Any) -> Any:
        self.calls.append((call, *given))
        waiting = self.answers.get(call)
        answer = waiting.pop(0) if waiting else default
        if isinstance(answer, Exception):
            raise answer
        return answer

    def count(self, call: str) -> int:
        return sum(each[0] == call for each in self.calls)

    async def load_instruments(self) -> Sequence[Instrument]:
        return []

    def remember(self, orders: Iterable[Order]) -> None:
        self.calls.append(("remember", *(each.client_order_id for each in orders)))

    async def submit(self, order: Order) -> VenueAck:
        found: VenueAck = self._answer("submit", VenueAck(order.client_order_id, "v1"), order.client_order_id)
        return found

    async def cancel(self, symbol: str, client_order_id: str, venue_order_id: str) -> None:
        self._answer("cancel", None, client_order_id)

    @property
    def capabilities(self) -> VenueCapabilities:
        return PROFILE.capabilities

    async def amend(
        self,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        self._answer("amend", None, order.client_order_id)

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        found: VenueOrder | None = self._answer("find", None, client_order_id)
        return found

    async def open_orders(self) -> Sequence[VenueOrder]:
        found: Sequence[VenueOrder] = self._answer("open_orders", ())
        return found

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        found: Sequence[VenueOrder] = self._answer("closed_orders", (), since_ms)
        return found

    async def positions(self) -> Sequence[VenuePosition]:
        found: Sequence[VenuePosition] = self._answer("positions", ())
        return found

    async def wallet(self) -> VenueWallet:
        return VenueWallet("USDT", Decimal(1), Decimal(0), Decimal(1), Decimal(1))

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        found: Sequence[VenueExecution] = self._answer("executions", (), since_ms)
        return found

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        return None

    async def open_stream(self) -> None:
        self._answer("open_stream", None)

    async def watch_orders(self) -> Sequence[VenueOrder]:
        found = await self.orders.get()
        if isinstance(found, Exception):
            raise found
        return [found]

    async def watch_executions(self) -> Sequence[VenueExecution]:
        found = await self.fills.get()
        if isinstance(found, Exception):
            raise found
        return [found]

    async def close(self) -> None:
        return None


@dataclass
class Stage:
    venue: ScriptedVenue
    session: VenueSession
    events: list[Event]
    tasks: list[asyncio.Task[None]]
    cursor: list[int]

    async def met(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not check():
                await asyncio.sleep(0.002)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "BACKOFF_S", (0.005, 0.005))
    monkeypatch.setattr(module, "POLL_S", 0.03)
    monkeypatch.setattr(module, "MIN_POLL_GAP_S", 0.001)
    venue, events, tasks, cursor = ScriptedVenue(), [], [], [0]  # type: ignore[var-annotated]  # filled below

    def spawn(work: Coroutine[object, object, None], name: str) -> None:
        tasks.append(asyncio.ensure_future(work))

    spoken: Venue = venue
    session = VenueSession(
        spoken, ManualClock(T0), Metrics(), get_logger("test"), spawn, events.append, lambda: cursor[0]
    )
    yield Stage(venue, session, events, tasks, cursor)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def order() -> Order:
    return Bottle().begin().send(intent())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Rejected("VENUE_REJECTED", "110007 no"), "refused"),
        (Transient("429", 2.0), "never_left"),
        (Ambiguous("timeout"), "in_doubt"),
    ],
)
async def test_a_send_that_failed_says_how(stage: Stage, answer: Exception, outcome: str) -> None:
    stage.venue.say("submit", answer)
    stage.session.send(order(), 0)
    await stage.met(lambda: bool(stage.events))
    event = stage.events[0]
    assert isinstance(event, SendFailed)
    assert event.outcome == outcome
    assert stage.session.in_flight == 0
    assert stage.venue.count("submit") == 1


async def test_a_send_that_was_taken_is_acknowledged(stage: Stage) -> None:
    sent = order()
    stage.session.send(sent, 1)
    assert stage.session.in_flight == 1
    await stage.met(lambda: stage.events == [Acked(sent.client_order_id, "v1")])


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Rejected("VENUE_REJECTED", "110001 not exists"), "refused"),
        (Transient("429"), "never_left"),
        (Ambiguous("timeout"), "in_doubt"),
    ],
)
async def test_a_cancel_that_failed_says_how_and_one_that_worked_nothing(
    stage: Stage, answer: Exception, outcome: str
) -> None:
    stage.venue.say("cancel", None, answer)
    stage.session.cancel(order())
    stage.session.cancel(order())
    await stage.met(lambda: bool(stage.events))
    event = stage.events[0]
    assert isinstance(event, CancelFailed)
    assert event.outcome == outcome
    assert len(stage.events) == 1


async def test_a_look_up_tells_found_not_found_and_not_answered_apart(stage: Stage) -> None:
    sent = order()
    seen = shown(sent, OrderState.OPEN)
    stage.venue.say("find", seen, None, Transient("venue away"))
    for _ in range(3):
        stage.session.look_up(sent)
    cid = sent.client_order_id
    await stage.met(lambda: len(stage.events) == 3)
    assert stage.events == [LookedUp(cid, seen), LookedUp(cid, None), LookedUp(cid, None, "venue away")]


async def test_polls_read_executions_and_reports_by_themselves(stage: Stage) -> None:
    stage.run(stage.session.poll())
    await stage.met(lambda: sum(isinstance(each, VenueReport) for each in stage.events) >= 2)
    assert any(isinstance(each, ExecutionsSeen) for each in stage.events)


async def test_what_is_asked_for_is_read_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 1_000.0)
    stage.session._reported_s = stage.session._executions_s = time.monotonic()
    stage.run(stage.session.poll())
    stage.session.fetch_executions()
    await stage.met(lambda: stage.venue.count("executions") == 1)
    assert stage.venue.count("positions") == 0
    stage.session.fetch_report()
    await stage.met(lambda: stage.venue.count("positions") == 1)


async def test_executions_are_read_however_often_somebody_asks_for_reports(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_S", 1_000.0)
    stage.session._reported_s = time.monotonic()
    stage.session._executions_s = stage.session._reported_s - 2_000.0
    stage.run(stage.session.poll())
    stage.session.fetch_report()
    await stage.met(lambda: stage.venue.count("executions") >= 1)


async def test_executions_are_read_from_before_the_cursor(stage: Stage) -> None:
    stage.cursor[0] = T0
    stage.run(stage.session.poll())
    await stage.met(lambda: stage.venue.count("executions") >= 1)
    assert ("executions", T0 - module.OVERLAP_MS) in stage.venue.calls


async def test_executions_are_read_from_before_the_last_complete_read_however_far_the_stream_has_come(
    stage: Stage,
) -> None:
    stage.cursor[0] = T0
    stage.run(stage.session.poll())
    await stage.met(lambda: stage.venue.count("executions") >= 1)
    stage.venue.say("executions", *[Transient("away")] * 3)
    stage.cursor[0] = T0 + 10 * module.OVERLAP_MS
    asked = stage.venue.count("executions")
    await stage.met(lambda: stage.venue.count("executions") >= asked + 4)
    assert {call for call in stage.venue.calls if call[0] == "executions"} == {("executions", T0 - module.OVERLAP_MS)}


async def test_a_venue_that_does_not_answer_is_told_once_and_so_is_its_return(stage: Stage) -> None:
    stage.venue.say("executions", Transient("away"), Ambiguous("away"), Rejected("X", "away"))
    stage.run(stage.session.poll())
    await stage.met(lambda: LinkChanged("venue", True, "") in stage.events)
    changes = [each for each in stage.events if isinstance(each, LinkChanged)]
    assert [each.up for each in changes] == [False, True]
    assert stage.venue.count("executions") >= 4


async def test_the_stream_brings_orders_and_executions(stage: Stage) -> None:
    sent = order()
    stage.run(stage.session.stream())
    stage.venue.orders.put_nowait(shown(sent, OrderState.OPEN))
    stage.venue.fills.put_nowait(execution(sent, "0.1", "50000", "t1"))
    await stage.met(lambda: len(stage.events) == 3)
    assert stage.events[0] == LinkChanged("venue stream", True)
    assert {type(each) for each in stage.events[1:]} == {OrdersSeen, ExecutionsSeen}


async def test_a_broken_stream_is_told_reconnected_and_what_was_missed_is_read(stage: Stage) -> None:
    stage.run(stage.session.stream())
    stage.run(stage.session.poll())
    await stage.met(lambda: LinkChanged("venue stream", True) in stage.events)
    before = stage.venue.count("closed_orders")
    stage.venue.say("open_stream", Transient("still away"))
    stage.venue.fills.put_nowait(Transient("closed 1006"))
    await stage.met(lambda: stage.events.count(LinkChanged("venue stream", True)) == 2)
    downs = [each for each in stage.events if isinstance(each, LinkChanged) and not each.up]
    assert [each.detail for each in downs] == ["closed 1006", "still away"]
    await stage.met(lambda: stage.venue.count("closed_orders") > before)


async def test_a_defect_in_reading_the_stream_is_not_swallowed(stage: Stage) -> None:
    stage.venue.orders.put_nowait(ValueError("unknown order status 'Dreaming'"))
    with pytest.raises(ValueError, match="Dreaming"):
        await asyncio.wait_for(stage.session.stream(), 5)


async def test_recovery_waits_for_a_venue_that_is_away(stage: Stage) -> None:
    stage.venue.say("executions", Transient("away"), Transient("away"))
    report = await asyncio.wait_for(stage.session.recover([], "why"), 5)
    assert report.halt_reason == "why"
    assert report.missing == ()


async def test_recovery_asks_again_when_something_filled_between_two_questions(stage: Stage) -> None:
    done = execution(order(), "0.1", "50000", "t1")
    stage.venue.say("executions", (), (done,), (done,))
    report = await asyncio.wait_for(stage.session.recover([]), 5)
    assert report.executions == (done,)
    assert stage.venue.count("positions") == 2


async def test_recovery_searches_only_what_no_list_showed(stage: Stage) -> None:
    bottle = Bottle().begin()
    listed, lost = bottle.send(intent("a", size_usd="500")), bottle.send(intent("b", size_usd="500"))
    stage.venue.say("open_orders", (shown(listed, OrderState.OPEN),))
    report = await asyncio.wait_for(stage.session.recover([listed, lost]), 5)
    assert report.missing == ((lost.client_order_id, None),)
    assert stage.venue.count("find") == 1
