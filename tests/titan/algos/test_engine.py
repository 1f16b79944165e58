"""Each execution style on a small model venue."""

from __future__ import annotations

import re
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.titan.algos.desk import BTC, GRID, SPOT, T0, Desk, d, leg, parent
from titan.algos import ChildStatus, Top
from titan.algos.engine import completed, problem
from titan.algos.model import filled
from titan.algos.slices import due_ms
from titan.codes import AlgoEnd
from titan.model import Execution, OrderType, Side, Style
from titan.money import ZERO

MAKER, IOC, LIMIT, MARKET = OrderType.POST_ONLY, OrderType.IOC, OrderType.LIMIT, OrderType.MARKET


# maker-first


def test_maker_first_rests_at_the_best_and_ends_when_filled() -> None:
    desk = Desk(parent(Style.MAKER_FIRST))
    desk.look()
    assert desk.sent() == [(MAKER, "1", "1000.0")]
    desk.fill()
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.FILLED


def test_maker_first_follows_the_best_no_sooner_than_its_wait_and_only_after_the_last_word_of_the_cancel() -> None:
    desk = Desk(parent(Style.MAKER_FIRST, reprice_ms=2_000))
    desk.look()
    desk.ack()
    desk.quote("1002", "1003")
    desk.wait(1_999)
    desk.look()
    assert not desk.cancels()
    assert desk.wake_ms == T0 + 2_000
    desk.wait(1)
    desk.look()
    assert desk.cancels()
    desk.look()
    assert len(desk.children) == 1
    desk.fill("0.4")
    desk.end()
    desk.look()
    assert desk.sent()[1:] == [(MAKER, "0.6", "1002.0")]


def test_maker_first_crosses_once_within_the_band_when_its_chase_is_over() -> None:
    desk = Desk(parent(Style.MAKER_FIRST, reprice_ms=1_000, reprices=1, cross=True))
    desk.look()
    desk.ack()
    desk.wait(2_000)
    desk.look()
    assert desk.cancels()
    desk.end()
    desk.look()
    assert desk.sent()[-1] == (IOC, "1", "1010.0")
    desk.fill("0.9")
    desk.end()
    desk.look()
    assert desk.finish is not None
    assert (desk.finish.end, len(desk.children)) == (AlgoEnd.GAVE_UP, 2)


def test_maker_first_does_not_cross_beyond_the_band() -> None:
    desk = Desk(parent(Style.MAKER_FIRST, reprice_ms=1_000, reprices=1, cross=True))
    desk.look()
    desk.ack()
    desk.wait(2_000)
    desk.quote("1010", "1010.1")
    desk.look()
    desk.end()
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.BEYOND_BAND


def test_maker_first_never_takes_when_it_may_not_cross() -> None:
    desk = Desk(parent(Style.MAKER_FIRST, reprices=1))
    for _ in range(2):
        desk.look()
        desk.end(refused=True)
        desk.wait(2_000)
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.GAVE_UP
    assert {kind for kind, _, _ in desk.sent()} == {MAKER}


def test_a_resting_price_stays_inside_the_band_on_either_side() -> None:
    buys, sells = Desk(parent(Style.MAKER_FIRST)), Desk(parent(Style.MAKER_FIRST, leg(Side.SELL)))
    buys.quote("1020.07", "1020.1")
    sells.quote("979", "980.03")
    buys.look()
    sells.look()
    assert (buys.placed[0].price, sells.placed[0].price) == (d("1010"), d("990"))


# peg


def test_a_peg_rests_its_ticks_behind_the_best_and_follows_until_the_deadline() -> None:
    desk = Desk(parent(Style.PEG, leg(Side.SELL), offset_ticks=3, duration_ms=5_000, reprice_ms=1_000))
    desk.look()
    assert desk.sent() == [(MAKER, "1", "1001.3")]
    desk.ack()
    desk.quote("995", "996")
    desk.wait(1_000)
    desk.look()
    desk.end()
    desk.look()
    assert desk.sent()[1:] == [(MAKER, "1", "996.3")]
    desk.ack()
    desk.wait(4_000)
    desk.look()
    assert desk.cancels()
    desk.end()
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.DEADLINE


def test_five_refusals_in_a_row_end_a_parent() -> None:
    desk = Desk(parent(Style.PEG, reprice_ms=10))
    for _ in range(5):
        desk.look()
        desk.end(refused=True)
        desk.wait(9)
        assert not desk.look().acts or desk.over
        desk.wait(1)
    assert desk.finish is not None
    assert (desk.finish.end, len(desk.children)) == (AlgoEnd.REFUSED, 5)


# twap


def run_twap(desk: Desk, share: Decimal) -> None:
    """Looks at every wake and fills that share of each slice."""
    while not desk.over:
        desk.look()
        if desk.children and desk.last.status is not ChildStatus.ENDED:
            desk.fill((desk.last.quantity * share).quantize(GRID.lot))
            desk.end()
        elif not desk.over:
            assert desk.wake_ms is not None
            assert desk.wake_ms > desk.now_ms or desk.wake_ms == desk.parent.until_ms
            desk.now_ms = max(desk.wake_ms, desk.now_ms)


