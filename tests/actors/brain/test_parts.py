"""The brain's formulas on their own: properties, statistics, edges."""

from __future__ import annotations

import math
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.brain.allocation import Allocation, Regions, Thresholds, base_weights, for_regime
from actors.brain.changepoint import ChangePoint
from actors.brain.correlation import BUCKET_MS, NoHistory, PriceHistory, pearson
from actors.brain.events import TickerSeen
from actors.brain.exposure import Exposure, PendingEntry, RouterView
from actors.brain.governance import Defcon, Mode, ladder_step, may_open, worst
from actors.brain.performance import DAY_MS, ClosedTrade, Performance, SharpeMode
from actors.brain.posture import RiskLevel
from actors.brain.regime import Cluster, Regime, Tail, regime_of
from actors.brain.sizing import authorized_size, leverage_cap
from actors.brain.surprise import NULL_THRESHOLD, WINDOW, Surprise, histogram, surprise_of
from actors.brain.tail import (
    alpha_throttle,
    aptr,
    kelly_fraction,
    safe_leverage,
    volatility_multiplier,
)
from tests.actors.brain.desk import POLICY_NOW, T0, Desk
from tests.actors.brain.world import ticker_message
from titan.clock import Now
from titan.codes import TradingState
from titan.model import Phase, Position, Side
from titan.money import ZERO

alphas = st.floats(min_value=0.5, max_value=10.0)
equities = st.decimals(min_value=0, max_value=10_000_000, places=2)


# Shares, sizes, leverage.


@given(st.lists(equities, min_size=1, max_size=20), st.sampled_from(Regime))
def test_shares_are_fractions_that_sum_to_one_or_are_all_zero(history: list[Decimal], regime: Regime) -> None:
    engine = Allocation(Thresholds())
    for equity in history:
        weights = for_regime(engine.update(equity), regime)
        shares = (weights.scavenger, weights.hunter, weights.sentinel)
        assert all(0.0 <= share <= 1.0 for share in shares)
        assert sum(shares) == pytest.approx(0.0 if regime is Regime.CRASH else 1.0)


def test_a_region_is_kept_inside_its_band_and_left_below_it() -> None:
    regions = Regions().after(1500.0, Thresholds())
    assert regions.after(1350.0, Thresholds()).hunter
    assert not regions.after(1349.99, Thresholds()).hunter
    assert base_weights(1400.0, regions, Thresholds()).hunter > 0.0


@given(equities, st.decimals(min_value=0, max_value=1_000_000, places=2), st.floats(0.0, 1.0), alphas, st.booleans())
def test_caps_only_lower_a_size_and_leave_whole_cents(
    equity: Decimal, allowed: Decimal, weight: float, alpha: float, kelly: bool
) -> None:
    tail = Tail(alpha, Cluster.STABLE)
    size = authorized_size(allowed, equity, weight, tail, None, kelly=kelly)
    assert ZERO <= size <= allowed
    assert float(size) <= float(equity) * weight + 1e-6
    assert size == size.quantize(Decimal("0.01"))


def test_no_share_is_no_size() -> None:
    assert authorized_size(Decimal(1000), Decimal(10_000), 0.0, None, None, kelly=False) == 0


@given(equities, st.sampled_from(Defcon), alphas)
def test_leverage_is_never_above_tier_policy_or_a_lighter_tail(equity: Decimal, defcon: Defcon, alpha: float) -> None:
    heavy = leverage_cap(equity, POLICY_NOW, defcon, Tail(alpha, Cluster.STABLE), None)
    light = leverage_cap(equity, POLICY_NOW, defcon, Tail(alpha + 1.0, Cluster.STABLE), None)
    plain = leverage_cap(equity, POLICY_NOW, defcon, None, None)
    assert heavy <= light <= plain <= POLICY_NOW.max_account_leverage


@given(alphas, alphas)
def test_a_heavier_tail_never_allows_more(left: float, right: float) -> None:
    heavy, light = min(left, right), max(left, right)
    assert kelly_fraction(heavy) <= kelly_fraction(light)
    assert alpha_throttle(heavy) <= alpha_throttle(light)
    assert aptr(1000.0, heavy) >= aptr(1000.0, light)
    assert safe_leverage(heavy, Decimal(10)) <= safe_leverage(light, Decimal(10))


