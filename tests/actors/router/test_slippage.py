"""The slippage breaker: bands of the policy's limit, half sizes, no openings, and an end by itself."""

from __future__ import annotations

import pytest

from actors.router.events import Tick
from actors.router.slippage import WINDOW_MS, Band, band_after, band_of, slippage_bps
from tests.actors.router.support import Bottle, alerts, d, intent
from tests.shared_data import load_vectors
from titan.codes import RejectCode, TradingState
from titan.journal.format import decode, fill_of
from titan.model import OrderType, Side


@pytest.fixture
def ready() -> Bottle:
    return Bottle().begin()


def open_at(ready: Bottle, name: str, price: str, side: Side = Side.BUY) -> list[str]:
    """A market entry decided at 50000 and filled at `price`; the alerts that this made."""
    stop = "49000" if side is Side.BUY else "51000"
    order = ready.send(intent(name, side=side, size_usd="1000", stop=stop, order_type=OrderType.MARKET))
    return alerts(ready.fill(order, order.quantity, price, f"t-{name}"))


def effective(ready: Bottle) -> TradingState:
    return ready.state.effective


def later(ready: Bottle, market_ms: int) -> list[str]:
    ready.clock.advance(market_ms)
    found = alerts(ready.tell(Tick()))
    ready.refresh()
    return found


@pytest.mark.parametrize("vector_id", ["R6.1", "R6.3"])
def test_the_shared_vectors_of_the_breaker_pass(vector_id: str) -> None:
    vector = next(each for each in load_vectors("execution")["vectors"] if each["id"] == vector_id)
    given = vector["input"]
    after = band_after(Band(given["start_state"]), d(str(given["slippage_bps"])), d(str(given["limit_bps"])))
    assert after.value == vector["expected"]["state"]


@pytest.mark.parametrize(
    ("bps", "after"), [("100", "Normal"), ("100.1", "Cautious"), ("200", "Cautious"), ("200.1", "Defensive")]
)
def test_each_band_begins_beyond_its_bound(bps: str, after: str) -> None:
    assert band_after(Band.NORMAL, d(bps), d(100)).value == after


def test_a_band_never_falls_by_a_better_fill() -> None:
    for bps in ("-50", "0", "150"):
        assert band_after(Band.DEFENSIVE, d(bps), d(100)) is Band.DEFENSIVE
        assert band_after(Band.CAUTIOUS, d(bps), d(100)) is Band.CAUTIOUS


@pytest.mark.parametrize(
    ("side", "price", "bps"), [(Side.BUY, "50500", 100), (Side.SELL, "49900", 20), (Side.BUY, "49000", -200)]
)
def test_slippage_is_what_was_lost_against_the_decision(ready: Bottle, side: Side, price: str, bps: int) -> None:
    order = ready.send(intent("i-1", side=side, size_usd="1000"))
    ready.fill(order, order.quantity, price, "t1")
    booked = fill_of(decode(ready.rows[-2].payload))
    assert slippage_bps(booked, d(50000)) == bps
    assert band_of(ready.state) is Band.NORMAL


def test_a_fill_beyond_the_limit_halves_what_opens_for_five_minutes(ready: Bottle) -> None:
    assert open_at(ready, "i-1", "50600") == ["SLIPPAGE_CAUTIOUS"]
    assert effective(ready) is TradingState.ACTIVE
    ready.refresh()
    half = ready.send(intent("i-2", size_usd="1000", order_type=OrderType.MARKET))
    assert half.quantity == d("0.010")
    ready.fill(half, half.quantity, "50000", "t-2")
    assert later(ready, WINDOW_MS) == ["SLIPPAGE_NORMAL"]
    whole = ready.send(intent("i-3", size_usd="1000", t_signal_ms=ready.now.market_ms))
    assert whole.quantity == d("0.020")


def test_a_fill_beyond_twice_the_limit_stops_openings_until_the_window_is_over(ready: Bottle) -> None:
    assert open_at(ready, "i-1", "51100") == ["SLIPPAGE_DEFENSIVE"]
    assert effective(ready) is TradingState.REDUCING
    assert "220.0 bps worse" in ready.state.reason
    ready.refresh()
    ready.intend(intent("i-2"))
    assert ready.last_row("reject")["code"] == RejectCode.REDUCING.value
    assert later(ready, WINDOW_MS - 1) == []
    assert effective(ready) is TradingState.REDUCING
    assert later(ready, 1) == ["SLIPPAGE_NORMAL"]
    assert effective(ready) is TradingState.ACTIVE


def test_a_limit_order_has_no_slippage_and_ended_orders_are_forgotten(ready: Bottle) -> None:
    order = ready.send(intent("i-1", size_usd="1000", order_type=OrderType.LIMIT, limit_price=d(50000)))
    assert ready.state.expected == {}
    ready.fill(order, order.quantity, "50000", "t1")
    open_at(ready, "i-2", "50000")
    assert len(ready.state.expected) == 1
    later(ready, 1000)
    assert ready.state.expected == {}