def test_a_twap_sends_equal_slices_at_its_own_seeded_times() -> None:
    desk = Desk(parent(Style.TWAP, slices=4, duration_ms=40_000))
    run_twap(desk, d(1))
    assert desk.sent() == [(IOC, "0.250", "1010.0")] * 3 + [(IOC, "0.250", "1010.0")]
    assert [each.placed_ms for each in desk.children] == [due_ms(desk.parent, slot) for slot in range(4)]
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.FILLED
    moved = [due_ms(desk.parent, slot) - T0 - slot * 10_000 for slot in range(4)]
    assert moved[0] == 0
    assert all(0 < abs(each) <= 2_500 for each in moved[1:])


def test_a_twap_makes_up_for_what_did_not_fill_by_at_most_two_slices_at_a_time() -> None:
    desk = Desk(parent(Style.TWAP, slices=4, duration_ms=40_000))
    for _ in range(2):
        desk.look()
        desk.end()
        desk.now_ms = desk.wake_ms or 0
    desk.look()
    assert [each.quantity for each in desk.placed] == [d("0.25"), d("0.5"), d("0.5")]


def test_a_twap_in_doubt_sends_nothing_and_then_no_burst() -> None:
    desk = Desk(parent(Style.TWAP, slices=4, duration_ms=40_000))
    desk.look()
    desk.wait(25_000)
    desk.look()
    assert len(desk.children) == 1
    desk.end()
    desk.look()
    desk.fill()
    desk.look()
    assert [each.quantity for each in desk.placed] == [d("0.25"), d("0.5")]


def test_a_twap_waits_while_the_market_is_beyond_its_band_and_gives_up_in_the_end() -> None:
    desk = Desk(parent(Style.TWAP, slices=2, duration_ms=10_000), tops=[Top(d(1011), d(1012))])
    run_twap(desk, d(1))
    assert desk.finish is not None
    assert (desk.finish.end, desk.children) == (AlgoEnd.DEADLINE, [])


def test_a_slice_too_small_for_the_venue_waits_for_the_next() -> None:
    desk = Desk(parent(Style.TWAP, leg(quantity="0.012"), slices=4, duration_ms=40_000))
    run_twap(desk, d(1))
    assert [each.quantity for each in desk.placed] == [d("0.006"), d("0.006")]


# iceberg


def test_an_iceberg_shows_one_part_at_a_time_and_the_last_takes_what_would_be_too_small() -> None:
    desk = Desk(parent(Style.ICEBERG, leg(quantity="1.003", limit="999.9"), display=d("0.5")))
    sizes = []
    while not desk.over:
        desk.look()
        if not desk.over:
            sizes.append(desk.last.quantity)
            desk.ack()
            desk.look()
            desk.fill()
    assert sizes == [d("0.5"), d("0.503")]
    assert {(kind, price) for kind, _, price in desk.sent()} == {(LIMIT, "999.9")}


# basis


def basis(quantity: str = "1", **parameters: object) -> Desk:
    legs = leg(quantity=quantity, symbol=SPOT), leg(Side.SELL, quantity, symbol=BTC)
    return Desk(parent(Style.BASIS, *legs, hedge_symbol=BTC, **parameters), tops=[Top(d(1000), d(1001))] * 2)


def test_a_basis_order_hedges_what_its_first_leg_filled() -> None:
    desk = basis()
    desk.look()
    desk.fill("0.7")
    desk.end()
    desk.look()
    assert [(each.leg, each.side, each.quantity) for each in desk.placed] == [
        (0, Side.BUY, d(1)),
        (1, Side.SELL, d("0.7")),
    ]
    desk.fill()
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.HEDGED


def test_a_naked_leg_is_taken_back_when_its_hedge_does_not_fill_in_time() -> None:
    desk = basis(hedge_ms=3_000)
    desk.look()
    desk.fill()
    desk.look()
    desk.fill("0.25")
    desk.end()
    desk.quote("980", "981", leg=1)
    desk.wait(2_999)
    desk.look()
    assert len(desk.children) == 2
    desk.wait(1)
    desk.look()
    assert desk.placed[-1].unwinds
    assert (desk.placed[-1].order_type, desk.placed[-1].side, desk.placed[-1].quantity) == (
        MARKET,
        Side.SELL,
        d("0.75"),
    )
    desk.fill()
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.HEDGED
    assert filled(desk.children, 0) == filled(desk.children, 1) == d("0.25")


def test_a_basis_order_begins_only_when_both_legs_can_be_had_within_their_bands() -> None:
    desk = basis(duration_ms=10_000)
    desk.quote("980", "981", leg=1)
    desk.look()
    assert desk.children == []
    desk.wait(10_000)
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.DEADLINE