@pytest.mark.parametrize(
    ("tail", "factor"),
    [
        (None, 1.0),
        (Tail(3.0, Cluster.STABLE), 1.0),
        (Tail(3.0, Cluster.EXPANDING), 0.5),
        (Tail(3.0, Cluster.EXPANDING, exceedance=0.1), 0.25),
        (Tail(2.1, Cluster.EXPANDING), 0.25),
        (Tail(2.1, Cluster.STABLE), 0.5),
        (Tail(None, Cluster.UNKNOWN), 1.0),
    ],
)
def test_the_class_of_volatility_scales_size(tail: Tail | None, factor: float) -> None:
    assert volatility_multiplier(tail) == factor


def test_the_kelly_fraction_has_five_steps() -> None:
    assert [kelly_fraction(alpha) for alpha in (1.0, 1.9, 2.0, 3.0, 4.0, 5.0)] == [0.1, 0.2, 0.2, 0.5, 0.5, 0.8]


# Alarm.


@pytest.mark.parametrize("phase", Phase)
def test_a_graver_alarm_never_admits_more(phase: Phase) -> None:
    for lowers in (True, False):
        admitted = [may_open(level, phase, lowers_delta=lowers) for level in Defcon]
        assert admitted == sorted(admitted, reverse=True)


def test_the_gravest_level_wins() -> None:
    assert worst(Defcon.NORMAL, Defcon.DEFENSIVE, Defcon.CAUTION) is Defcon.DEFENSIVE


@pytest.mark.parametrize(
    ("pnl", "limit", "step"),
    [
        ("10", "-1000", Mode.NORMAL),
        ("-500", "-1000", Mode.NORMAL),
        ("-500.01", "-1000", Mode.CAUTIOUS),
        ("-750", "-1000", Mode.CAUTIOUS),
        ("-750.01", "-1000", Mode.DEFENSIVE),
        ("-1000", "-1000", Mode.EMERGENCY),
        ("0", "0", Mode.NORMAL),
        ("-0.01", "0", Mode.EMERGENCY),
    ],
)
def test_the_ladder_has_three_steps(pnl: str, limit: str, step: Mode) -> None:
    assert ladder_step(Decimal(pnl), Decimal(limit)) is step


@pytest.mark.parametrize(
    "tail",
    [
        None,
        Tail(1.2, Cluster.STABLE, confidence=0.49),
        Tail(1.2, Cluster.STABLE, health="low_sample"),
        Tail(None, Cluster.EXPANDING),
    ],
)
def test_a_tail_that_can_not_be_trusted_makes_no_regime(tail: Tail | None) -> None:
    assert regime_of(tail) == (Regime.STABLE, "no tail metrics")


# Exposure.


def view(positions: dict[str, Decimal], entries: tuple[PendingEntry, ...] = ()) -> RouterView:
    held = {
        ("bybit", "main", symbol): Position("bybit", "main", symbol, quantity, Decimal(1), mark_price=Decimal(1))
        for symbol, quantity in positions.items()
    }
    return RouterView(
        trading_state=TradingState.ACTIVE,
        reason="",
        policy_hash="",
        term=1,
        journal_seq=1,
        ts_ms=1,
        reconciled=True,
        equity=Decimal(1),
        start_of_day=ZERO,
        high_watermark=ZERO,
        daily_pnl=ZERO,
        pending_total=ZERO,
        positions=held,
        entries=entries,
    )


notionals = st.decimals(min_value=-1000, max_value=1000, places=0)


@given(notionals, st.lists(notionals, max_size=6))
def test_whichever_pending_entries_fill_the_exposure_was_no_smaller(held: Decimal, pending: list[Decimal]) -> None:
    exposure = Exposure(10_000)
    entries = tuple(PendingEntry(f"i{n}", "A", amount) for n, amount in enumerate(pending) if amount != 0)
    exposure.report(view({"A": held} if held else {}, entries), 0)
    worst_case = abs(exposure.worst().get("A", ZERO))
    longs = [entry.notional for entry in entries if entry.notional > 0]
    shorts = [entry.notional for entry in entries if entry.notional < 0]
    for filled in ([], longs, shorts, [*longs, *shorts], longs[:1], shorts[:1]):
        assert worst_case >= abs(held + sum(filled, ZERO))


