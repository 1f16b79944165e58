"""Where an approved opening goes, and in which manner it meets the market."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from actors.brain.events import Announce, SignalReceived, TickerSeen
from protos import trading_pb2
from tests.actors.brain.desk import Desk
from tests.actors.brain.world import SYMBOL, signal_message, ticker_message
from titan.algos import ImpactGate, Rules, parse_rules
from titan.codec import intent_from_pb
from titan.codec.executions import execution_to_pb
from titan.effects import Publish
from titan.model import Execution, Intent, OrderType, Style
from titan.money import ZERO


def intents(desk: Desk, **changes: Any) -> tuple[list[Intent], str]:
    """A fresh signal's intents, and the reason of its decision."""
    message = signal_message("sig-many", desk.now.market_ms, **changes)
    effects = desk.core.handle(SignalReceived(message), desk.now)
    (decision,) = [effect.decision for effect in effects if isinstance(effect, Announce)]
    sent = [effect.message for effect in effects if isinstance(effect, Publish)]
    return [intent_from_pb(each) for each in sent if isinstance(each, trading_pb2.Intent)], decision.reason


def test_with_one_venue_everything_goes_there_and_the_decision_says_what_was_left_out() -> None:
    decision, intent = Desk(routing=Rules()).propose()
    assert intent is not None
    assert intent.venue == "bybit"
    assert decision.reason.endswith("; without mexc (not configured)")


def test_a_diverted_default_is_said() -> None:
    desk = Desk(routing=Rules(), adaptive_weights=False)
    desk.core.state.weights = desk.core.state.weights.__class__(0.0, 1.0, 0.0)
    decision, intent = desk.propose(phase=trading_pb2.PHASE_HUNTER)
    assert intent is not None
    assert intent.venue == "bybit"
    assert "diverted from binance (default of HUNTER, not configured) to bybit" in decision.reason


@pytest.mark.parametrize("changes", [{}, {"action": trading_pb2.SIGNAL_ACTION_CLOSE}])
def test_a_venue_that_was_asked_for_and_is_not_there_is_a_coded_no(changes: dict[str, Any]) -> None:
    decision, intent = Desk().propose(venue="mexc", **changes)
    assert intent is None
    assert decision.code == "VENUE_UNAVAILABLE"
    assert "asked for: mexc (not configured)" in decision.reason


def test_a_rule_of_which_no_venue_is_there_is_a_coded_no() -> None:
    decision, _ = Desk(routing=parse_rules("binance=1")).propose()
    assert (decision.code, decision.reason) == (
        "VENUE_UNAVAILABLE",
        "VENUE_UNAVAILABLE: no venue can take it, by rule: binance (not configured)",
    )


def test_an_approval_is_shared_out_by_weight_to_the_cent_and_each_part_reserved() -> None:
    desk = Desk(venues=("bybit", "mexc"), routing=parse_rules("bybit=2,mexc=1"))
    sent, _ = intents(desk, requested_size_usd="1000.01")
    whole = sum((each.size_usd for each in sent), ZERO)
    assert [(each.venue, each.size_usd) for each in sent] == [
        ("bybit", Decimal("666.70")),
        ("mexc", whole - Decimal("666.70")),
    ]
    assert whole == Decimal("1000.01")
    assert len({each.intent_id for each in sent}) == 2
    assert {each.signal_id for each in sent} == {"sig-many"}
    assert set(desk.core.state.exposure.reservations) == {each.intent_id for each in sent}


def test_a_part_too_small_for_an_order_goes_to_the_other_venue() -> None:
    desk = Desk(venues=("bybit", "mexc"), routing=parse_rules("bybit=999,mexc=1"))
    sent, _ = intents(desk, requested_size_usd="1000")
    assert [(each.venue, each.size_usd) for each in sent] == [("bybit", Decimal(1000))]


def gated(bps: float, **changes: Any) -> tuple[Any, Intent | None]:
    """A decision at an impact that the gate's steps are set around: at 1,000 USD the default is 0.66 bps."""
    scale = bps / 0.6640783086353597
    gate = ImpactGate(5 / scale, 20 / scale, 50 / scale)
    return Desk(impact=gate).propose(requested_size_usd="1000", **changes)


def test_below_five_bps_the_market_is_met_as_asked() -> None:
    decision, intent = gated(4.9)
    assert intent is not None
    assert (intent.order_type, intent.execution) == (OrderType.MARKET, None)
    assert "impact" not in decision.reason


def test_from_five_bps_on_it_rests_and_never_takes() -> None:
    decision, intent = gated(5.1)
    assert intent is not None
    assert intent.execution == Execution(Style.MAKER_FIRST)
    assert not intent.execution.cross
    assert "bps: post-only" in decision.reason


def test_from_twenty_bps_on_it_takes_within_the_band_only() -> None:
    decision, intent = gated(20.1, max_slippage_bps=50)
    assert intent is not None
    assert intent.reference_price is not None
    assert (intent.order_type, intent.execution) == (OrderType.IOC, None)
    assert intent.limit_price == intent.reference_price * Decimal("1.005")
    assert "IOC within the slippage band" in decision.reason


def test_from_fifty_bps_on_it_is_refused() -> None:
    decision, intent = gated(50.1)
    assert intent is None
    assert decision.code == "IMPACT"
    assert "limit" in decision.reason


def test_an_order_that_rests_anyway_is_left_as_it_is() -> None:
    _, intent = gated(20.1, order_type=trading_pb2.ORDER_TYPE_POST_ONLY)
    assert intent is not None
    assert (intent.order_type, intent.execution) == (OrderType.POST_ONLY, None)


def test_a_style_that_was_asked_for_is_handed_on_and_a_twap_is_judged_by_its_slice() -> None:
    work = Execution(Style.TWAP, slices=100, duration_ms=60_000)
    decision, intent = gated(49.0, execution=execution_to_pb(work))
    assert intent is not None
    assert intent.execution == work
    assert "impact" not in decision.reason


def test_the_volume_of_a_paper_venue_is_not_taken_for_a_day() -> None:
    for profile, code in (("paper", "APPROVED"), ("live", "IMPACT")):
        desk = Desk(profile=profile)
        message = ticker_message(desk.now.market_ms, "50000", SYMBOL)
        message.volume_24h = "0.1"
        desk.core.handle(TickerSeen(message), desk.now)
        assert desk.propose(requested_size_usd="1000")[0].code == code
