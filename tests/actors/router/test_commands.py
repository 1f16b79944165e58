"""The trading state and its commands."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import pytest

from actors.router.effects import FetchReport, Receipt
from actors.router.events import Command, LinkChanged, OrdersSeen, Tick, TimerFired
from tests.actors.router.support import (
    BTC,
    ETH,
    T0,
    Bottle,
    alerts,
    cancels,
    closing,
    config,
    d,
    held,
    intent,
    protective,
    receipts,
    sends,
    shown,
)
from titan.codes import OperatorCode, TradingState
from titan.model import Order, OrderRole, OrderState, OrderType, Side

S = TradingState
VERBS = ("arm", "disarm", "reduce", "halt", "resume")


def obey(bottle: Bottle, verb: str, reason: str = "because", operator: str = "op", **overrides: Any) -> Receipt:
    """A command whose receipt comes at once."""
    number = sum(isinstance(each, Receipt) for each in bottle.effects)
    effects = bottle.tell(Command(verb, reason, operator, f"c-{verb}-{number}-{len(bottle.rows)}", **overrides))
    found = receipts(effects)
    assert len(found) == 1
    return found[0]


def resting(bottle: Bottle, name: str = "rest") -> Order:
    order = bottle.send(intent(name, order_type=OrderType.LIMIT, limit_price=d(49900)))
    bottle.acknowledge(order)
    return bottle.state.orders[order.client_order_id]


def in_state(state: TradingState) -> Bottle:
    bottle = Bottle().begin()
    verb = {S.ACTIVE: "", S.DISARMED: "disarm", S.REDUCING: "reduce", S.HALTED: "halt"}[state]
    if verb:
        obey(bottle, verb)
    assert bottle.state.trading is state
    return bottle


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


AFTER = {
    (S.ACTIVE, "arm"): (S.ACTIVE, OperatorCode.ALREADY),
    (S.ACTIVE, "disarm"): (S.DISARMED, OperatorCode.DONE),
    (S.ACTIVE, "reduce"): (S.REDUCING, OperatorCode.DONE),
    (S.ACTIVE, "halt"): (S.HALTED, OperatorCode.DONE),
    (S.ACTIVE, "resume"): (S.ACTIVE, OperatorCode.ALREADY),
    (S.DISARMED, "arm"): (S.ACTIVE, OperatorCode.DONE),
    (S.DISARMED, "disarm"): (S.DISARMED, OperatorCode.ALREADY),
    (S.DISARMED, "reduce"): (S.REDUCING, OperatorCode.DONE),
    (S.DISARMED, "halt"): (S.HALTED, OperatorCode.DONE),
    (S.DISARMED, "resume"): (S.DISARMED, OperatorCode.ALREADY),
    (S.REDUCING, "arm"): (S.ACTIVE, OperatorCode.DONE),
    (S.REDUCING, "disarm"): (S.DISARMED, OperatorCode.DONE),
    (S.REDUCING, "reduce"): (S.REDUCING, OperatorCode.ALREADY),
    (S.REDUCING, "halt"): (S.HALTED, OperatorCode.DONE),
    (S.REDUCING, "resume"): (S.ACTIVE, OperatorCode.DONE),
    (S.HALTED, "arm"): (S.HALTED, OperatorCode.HALT_STANDS),
    (S.HALTED, "disarm"): (S.HALTED, OperatorCode.DONE),
    (S.HALTED, "reduce"): (S.HALTED, OperatorCode.HALT_STANDS),
    (S.HALTED, "halt"): (S.HALTED, OperatorCode.ALREADY),
    (S.HALTED, "resume"): (S.DISARMED, OperatorCode.DONE),
}


def test_the_table_names_every_pair() -> None:
    assert set(AFTER) == set(product(S, VERBS))


@pytest.mark.parametrize(("state", "verb"), AFTER)
def test_every_state_answers_every_verb(state: TradingState, verb: str) -> None:
    bottle = in_state(state)
    receipt = obey(bottle, verb)
    expected, code = AFTER[state, verb]
    assert (bottle.state.trading, receipt.code) == (expected, code)
    assert (receipt.prior, receipt.current) == (state, expected)
    assert receipt.effects
    assert bottle.replayed().trading is expected


def test_a_disarm_under_halt_holds_after_the_halt(ready: Bottle) -> None:
    obey(ready, "halt")
    obey(ready, "disarm")
    assert obey(ready, "resume").current is S.DISARMED


def test_a_reduce_of_a_disarmed_router_does_not_arm_it_on_resume() -> None:
    bottle = in_state(S.DISARMED)
    obey(bottle, "reduce")
    assert obey(bottle, "resume").current is S.DISARMED


def test_a_live_router_is_never_armed_by_a_resume() -> None:
    bottle = Bottle(config=config(live=True)).begin()
    assert bottle.state.trading is S.DISARMED
    obey(bottle, "arm")
    obey(bottle, "halt")
    assert obey(bottle, "resume").current is S.DISARMED


def test_arming_needs_a_reason_and_disarming_does_not(ready: Bottle) -> None:
    assert obey(ready, "disarm", reason="").code is OperatorCode.DONE
    refused = obey(ready, "arm", reason="  ")
    assert (refused.accepted, refused.code) == (False, OperatorCode.REASON_MISSING)


def test_a_plain_disarm_always_works_and_a_plain_arm_not_under_halt(ready: Bottle) -> None:
    assert obey(ready, "disarm", plain=True).current is S.DISARMED
    assert obey(ready, "arm", plain=True).current is S.ACTIVE
    obey(ready, "halt")
    assert obey(ready, "arm", plain=True).accepted is False
    assert obey(ready, "disarm", plain=True).accepted is True


def test_a_halt_of_the_breaker_is_named_as_one(ready: Bottle) -> None:
    obey(ready, "halt", operator="brain", reason="breaker: drawdown")
    refused = obey(ready, "arm")
    assert refused.code is OperatorCode.BREAKER_STANDS
    assert "drawdown" in refused.detail


def test_nothing_is_armed_before_recovery() -> None:
    bottle = Bottle()
    assert obey(bottle, "arm").code is OperatorCode.NOT_READY
    assert obey(bottle, "disarm").accepted


def test_nothing_is_armed_while_the_journal_cannot_be_written(ready: Bottle) -> None:
    obey(ready, "disarm")
    ready.tell(LinkChanged("journal", False, "disk full"))
    refused = obey(ready, "arm")
    assert (refused.code, refused.detail) == (OperatorCode.NOT_READY, "disk full")


def test_an_unknown_verb_is_refused(ready: Bottle) -> None:
    assert obey(ready, "explode").code is OperatorCode.UNKNOWN_COMMAND


def test_a_command_told_twice_is_obeyed_once(ready: Bottle) -> None:
    ready.tell(Command("disarm", "r", "op", "same"))
    obey(ready, "arm")
    again = receipts(ready.tell(Command("disarm", "r", "op", "same")))
    assert again[0].code is OperatorCode.ALREADY
    assert ready.state.trading is S.ACTIVE


@pytest.mark.parametrize("verb", ["disarm", "reduce", "halt"])
def test_lowering_cancels_entries_and_leaves_protection(ready: Bottle, verb: str) -> None:
    ready.open()
    ready.tell(OrdersSeen((protective("stop-1", OrderRole.STOP, "49500"),)))
    order = resting(ready)
    effects = ready.tell(Command(verb, "r", "op", "c1"))
    assert [each.client_order_id for each in cancels(effects)] == [order.client_order_id]
    assert receipts(effects) == []
    told = receipts(ready.tell(OrdersSeen((shown(order, OrderState.CANCELED),))))
    assert len(told) == 1
    assert "CANCELED, filled 0" in told[0].effects[0]
    assert told[0].effects[1] == "1 positions and 1 protective or closing orders stand untouched"


def test_a_receipt_does_not_wait_for_ever(ready: Bottle) -> None:
    order = resting(ready)
    ready.tell(Command("halt", "r", "op", "c1"))
    ready.clock.advance(3_000)
    told = receipts(ready.tell(Tick()))
    assert f"({order.client_order_id}): still OPEN" in told[0].effects[0]


def test_a_halted_router_sends_only_cancels_and_reduce_only_closes(ready: Bottle) -> None:
    ready.open()
    obey(ready, "halt")
    mark = len(ready.effects)
    ready.intend(intent("open"))
    ready.send(closing())
    assert all(order.reduce_only for order in sends(ready.effects[mark:]))
    assert len(sends(ready.effects[mark:])) == 1


# an impediment


def test_a_lost_stream_reduces_and_its_return_restores(ready: Bottle) -> None:
    ready.tell(LinkChanged("venue stream", False, "closed 1006"))
    assert (ready.state.effective, ready.state.trading) == (S.REDUCING, S.ACTIVE)
    assert "closed 1006" in ready.state.reason
    effects = ready.tell(LinkChanged("venue stream", True))
    assert (ready.state.effective, ready.state.trading) == (S.ACTIVE, S.ACTIVE)
    assert any(isinstance(each, FetchReport) for each in effects)


def test_an_impediment_told_twice_alerts_once(ready: Bottle) -> None:
    for _ in range(3):
        ready.tell(LinkChanged("bus", False, "gone"))
    assert alerts(ready.effects).count("BUS_AWAY") == 1


# boot


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, S.ACTIVE),
        ({"auto_arm": False}, S.DISARMED),
        ({"live": True}, S.DISARMED),
    ],
)
def test_a_new_run_boots_as_its_profile_says(overrides: dict[str, bool], expected: TradingState) -> None:
    assert Bottle(config=config(**overrides)).begin().state.trading is expected


def restarted(before: Bottle, **overrides: Any) -> Bottle:
    from tests.actors.router.support import stored

    after = Bottle(config=config(**overrides))
    after.core.replay(stored(before.rows))
    after.rows = list(before.rows)
    return after.begin()


@pytest.mark.parametrize("verb", ["disarm", "reduce", "halt"])
def test_a_restart_within_a_run_keeps_the_state(ready: Bottle, verb: str) -> None:
    obey(ready, verb)
    assert restarted(ready).state.trading is ready.state.trading


def test_a_new_run_arms_paper_again_but_never_out_of_a_halt(ready: Bottle) -> None:
    obey(ready, "disarm")
    assert restarted(ready, started_ms=T0 + 1).state.trading is S.ACTIVE
    obey(ready, "halt")
    assert restarted(ready, started_ms=T0 + 1).state.trading is S.HALTED


def test_a_live_restart_is_disarmed(ready: Bottle) -> None:
    assert restarted(ready, live=True).state.trading is S.DISARMED


def test_a_halt_file_halts_at_boot() -> None:
    bottle = Bottle().begin(halt_reason="maintenance")
    assert (bottle.state.trading, bottle.state.trading_reason) == (S.HALTED, "maintenance")


# flatten


def test_flatten_closes_what_the_venue_holds_and_verifies(ready: Bottle) -> None:
    ready.open()
    order = resting(ready)
    effects = ready.tell(Command("flatten", "enough", "op", "f1"))
    assert ready.state.trading is S.DISARMED
    assert [each.client_order_id for each in cancels(effects)] == [order.client_order_id]
    assert any(isinstance(each, FetchReport) for each in effects)
    ready.tell(OrdersSeen((shown(order, OrderState.CANCELED),)))
    # The venue's truth decides, also for a symbol that the journal does not hold.
    closes = sends(ready.tell(ready.report((held("0.1"), held("-3", ETH, "2000")))))
    assert [(each.symbol, each.side, each.quantity, each.reduce_only) for each in closes] == [
        (BTC, Side.SELL, d("0.1"), True),
        (ETH, Side.BUY, d(3), True),
    ]
    for number, close in enumerate(closes):
        ready.fill(close, close.quantity, "50000", f"x{number}")
    ready.clock.advance(300)
    told = receipts(ready.tell(ready.report()))
    assert told[0].detail == "the venue is flat, verified"
    assert len(told[0].effects) == 3


def test_flatten_repeats_until_the_venue_is_flat(ready: Bottle) -> None:
    from actors.router.events import SendFailed

    ready.open()
    ready.tell(Command("flatten", "enough", "op", "f1"))
    first = sends(ready.tell(ready.report((held("0.1"),))))
    assert sends(ready.tell(ready.report((held("0.1"),)))) == []
    ready.tell(SendFailed(first[0].client_order_id, "refused", "no"))
    ready.clock.advance(300)
    second = sends(ready.tell(ready.report((held("0.1"),))))
    assert len(second) == 1
    assert second[0].client_order_id != first[0].client_order_id


def test_flatten_tries_what_is_refused_less_and_less_often_and_never_under_a_used_name(ready: Bottle) -> None:
    from actors.router.events import SendFailed

    ready.open()
    ready.tell(Command("flatten", "enough", "op", "f1"))
    sent_ms: list[int] = []
    names: set[str] = set()
    while len(names) < 1_030:
        for order in sends(ready.tell(ready.report((held("0.1"),)))):
            sent_ms.append(ready.now.wall_ms)
            names.add(order.client_order_id)
            ready.tell(SendFailed(order.client_order_id, "refused", "below the minimum"))
        ready.clock.advance(300 if len(names) < 8 else 5_000)
    assert len(sent_ms) == len(names)
    assert [later - earlier for earlier, later in pairwise(sent_ms[:6])] == [300, 600, 1_200, 2_400, 4_800]
    assert min(later - earlier for earlier, later in pairwise(sent_ms[8:])) >= 5_000


def test_flatten_asks_again_by_its_timer(ready: Bottle) -> None:
    ready.open()
    ready.tell(Command("flatten", "enough", "op", "f1"))
    assert any(isinstance(each, FetchReport) for each in ready.tell(TimerFired("flatten")))
    ready.tell(ready.report())
    assert ready.tell(TimerFired("flatten")) == []


def test_a_flatten_that_takes_long_says_so_and_goes_on(ready: Bottle) -> None:
    ready.open()
    ready.tell(Command("flatten", "enough", "op", "f1"))
    ready.tell(ready.report((held("0.1"),)))
    ready.clock.advance(20_000)
    told = receipts(ready.tell(ready.report((held("0.1"),))))
    assert "not flat yet: 0.1 BTC/USDT:USDT" in told[0].detail
    assert "FLATTEN_STUCK" in alerts(ready.effects)
    assert receipts(ready.tell(ready.report())) == []
    assert not ready.core._commands.busy


def test_a_second_flatten_is_told_that_one_runs(ready: Bottle) -> None:
    ready.open()
    ready.tell(Command("flatten", "enough", "op", "f1"))
    assert receipts(ready.tell(Command("flatten", "again", "op", "f2")))[0].code is OperatorCode.ALREADY


def test_flatten_under_halt_keeps_the_halt(ready: Bottle) -> None:
    ready.open()
    obey(ready, "halt")
    ready.tell(Command("flatten", "enough", "op", "f1"))
    assert ready.state.trading is S.HALTED
    assert sends(ready.tell(ready.report((held("0.1"),))))[0].reduce_only


def test_flatten_of_nothing_says_that_there_was_nothing(ready: Bottle) -> None:
    ready.tell(Command("flatten", "enough", "op", "f1"))
    told = receipts(ready.tell(ready.report()))
    assert told[0].effects == ("nothing was open and nothing was held",)
