"""Each check of the guard, alone and in its place."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from actors.router.events import BrainBeat, Command, ExecutionsSeen, LinkChanged
from actors.router.guard import Opening, examine
from actors.router.refusal import Refusal
from tests.actors.router.support import (
    BTC,
    ETH,
    T0,
    Bottle,
    config,
    d,
    execution,
    intent,
    policy,
)
from tests.shared_data import load_vectors
from titan.codes import RejectCode
from titan.model import Intent, OrderType, Side


def verdict(bottle: Bottle, wanted: Intent) -> Opening | Refusal:
    return examine(wanted, bottle.state, bottle.config, bottle.now)


def code(bottle: Bottle, wanted: Intent) -> RejectCode:
    found = verdict(bottle, wanted)
    return found.code if isinstance(found, Refusal) else RejectCode.NONE


def own(bottle: Bottle, **overrides: Any) -> Intent:
    """An intent approved under the bottle's own policy."""
    return intent(policy_hash=bottle.config.policy_hash, **overrides)


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


def test_an_opening_within_every_limit_is_sized_on_the_grid(ready: Bottle) -> None:
    found = verdict(ready, intent(size_usd="1234.56", stop="49876.54", target="51234.56"))
    assert isinstance(found, Opening)
    assert found.quantity == d("0.024")
    assert (found.stop_price, found.target_price) == (d("49876.5"), d("51234.6"))
    assert not found.reduces


@pytest.mark.parametrize("verb", ["disarm", "reduce", "halt"])
def test_only_active_opens(ready: Bottle, verb: str) -> None:
    ready.tell(Command(verb, "test", "op", "c1"))
    expected = {"disarm": RejectCode.DISARMED, "reduce": RejectCode.REDUCING, "halt": RejectCode.HALTED}
    assert code(ready, intent()) is expected[verb]


def test_nothing_opens_before_recovery() -> None:
    bottle = Bottle().begin()
    bottle.state.ready = False
    assert code(bottle, intent()) is RejectCode.NOT_READY


@pytest.mark.parametrize("link", ["venue stream", "venue", "bus"])
def test_a_lost_link_stops_openings_until_it_is_back(ready: Bottle, link: Any) -> None:
    ready.tell(LinkChanged(link, False, "gone"))
    assert code(ready, intent()) is RejectCode.REDUCING
    ready.tell(LinkChanged(link, True))
    assert code(ready, intent()) is RejectCode.NONE


def test_a_journal_that_cannot_be_written_has_its_own_code(ready: Bottle) -> None:
    ready.tell(LinkChanged("journal", False, "disk full"))
    assert code(ready, intent()) is RejectCode.JOURNAL_FAILED


def test_an_opener_names_the_policy_it_was_approved_under(ready: Bottle) -> None:
    assert code(ready, intent(policy_hash="")) is RejectCode.POLICY_HASH_MISSING
    found = verdict(ready, intent(policy_hash="abc"))
    assert isinstance(found, Refusal)
    assert found.code is RejectCode.POLICY_HASH_MISMATCH
    assert "abc" in found.detail
    assert ready.config.policy_hash in found.detail


def test_a_silent_brain_opens_nothing(ready: Bottle) -> None:
    ready.clock.advance(5000)
    ready.quote("50000")
    assert code(ready, intent()) is RejectCode.NONE
    ready.clock.advance(1)
    ready.quote("50000")
    assert code(ready, intent()) is RejectCode.HEARTBEAT_STALE
    ready.tell(BrainBeat())
    assert code(ready, intent()) is RejectCode.NONE


def test_vector_r7_2_a_heartbeat_5001_ms_old_admits_no_opening(ready: Bottle) -> None:
    case = next(each for each in load_vectors("execution")["vectors"] if each["id"] == "R7.2")
    ready.clock.advance(case["input"]["heartbeat_age_ms"])
    ready.quote("50000")
    assert (code(ready, intent()) is RejectCode.NONE) is case["expected"]["allowed"]


def test_a_market_that_nobody_saw_or_that_is_stale_is_not_traded(ready: Bottle) -> None:
    del ready.state.quotes[ETH]
    assert code(ready, intent(symbol=ETH, reference="2000")) is RejectCode.MARKET_DATA_STALE
    ready.clock.advance(5001)
    ready.tell(BrainBeat())
    assert code(ready, intent()) is RejectCode.MARKET_DATA_STALE


def test_a_fast_replay_is_not_stale_by_itself() -> None:
    fast = Bottle(config=config(speed=60.0)).begin()
    fast.clock.advance(119_000)
    fast.tell(BrainBeat())
    assert code(fast, intent()) is RejectCode.NONE
    fast.clock.advance(2_000)
    fast.tell(BrainBeat())
    assert code(fast, intent()) is RejectCode.MARKET_DATA_STALE


