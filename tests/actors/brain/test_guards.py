"""What an opening is refused for, and how its size comes about."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from actors.brain.config import PhaseLimit
from actors.brain.costs import CostVeto
from actors.brain.events import TailSeen, TruthSeen
from actors.brain.tail import TailMode
from protos import brain_pb2, trading_pb2
from tests.actors.brain.desk import T0, Desk, policy_with
from tests.actors.brain.world import SYMBOL, entry_order, position_message
from titan.codes import VetoCode
from titan.model import Phase

ETH = "ETH/USDT:USDT"
SELL = trading_pb2.SIDE_SELL


def tail_message(alpha: float = 3.0, **changes: Any) -> brain_pb2.PowerLawMetrics:
    fields: dict[str, Any] = {
        "symbol": SYMBOL,
        "alpha": alpha,
        "confidence": 0.9,
        "health": "ok",
        "calc_ts_ms": T0,
        "cluster": brain_pb2.VOLATILITY_CLUSTER_STABLE,
    }
    fields.update(changes)
    return brain_pb2.PowerLawMetrics(**fields)


# Policy guards.


@pytest.mark.parametrize(
    ("changes", "code", "sentence"),
    [
        ({"stop_price": ""}, "STOP_MISSING", "an opening signal needs a stop_price"),
        ({"stop_price": "50500"}, "STOP_DISTANCE", "Stop 50500 is on the wrong side of entry 50000 for a BUY"),
        ({"stop_price": "49930"}, "STOP_DISTANCE", "Stop distance too tight: 70.00 < 75.00 (1.5x ATR)"),
        ({"symbol": "DOGE/USDT:USDT"}, "SYMBOL_NOT_WHITELISTED", "Symbol not whitelisted: DOGE/USDT:USDT"),
        ({"requested_size_usd": "50001"}, "POSITION_NOTIONAL", "Max Position Notional Exceeded: 50001 > 50000"),
        ({"confidence": 69.0}, "CONFIDENCE", "CONFIDENCE_VETO: Calibrated 69.00% < 70%"),
        ({"symbol": ETH}, "MARKET_DATA_STALE", "the ticker of ETH/USDT:USDT was never seen, limit 5000 ms"),
        ({"requested_size_usd": "4.99"}, "SIZE_TOO_SMALL", "4.99 USD < 5 USD"),
        ({"phase": trading_pb2.PHASE_SENTINEL}, "ZERO_ALLOCATION", "SENTINEL has no share of 10000.00 USD"),
        ({"entry_price": "49400", "stop_price": "49000"}, "SLIPPAGE", "the market is 121.5 bps beyond entry 49400"),
    ],
)
def test_an_opening_is_vetoed_by_name(changes: dict[str, Any], code: str, sentence: str) -> None:
    decision, _ = Desk().propose(**changes)
    assert decision.code == code
    assert sentence in decision.reason


def test_a_better_price_than_the_entry_is_no_slippage() -> None:
    assert Desk().propose(entry_price="51000", stop_price="49500", target_price="52000")[0].approved


@pytest.mark.parametrize("form", ["BTC/USDT", "BTCUSDT", "BTC_USDT", "BTC/USDT:USDT"])
def test_every_spelling_in_the_whitelist_admits_the_symbol(form: str) -> None:
    assert Desk(policy_with(symbol_whitelist=(form,))).propose()[0].approved


def test_an_empty_whitelist_admits_nothing() -> None:
    assert Desk(policy_with(symbol_whitelist=())).propose()[0].code == "SYMBOL_NOT_WHITELISTED"


def test_an_old_ticker_stops_openings() -> None:
    desk = Desk()
    desk.advance(5001)
    desk.report()
    decision, _ = desk.propose()
    assert decision.code == "MARKET_DATA_STALE"
    assert "is 5001 ms old, limit 5000 ms" in decision.reason


def test_the_daily_loss_limit_stops_openings() -> None:
    desk = Desk(policy_with(max_daily_loss=Decimal(-100)))
    desk.report(daily_pnl="-100")
    desk.core.state.ladder = type(desk.core.state.ladder)()
    desk.core.state.reassess(desk.now)
    decision, _ = desk.propose()
    assert decision.code == "DAILY_LOSS"
    assert decision.reason == "DAILY_LOSS: today's PnL -100.00 <= limit -100"


def test_pending_entries_and_own_approvals_count_as_open_orders() -> None:
    desk = Desk()
    desk.report(open_orders=[entry_order(f"i{n}", "0.001") for n in range(3)])
    assert desk.propose()[0].approved
    assert desk.propose()[0].approved
    decision, _ = desk.propose()
    assert decision.code == "OPEN_ORDERS"
    assert "5 entries of BTC/USDT:USDT are pending, limit 5" in decision.reason


def test_stops_and_finished_entries_are_no_open_orders() -> None:
    desk = Desk()
    stops = [entry_order(f"s{n}", role=trading_pb2.ORDER_ROLE_STOP) for n in range(6)]
    done = [entry_order(f"d{n}", state=trading_pb2.ORDER_STATE_FILLED) for n in range(6)]
    desk.report(open_orders=[*stops, *done])
    assert desk.propose()[0].approved


def test_an_approval_reserves_its_exposure_until_the_router_shows_it() -> None:
    desk = Desk(policy_with(max_position_notional=Decimal(2000)))
    _, first = desk.propose()
    assert desk.propose()[0].approved
    decision, _ = desk.propose()
    assert decision.code == "POSITION_NOTIONAL"
    assert decision.reason == "Max Position Notional Exceeded: 2500 > 2000"
    assert first is not None
    desk.report(open_orders=[entry_order(first.intent_id, "0.02")])
    assert first.intent_id not in desk.core.state.exposure.reservations
    assert desk.propose()[0].code == "POSITION_NOTIONAL"


def test_an_entry_at_the_market_counts_with_the_market_price_once_the_router_shows_it() -> None:
    desk = Desk(policy_with(max_position_notional=Decimal(1500)))
    _, intent = desk.propose()
    assert intent is not None
    desk.report(open_orders=[entry_order(intent.intent_id, "0.02", price="")])
    assert not desk.core.state.exposure.reservations
    assert desk.propose()[0].code == "POSITION_NOTIONAL"


def test_a_refused_intent_frees_its_exposure() -> None:
    desk = Desk(policy_with(max_position_notional=Decimal(1500)))
    _, intent = desk.propose()
    assert intent is not None
    assert desk.propose()[0].code == "POSITION_NOTIONAL"
    desk.reject(intent.intent_id)
    assert desk.propose()[0].approved


def test_a_filled_intent_is_reserved_until_a_report_covers_the_fill() -> None:
    desk = Desk()
    _, intent = desk.propose()
    assert intent is not None
    desk.fill(intent.intent_id, trading_pb2.SIDE_BUY, "0.02", "50000", seq=100)
    desk.report()
    assert intent.intent_id in desk.core.state.exposure.reservations
    desk.report(journal_seq=100, positions=[position_message("0.02")])
    assert intent.intent_id not in desk.core.state.exposure.reservations


def test_an_approval_that_nobody_heard_of_is_forgotten() -> None:
    desk = Desk()
    desk.propose()
    desk.advance(10_001)
    desk.report()
    assert not desk.core.state.exposure.reservations


def test_pending_that_the_router_does_not_list_counts_towards_leverage() -> None:
    desk = Desk()
    desk.report(pending_notional_usd="49500")
    decision, _ = desk.propose()
    assert decision.code == "LEVERAGE"
    assert decision.reason == "Leverage cap exceeded: projected 5.05x > max 5x"


def test_a_flip_counts_what_is_left_on_the_other_side() -> None:
    desk = Desk(policy_with(max_position_notional=Decimal(1500)))
    desk.report(positions=[position_message("0.02")])
    decision, _ = desk.propose(side=SELL, requested_size_usd="1400", stop_price="50500", target_price="49000")
    assert decision.approved
    decision, _ = Desk(policy_with(max_position_notional=Decimal(1500))).propose(requested_size_usd="1501")
    assert decision.code == "POSITION_NOTIONAL"


def test_a_silent_truth_stops_openings() -> None:
    desk = Desk()
    desk.advance(900_001)
    desk.report()
    desk.tick()
    decision, _ = desk.propose()
    assert (decision.code, decision.reason) == ("TRUTH_VETO", "TRUTH_VETO: no truth pass for 900 s")


@pytest.mark.parametrize(
    ("confidence", "code"), [(80, "APPROVED"), (79, "TRUTH_VETO"), (50, "TRUTH_VETO"), (49, "GOVERNANCE_LOCKDOWN")]
)
def test_truth_gates_openings_in_whole_percents(confidence: int, code: str) -> None:
    desk = Desk()
    desk.core.handle(TruthSeen(trading_pb2.Truth(confidence=confidence)), desk.now)
    assert desk.propose()[0].code == code


def test_a_late_signal_is_cut_then_refused() -> None:
    desk = Desk()
    decision, _ = desk.propose(t_wall_ns=(T0 - 300) * 1_000_000)
    assert (decision.authorized_size_usd, decision.reason) == (
        "750",
        "Signal approved with size adjustment: Risk/Latency/Alpha",
    )
    assert desk.propose(t_wall_ns=(T0 - 501) * 1_000_000)[0].reason == "LATENCY_VETO: System lag 501ms > 500ms"


# Sizes.


def test_a_size_is_capped_by_the_phases_share_of_equity() -> None:
    decision, intent = Desk().propose(requested_size_usd="5000")
    assert decision.authorized_size_usd == "2000"
    assert decision.reason == "Signal approved: within risk limits; capped at 2000.00 USD"
    assert intent is not None
    assert intent.size_usd == 2000


def test_a_manual_trade_passes_the_same_checks_with_all_of_the_equity() -> None:
    manual = {"phase": trading_pb2.PHASE_MANUAL, "requested_size_usd": "12000"}
    assert Desk().propose(**manual)[0].authorized_size_usd == "10000"
    assert Desk().propose(**manual, stop_price="")[0].code == "STOP_MISSING"


def test_kelly_bounds_the_size_when_it_is_on() -> None:
    assert Desk(kelly_bound=True).propose(requested_size_usd="5000")[0].authorized_size_usd == "1000"


def test_a_heavy_tail_lowers_size_and_leverage() -> None:
    desk = Desk()
    desk.core.handle(TailSeen(tail_message(1.8)), desk.now)
    decision, intent = desk.propose(phase=trading_pb2.PHASE_HUNTER)
    assert decision.authorized_size_usd == "140"
    assert intent is not None
    assert intent.leverage == 2


def test_a_binding_tail_policy_refuses_what_it_only_reports_by_default() -> None:
    critical = tail_message(3.0, exceedance=0.2)
    shadow, bound = Desk(), Desk(tail_mode=TailMode.ENFORCEMENT)
    advisory = Desk(tail_mode=TailMode.ADVISORY)
    for desk in (shadow, bound, advisory):
        desk.core.handle(TailSeen(critical), desk.now)
    assert shadow.propose()[0].reason == "Signal approved: within risk limits"
    assert bound.propose()[0].reason == "TAIL_CONSTRAINT: reduce only (EXCEEDANCE_CRITICAL)"
    assert advisory.propose()[0].reason.endswith("tail policy advises EXCEEDANCE_CRITICAL")


def test_a_binding_tail_policy_caps_the_position() -> None:
    desk = Desk(
        policy_with(max_position_notional=Decimal(10_000_000), max_account_leverage=Decimal(100)),
        tail_mode=TailMode.ENFORCEMENT,
    )
    desk.core.handle(TailSeen(tail_message(2.4)), desk.now)
    desk.report(equity="1000000", start="1000000", positions=[position_message("4.9")])
    decision, _ = desk.propose(requested_size_usd="20000")
    assert decision.code == "POSITION_NOTIONAL"
    assert "> 250000 (ALPHA_WARNING)" in decision.reason


def test_low_equity_puts_the_hunter_on_hold() -> None:
    desk = Desk()
    desk.report(equity="1000", start="1000")
    assert desk.propose(phase=trading_pb2.PHASE_HUNTER)[0].code == "ZERO_ALLOCATION"
    assert desk.propose()[0].authorized_size_usd == "1000"


def test_survival_mode_defends_until_its_override_ends() -> None:
    desk = Desk()
    desk.report(positions=[position_message("0.13")])
    decision, _ = desk.propose()
    assert decision.reason == "SURVIVAL_MODE: APTR Critical (5200.00 > 5000.00)"
    desk.report()
    assert desk.propose()[0].code == "GOVERNANCE_LOCKDOWN"
    desk.advance(300_000)
    desk.report()
    desk.tick()
    assert desk.propose()[0].approved


def test_missing_volatility_and_entry_come_from_the_market() -> None:
    desk = Desk()
    decision, _ = desk.propose(volatility=0.0, entry_price="", stop_price="49500")
    assert decision.reason == "Stop distance too tight: 500.00 < 750.00 (1.5x ATR)"
    assert desk.propose(volatility=0.0, entry_price="", stop_price="49000")[0].approved


# Optional guards.


def test_a_phases_own_limits_bind_when_they_are_set() -> None:
    desk = Desk(phase_limits={Phase.SCAVENGER: PhaseLimit(Decimal(2), Decimal("0.5"))})
    decision, _ = desk.propose(requested_size_usd="20001")
    assert decision.reason == "FRACTAL_VETO: phase1 leverage 2.00x > max 2x"
    decision, _ = desk.propose(requested_size_usd="5001")
    assert decision.reason == "FRACTAL_VETO: phase1 allocation 50.0% > max 50%"
    assert desk.propose(requested_size_usd="5000")[0].approved


def test_the_cost_veto_compares_expectancy_with_cost() -> None:
    desk = Desk(cost_veto=CostVeto(2.0, 10.0))
    assert desk.propose(target_price="")[0].reason == "COST_AWARE_VETO: Missing targets/stops for expectancy calc"
    poor, _ = desk.propose(target_price="50100", confidence=80.0)
    assert poor.reason == "COST_AWARE_VETO: Expectancy too low (-20.0000 < 2x Cost 75.0000)"
    assert desk.propose(target_price="51000")[0].approved


def test_the_trade_gate_wants_an_edge_over_friction() -> None:
    desk = Desk(trade_gate=True)
    assert desk.propose(target_price="51000")[0].approved
    poor, _ = desk.propose(target_price="50120")
    assert poor.code == "COST"
    assert "TRADE_GATE_VETO" in poor.reason


# What fails says no.


def test_a_correlation_that_can_not_be_known_is_a_veto() -> None:
    desk = Desk()
    desk.report(positions=[position_message("0.01", "3000", ETH)])
    decision, intent = desk.propose()
    assert decision.code == "RISK_CHECK_ERROR"
    assert "fewer than two prices" in decision.reason
    assert intent is None


def test_an_error_outside_the_gate_is_a_veto_too() -> None:
    desk = Desk()
    desk.core.state.quotes = None  # type: ignore[assignment]
    decision, intent = desk.propose()
    assert decision.code == VetoCode.RISK_CHECK_ERROR
    assert intent is None