def test_reservations_stand_beside_the_report() -> None:
    exposure = Exposure(10_000)
    exposure.report(view({"A": Decimal(100)}), 0)
    exposure.reserve("i", "A", Side.BUY, Decimal(50), 0)
    assert exposure.worst() == {"A": Decimal(150)}
    assert exposure.held() == {"A": Decimal(100)}
    exposure.release("i")
    assert exposure.worst() == {"A": Decimal(100)}


# Statistics.


def walk(history: PriceHistory, symbol: str, returns: list[float], offset: int = 0) -> None:
    price = 100.0
    for index, value in enumerate([0.0, *returns]):
        price *= 1.0 + value
        history.record(symbol, (index + offset) * BUCKET_MS, price)


def test_correlation_is_aligned_by_time_and_not_by_index() -> None:
    seeded = random.Random(1)
    shared = [seeded.gauss(0.0, 0.001) for _ in range(60)]
    history = PriceHistory()
    walk(history, "A", shared)
    walk(history, "B", shared)
    walk(history, "C", shared, offset=7)
    assert history.correlation("A", "B", 0) == pytest.approx(1.0)
    assert abs(history.correlation("A", "C", 0)) < 0.4


def test_correlation_needs_prices_and_an_overlap() -> None:
    history = PriceHistory()
    history.record("A", 0, 100.0)
    assert history.correlation("A", "A", 0) == 1.0
    with pytest.raises(NoHistory, match="fewer than two prices of A are known"):
        history.correlation("A", "B", 0)
    walk(history, "A", [0.01, -0.01])
    walk(history, "B", [0.01, -0.01])
    assert history.correlation("A", "B", 0) == 0.5


def test_a_correlation_is_kept_for_five_minutes() -> None:
    seeded = random.Random(2)
    returns = [seeded.gauss(0.0, 0.001) for _ in range(30)]
    history = PriceHistory()
    walk(history, "A", returns)
    walk(history, "B", returns)
    first = history.correlation("A", "B", 0)
    walk(history, "B", [-value for value in returns], offset=30)
    walk(history, "A", returns, offset=30)
    assert history.correlation("B", "A", 299_999) == first
    assert history.correlation("A", "B", 300_000) < 0.9


def test_a_late_price_never_replaces_a_later_one_and_old_ones_are_forgotten() -> None:
    history = PriceHistory()
    for bucket in range(400):
        history.record("A", bucket * BUCKET_MS, 100.0 + bucket)
    history.record("A", 0, 1.0)
    prices = history.prices("A")
    assert (len(prices), prices[0], prices[-1]) == (360, 140.0, 499.0)


def test_volatility_falls_back_to_one_percent_and_then_to_nothing() -> None:
    history = PriceHistory()
    assert history.volatility("A") is None
    history.record("A", 0, 200.0)
    assert history.volatility("A") == 2.0
    walk(history, "B", [0.01, -0.01] * 6)
    assert history.volatility("B") == pytest.approx(1.04, rel=0.02)
    for index in range(12):
        history.record("C", index * 2 * BUCKET_MS, 100.0)
    assert history.volatility("C") == 1.0


