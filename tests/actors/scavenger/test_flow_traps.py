"""Traps that the core computes from open interest, funding, crashes and basis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actors.scavenger.core import ScavengerCore
from actors.scavenger.events import HistoryLoaded, TailSeen, TickerSeen
from actors.scavenger.indicators import Bar
from actors.scavenger.traps import TrapType
from tests.actors.scavenger.tape import SYMBOL, T0, Desk, budget, burst, flat_bars

ETH = "ETH/USDT:USDT"
MINUTE_MS = 60_000


def crash_desk() -> Desk:
    """ETH falls by 4 % within five minutes while BTC stands still; buyers come back."""
    desk = Desk(ScavengerCore([SYMBOL, ETH]))
    desk.tell(budget())
    falling = [
        Bar(T0 - (5 - place) * MINUTE_MS, close, close + 1, close - 1, close, 10.0)
        for place, close in enumerate([1000.0, 990.0, 980.0, 970.0, 960.0])
    ]
    desk.tell(HistoryLoaded(ETH, 60, tuple(falling)))
    desk.tell(HistoryLoaded(SYMBOL, 60, tuple(flat_bars(5, 60, high=100.1, low=99.9))))
    desk.trades(burst(T0 - 400_000, 100.0, trades=1))
    for age, interest in ((390_000, 1e6), (330_000, 1e6), (1_000, 7e5)):
        ticker = TickerSeen("bybit", ETH, T0 - age, last=960.0, open_interest=interest, bid=1.0, bid_size=1.0)
        desk.tell(ticker, T0 - age)
    return desk


def quotes(desk: Desk, bids: list[float]) -> None:
    for place, bid in enumerate(bids):
        at = T0 - 900 + place * 200
        desk.tell(TickerSeen("bybit", ETH, at, bid=bid, bid_size=5.0, ask=970.0, ask_size=5.0), at)


def test_a_wiped_out_symbol_with_buyers_back_gets_a_trap_at_its_price() -> None:
    desk = crash_desk()
    desk.trades(burst(T0, 960.0, symbol=ETH, trades=3))
    desk.tell(HistoryLoaded(ETH, 300, ()))
    assert desk.core.active_traps()[TrapType.OI_WIPEOUT] == 1
    assert desk.core.active_traps()[TrapType.ULTIMATE_BULGARIA] == 0


def test_sellers_still_at_work_give_no_wipeout() -> None:
    desk = crash_desk()
    desk.trades(burst(T0, 960.0, symbol=ETH, trades=3, buys=0.0))
    desk.tell(HistoryLoaded(ETH, 300, ()))
    assert desk.core.active_traps()[TrapType.OI_WIPEOUT] == 0


def test_a_lonely_crash_with_rising_bids_is_the_stronger_trap() -> None:
    desk = crash_desk()
    quotes(desk, [950.0, 951.0, 952.0, 953.0, 954.0])
    desk.trades(burst(T0, 960.0, symbol=ETH, trades=3))
    desk.tell(HistoryLoaded(ETH, 300, ()))
    assert desk.core.active_traps()[TrapType.ULTIMATE_BULGARIA] == 1
    assert desk.core.active_traps()[TrapType.OI_WIPEOUT] == 0


def test_a_fat_tail_asks_for_a_deeper_crash() -> None:
    desk = crash_desk()
    desk.tell(TailSeen(ETH, alpha=1.5, clustered=False))
    quotes(desk, [950.0, 951.0, 952.0, 953.0, 954.0])
    desk.trades(burst(T0, 960.0, symbol=ETH, trades=3))
    desk.tell(HistoryLoaded(ETH, 300, ()))
    assert desk.core.active_traps()[TrapType.ULTIMATE_BULGARIA] == 0


def test_old_open_interest_is_forgotten() -> None:
    desk = crash_desk()
    for minute in range(1, 15):
        at = T0 + minute * MINUTE_MS
        desk.tell(TickerSeen("bybit", ETH, at, open_interest=7e5), at)
    assert len(desk.core.states[ETH].open_interest) == 11


def test_shorts_that_pay_under_rising_lows_are_squeezed() -> None:
    desk = Desk(ScavengerCore([SYMBOL]))
    rising = [
        Bar(bar.open_ts_ms, 100 + place, 102 + place, 99 + place, 100 + place, 1.0)
        for place, bar in enumerate(flat_bars(20, 300))
    ]
    desk.tell(HistoryLoaded(SYMBOL, 300, tuple(rising)))
    desk.tell(TickerSeen("bybit", SYMBOL, T0, last=119.0, funding_rate=-0.0003), T0)
    desk.trades(burst(T0 + 1, 119.0, trades=5))
    desk.tell(HistoryLoaded(SYMBOL, 300, ()))
    [trap] = [trap for trap in desk.core.states[SYMBOL].web.traps() if trap.trap_type is TrapType.FUNDING_SQUEEZE]
    assert trap.trigger == 119.0 * 1.001


def test_a_basis_gap_is_reported_and_never_traded() -> None:
    desk = Desk(ScavengerCore([SYMBOL]))
    desk.tell(TickerSeen("bybit", SYMBOL, T0, last=99.0, index=100.0, volume_24h=1e6), T0)
    desk.tell(HistoryLoaded(SYMBOL, 300, ()))
    assert desk.core.states[SYMBOL].basis is not None
    assert desk.core.states[SYMBOL].web.traps() == []


def test_a_batch_wider_than_a_step_is_spread_over_its_own_times() -> None:
    desk = Desk(ScavengerCore([SYMBOL]))
    columns = burst(T0, 100.0, trades=11, span_ms=10_000)
    desk.trades(replace(columns, buy=np.arange(11) < 10))
    assert desk.core.states[SYMBOL].cvd.over(1_000, T0 + 9_000) == 2
