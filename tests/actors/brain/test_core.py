"""What the core watches over: breaker, ladder, posture, budgets, policy hash, round trips, memory."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from actors.brain.events import (
    BUDGET_TIMER,
    Event,
    FillSeen,
    ModeRequested,
    PolicyAttested,
    RouterReported,
    TailSeen,
    TickerSeen,
    TimerFired,
    TradingStateSeen,
    TruthSeen,
)
from actors.brain.governance import Mode
from actors.brain.regime import Regime
from protos import brain_pb2, market_pb2, trading_pb2
from tests.actors.brain.desk import POLICY_NOW, T0, Desk, alerts, policy_with, published
from tests.actors.brain.world import SYMBOL, fill_message, position_message, router_message
from titan import subjects
from titan.effects import RaiseAlert, SetTimer
from titan.model import Phase

BUY, SELL = trading_pb2.SIDE_BUY, trading_pb2.SIDE_SELL
STOP, TARGET = trading_pb2.ORDER_ROLE_STOP, trading_pb2.ORDER_ROLE_TARGET
DAY = 86_400_000


def tail(alpha: float, cluster: brain_pb2.VolatilityCluster.ValueType, ts_ms: int = T0) -> TailSeen:
    return TailSeen(
        brain_pb2.PowerLawMetrics(
            symbol=SYMBOL, alpha=alpha, confidence=0.9, health="ok", calc_ts_ms=ts_ms, cluster=cluster
        )
    )


STEADY = brain_pb2.VOLATILITY_CLUSTER_STABLE
EXPANDING = brain_pb2.VOLATILITY_CLUSTER_EXPANDING


# Announcements.


def test_regime_and_risk_state_are_announced_on_change_only() -> None:
    desk = Desk(ready=False)
    (regime,) = published(desk.started, subjects.REGIME)
    assert (regime.regime, regime.source) == (brain_pb2.REGIME_KIND_STABLE, "no tail metrics")
    assert published(desk.started, subjects.RISK_STATE)[0].state == brain_pb2.RISK_STATE_NORMAL
    assert published(desk.report(), subjects.REGIME) == []
    changed = desk.core.handle(tail(1.4, STEADY), desk.now)
    assert published(changed, subjects.REGIME)[0].regime == brain_pb2.REGIME_KIND_CRASH
    assert published(changed, subjects.RISK_STATE)[0].state == brain_pb2.RISK_STATE_EMERGENCY
    assert alerts(changed) == ["RISK_EMERGENCY"]
    assert desk.core.handle(tail(1.4, STEADY), desk.now) == []


@pytest.mark.parametrize(
    ("alpha", "cluster", "regime"),
    [
        (1.5, STEADY, Regime.CRASH),
        (2.4, EXPANDING, Regime.VOLATILE_BREAKOUT),
        (2.5, EXPANDING, Regime.MEAN_REVERSION),
        (2.4, STEADY, Regime.MEAN_REVERSION),
        (3.0, STEADY, Regime.STABLE),
    ],
)
def test_the_benchmarks_tail_makes_the_regime(
    alpha: float, cluster: brain_pb2.VolatilityCluster.ValueType, regime: Regime
) -> None:
    desk = Desk()
    desk.core.handle(tail(alpha, cluster), desk.now)
    assert desk.core.state.regime is regime


def test_old_tail_metrics_are_no_metrics() -> None:
    desk = Desk()
    desk.core.handle(tail(1.4, STEADY), desk.now)
    assert desk.propose()[0].reason == "REGIME_CRASH_RISK_AVERSION: All new signals rejected"
    desk.advance(3_600_001)
    desk.refresh()
    assert desk.core.state.regime_source == "no tail metrics"
    assert desk.propose()[0].approved


def test_a_policy_mismatch_is_told_once_and_its_end_too() -> None:
    desk = Desk(ready=False)
    assert alerts(desk.core.handle(PolicyAttested("0" * 64), desk.now)) == ["POLICY_HASH_MISMATCH"]
    assert alerts(desk.report(policy_hash="0" * 64)) == []
    assert alerts(desk.report()) == ["POLICY_HASH_AGREED"]
    assert alerts(desk.report()) == []


# Budgets.


def test_budgets_come_every_second_and_live_ten() -> None:
    desk = Desk()
    effects = desk.core.handle(TimerFired(BUDGET_TIMER), desk.now)
    budgets = published(effects, subjects.BUDGET)
    assert [each.phase for each in budgets] == [1, 2, 3]
    assert [each.max_notional_usd for each in budgets] == ["10000", "40000", "0"]
    assert [each.max_drawdown_usd for each in budgets[:2]] == ["40", "160"]
    assert [each.state for each in budgets] == [
        brain_pb2.BUDGET_STATE_ACTIVE,
        brain_pb2.BUDGET_STATE_ACTIVE,
        brain_pb2.BUDGET_STATE_HALTED,
    ]
    assert (budgets[0].max_order_rate, budgets[0].max_leverage) == (30, 5.0)
    assert budgets[2].reason == "Zero Allocation"
    assert {each.expires_at_ms for each in budgets} == {desk.now.wall_ms + 10_000}
    assert SetTimer(BUDGET_TIMER, 1000) in effects


def test_a_brain_without_equity_halts_every_budget() -> None:
    budgets = published(Desk(ready=False).started, subjects.BUDGET)
    assert {each.state for each in budgets} == {brain_pb2.BUDGET_STATE_HALTED}
    assert budgets[0].reason == "equity is not known yet"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("disarmed", "trading state DISARMED"),
        ("stale", "the router's report is stale"),
        ("hash", "policy hash mismatch"),
        ("loss", "daily PnL -1000.00 is at or below the limit -1000"),
        ("breaker", "circuit breaker: 3 consecutive losing round trips within 60 min"),
        ("crash", "regime CRASH"),
        ("alarm", "alarm DEFENSIVE: operator: DEFENSIVE"),
    ],
)
def test_a_budget_is_close_only_while_openings_are_held(cause: str, reason: str) -> None:
    desk = Desk()
    if cause == "disarmed":
        desk.report(trading_state=trading_pb2.TRADING_STATE_DISARMED)
    elif cause == "stale":
        desk.advance(3001)
    elif cause == "hash":
        desk.report(policy_hash="0" * 64)
    elif cause == "loss":
        desk.report(daily_pnl="-1000")
    elif cause == "breaker":
        for _ in range(3):
            desk.lose()
    elif cause == "alarm":
        desk.core.handle(ModeRequested(Mode.DEFENSIVE, "ann"), desk.now)
    else:
        desk.core.handle(tail(1.2, STEADY), desk.now)
    budget = desk.core.budgets(desk.now)[Phase.SCAVENGER]
    assert (budget.state.value, budget.max_notional, budget.reason) == ("CLOSE_ONLY", Decimal(0), reason)


def test_rejects_throttle_a_budget_and_many_of_them_are_told_at_once() -> None:
    desk = Desk()
    desk.report(equity="1000000", start="1000000")
    intents = []
    for _ in range(5):
        _, intent = desk.propose()
        assert intent is not None
        intents.append(intent)
    assert desk.reject(intents[0].intent_id) == []
    budget = desk.core.budgets(desk.now)[Phase.SCAVENGER]
    assert (budget.state.value, budget.max_order_rate, budget.reason) == ("THROTTLED", 5, "rejects 20% > 10%")
    assert len(published(desk.reject(intents[1].intent_id), subjects.BUDGET)) == 3
    assert desk.reject(intents[2].intent_id) == []


def test_slippage_throttles_a_budget() -> None:
    desk = Desk()
    for _ in range(5):
        _, intent = desk.propose(requested_size_usd="100")
        assert intent is not None
        desk.fill(intent.intent_id, BUY, "0.002", "50300", seq=desk.seq)
        desk.report()
    budget = desk.core.budgets(desk.now)[Phase.SCAVENGER]
    assert budget.reason == "slippage 60 bps > 50 bps"


def test_technical_errors_raise_the_alarm() -> None:
    desk = Desk()
    for _ in range(2):
        _, intent = desk.propose()
        assert intent is not None
        desk.reject(intent.intent_id, "VENUE_REJECTED")
    desk.report()
    assert desk.propose()[0].code == "GOVERNANCE_LOCKDOWN"
    desk.advance(300_001)
    desk.refresh()
    assert desk.propose()[0].approved


def test_the_alarm_and_its_end_are_told_once_with_the_reason() -> None:
    desk = Desk()
    for _ in range(2):
        _, intent = desk.propose()
        assert intent is not None
        desk.reject(intent.intent_id, "VENUE_REJECTED")
    (alarm,) = [effect for effect in desk.core.state.reassess(desk.now) if isinstance(effect, RaiseAlert)]
    assert (alarm.code, alarm.severity) == ("ALARM", "WARNING")
    assert alarm.message.startswith("alarm DEFENSIVE, openings are held: health DEFENSIVE")
    assert "errors 10.0%" in alarm.message
    assert alerts(desk.core.state.reassess(desk.now)) == []
    desk.advance(300_001)
    assert alerts(desk.core.state.reassess(desk.now)) == ["ALARM_OVER"]


def test_orders_that_a_killed_router_never_sent_are_no_technical_errors() -> None:
    desk = Desk()
    for _ in range(2):
        _, intent = desk.propose()
        assert intent is not None
        desk.reject(intent.intent_id, "NOT_AT_VENUE")
    desk.report()
    assert desk.propose()[0].approved


def test_slow_fills_lower_the_quality_until_they_are_forgotten() -> None:
    desk = Desk()
    for _ in range(5):
        _, intent = desk.propose(requested_size_usd="100")
        assert intent is not None
        message = fill_message(f"slow{desk.count}", intent.intent_id, BUY, "0.002", "50000", T0, seq=desk.seq)
        message.t_ingress_ms = desk.now.wall_ms + 400
        desk.core.handle(FillSeen(message), desk.now)
        desk.report()
    assert desk.core.state.quality.score(desk.now.wall_ms) == pytest.approx(0.65)
    desk.advance(60_001)
    assert desk.core.state.quality.score(desk.now.wall_ms) == 1.0


# Round trips.


def test_a_round_trip_teaches_performance_and_calibration() -> None:
    desk = Desk()
    _, intent = desk.propose()
    assert intent is not None
    desk.fill(intent.intent_id, BUY, "0.02", "50000", fee="0.5")
    desk.fill(intent.intent_id, SELL, "0.01", "51000", TARGET, fee="0.25")
    assert desk.core.state.performance.trades() == []
    desk.fill(intent.intent_id, SELL, "0.01", "51000", TARGET, fee="0.25")
    (trade,) = desk.core.state.performance.trades()
    assert trade.pnl == pytest.approx(19.0)
    record = desk.core.state.calibration.records["BREAKOUT"]
    assert (record.wins, record.trials) == (1, 1)


def test_a_fill_counts_once_however_often_it_is_delivered() -> None:
    desk = Desk()
    desk.fill("", BUY, "1", "50000")
    desk.fills -= 1
    desk.fill("", BUY, "1", "50000")
    (held,) = desk.core.state.books.holdings.values()
    assert held.position.quantity == 1


def test_a_flip_ends_one_round_trip_and_opens_the_next() -> None:
    desk = Desk()
    desk.fill("", BUY, "1", "50000")
    desk.fill("", SELL, "3", "50100")
    (held,) = desk.core.state.books.holdings.values()
    assert held.position.quantity == -2
    assert len(desk.core.state.performance.trades()) == 1


def test_a_stop_of_an_unknown_holding_opens_nothing() -> None:
    desk = Desk()
    desk.fill("", SELL, "1", "50000", STOP)
    assert not desk.core.state.books.holdings


def test_the_routers_quantity_wins_only_when_it_keeps_differing() -> None:
    desk = Desk()
    desk.fill("", BUY, "1", "50000")
    desk.report()
    assert desk.core.state.books.holdings
    desk.advance(10_000)
    desk.report()
    assert not desk.core.state.books.holdings


def test_the_routers_quantity_replaces_ours_where_it_holds_another() -> None:
    desk = Desk()
    desk.fill("", BUY, "1", "50000")
    for _ in range(2):
        desk.report(positions=[position_message("0.4")])
        desk.advance(10_000)
    (held,) = desk.core.state.books.holdings.values()
    assert held.position.quantity == Decimal("0.4")


def test_a_losing_streak_over_days_halves_the_phases_size() -> None:
    desk = Desk(policy_with(max_daily_drawdown=Decimal(1)))
    for day in range(5):
        for loss in (-40 - day, -30):
            desk.lose(loss)
        desk.lose(1)
        desk.advance(DAY)
    desk.refresh()
    assert desk.core.state.performance.modifier(Phase.SCAVENGER, desk.now.market_ms) == 0.5
    assert desk.propose(confidence=100.0)[0].authorized_size_usd == "500"


# Memory.


def test_a_snapshot_restores_to_the_same_snapshot() -> None:
    desk = Desk()
    _, intent = desk.propose()
    assert intent is not None
    desk.fill(intent.intent_id, BUY, "0.02", "50000", fee="0.5")
    desk.lose(-10)
    desk.report(equity="26000", start="26000")
    desk.report(equity="24000", start="26000")
    again = Desk(ready=False)
    again.core.start(again.now, desk.core.snapshot())
    assert again.core.snapshot() == desk.core.snapshot()
    assert again.core.state.allocation.regions.sentinel


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 2}', '{"version": 1, "regions": [true]}'])
def test_a_snapshot_that_is_none_changes_nothing(text: str) -> None:
    desk = Desk(ready=False)
    before = desk.core.snapshot()
    with pytest.raises(ValueError, match="the brain's snapshot can't be read"):
        desk.core.start(desk.now, text)
    assert desk.core.snapshot() == before


def test_a_snapshot_with_a_broken_breaker_is_refused() -> None:
    desk = Desk(ready=False)
    content = json.loads(desk.core.snapshot())
    content["breaker"]["losses_ms"] = 3
    with pytest.raises(ValueError, match="can't be read"):
        desk.core.start(desk.now, json.dumps(content))


def test_the_same_events_make_the_same_effects() -> None:
    def story() -> list[object]:
        desk = Desk()
        seen: list[object] = [desk.started, desk.propose()[0].SerializeToString()]
        seen.append(str(desk.lose()))
        seen.append(desk.core.snapshot())
        return seen

    assert str(story()) == str(story())


# Messages without sense.


def test_an_older_report_changes_nothing() -> None:
    desk = Desk()
    old = router_message(T0 - 5000, 0, POLICY_NOW.hash, trading_state=trading_pb2.TRADING_STATE_HALTED)
    assert desk.core.handle(RouterReported(old), desk.now) == []
    assert desk.propose()[0].approved


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (RouterReported(router_message(T0, 9, "h", trading_state=0)), "trading_state is missing or unknown"),
        (TradingStateSeen(trading_pb2.TradingStateChanged()), "trading state is missing or unknown"),
        (TruthSeen(trading_pb2.Truth(confidence=101)), "truth confidence must be between 0 and 100"),
        (TickerSeen(market_pb2.Ticker(symbol=SYMBOL, ts_ms=T0)), "has no price"),
        (TailSeen(brain_pb2.PowerLawMetrics(symbol=SYMBOL, alpha=-1.0)), "alpha must be above zero"),
        (TailSeen(brain_pb2.PowerLawMetrics(symbol=SYMBOL, confidence=2.0)), "tail confidence must be"),
        (TimerFired("tea"), "unknown timer 'tea'"),
    ],
)
def test_a_message_without_sense_is_an_error_with_a_sentence(event: Event, sentence: str) -> None:
    desk = Desk()
    with pytest.raises(ValueError, match=sentence):
        desk.core.handle(event, desk.now)