def test_a_one_sided_market_is_not_traded(ready: Bottle) -> None:
    ready.state.quotes[BTC] = replace(ready.state.quotes[BTC], bid=d(0))
    assert code(ready, intent(side=Side.SELL)) is RejectCode.MARKET_DATA_STALE


def test_a_symbol_outside_the_whitelist_is_not_traded() -> None:
    bottle = Bottle(config=config(policy=policy(symbolWhitelist=["ETH/USDT"]))).begin()
    assert code(bottle, own(bottle)) is RejectCode.SYMBOL_NOT_WHITELISTED
    assert code(bottle, own(bottle, symbol=ETH, reference="2000")) is RejectCode.NONE


def test_an_empty_whitelist_trades_nothing() -> None:
    bottle = Bottle(config=config(policy=policy(symbolWhitelist=[]))).begin()
    assert code(bottle, own(bottle)) is RejectCode.SYMBOL_NOT_WHITELISTED


def test_a_symbol_that_the_venue_does_not_list_is_refused(ready: Bottle) -> None:
    ready.quote("1", "SOL/USDT:USDT")
    listed = Bottle(config=config(policy=policy(symbolWhitelist=["SOL/USDT"]))).begin()
    listed.quote("100", "SOL/USDT:USDT")
    wanted = own(listed, symbol="SOL/USDT:USDT", reference="100")
    assert code(listed, wanted) is RejectCode.UNKNOWN_INSTRUMENT


@pytest.mark.parametrize(
    ("usd", "expected"),
    [("0", RejectCode.INVALID_SIZE), ("-5", RejectCode.INVALID_SIZE), ("49", RejectCode.BELOW_MINIMUM)],
)
def test_a_size_must_be_there_and_reach_the_minimum(ready: Bottle, usd: str, expected: RejectCode) -> None:
    assert code(ready, intent(size_usd=usd)) is expected


def test_a_notional_below_the_venues_minimum_is_refused() -> None:
    bottle = Bottle().begin()
    bottle.quote("100")
    assert code(bottle, intent(size_usd="0.5", reference="100")) is RejectCode.BELOW_MINIMUM


def test_a_limit_order_needs_a_price(ready: Bottle) -> None:
    assert code(ready, intent(order_type=OrderType.LIMIT)) is RejectCode.INVALID_INTENT
    found = verdict(ready, intent(order_type=OrderType.LIMIT, limit_price=d("49990.04")))
    assert isinstance(found, Opening)
    assert found.limit_price == d(49990)


@pytest.mark.parametrize(
    ("side", "stop", "target", "expected"),
    [
        (Side.BUY, None, None, RejectCode.STOP_MISSING),
        (Side.BUY, "50000", None, RejectCode.STOP_WRONG_SIDE),
        (Side.BUY, "50500", None, RejectCode.STOP_WRONG_SIDE),
        (Side.SELL, "49500", None, RejectCode.STOP_WRONG_SIDE),
        (Side.BUY, "49500", "49900", RejectCode.STOP_WRONG_SIDE),
        (Side.SELL, "50500", "50100", RejectCode.STOP_WRONG_SIDE),
        (Side.BUY, "49500", "50500", RejectCode.NONE),
        (Side.SELL, "50500", "49500", RejectCode.NONE),
    ],
)
def test_protection_stands_on_the_right_side(
    ready: Bottle, side: Side, stop: str | None, target: str | None, expected: RejectCode
) -> None:
    assert code(ready, intent(side=side, stop=stop, target=target)) is expected


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (Side.BUY, "50500", RejectCode.NONE),
        (Side.BUY, "50505", RejectCode.SLIPPAGE),
        (Side.SELL, "49500", RejectCode.NONE),
        (Side.SELL, "49495", RejectCode.SLIPPAGE),
        (Side.BUY, "49800", RejectCode.NONE),
    ],
)
def test_a_market_that_ran_away_is_not_chased(ready: Bottle, side: Side, price: str, expected: RejectCode) -> None:
    ready.quote(price)
    wide = "45000" if side is Side.BUY else "55000"
    assert code(ready, intent(side=side, stop=wide)) is expected


def test_an_intent_can_only_tighten_the_slippage_limit(ready: Bottle) -> None:
    ready.quote("50300")
    assert code(ready, intent(max_slippage_bps=50)) is RejectCode.SLIPPAGE
    ready.quote("50600")
    assert code(ready, intent(max_slippage_bps=500)) is RejectCode.SLIPPAGE


