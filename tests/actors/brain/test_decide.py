"""Decisions on signals: order of checks, reduce-only lane, vetoes, sizes, intents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from actors.brain.events import CountDuplicate, SignalReceived, TradingStateSeen, TruthSeen
from protos import trading_pb2
from tests.actors.brain.desk import POLICY_NOW, T0, Desk
from tests.actors.brain.world import SYMBOL, position_message, signal_message
from titan.model import Action, OrderType

CLOSE = trading_pb2.SIGNAL_ACTION_CLOSE
SELL = trading_pb2.SIDE_SELL


# What an approval looks like.


def test_an_approved_signal_becomes_an_intent_with_stop_hash_and_ids() -> None:
    desk = Desk()
    decision, intent = desk.propose(t_wall_ns=T0 * 1_000_000)
    assert (decision.code, decision.reason) == ("APPROVED", "Signal approved: within risk limits")
    assert intent is not None
    assert (intent.action, intent.size_usd, intent.quantity) == (Action.OPEN, Decimal(1000), None)
    assert (intent.stop_price, intent.target_price) == (Decimal(49_500), Decimal(51_000))
    assert (intent.venue, intent.account, intent.policy_hash) == ("bybit", "main", POLICY_NOW.hash)
    assert (intent.leverage, intent.max_slippage_bps) == (Decimal(5), 100)
    assert intent.decision_id == decision.decision_id
    assert len(intent.intent_id) == 26
    assert intent.limit_price is None


def test_the_same_signal_makes_the_same_intent_id_in_every_brain() -> None:
    message = signal_message("same", T0)
    _, first = Desk().submit(message)
    _, second = Desk().submit(message)
    assert first is not None
    assert first == second


def test_a_signal_that_comes_again_is_counted_and_not_decided_again() -> None:
    desk = Desk()
    message = signal_message("twice", T0)
    desk.submit(message)
    assert desk.core.handle(SignalReceived(message), desk.now) == [CountDuplicate("SCAVENGER")]


def test_a_resting_order_carries_its_limit_price() -> None:
    _, intent = Desk().propose(order_type=trading_pb2.ORDER_TYPE_POST_ONLY, entry_price="49990")
    assert intent is not None
    assert (intent.order_type, intent.limit_price) == (OrderType.POST_ONLY, Decimal(49_990))


def test_leverage_is_what_the_phase_asks_under_the_cap() -> None:
    desk = Desk()
    _, modest = desk.propose(leverage=2.0)
    _, greedy = desk.propose(leverage=50.0)
    assert modest is not None
    assert greedy is not None
    assert (modest.leverage, greedy.leverage) == (Decimal(2), Decimal(5))


# Intake.


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"phase": 0}, "phase is missing or unknown"),
        ({"side": 0}, "side is missing or unknown"),
        ({"requested_size_usd": "0"}, "requested_size_usd must be above zero"),
        ({"requested_size_usd": "-5"}, "requested_size_usd must be above zero"),
        ({"requested_size_usd": "NaN"}, "not a finite decimal number"),
        ({"requested_size_usd": "Infinity"}, "not a finite decimal number"),
        ({"signal_id": ""}, "signal_id is empty"),
        ({"confidence": 101.0}, "confidence must be between 0 and 100"),
        ({"confidence": float("nan")}, "confidence is not a finite number"),
        ({"leverage": -1.0}, "leverage must be between 0 and 100"),
        ({"volatility": -1.0}, "volatility must not be negative"),
        ({"t_signal_ms": 0}, "t_signal_ms must be above zero"),
        ({"order_type": trading_pb2.ORDER_TYPE_LIMIT, "entry_price": ""}, "a LIMIT signal needs an entry_price"),
        ({"order_type": trading_pb2.ORDER_TYPE_IOC, "entry_price": ""}, "a IOC signal needs an entry_price"),
        ({"order_type": trading_pb2.ORDER_TYPE_STOP_MARKET}, "a STOP_MARKET signal needs terms with a trigger_price"),
    ],
)
def test_a_signal_without_sense_is_refused_with_what_was_seen(changes: dict[str, Any], sentence: str) -> None:
    decision, _ = Desk().propose(**changes)
    assert decision.code == "INVALID_SIGNAL"
    assert sentence in decision.reason
    assert decision.decision_id


@pytest.mark.parametrize("age", [5001, -5001])
def test_a_signal_from_another_time_is_stale(age: int) -> None:
    desk = Desk()
    decision, _ = desk.submit(signal_message("old", T0 - age))
    assert decision.code == "STALE_SIGNAL"
    assert f"signal is {age} ms old, limit 5000 ms" in decision.reason


def test_a_replay_is_not_stale_by_its_own_speed() -> None:
    desk = Desk(speed=60.0)
    assert desk.submit(signal_message("a", T0 - 100_000))[0].code == "APPROVED"
    assert desk.submit(signal_message("b", T0 - 120_001))[0].code == "STALE_SIGNAL"


def test_a_phase_may_shorten_the_life_of_its_signal() -> None:
    desk = Desk()
    assert desk.submit(signal_message("a", T0 - 2000, ttl_ms=1000))[0].code == "APPROVED"
    assert desk.submit(signal_message("b", T0 - 2001, ttl_ms=1000))[0].code == "STALE_SIGNAL"


# Breaker, arm, router.


def test_a_brain_that_never_heard_of_the_router_opens_nothing() -> None:
    desk = Desk(ready=False)
    desk.tick()
    decision, _ = desk.propose()
    assert decision.code == "ROUTER_STATE_STALE"
    assert "never reported" in decision.reason


def test_a_report_older_than_three_seconds_holds_openings() -> None:
    desk = Desk()
    desk.advance(3000)
    assert desk.propose()[0].code == "APPROVED"
    desk.advance(1)
    decision, _ = desk.propose()
    assert decision.code == "ROUTER_STATE_STALE"
    assert "reported 3001 ms ago, limit 3000 ms" in decision.reason


@pytest.mark.parametrize(
    ("state", "code", "reason"),
    [
        (trading_pb2.TRADING_STATE_DISARMED, "DISARMED", "System Disarmed (Operator Action)"),
        (trading_pb2.TRADING_STATE_REDUCING, "REDUCING", "System Reducing: venue stream lost"),
        (trading_pb2.TRADING_STATE_HALTED, "HALTED", "System Halted: venue stream lost"),
    ],
)
def test_only_an_active_system_opens(state: trading_pb2.TradingState.ValueType, code: str, reason: str) -> None:
    desk = Desk()
    desk.report(trading_state=state, reason="venue stream lost")
    decision, _ = desk.propose()
    assert (decision.code, decision.reason) == (code, reason)


def test_a_change_of_trading_state_counts_before_the_next_report_and_an_old_one_never() -> None:
    desk = Desk()
    halt = trading_pb2.TradingStateChanged(
        current=trading_pb2.TRADING_STATE_HALTED, reason="drill", ts_ms=T0 + 1, journal_seq=50
    )
    desk.core.handle(TradingStateSeen(halt), desk.now)
    assert desk.propose()[0].code == "HALTED"
    old = trading_pb2.TradingStateChanged(current=trading_pb2.TRADING_STATE_ACTIVE, ts_ms=T0 - 1, journal_seq=1)
    desk.core.handle(TradingStateSeen(old), desk.now)
    assert desk.propose()[0].code == "HALTED"


def test_a_change_of_trading_state_by_a_router_that_leads_no_more_never_counts() -> None:
    desk = Desk()
    desk.report(term=7, trading_state=trading_pb2.TRADING_STATE_HALTED)
    late = trading_pb2.TradingStateChanged(
        current=trading_pb2.TRADING_STATE_ACTIVE, ts_ms=T0 + 60_000, journal_seq=99, term=6
    )
    desk.core.handle(TradingStateSeen(late), desk.now)
    assert desk.propose()[0].code == "HALTED"


@pytest.mark.parametrize("changes", [{"reconciled": False}, {"equity": ""}])
def test_a_router_that_does_not_know_its_account_holds_openings(changes: dict[str, Any]) -> None:
    desk = Desk()
    desk.report(**changes)
    assert desk.propose()[0].code == "ROUTER_NOT_RECONCILED"


def test_another_policy_at_the_router_vetoes_with_both_hashes() -> None:
    desk = Desk()
    desk.report(policy_hash="f" * 64)
    decision, _ = desk.propose()
    assert decision.code == "POLICY_HASH_MISMATCH"
    assert decision.reason == f"POLICY_HASH_MISMATCH: brain {POLICY_NOW.hash}, router {'f' * 64}"


def test_the_breaker_is_asked_before_the_arm() -> None:
    desk = Desk()
    desk.report(equity="9300", trading_state=trading_pb2.TRADING_STATE_DISARMED)
    decision, _ = desk.propose()
    assert decision.code == "BREAKER_ACTIVE"
    assert decision.reason == "Circuit breaker active: daily drawdown 7.00% >= 7.00%"


# The reduce-only lane.


@pytest.mark.parametrize("state", [*trading_pb2.TradingState.values()][1:])
def test_a_close_passes_in_every_trading_state(state: trading_pb2.TradingState.ValueType) -> None:
    desk = Desk()
    desk.report(trading_state=state, positions=[position_message("0.1")])
    decision, intent = desk.propose(action=CLOSE, side=SELL, requested_size_usd="0", stop_price="", confidence=1.0)
    assert decision.approved
    assert intent is not None
    assert (intent.action, intent.quantity, intent.stop_price) == (Action.CLOSE, None, None)
    assert decision.authorized_size_usd == "5000"


def test_a_close_passes_breaker_hash_mismatch_stale_router_and_collapsed_truth() -> None:
    desk = Desk()
    desk.report(equity="9000", policy_hash="0" * 64, positions=[position_message("-0.1")])
    desk.core.handle(TruthSeen(trading_pb2.Truth(confidence=0)), desk.now)
    desk.advance(60_000)
    decision, intent = desk.propose(action=CLOSE, requested_size_usd="0", symbol=SYMBOL)
    assert decision.approved
    assert intent is not None


def test_a_close_needs_freshness() -> None:
    desk = Desk()
    desk.report(positions=[position_message("0.1")])
    assert desk.submit(signal_message("old", T0 - 6000, action=CLOSE, side=SELL))[0].code == "STALE_SIGNAL"


def test_part_of_a_position_is_closed_by_quantity() -> None:
    desk = Desk()
    desk.report(positions=[position_message("0.1")])
    _, intent = desk.propose(action=CLOSE, side=SELL, requested_size_usd="1000")
    assert intent is not None
    assert intent.quantity == Decimal("0.02")
    _, whole = desk.propose(action=CLOSE, side=SELL, requested_size_usd="9000")
    assert whole is not None
    assert whole.quantity is None


def test_an_opening_against_a_position_that_it_can_not_outgrow_is_a_close() -> None:
    desk = Desk()
    desk.report(trading_state=trading_pb2.TRADING_STATE_DISARMED, positions=[position_message("0.1")])
    decision, intent = desk.propose(side=SELL, requested_size_usd="5000", stop_price="50500", target_price="49000")
    assert decision.approved
    assert decision.action == CLOSE
    assert intent is not None
    assert intent.action is Action.CLOSE
    assert desk.propose(side=SELL, requested_size_usd="5001", stop_price="50500")[0].code == "DISARMED"


def test_there_is_nothing_to_close_when_a_fresh_report_says_so() -> None:
    desk = Desk()
    assert desk.propose(action=CLOSE, side=SELL)[0].code == "NOTHING_TO_CLOSE"
    desk.report(positions=[position_message("0.1")])
    decision, _ = desk.propose(action=CLOSE, side=trading_pb2.SIDE_BUY)
    assert decision.code == "NOTHING_TO_CLOSE"
    assert "BUY would grow the position of 0.1" in decision.reason


def test_without_a_fresh_report_the_router_decides_what_there_is_to_close() -> None:
    desk = Desk()
    desk.advance(4000)
    decision, intent = desk.propose(action=CLOSE, side=SELL, requested_size_usd="1000")
    assert decision.approved
    assert intent is not None
    assert intent.quantity == Decimal("0.02")


def test_a_close_right_after_an_approval_is_not_refused_for_a_report_that_is_yet_to_come() -> None:
    desk = Desk()
    desk.propose()
    assert desk.propose(action=CLOSE, side=SELL, requested_size_usd="0")[0].approved
