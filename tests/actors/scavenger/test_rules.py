"""The rules one by one: indicators, flow, traps, vetoes, order style, configuration."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.scavenger.config import ScavengerConfig, config_from_environment
from actors.scavenger.detectors import (
    OiSample,
    crash_threshold,
    drop,
    funding_squeeze,
    lonely_crash,
    oi_before,
    oi_wipeout,
)
from actors.scavenger.fire import (
    OrderStyle,
    Outcome,
    Weather,
    entry_price,
    market_veto,
    max_slippage_bps,
    order_style,
    stop_and_target,
)
from actors.scavenger.flow import Burst, Cvd, Leader, LeadLag, VelocityTracker, VolumeValidator, accelerates, velocity
from actors.scavenger.indicators import (
    Bar,
    Bbo,
    Directional,
    Structure,
    Volatility,
    adx,
    atr,
    order_flow_imbalance,
    pearson,
    sma,
    stddev,
    structure,
    swing_levels,
    volatility_regime,
)
from actors.scavenger.traps import (
    Direction,
    Trap,
    TrapType,
    band,
    bollinger,
    daily_level,
    holds,
    liquidation,
    near,
    structure_traps,
)
from titan.errors import ConfigError

SYMBOL = "BTC/USDT:USDT"
CONFIG = ScavengerConfig()
CALM = Weather(0.0, False, Directional(0.0, 0), 0.0, Volatility.LOW)
LONG = Trap(TrapType.LIQUIDATION, SYMBOL, Direction.LONG, 100.0, 95.0, 20.0, 0.05)
BUYERS = Burst(0, 60, 10.0, 0.0)


def bar(close: float, *, high: float | None = None, low: float | None = None, volume: float = 1.0) -> Bar:
    return Bar(0, close, close + 1 if high is None else high, close - 1 if low is None else low, close, volume)


def climb(count: int, step: float = 1.0) -> list[Bar]:
    return [bar(200 + place * step) for place in range(count)]


def test_too_little_data_gives_zero() -> None:
    assert sma([1.0], 2) == stddev([1.0], 2) == atr([bar(1)]) == pearson([1.0], [1.0]) == 0
    assert adx(climb(27)) == Directional(0.0, 0)
    assert velocity([(0, 1.0)]) == 0
    assert structure(climb(49)) is Structure.UNDEFINED


def test_adx_of_a_steady_climb_is_strong_and_points_up() -> None:
    found = adx(climb(50))
    assert found.adx == pytest.approx(100)
    assert found.sign == 1
    assert adx(climb(50, -1.0)).sign == -1


def test_adx_of_equal_bars_is_zero() -> None:
    assert adx([bar(100)] * 40) == Directional(0.0, 0)


def test_trends_exist_on_both_sides() -> None:
    assert structure(climb(60)) is Structure.TREND_UP
    assert structure(climb(60, -0.5)) is Structure.TREND_DOWN


def test_a_market_pressed_against_its_edge_without_a_trend_is_still_a_range() -> None:
    swings = [bar(100 + 10 * math.sin(place)) for place in range(49)]
    assert structure([*swings, bar(109.5)]) is Structure.RANGE


def test_wide_bars_are_high_volatility() -> None:
    assert volatility_regime([bar(100)] * 5) is Volatility.HIGH
    assert volatility_regime([bar(1000)] * 5) is Volatility.LOW
    assert volatility_regime([]) is Volatility.LOW


def test_swing_levels_need_two_lower_or_higher_bars_on_each_side() -> None:
    closes = [5, 6, 9, 6, 5, 3, 5, 6]
    highs, lows = swing_levels([bar(float(close)) for close in closes])
    assert (highs, lows) == ([10.0], [2.0])


def test_order_flow_follows_the_better_bid_and_the_worse_ask() -> None:
    book = Bbo(100, 5, 101, 5)
    assert order_flow_imbalance([book, Bbo(100.5, 3, 101, 5)])[-1] == 3
    assert order_flow_imbalance([book, Bbo(99, 3, 101, 5)])[-1] == -5
    assert order_flow_imbalance([book, Bbo(100, 5, 102, 4)])[-1] == 5
    assert order_flow_imbalance([book, Bbo(100, 7, 101, 4)])[-1] == 3


@given(st.lists(st.tuples(st.integers(0, 900_000), st.floats(-5, 5)), max_size=60), st.integers(1_000, 300_000))
def test_cvd_equals_the_sum_of_its_window(trades: list[tuple[int, float]], window: int) -> None:
    cvd = Cvd()
    trades = sorted(((ts // 100 * 100, delta) for ts, delta in trades), key=lambda trade: trade[0])
    for ts, delta in trades:
        cvd.add(ts, delta)
    now = 900_000
    window -= window % 100
    expected = sum(delta for ts, delta in trades if now - window <= ts <= now)
    assert cvd.over(window, now) == pytest.approx(expected, abs=1e-9)


def test_cvd_forgets_what_is_older_than_ten_minutes_and_keeps_what_is_not() -> None:
    cvd = Cvd()
    for step in range(20_000):
        cvd.add(step * 100, 1.0)
    now = 19_999 * 100
    assert cvd.over(300_000, now) == 3_001
    assert cvd.over(60_000, now, 60_000) == 601
    assert cvd.over(60_000, now + 10_000_000) == 0


def test_velocity_points_closer_than_the_spacing_replace_each_other() -> None:
    tracker = VelocityTracker(spacing_ms=100)
    for ts in range(0, 60_000, 10):
        tracker.add(ts, 100 + ts / 1000)
    assert tracker.now() == pytest.approx((160 / 155 - 1) / 5, rel=0.02)


def test_a_tenth_more_velocity_is_noise_and_more_is_acceleration() -> None:
    assert not accelerates(0.0011, 0.001)
    assert accelerates(0.00111, 0.001)
    assert accelerates(0.001, 0.0)
    assert not accelerates(0.0, 0.0)


def test_the_volume_validator_starts_over_after_each_window() -> None:
    validator = VolumeValidator()
    assert not validator.check(0, 100)
    assert validator.check(100, 0)
    assert not validator.check(110, 10)
    assert not validator.check(220, 10)


def test_bybit_leads_when_its_returns_come_first() -> None:
    prices = [50_000 * (1 + 0.001 * math.sin(place * place)) for place in range(60)]
    for shift, leader in ((1, Leader.BYBIT), (-1, Leader.BINANCE), (0, Leader.EQUAL)):
        tracker = LeadLag()
        for place in range(1, 59):
            tracker.add(Leader.BYBIT, place * 100, prices[place])
            tracker.add(Leader.BINANCE, place * 100, prices[place - shift])
        assert tracker.leader() is leader


def test_without_a_second_venue_binance_is_assumed_to_lead() -> None:
    tracker = LeadLag()
    assert tracker.leader() is Leader.BINANCE
    tracker.add(Leader.BYBIT, 0, 1.0)
    tracker.add(Leader.BINANCE, 0, 1.0)
    assert tracker.leader() is Leader.BINANCE


def test_lead_lag_holds_a_price_for_five_steps_and_forgets_the_past() -> None:
    tracker = LeadLag()
    for step in range(500):
        tracker.add(Leader.BYBIT, step * 100, 100 + step % 7)
    tracker.add(Leader.BINANCE, 499 * 100, 100.0)
    assert tracker.correlations() is None
    for step in range(470, 500, 3):
        tracker.add(Leader.BINANCE, step * 100, 100 + step % 5)
    assert tracker.correlations() is not None


def test_slippage_shrinks_where_bybit_leads() -> None:
    assert max_slippage_bps(Leader.BYBIT, CONFIG) == 30
    assert max_slippage_bps(Leader.EQUAL, CONFIG) == max_slippage_bps(Leader.BINANCE, CONFIG) == 50


def test_a_liquidation_node_above_the_market_is_bought() -> None:
    bars = [bar(105.0, high=107, low=103, volume=5000)] * 30 + [bar(90.0, high=92, low=88, volume=100)] * 30
    trap = liquidation(SYMBOL, bars, CONFIG)
    assert trap is not None
    assert trap.direction is Direction.LONG
    assert trap.trigger == pytest.approx(104.91 * 1.002)


def test_a_market_without_any_range_has_one_node_and_no_trap_at_its_price() -> None:
    assert liquidation(SYMBOL, [bar(100.0, high=100, low=100)] * 50, CONFIG) is None
    assert liquidation(SYMBOL, [bar(100.0)] * 49, CONFIG) is None


def test_the_live_price_decides_on_which_side_a_node_is() -> None:
    bars = [bar(100.0, high=101, low=99, volume=1000)] * 50
    above = liquidation(SYMBOL, bars, CONFIG, price=99.0)
    below = liquidation(SYMBOL, bars, CONFIG, price=101.0)
    assert above is not None
    assert below is not None
    assert (above.direction, below.direction) == (Direction.LONG, Direction.SHORT)


def test_the_previous_days_low_is_sold_when_it_is_the_nearer_one() -> None:
    bars = [bar(100.0, high=110, low=99)] * 24 + [bar(100.0)] * 24
    trap = daily_level(SYMBOL, bars, CONFIG)
    assert trap is not None
    assert trap.direction is Direction.SHORT
    assert trap.trigger == pytest.approx(99 * 0.999)
    assert daily_level(SYMBOL, bars[:47], CONFIG) is None


def test_a_squeeze_is_bought_above_the_mean_and_sold_below_it() -> None:
    wide = [bar(100 + (-1) ** place * 3.0) for place in range(72)]
    quiet = [bar(100 + (-1) ** place * 0.5) for place in range(20)]
    up = bollinger(SYMBOL, [*wide, *quiet, bar(100.4)], CONFIG)
    down = bollinger(SYMBOL, [*wide, *quiet, bar(99.6)], CONFIG)
    assert up is not None
    assert down is not None
    assert (up.direction, down.direction) == (Direction.LONG, Direction.SHORT)
    assert bollinger(SYMBOL, [*quiet, *wide], CONFIG) is None
    assert bollinger(SYMBOL, wide, CONFIG) is None


def test_a_trend_is_joined_at_its_last_swing() -> None:
    rising = climb(52, 0.5)
    rising[40] = bar(219.0, low=212.0, high=219.4)
    [trap] = structure_traps(SYMBOL, rising, CONFIG)
    assert (trap.trap_type, trap.direction, trap.trigger) == (TrapType.PULLBACK, Direction.LONG, 212.0)
    assert trap.confidence == 75
    falling = climb(52, -0.5)
    falling[40] = bar(180.5, high=185.0, low=180.2)
    [trap] = structure_traps(SYMBOL, falling, CONFIG)
    assert (trap.trap_type, trap.direction, trap.trigger) == (TrapType.PULLBACK, Direction.SHORT, 185.0)


def test_a_trend_without_a_swing_and_a_short_history_give_no_trap() -> None:
    assert structure_traps(SYMBOL, climb(52), CONFIG) == []
    assert structure_traps(SYMBOL, climb(49), CONFIG) == []


def test_an_old_enough_open_interest_is_compared() -> None:
    samples = [OiSample(0, 100.0), OiSample(200_000, 90.0), OiSample(400_000, 70.0)]
    assert oi_before(samples, 500_000) == 90.0
    assert oi_before(samples, 299_999) is None


def test_a_wipeout_is_bought_with_half_the_fall_as_target() -> None:
    closes = [50_000.0, 49_500.0, 49_000.0, 48_500.0, 48_000.0]
    trap = oi_wipeout(SYMBOL, 1e6, 7.5e5, closes, 48_000.0, 1.0, CONFIG)
    assert trap is not None
    assert trap.target == 49_000.0
    assert trap.stop == pytest.approx(47_040.0)
    assert oi_wipeout(SYMBOL, None, 7.5e5, closes, 48_000.0, 1.0, CONFIG) is None
    assert oi_wipeout(SYMBOL, 1e6, 8e5, closes, 48_000.0, 1.0, CONFIG) is None
    assert oi_wipeout(SYMBOL, 1e6, 7.5e5, closes[:4], 48_000.0, 1.0, CONFIG) is None


def test_a_squeeze_of_funding_needs_rising_lows_and_growing_purchases() -> None:
    rising = [bar(100.0 + place) for place in range(5)]
    assert funding_squeeze(SYMBOL, -0.0003, rising, 2.0, 1.0, CONFIG) is not None
    assert funding_squeeze(SYMBOL, -0.0003, rising, 1.0, 1.0, CONFIG) is None
    assert funding_squeeze(SYMBOL, -0.0001, rising, 2.0, 1.0, CONFIG) is None
    assert funding_squeeze(SYMBOL, None, rising, 2.0, 1.0, CONFIG) is None
    assert funding_squeeze(SYMBOL, -0.0003, rising[::-1], 2.0, 1.0, CONFIG) is None


def test_a_lonely_crash_is_a_wipeout_with_more_confidence() -> None:
    closes = [50_000.0, 49_500.0, 49_000.0, 48_500.0, 48_000.0]
    wipeout = oi_wipeout("ETH/USDT:USDT", 1e6, 7.5e5, closes, 48_000.0, 1.0, CONFIG)
    bids = [Bbo(100 + place, 5, 110, 5) for place in range(5)]
    found = lonely_crash(wipeout, 0.04, 0.001, 0.03, bids, CONFIG)
    assert found is not None
    assert (found.trap_type, found.confidence) == (TrapType.ULTIMATE_BULGARIA, 98.0)
    assert lonely_crash(wipeout, 0.04, 0.02, 0.03, bids, CONFIG) is None
    assert lonely_crash(wipeout, 0.02, 0.001, 0.03, bids, CONFIG) is None
    assert lonely_crash(wipeout, 0.04, 0.001, 0.03, bids[:4], CONFIG) is None
    assert lonely_crash(wipeout, 0.04, 0.001, 0.03, bids[::-1], CONFIG) is None
    assert lonely_crash(None, 0.04, 0.001, 0.03, bids, CONFIG) is None


def test_the_crash_threshold_follows_the_tail() -> None:
    assert crash_threshold(CONFIG, None, False) == crash_threshold(CONFIG, 2.5, False) == 0.03
    assert crash_threshold(CONFIG, 1.5, False) == 0.05
    assert crash_threshold(CONFIG, 3.5, False) == 0.025
    assert crash_threshold(CONFIG, None, True) == pytest.approx(0.036)
    assert drop([1.0], 1.0) == drop([0.0] * 5, 1.0) == 0


@given(st.floats(0.0001, 1e6), st.floats(0.99, 1.01))
def test_the_band_is_the_distance_rule(trigger: float, factor: float) -> None:
    price = trigger * factor
    low, high = band(trigger)
    assert near(price, trigger) == (low <= price <= high)
    if abs(price / trigger - 1) < 0.000999:
        assert near(price, trigger)
    if abs(price / trigger - 1) > 0.001001:
        assert not near(price, trigger)


def test_confirmation_bounds_themselves_hold() -> None:
    assert holds(Direction.LONG, 42_000.0, 41_979.0)
    assert holds(Direction.SHORT, 42_000.0, 42_021.0)


@pytest.mark.parametrize(
    ("velocity_now", "atr_now", "volatility", "style"),
    [
        (0.006, 1.0, Volatility.HIGH, OrderStyle.LIMIT_AGGRESSIVE),
        (0.0041, 1.0, Volatility.LOW, OrderStyle.MARKET),
        (0.0012, 1.0, Volatility.HIGH, OrderStyle.LIMIT_PASSIVE),
        (0.0009, 1.0, Volatility.LOW, OrderStyle.LIMIT_AGGRESSIVE),
    ],
)
def test_thresholds_scale_with_volatility(
    velocity_now: float, atr_now: float, volatility: Volatility, style: OrderStyle
) -> None:
    assert order_style(velocity_now, atr_now, volatility, CONFIG) is style


def test_limit_prices_lie_on_the_paying_side() -> None:
    assert entry_price(OrderStyle.MARKET, Direction.LONG, 100.0, CONFIG) == 100.0
    assert entry_price(OrderStyle.LIMIT_AGGRESSIVE, Direction.LONG, 100.0, CONFIG) == pytest.approx(100.2)
    assert entry_price(OrderStyle.LIMIT_PASSIVE, Direction.SHORT, 100.0, CONFIG) == pytest.approx(99.99)


def test_a_traps_own_stop_and_target_win_unless_they_lie_on_the_wrong_side() -> None:
    own = Trap(TrapType.OI_WIPEOUT, SYMBOL, Direction.LONG, 100.0, 95.0, 20.0, 0.05, target=105.0, stop=98.0)
    assert stop_and_target(own, 100.0, CONFIG) == (98.0, 105.0)
    assert stop_and_target(own, 97.0, CONFIG)[0] == pytest.approx(96.03)
    assert stop_and_target(own, 106.0, CONFIG)[1] == pytest.approx(109.18)


def test_vetoes_speak_in_order() -> None:
    assert market_veto(LONG, BUYERS, 100.0, CALM, CONFIG) is None
    assert market_veto(LONG, BUYERS, 101.0, CALM, CONFIG) is Outcome.PRICE_LEFT
    assert market_veto(LONG, Burst(0, 60, 64.0, 36.0), 100.0, CALM, CONFIG) is Outcome.CVD_VETO
    assert market_veto(LONG, Burst(0, 60, 65.0, 35.0), 100.0, CALM, CONFIG) is None
    knife = Weather(0.0, True, Directional(0.0, 0), 0.0, Volatility.LOW)
    assert market_veto(LONG, BUYERS, 100.0, knife, CONFIG) is Outcome.ACCELERATION_VETO
    against = Weather(0.0, False, Directional(25.1, -1), 0.0, Volatility.LOW)
    assert market_veto(LONG, BUYERS, 100.0, against, CONFIG) is Outcome.ADX_VETO


@pytest.mark.parametrize("trap_type", [TrapType.BREAKOUT, TrapType.BREAKDOWN])
def test_breakouts_are_not_vetoed_for_accelerating(trap_type: TrapType) -> None:
    trap = Trap(trap_type, SYMBOL, Direction.LONG, 100.0, 80.0, 5.0, 0.02)
    knife = Weather(0.0, True, Directional(0.0, 0), 0.0, Volatility.LOW)
    assert market_veto(trap, BUYERS, 100.0, knife, CONFIG) is None


def test_knobs_of_the_environment_are_read() -> None:
    config = config_from_environment({"TRAP_COOLDOWN_MS": "1000", "FUNDING_SQUEEZE_THRESHOLD": "-0.001", "HOME": "/"})
    assert (config.trap_cooldown_ms, config.funding_squeeze) == (1000, -0.001)
    assert config_from_environment({}) == ScavengerConfig()


def test_a_knob_that_is_no_number_is_named() -> None:
    with pytest.raises(ConfigError, match="TRAP_COOLDOWN_MS is 'soon'"):
        config_from_environment({"TRAP_COOLDOWN_MS": "soon"})


def test_a_setting_out_of_range_says_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match="max_leverage is 200; allowed is 1 to 100"):
        ScavengerConfig(max_leverage=200)