def test_without_a_reference_price_slippage_cannot_be_judged(ready: Bottle) -> None:
    assert code(ready, intent(reference=None)) is RejectCode.SLIPPAGE


def test_vector_r5_1_no_more_entries_than_the_policy_allows() -> None:
    bottle = Bottle(config=config(policy=policy(maxOpenOrdersPerSymbol=2))).begin()
    for name in ("a", "b"):
        bottle.send(own(bottle, name=name, size_usd="500"))
    assert code(bottle, own(bottle, size_usd="500")) is RejectCode.OPEN_ORDERS
    assert code(bottle, own(bottle, symbol=ETH, reference="2000", size_usd="500")) is RejectCode.NONE


def test_vector_e11_1_a_day_that_lost_too_much_opens_nothing_more() -> None:
    case = next(each for each in load_vectors("execution")["vectors"] if each["id"] == "E11.1")
    limits = policy(maxDailyLoss=case["input"]["policy"]["max_daily_loss"], maxPositionNotional=10**9)
    bottle = Bottle(config=config(policy=limits), wallet=d(1_000_000)).begin()
    lost = [d(each) for each in case["expected"]["realised_pnl_sequence"]]
    for number, loss in enumerate(lost):
        order = bottle.send(own(bottle, name=f"v{number}"))
        bottle.fill(order, "0.1", "50000", f"in{number}")
        exit_price = d(50000) + loss * 10
        bottle.tell(
            ExecutionsSeen((replace(execution(order, "0.1", str(exit_price), f"out{number}"), side=Side.SELL),))
        )
    assert bottle.state.daily_pnl() == d(case["expected"]["realised_today"])
    assert code(bottle, own(bottle)) is RejectCode.DAILY_LOSS


def test_the_daily_loss_counts_fees_funding_and_what_is_not_realised() -> None:
    bottle = Bottle(config=config(policy=policy(maxDailyLoss=-100))).begin()
    order = bottle.send(own(bottle))
    bottle.fill(order, order.quantity, "50000", "t1", fee="40")
    bottle.quote("49500")
    assert bottle.state.daily_pnl() == d(-90)
    assert code(bottle, own(bottle, reference="49500")) is RejectCode.NONE
    bottle.quote("49400")
    assert code(bottle, own(bottle, reference="49400")) is RejectCode.DAILY_LOSS


def test_vector_r2_a_notional_at_the_limit_is_allowed(ready: Bottle) -> None:
    assert code(ready, intent(size_usd="50000")) is RejectCode.NONE
    assert code(ready, intent(size_usd="50050")) is RejectCode.POSITION_NOTIONAL


def test_vector_r3_2_the_notional_is_measured_in_money_and_not_in_units() -> None:
    bottle = Bottle(config=config(policy=policy(maxPositionNotional=10_000)), wallet=d(100_000)).begin()
    bottle.quote("10000")
    assert code(bottle, own(bottle, size_usd="5000", reference="10000")) is RejectCode.NONE


def test_pending_entries_count_against_the_notional(ready: Bottle) -> None:
    ready.send(intent("a", size_usd="30000"))
    assert code(ready, intent("b", size_usd="25000")) is RejectCode.POSITION_NOTIONAL
    assert code(ready, intent("b", size_usd="20000")) is RejectCode.NONE


def test_the_notional_is_measured_at_mark_and_not_at_entry(ready: Bottle) -> None:
    ready.open(usd="30000")
    ready.quote("60000")
    assert code(ready, intent("b", size_usd="15000", reference="60000")) is RejectCode.POSITION_NOTIONAL


def test_a_flip_counts_only_what_is_left_on_the_other_side(ready: Bottle) -> None:
    ready.open(usd="30000")
    # 30000 held long: selling 75000 leaves 45000 short, selling 85000 would leave 55000.
    assert code(ready, intent("b", side=Side.SELL, size_usd="75000")) is RejectCode.NONE
    assert code(ready, intent("b", side=Side.SELL, size_usd="85000")) is RejectCode.POSITION_NOTIONAL


def test_an_opposite_opening_that_only_reduces_needs_no_stop(ready: Bottle) -> None:
    ready.open(usd="30000")
    found = verdict(ready, intent("b", side=Side.SELL, size_usd="10000", stop=None))
    assert isinstance(found, Opening)
    assert found.reduces
    assert found.stop_price is None


def test_leverage_counts_every_symbol_and_every_pending_entry() -> None:
    bottle = Bottle(wallet=d(6_000)).begin()
    bottle.open(usd="40000")
    assert code(bottle, intent("e", symbol=ETH, reference="2000", size_usd="20000")) is RejectCode.NONE
    assert code(bottle, intent("e", symbol=ETH, reference="2000", size_usd="20100")) is RejectCode.LEVERAGE
    bottle.send(intent("p", symbol=ETH, reference="2000", size_usd="15000"))
    assert code(bottle, intent("e", symbol=ETH, reference="2000", size_usd="6000")) is RejectCode.LEVERAGE