def test_a_stop_takes_a_naked_leg_back_instead_of_hedging_it() -> None:
    desk = basis()
    desk.look()
    desk.fill()
    desk.stop()
    desk.look()
    assert desk.placed[-1].unwinds
    desk.fill()
    desk.look()
    assert desk.finish is not None
    assert desk.finish.end is AlgoEnd.UNWOUND


def test_a_naked_leg_in_doubt_waits_for_the_answer() -> None:
    desk = basis(hedge_ms=1_000)
    desk.look()
    desk.wait(60_000)
    desk.look()
    assert len(desk.children) == 1
    desk.fill()
    desk.look()
    assert desk.placed[-1].unwinds


def test_what_can_not_be_taken_back_in_twenty_tries_ends_naked() -> None:
    desk = basis(hedge_ms=1_000)
    desk.look()
    desk.fill()
    desk.stop()
    while not desk.over:
        desk.look()
        if desk.last.status is ChildStatus.DOUBT:
            desk.end(refused=True)
        desk.wait(250)
    assert desk.finish is not None
    assert (desk.finish.end, len(desk.children)) == (AlgoEnd.NAKED, 21)


# all of them


def test_a_stop_cancels_what_rests_and_ends_after_its_last_word() -> None:
    desk = Desk(parent(Style.PEG))
    desk.look()
    desk.stop()
    desk.look()
    assert not desk.cancels(), "an order in doubt is not cancelled blindly: its answer comes first"
    desk.ack()
    desk.look()
    assert desk.cancels()
    desk.fill("0.3")
    desk.end()
    desk.look()
    assert desk.finish is not None
    assert (desk.finish.end, desk.finish.detail) == (AlgoEnd.STOPPED, "0.3 of 1 filled")


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (Execution(Style.TWAP, slices=251), "slices is 251, it must be between 1 and 250"),
        (Execution(Style.TWAP, duration_ms=-1), "duration_ms is -1"),
        (Execution(Style.PEG, offset_ticks=-1), "offset_ticks not below"),
        (Execution(Style.MAKER_FIRST, reprices=251), "reprices is 251"),
        (Execution(Style.ICEBERG), "needs a limit price"),
        (Execution(Style.BASIS), "names the symbol"),
        (Execution(Style.BASIS, hedge_symbol=BTC), "names the symbol|price its hedge"),
    ],
)
def test_impossible_parameters_are_named(wanted: Execution, word: str) -> None:
    assert re.search(word, problem(completed(wanted, 1), limited=False))


def test_waits_are_not_shorter_than_a_machine_can_keep() -> None:
    assert completed(Execution(Style.PEG, reprice_ms=5), 2_000).reprice_ms == 2_000


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(Style)), st.sampled_from(list(Side)), st.integers(12, 900), st.integers(0, 10**9))
def test_whatever_happens_a_parent_never_trades_more_than_it_should_and_ends(
    style: Style, side: Side, lots: int, seed: int
) -> None:
    """The desk's own assertions hold at every step; here the fills are added up and the end is awaited."""
    chance = Random(seed)
    quantity = str(lots * GRID.lot)
    end = "1010" if side is Side.BUY else "990"
    legs = [leg(side, quantity, end, limit="1000" if style is Style.ICEBERG else "")]
    if style is Style.BASIS:
        legs.append(leg(side.opposite, quantity, symbol=SPOT))
    made = parent(
        style,
        *legs,
        duration_ms=chance.choice((5_000, 60_000)),
        reprices=chance.randint(1, 6),
        cross=chance.random() < 0.5,
        slices=chance.randint(1, 9),
        display=d("0.1"),
        hedge_symbol=SPOT,
    )
    desk = Desk(made, tops=[Top(d(1000), d(1001))] * len(legs))
    for _ in range(4_000):
        desk.look()
        if desk.over:
            break
        happen(desk, chance)
    for number, each in enumerate(legs):
        assert ZERO <= filled(desk.children, number) <= each.quantity
    assert desk.finish is not None
    if style is Style.BASIS and desk.finish.end is not AlgoEnd.NAKED:
        assert filled(desk.children, 0) == filled(desk.children, 1)


def happen(desk: Desk, chance: Random) -> None:
    """One thing that a venue, a market or an operator may do."""
    if chance.random() < 0.5:
        desk.wait(chance.choice((1, 100, 700, 3_000)))
    if chance.random() < 0.3:
        mid = 1000 + chance.randint(-12, 12)
        desk.quote(str(mid), str(mid + 1), chance.randrange(len(desk.tops)))
    if chance.random() < 0.02:
        desk.stop()
    if not desk.children or desk.last.status is ChildStatus.ENDED:
        return
    kind = chance.random()
    if kind < 0.2 and desk.last.status is ChildStatus.DOUBT:
        desk.ack()
    elif kind < 0.3:
        desk.fill(min(desk.last.quantity - desk.last.filled, GRID.lot * chance.randint(1, 50)))
    elif kind < 0.5:
        desk.end(refused=desk.last.filled == 0 and chance.random() < 0.3)
    elif kind < 0.6:
        desk.fill()
