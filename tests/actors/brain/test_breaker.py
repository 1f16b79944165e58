"""What stops openings by itself: breaker, ladder of daily loss, modes."""

from __future__ import annotations

from actors.brain.breaker import COOLDOWN_MS, Trip
from actors.brain.events import BreakerResetRequested, ModeRequested, Save
from actors.brain.governance import Mode
from protos import brain_pb2, trading_pb2
from tests.actors.brain.desk import T0, Desk, alerts, published
from titan import subjects
from titan.clock import Now

HALT = subjects.operator("halt")
BUY, SELL = trading_pb2.SIDE_BUY, trading_pb2.SIDE_SELL
TARGET = trading_pb2.ORDER_ROLE_TARGET
DAY = 86_400_000


# The hard breaker.


def test_a_drawdown_at_the_limit_halts_the_router_and_calls_a_person() -> None:
    desk = Desk()
    assert published(desk.report(equity="9300.01"), HALT) == []
    effects = desk.report(equity="9300")
    (command,) = published(effects, HALT)
    assert (command.action, command.operator_id) == ("halt", "brain")
    assert command.reason == "circuit breaker: daily drawdown 7.00% >= 7.00%"
    assert "CIRCUIT_BREAKER_HARD" in alerts(effects)
    assert Save() in effects


def test_the_halt_is_repeated_each_second_until_the_router_reports_it() -> None:
    desk = Desk()
    desk.report(equity="9000")
    assert published(desk.report(equity="9000"), HALT) == []
    desk.advance(1000)
    assert len(published(desk.report(equity="9000"), HALT)) == 1
    desk.advance(1000)
    halted = desk.report(equity="9000", trading_state=trading_pb2.TRADING_STATE_HALTED)
    assert published(halted, HALT) == []
    assert alerts(halted) == []


def test_equity_under_the_minimum_trips_and_an_unknown_equity_does_not() -> None:
    desk = Desk()
    assert published(desk.report(equity="", reconciled=False), HALT) == []
    assert published(desk.report(equity="0", start="0", reconciled=False), HALT) == []
    (command,) = published(desk.report(equity="149", start="150"), HALT)
    assert command.reason == "circuit breaker: equity 149.00 < minimum 150"


def test_a_hard_trip_outlives_recovery_time_and_restart_but_not_a_persons_reset() -> None:
    desk = Desk()
    desk.report(equity="9000")
    desk.advance(DAY)
    desk.report(equity="10000")
    assert desk.propose()[0].code == "BREAKER_ACTIVE"
    again = Desk(ready=False)
    again.core.start(again.now, desk.core.snapshot())
    again.report()
    assert again.core.state.breaker.state.trip is Trip.HARD
    effects = again.core.handle(BreakerResetRequested("ann", "reviewed"), again.now)
    assert "CIRCUIT_BREAKER_RESET" in alerts(effects)
    again.report()
    again.tick()
    assert again.propose()[0].approved


def test_after_a_reset_the_days_drawdown_counts_from_there() -> None:
    desk = Desk()
    desk.report(equity="9000")
    desk.core.handle(BreakerResetRequested("ann", "reviewed"), desk.now)
    desk.report(equity="8900", trading_state=trading_pb2.TRADING_STATE_HALTED)
    assert not desk.core.state.breaker.active(desk.now.market_ms)
    desk.report(equity="8370")
    assert desk.core.state.breaker.state.trip is Trip.HARD


# The soft breaker.


def test_three_losing_round_trips_pause_openings_until_the_cooldown_ends() -> None:
    desk = Desk()
    assert alerts(desk.lose()) == []
    assert alerts(desk.lose()) == []
    assert "CIRCUIT_BREAKER_SOFT" in alerts(desk.lose())
    decision, _ = desk.propose()
    assert decision.code == "BREAKER_ACTIVE"
    assert "3 consecutive losing round trips" in decision.reason
    desk.advance(COOLDOWN_MS)
    assert "CIRCUIT_BREAKER_RESUMED" in alerts(desk.report())
    desk.refresh()
    assert desk.propose()[0].approved


def test_a_win_starts_the_count_afresh_and_break_even_does_not_count() -> None:
    desk = Desk()
    desk.lose()
    desk.lose()
    desk.lose(0)
    desk.lose(50)
    desk.lose()
    desk.lose()
    assert desk.core.state.breaker.state.trip is Trip.CLOSED


def test_losses_older_than_an_hour_do_not_count() -> None:
    desk = Desk()
    desk.lose()
    desk.lose()
    desk.advance(3_600_001)
    desk.lose()
    assert desk.core.state.breaker.state.trip is Trip.CLOSED


def test_a_replay_started_again_is_not_paused_by_its_former_future() -> None:
    desk = Desk()
    for _ in range(3):
        desk.lose()
    again = Desk(ready=False)
    again.now = Now(T0 - DAY, T0)
    again.core.start(again.now, desk.core.snapshot())
    again.refresh()
    assert again.propose()[0].approved


def test_a_soft_pause_can_become_a_hard_trip_and_never_the_other_way() -> None:
    desk = Desk()
    for _ in range(3):
        desk.lose()
    desk.report(equity="9000")
    for _ in range(3):
        desk.lose()
    assert desk.core.state.breaker.state.trip is Trip.HARD


def test_fees_make_a_flat_round_trip_a_loss() -> None:
    desk = Desk()
    for _ in range(3):
        desk.fill("", BUY, "1", "50000", fee="1")
        desk.fill("", SELL, "1", "50000", TARGET, fee="1")
    assert desk.core.state.breaker.state.trip is Trip.SOFT


# Ladder and modes.


def test_the_ladder_halves_then_stops_openings_and_only_goes_down_within_a_day() -> None:
    desk = Desk()
    effects = desk.report(daily_pnl="-501")
    assert "DAILY_LOSS_LADDER" in alerts(effects)
    assert desk.propose()[0].authorized_size_usd == "500"
    desk.report(daily_pnl="-751")
    assert desk.propose()[0].code == "GOVERNANCE_LOCKDOWN"
    desk.report(daily_pnl="0")
    assert desk.propose()[0].reason == "GOVERNANCE_LOCKDOWN: DEFENSIVE rejects phase1"
    desk.report(daily_pnl="-1000")
    assert desk.propose()[0].reason == "GOVERNANCE_LOCKDOWN: EMERGENCY rejects phase1"
    desk.advance(DAY)
    desk.refresh()
    assert desk.propose()[0].approved


def test_an_operators_mode_halves_or_stops_openings_and_is_kept() -> None:
    desk = Desk()
    effects = desk.core.handle(ModeRequested(Mode.DEFENSIVE, "ann"), desk.now)
    assert alerts(effects) == ["OPERATOR_MODE", "ALARM"]
    assert published(effects, subjects.RISK_STATE)[0].state == brain_pb2.RISK_STATE_DEFENSIVE
    assert desk.propose()[0].code == "GOVERNANCE_LOCKDOWN"
    again = Desk(ready=False)
    again.core.start(again.now, desk.core.snapshot())
    assert again.core.state.operator_mode is Mode.DEFENSIVE


def test_caution_lets_all_but_the_hunter_open() -> None:
    desk = Desk()
    desk.report(equity="9500")
    assert desk.propose(phase=trading_pb2.PHASE_HUNTER)[0].reason == "GOVERNANCE_LOCKDOWN: CAUTION rejects phase2"
    decision, intent = desk.propose()
    assert decision.approved
    assert intent is not None
    assert intent.leverage == 4