def test_a_series_that_does_not_move_correlates_with_nothing() -> None:
    assert pearson([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0.0


def test_daily_returns_decide_by_default_and_single_trades_on_request() -> None:
    trades = [ClosedTrade(Phase.SCAVENGER, 10.0, 1000.0, T0 + day * DAY_MS) for day in (0, 0, 1, 1)]
    at = T0 + 2 * DAY_MS
    assert Performance(SharpeMode.DAILY, trades).sharpe_of(Phase.SCAVENGER, at) == 3.0
    mixed = [*trades, ClosedTrade(Phase.SCAVENGER, -10.0, 1000.0, T0)]
    per_trade = Performance(SharpeMode.PER_TRADE, mixed).sharpe_of(Phase.SCAVENGER, at)
    assert per_trade == pytest.approx(6.0 / math.sqrt(80.0) * math.sqrt(365.0))


def test_trades_leave_the_window_after_seven_days() -> None:
    losing = [ClosedTrade(Phase.HUNTER, -10.0 - n, 1000.0, T0 + n * DAY_MS // 4) for n in range(12)]
    performance = Performance(trades=losing)
    assert performance.modifier(Phase.HUNTER, T0 + 3 * DAY_MS) == 0.5
    assert performance.modifier(Phase.HUNTER, T0 + 11 * DAY_MS) == 1.0


def test_noise_hardly_ever_surprises_and_a_burst_does() -> None:
    seeded = random.Random(3)
    looks = [surprise_of([seeded.gauss(0.0, 0.001) for _ in range(WINDOW)]) for _ in range(1000)]
    assert sum(look > NULL_THRESHOLD for look in looks) <= 2
    burst = [seeded.gauss(0.0, 0.0001) for _ in range(WINDOW - 1)] + [0.05]
    assert surprise_of(burst) > NULL_THRESHOLD
    assert sum(histogram([1.0, 1.0], 50)) == 1.0


def test_surprise_lowers_size_before_it_defends_and_one_look_does_nothing() -> None:
    seeded, surprise = random.Random(4), Surprise()
    for _ in range(WINDOW - 1):
        surprise.observe(seeded.gauss(0.0, 0.0001))
    steps = []
    for value in (0.05, *(seeded.gauss(0.0, 0.0001) for _ in range(10))):
        surprise.observe(value)
        steps.append((surprise.lowers_size, surprise.defends))
    assert steps[0] == (False, False)
    assert steps[2] == (True, False)
    assert steps[9] == (True, True)


def test_a_calm_series_keeps_its_run_and_a_jump_ends_it() -> None:
    seeded, detector = random.Random(5), ChangePoint()
    for _ in range(150):
        detector.observe(seeded.gauss(0.0, 0.0005))
    assert detector.run_length > 50
    assert detector.regime() is Regime.STABLE
    assert detector.observe(0.015) > 0.3
    assert detector.regime() is Regime.VOLATILE_BREAKOUT
    assert detector.observe(-0.03) > 0.01
    assert detector.regime() is Regime.CRASH


@pytest.mark.parametrize(
    ("returns", "regime"),
    [
        ([], Regime.STABLE),
        ([0.008, -0.008] * 15, Regime.MEAN_REVERSION),
        ([0.012, -0.002] * 15, Regime.VOLATILE_BREAKOUT),
        ([0.05, -0.019] * 15, Regime.CRASH),
    ],
)
def test_the_last_returns_make_a_regime(returns: list[float], regime: Regime) -> None:
    detector = ChangePoint()
    for value in returns:
        detector.observe(value)
    assert detector.regime() is regime


# Optional sources of caution, in the core.


def feed(desk: Desk, returns: list[float]) -> None:
    price = 50_000.0
    for value in returns:
        price *= 1.0 + value
        desk.advance(BUCKET_MS)
        desk.core.handle(TickerSeen(ticker_message(desk.now.market_ms, f"{price:.4f}")), desk.now)


def test_the_change_point_makes_the_regime_when_it_is_on_and_no_tail_is_known() -> None:
    desk = Desk(change_point_regime=True)
    feed(desk, [0.0005, -0.0005] * 10 + [-0.03, 0.0])
    desk.report()
    assert (desk.core.state.regime, desk.core.state.regime_source) == (Regime.CRASH, "change point")
    quiet = Desk()
    feed(quiet, [0.0005, -0.0005] * 10 + [-0.03, 0.0])
    quiet.report()
    assert quiet.core.state.regime is Regime.STABLE


def test_surprising_returns_halve_sizes_when_the_gate_is_on() -> None:
    seeded = random.Random(6)
    desk = Desk(surprise_gate=True)
    feed(desk, [seeded.gauss(0.0, 0.0001) for _ in range(WINDOW)] + [0.04, 0.0, 0.0, 0.0])
    desk.report()
    assert desk.core.state.posture.level is RiskLevel.CAUTIOUS
    assert desk.core.state.posture.size_factor == Decimal("0.5")
    feed(desk, [seeded.gauss(0.0, 0.0001) for _ in range(8)])
    desk.report()
    assert desk.core.state.posture.defcon is Defcon.DEFENSIVE


def test_adaptive_weights_follow_the_sharpe_ratios_when_they_are_on() -> None:
    desk = Desk(adaptive_weights=True)
    day = desk.now.market_ms
    for number, pnl in enumerate((10.0, 12.0)):
        desk.core.state.performance.record(ClosedTrade(Phase.SCAVENGER, pnl, 1000.0, day - number * DAY_MS))
    desk.core.state.reassess(Now(day, desk.now.wall_ms))
    assert desk.core.state.weights.scavenger > 0.2
    assert desk.core.state.weights.sentinel == 0.0
