"""The Scavenger's core from burst to signal."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.core import ScavengerCore
from actors.scavenger.events import (
    BarClosed,
    BudgetState,
    DecisionSeen,
    FillSeen,
    HistoryLoaded,
    MapUpdated,
    NeedHistory,
    TickerSeen,
    TimerFired,
    TradeColumns,
    TrapSettled,
    TrapSprung,
)
from actors.scavenger.fire import Outcome
from actors.scavenger.indicators import Bar
from actors.scavenger.traps import TrapType
from tests.actors.scavenger.tape import (
    HOUR_MS,
    SYMBOL,
    T0,
    Desk,
    budget,
    burst,
    flat_bars,
    one_trade,
    range_bars,
    warm_desk,
)
from titan.clock import Now
from titan.effects import CancelTimer, SetTimer
from titan.model import Action, OrderType, Phase, Side

ETH = "ETH/USDT:USDT"


def test_a_burst_at_a_trap_that_holds_becomes_a_signal_that_carries_everything() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0)
    [signal] = desk.signals
    assert signal.signal_id == f"scavenger-BTC_USDT_USDT-{T0 + 320}-1"
    assert (signal.phase, signal.action, signal.side) == (Phase.SCAVENGER, Action.OPEN, Side.BUY)
    assert signal.trap_type == "BREAKOUT"
    assert signal.confidence == 80
    # Quarter Kelly of 80 % at 3:1 on 10,000: 0.25 * (0.8 - 0.2 / 3).
    assert signal.requested_size == Decimal("1833.33")
    assert signal.order_type is OrderType.LIMIT
    assert signal.entry_price == Decimal("110.0")
    assert signal.stop_price == Decimal("108.9")
    assert signal.target_price == Decimal("113.3")
    assert signal.max_slippage_bps == 50
    assert signal.leverage == 5.0
    assert (signal.t_signal_ms, signal.t_exchange_ms, signal.ttl_ms) == (T0 + 320, T0 + 320, 5_000)
    assert signal.metadata["order_style"] == "LIMIT_PASSIVE"
    assert signal.metadata["burst_trades"] == "60"
    assert float(signal.metadata["velocity"]) >= 0


def test_the_same_events_give_the_same_effects() -> None:
    def run() -> list[object]:
        desk = warm_desk()
        desk.spring(T0, 110.0)
        desk.spring(T0 + 5_000, 90.0, buys=0.0)
        return list(desk.effects)

    assert run() == run()


def test_a_breakdown_sells() -> None:
    desk = warm_desk()
    desk.spring(T0, 90.0, buys=0.0)
    [signal] = desk.signals
    assert signal.side is Side.SELL
    assert signal.stop_price is not None
    assert signal.entry_price is not None
    assert signal.stop_price > signal.entry_price


def test_the_volatility_of_a_signal_is_the_range_of_minutes() -> None:
    desk = warm_desk()
    desk.tell(HistoryLoaded(SYMBOL, 60, tuple(flat_bars(20, 60, high=100.5, low=100.0, close=100.2))))
    desk.spring(T0, 110.0)
    assert desk.signals[0].volatility == pytest.approx(0.5)


def test_too_few_trades_near_a_trap_spring_nothing() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0, trades=49)
    assert not desk.of(TrapSprung)


def test_trades_away_from_every_trap_spring_nothing() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.2)
    assert not desk.of(TrapSprung)


def test_each_trade_is_counted_once_however_many_traps_are_near() -> None:
    desk = warm_desk()
    # A second trap within reach of the same prices: the previous day's high at 110 / 1.001.
    high = 110.0 / 1.001
    bars = [replace(bar, high=high) if 12 <= place < 36 else bar for place, bar in enumerate(flat_bars(60))]
    desk.tell(HistoryLoaded(SYMBOL, 3600, tuple(bars)))
    desk.tell(TickerSeen("bybit", SYMBOL, T0, last=109.0))
    desk.tell(HistoryLoaded(SYMBOL, 3600, ()))
    desk.effects.clear()
    desk.trades(burst(T0 + 1, 110.0))
    sprung = desk.of(TrapSprung)
    assert {spring.trap.trap_type for spring in sprung} == {TrapType.BREAKOUT, TrapType.DAILY_LEVEL}
    assert {spring.trades for spring in sprung} == {60}


def test_only_trades_inside_the_band_are_counted() -> None:
    desk = warm_desk()
    columns = burst(T0, 110.0, trades=80)
    prices = columns.price.copy()
    prices[:30] = 105.0
    desk.trades(replace(columns, price=prices))
    desk.trades(one_trade(T0 + 160, 110.0))
    [spring] = desk.of(TrapSprung)
    assert spring.trades == 51


def test_a_burst_that_ended_long_ago_does_not_spring_on_a_later_trade() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0, span_ms=60))
    desk.trades(one_trade(T0 + 5_000, 110.0))
    assert not desk.of(TrapSprung)


def test_a_price_that_falls_back_before_the_confirmation_is_a_wick() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    desk.trades(one_trade(T0 + 200, 109.9))
    desk.trades(one_trade(T0 + 400, 110.0))
    assert desk.outcomes == [Outcome.WICK_REVERSION]
    assert not desk.signals


def test_the_confirmation_takes_the_price_at_its_due_time_not_the_one_after() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    columns = burst(T0 + 250, 110.0, trades=2, span_ms=100)
    desk.trades(replace(columns, price=np.array([109.9, 110.0])))
    assert desk.outcomes == [Outcome.WICK_REVERSION]


def test_the_market_timer_confirms_when_no_trade_comes() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    [timer] = desk.of(SetTimer)
    assert (timer.after_ms, timer.clock) == (200, "market")
    desk.tell(TimerFired(timer.key), T0 + 300)
    assert desk.outcomes == [Outcome.SUBMITTED]
    desk.tell(TimerFired(timer.key), T0 + 400)
    assert len(desk.signals) == 1


def test_a_ticker_confirms_and_withdraws_the_timer() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    [timer] = desk.of(SetTimer)
    desk.tell(TickerSeen("bybit", SYMBOL, T0 + 900, last=110.0), T0 + 900)
    assert desk.outcomes == [Outcome.SUBMITTED]
    assert CancelTimer(timer.key) in desk.effects


def test_a_burst_older_than_two_seconds_past_its_confirmation_is_stale() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    desk.trades(one_trade(T0 + 5_000, 110.0))
    assert desk.outcomes == [Outcome.STALE_BURST]


def test_a_hiccup_of_the_machine_does_not_make_a_replay_stale() -> None:
    desk = warm_desk()
    desk.core = ScavengerCore([SYMBOL], speed=60.0)
    desk.tell(HistoryLoaded(SYMBOL, 3600, tuple(range_bars())))
    desk.tell(budget())
    desk.trades(burst(T0, 110.0))
    desk.trades(one_trade(T0 + 5_000, 110.0))
    assert desk.outcomes == [Outcome.SUBMITTED]


def test_a_price_that_left_the_trap_is_not_chased() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    desk.trades(one_trade(T0 + 400, 111.0))
    assert desk.outcomes == [Outcome.PRICE_LEFT]


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_flow_against_or_without_direction_is_vetoed(share: float) -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0, buys=share)
    assert desk.outcomes == [Outcome.CVD_VETO]


def test_a_vetoed_trap_is_armed_again_at_once() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0, buys=0.0)
    desk.spring(T0 + 1_000, 110.0)
    assert desk.outcomes == [Outcome.CVD_VETO, Outcome.SUBMITTED]


def test_a_fired_trap_rests_for_five_minutes_even_when_the_map_is_computed_anew() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0)
    desk.tell(DecisionSeen(desk.signals[0].signal_id, False, "CONFIDENCE"))
    for minute in (1, 2, 3, 4):
        desk.spring(T0 + minute * 60_000, 110.0)
    assert len(desk.of(TrapSprung)) == 1
    desk.spring(T0 + 301_000, 110.0)
    assert desk.outcomes == [Outcome.SUBMITTED, Outcome.SUBMITTED]


def test_two_traps_of_a_symbol_do_not_fire_within_a_second() -> None:
    desk = warm_desk(ScavengerConfig(max_open_entries_per_symbol=9))
    desk.spring(T0, 110.0)
    desk.spring(T0 + 400, 90.0, buys=0.0)
    assert desk.outcomes == [Outcome.SUBMITTED, Outcome.COOLDOWN]


def test_a_map_computed_during_a_confirmation_does_not_lose_the_trap() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    desk.tell(HistoryLoaded(SYMBOL, 3600, tuple(range_bars(120.0))))
    desk.trades(one_trade(T0 + 400, 110.0))
    assert desk.outcomes == [Outcome.SUBMITTED]


def test_the_map_is_computed_once_a_minute_of_market_time() -> None:
    desk = warm_desk()
    for step in range(7):
        desk.trades(one_trade(T0 + step * 20_000, 100.0))
    assert len(desk.of(MapUpdated)) == 2


def test_without_a_budget_nothing_is_opened_but_the_web_is_woven() -> None:
    desk = warm_desk(funded=False)
    desk.spring(T0, 110.0)
    assert desk.outcomes == [Outcome.NO_BUDGET]
    assert desk.core.active_traps()[TrapType.BREAKOUT] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at_ms": T0},
        {"state": BudgetState.HALTED},
        {"state": BudgetState.CLOSE_ONLY},
        {"max_notional": Decimal(0)},
    ],
)
def test_a_budget_that_is_spent_or_closed_opens_nothing(changes: dict[str, object]) -> None:
    desk = warm_desk(funded=False)
    desk.tell(budget(**changes))
    desk.spring(T0, 110.0)
    assert desk.outcomes == [Outcome.NO_BUDGET]


def test_the_order_rate_of_the_budget_is_kept() -> None:
    desk = warm_desk(ScavengerConfig(max_open_entries_per_symbol=9), funded=False)
    desk.tell(budget(max_order_rate=1))
    desk.spring(T0, 110.0)
    desk.spring(T0 + 10_000, 90.0, buys=0.0)
    desk.spring(T0 + 65_000, 90.0, buys=0.0)
    assert desk.outcomes == [Outcome.SUBMITTED, Outcome.ORDER_RATE, Outcome.SUBMITTED]


def test_a_budget_too_small_for_a_cent_is_no_bet() -> None:
    desk = warm_desk(funded=False)
    desk.tell(budget(max_notional=Decimal("0.001")))
    desk.spring(T0, 110.0)
    assert desk.outcomes == [Outcome.SIZE_ZERO]


def test_the_budgets_leverage_caps_the_traps() -> None:
    desk = warm_desk(funded=False)
    desk.tell(budget(max_leverage=2.0))
    desk.spring(T0, 110.0)
    assert desk.signals[0].leverage == 2.0


def test_a_disabled_phase_proposes_nothing() -> None:
    desk = warm_desk(ScavengerConfig(enabled=False))
    desk.spring(T0, 110.0)
    assert desk.outcomes == [Outcome.DISABLED]


def test_ghost_mode_does_everything_but_dispatch() -> None:
    desk = warm_desk(ScavengerConfig(ghost_mode=True))
    desk.spring(T0, 110.0)
    assert desk.outcomes == [Outcome.GHOST]
    assert not desk.signals


def test_every_interval_of_every_symbol_is_asked_for_at_the_start() -> None:
    core = ScavengerCore([SYMBOL, ETH])
    needs = {(need.symbol, need.interval_s) for need in core.start() if isinstance(need, NeedHistory)}
    assert needs == {(symbol, interval) for symbol in (SYMBOL, ETH) for interval in (60, 300, 3600)}


def test_a_gap_before_a_closed_bar_asks_for_the_history() -> None:
    desk = warm_desk()
    next_bar = Bar(T0, 100, 110, 90, 100, 1)
    assert not [e for e in desk.tell(BarClosed(SYMBOL, 3600, next_bar)) if isinstance(e, NeedHistory)]
    gap = Bar(T0 + 3 * HOUR_MS, 100, 110, 90, 100, 1)
    [need] = [e for e in desk.tell(BarClosed(SYMBOL, 3600, gap)) if isinstance(e, NeedHistory)]
    assert need == NeedHistory(SYMBOL, 3600, 120)


def test_health_says_which_rule_lacks_how_many_bars() -> None:
    desk = Desk(ScavengerCore([SYMBOL]))
    assert any("DAILY_LEVEL needs 48 bars, has 0 x 1h" in line for line in desk.core.missing()[SYMBOL])
    desk.tell(HistoryLoaded(SYMBOL, 3600, tuple(flat_bars(92))))
    assert desk.core.missing() == {SYMBOL: ["no trade or ticker has been seen"]}
    desk.trades(one_trade(T0, 100.0))
    assert desk.core.missing() == {}


def test_a_short_hourly_history_falls_back_to_finer_bars_and_blocks_only_the_daily_rule() -> None:
    desk = Desk(ScavengerCore([SYMBOL]))
    desk.tell(HistoryLoaded(SYMBOL, 300, tuple(flat_bars(92, 300))))
    desk.tell(budget())
    assert [line.split(" ")[0] for line in desk.core.missing()[SYMBOL]] == ["DAILY_LEVEL", "no"]
    desk.spring(T0, 110.0)
    assert desk.signals[0].metadata["bars"] == "300s"


def test_events_of_unknown_symbols_and_empty_batches_change_nothing() -> None:
    desk = warm_desk()
    empty = np.zeros(0)
    nothing = TradeColumns("bybit", SYMBOL, empty.astype(np.int64), empty, empty, empty.astype(np.bool_))
    assert desk.tell(nothing) == []
    assert desk.trades(burst(T0, 110.0, symbol=ETH)) == []
    assert desk.tell(TickerSeen("bybit", ETH, T0)) == []
    assert desk.tell(BarClosed(ETH, 60, flat_bars(1)[0])) == []
    assert desk.tell(HistoryLoaded(ETH, 60, ())) == []
    assert desk.tell(FillSeen("scavenger-x", ETH, 1.0)) == []


def test_a_squeeze_that_accelerates_away_is_a_falling_knife() -> None:
    # 92 equal bars squeeze the Bollinger bands to nothing: a LONG trap 0.1 % above the mean.
    desk = warm_desk(bars=flat_bars(92, high=100.0, low=99.9, close=100.0))
    desk.tell(TickerSeen("bybit", SYMBOL, T0 - 10_000, last=100.05), T0 - 10_000)
    desk.tell(HistoryLoaded(SYMBOL, 3600, ()))
    desk.trades(one_trade(T0 - 3_000, 100.0))
    desk.trades(burst(T0, 100.1))
    for step in range(1, 4):
        desk.trades(one_trade(T0 + 100 + step * 110, 100.1 + 0.03 * step))
    outcomes = {settled.trap.trap_type: settled.outcome for settled in desk.of(TrapSettled)}
    assert outcomes[TrapType.BOLLINGER] is Outcome.ACCELERATION_VETO


def test_now_without_any_tape_comes_from_the_market_clock() -> None:
    core = ScavengerCore([SYMBOL])
    core.handle(HistoryLoaded(SYMBOL, 3600, tuple(flat_bars(60))), Now(T0, T0))
    assert core.states[SYMBOL].mapped_ms == T0