def test_an_intent_may_not_ask_for_more_leverage_than_the_policy(ready: Bottle) -> None:
    assert code(ready, intent(leverage=d(11))) is RejectCode.LEVERAGE
    assert code(ready, intent(leverage=d(10))) is RejectCode.NONE


@pytest.mark.parametrize("cash", ["0", "-1"])
def test_without_equity_nothing_opens(ready: Bottle, cash: str) -> None:
    ready.state.money.cash = Decimal(cash)
    ready.state.money.start_of_day = Decimal(cash)
    assert code(ready, intent()) is RejectCode.LEVERAGE


def test_an_unknown_wallet_is_a_no(ready: Bottle) -> None:
    ready.state.money.cash = None
    assert code(ready, intent()) is RejectCode.DAILY_LOSS


def test_the_first_check_that_fails_is_the_answer_in_the_order_of_the_reference() -> None:
    """Everything is wrong at once; mending what was named makes the next check speak."""
    limits = {"symbolWhitelist": [], "maxOpenOrdersPerSymbol": 0, "maxDailyLoss": 0, "maxPositionNotional": 1}
    bottle = Bottle(config=config(policy=policy(**limits))).begin()
    bottle.tell(Command("halt", "test", "op", "c1"))
    bottle.tell(LinkChanged("bus", False))
    bottle.clock.advance(6_000)
    broken = intent(policy_hash="", size_usd="0", stop=None, reference=None, leverage=d(99))
    met: list[RejectCode] = []

    def allow(**changed: Any) -> None:
        nonlocal broken
        limits.update(changed)
        held = replace(bottle.config, policy=policy(**limits))
        held = replace(held, policy_hash=held.policy.hash)
        bottle.config, broken = held, replace(broken, policy_hash=held.policy_hash)

    while isinstance(found := verdict(bottle, broken), Refusal):
        assert found.code not in met, f"{found} again"
        met.append(found.code)
        match found.code:
            case RejectCode.HALTED:
                bottle.tell(LinkChanged("bus", True))
                bottle.tell(Command("resume", "test", "op", "c2"))
                bottle.tell(Command("arm", "test", "op", "c3"))
                bottle.tell(LinkChanged("bus", False))
            case RejectCode.REDUCING:
                bottle.tell(LinkChanged("bus", True))
            case RejectCode.POLICY_HASH_MISSING:
                broken = replace(broken, policy_hash=bottle.config.policy_hash)
            case RejectCode.HEARTBEAT_STALE:
                bottle.tell(BrainBeat())
            case RejectCode.MARKET_DATA_STALE:
                bottle.quote("50000")
            case RejectCode.SYMBOL_NOT_WHITELISTED:
                allow(symbolWhitelist=[BTC])
            case RejectCode.INVALID_SIZE:
                broken = replace(broken, size_usd=d(1000))
            case RejectCode.STOP_MISSING:
                broken = replace(broken, stop_price=d(49_000))
            case RejectCode.SLIPPAGE:
                broken = replace(broken, reference_price=d(50_000))
            case RejectCode.OPEN_ORDERS:
                allow(maxOpenOrdersPerSymbol=1)
            case RejectCode.DAILY_LOSS:
                allow(maxDailyLoss=-1000)
            case RejectCode.POSITION_NOTIONAL:
                allow(maxPositionNotional=5_000)
            case RejectCode.LEVERAGE:
                broken = replace(broken, leverage=d(1))
            case _:
                raise AssertionError(found)
    assert met == [
        RejectCode.HALTED,
        RejectCode.REDUCING,
        RejectCode.POLICY_HASH_MISSING,
        RejectCode.HEARTBEAT_STALE,
        RejectCode.MARKET_DATA_STALE,
        RejectCode.SYMBOL_NOT_WHITELISTED,
        RejectCode.INVALID_SIZE,
        RejectCode.STOP_MISSING,
        RejectCode.SLIPPAGE,
        RejectCode.OPEN_ORDERS,
        RejectCode.DAILY_LOSS,
        RejectCode.POSITION_NOTIONAL,
        RejectCode.LEVERAGE,
    ]


def test_time_of_the_market_does_not_run_the_brains_watch() -> None:
    fast = Bottle(config=config(speed=60.0)).begin()
    fast.clock.speed = 60.0
    fast.clock.advance(60_000)
    fast.quote("50000")
    assert fast.now.wall_ms - T0 == 1_000
    assert code(fast, intent()) is RejectCode.NONE
