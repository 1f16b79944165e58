"""What the Scavenger has at stake: no stacking, the time stop, failures."""

from __future__ import annotations

from decimal import Decimal

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.events import (
    DecisionSeen,
    DispatchFailed,
    FillSeen,
    PositionsSeen,
    RejectSeen,
    SymbolBlacklisted,
    TickerSeen,
    TrapSprung,
)
from actors.scavenger.fire import Outcome
from tests.actors.scavenger.tape import HOUR_MS, SYMBOL, T0, budget, burst, one_trade, warm_desk
from titan.model import Action, Side

ETH = "ETH/USDT:USDT"


def test_entries_are_not_stacked_while_a_signal_is_unanswered() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0)
    desk.spring(T0 + 5_000, 90.0, buys=0.0)
    assert desk.outcomes == [Outcome.SUBMITTED, Outcome.ALREADY_HELD]


def test_an_unanswered_signal_is_forgotten_after_six_seconds_of_wall_time() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0)
    desk.spring(T0 + 7_000, 90.0, buys=0.0)
    assert desk.outcomes == [Outcome.SUBMITTED, Outcome.SUBMITTED]


def test_a_refused_signal_frees_the_symbol() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0)
    desk.tell(DecisionSeen(desk.signals[0].signal_id, True, "APPROVED"))
    desk.tell(DecisionSeen(desk.signals[0].signal_id, False, "LEVERAGE"))
    desk.tell(DecisionSeen("scavenger-unknown-1-1", False, "LEVERAGE"))
    desk.spring(T0 + 5_000, 90.0, buys=0.0)
    assert desk.outcomes == [Outcome.SUBMITTED, Outcome.SUBMITTED]


def test_a_held_position_blocks_entries_until_it_is_flat() -> None:
    desk = warm_desk()
    desk.tell(PositionsSeen({SYMBOL: 1.0}))
    desk.spring(T0, 110.0)
    desk.tell(PositionsSeen({}))
    desk.spring(T0 + 5_000, 110.0)
    assert desk.outcomes == [Outcome.ALREADY_HELD, Outcome.SUBMITTED]


def test_a_resting_entry_order_blocks_entries() -> None:
    desk = warm_desk()
    desk.tell(PositionsSeen({}, {SYMBOL: 1}))
    desk.spring(T0, 110.0)
    assert desk.outcomes == [Outcome.ALREADY_HELD]


def test_a_reversal_is_proposed_only_where_it_is_allowed() -> None:
    for allowed, outcome in ((False, Outcome.ALREADY_HELD), (True, Outcome.SUBMITTED)):
        desk = warm_desk(ScavengerConfig(allow_reversal=allowed))
        desk.tell(PositionsSeen({SYMBOL: -1.0}))
        desk.spring(T0, 110.0)
        assert desk.outcomes == [outcome]


def test_a_filled_entry_that_goes_nowhere_is_proposed_for_closing_once() -> None:
    desk = warm_desk()
    desk.spring(T0, 110.0)
    desk.tell(FillSeen(desk.signals[0].signal_id, SYMBOL, 0.5))
    desk.tell(TickerSeen("bybit", SYMBOL, T0 + 200_000, last=110.0), T0 + 200_000)
    assert len(desk.signals) == 1
    late = T0 + 301_000
    desk.tell(TickerSeen("bybit", SYMBOL, late, last=110.0), late)
    desk.tell(TickerSeen("bybit", SYMBOL, late + 1_000, last=110.0), late + 1_000)
    close = desk.signals[-1]
    assert len(desk.signals) == 2
    assert (close.action, close.side, close.requested_size) == (Action.CLOSE, Side.SELL, Decimal(0))
    assert close.trap_type == "BREAKOUT"
    assert close.metadata == {"signal_type": "TIME_STOP"}
    desk.tell(TickerSeen("bybit", SYMBOL, late + 7_000, last=110.0), late + 7_000)
    assert len(desk.signals) == 3
    desk.tell(PositionsSeen({}))
    desk.tell(TickerSeen("bybit", SYMBOL, late + 30_000, last=110.0), late + 30_000)
    assert len(desk.signals) == 3


def test_after_a_restart_a_position_behind_our_own_stop_is_known_as_ours() -> None:
    desk = warm_desk(funded=False)
    desk.tell(PositionsSeen({SYMBOL: -2.0, ETH: 1.0}, ours=frozenset({SYMBOL})))
    late = T0 + 400_000
    desk.tell(TickerSeen("bybit", SYMBOL, late, last=95.0), late)
    [close] = desk.signals
    assert close.side is Side.BUY


def test_a_position_of_somebody_else_is_never_closed() -> None:
    desk = warm_desk()
    desk.tell(PositionsSeen({SYMBOL: 2.0}))
    desk.tell(TickerSeen("bybit", SYMBOL, T0 + HOUR_MS, last=95.0), T0 + HOUR_MS)
    assert not desk.signals


def test_three_failures_rest_the_symbol_for_five_minutes() -> None:
    desk = warm_desk()
    for attempt in range(3):
        at = T0 + attempt * 310_000
        desk.tell(budget(expires_at_ms=at + HOUR_MS))
        desk.spring(at, 110.0)
        failed = desk.signals[-1].signal_id
        desk.tell(DispatchFailed(failed) if attempt else RejectSeen(failed, "VENUE_REJECTED"))
    [rest] = desk.of(SymbolBlacklisted)
    assert rest.symbol == SYMBOL
    desk.effects.clear()
    again = T0 + 3 * 310_000
    desk.spring(again - 100_000, 90.0, buys=0.0)
    assert not desk.of(TrapSprung)
    desk.spring(again, 110.0)
    assert desk.outcomes == [Outcome.SUBMITTED]


def test_a_failure_of_an_unknown_signal_counts_for_nothing() -> None:
    desk = warm_desk()
    assert desk.tell(DispatchFailed("scavenger-x-1-1")) == []


def test_a_confirmation_pending_when_the_symbol_is_blacklisted_is_released() -> None:
    desk = warm_desk()
    desk.trades(burst(T0, 110.0))
    desk.core.states[SYMBOL].blacklisted_until_ms = T0 + HOUR_MS
    desk.trades(one_trade(T0 + 400, 110.0))
    assert desk.outcomes == [Outcome.BLACKLISTED]
