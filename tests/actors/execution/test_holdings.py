"""Holdings and round trips, and the ledger vectors of the shared reference."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.execution.holdings import Booked, Holding, Instrument, book, is_late, rebuild
from tests.actors.execution.builders import PERP, fill
from tests.shared_data import load_vectors
from titan.model import Fill, Position, Side
from titan.positions import apply_fill

BTC = Instrument("bybit", "main", PERP)

trades = st.lists(
    st.tuples(
        st.sampled_from(list(Side)),
        st.decimals("0.001", "5", places=3),
        st.decimals("90", "110", places=2),
        st.decimals("0", "1", places=8),
    ),
    min_size=1,
    max_size=25,
)


def _history(raw: list[tuple[Side, Decimal, Decimal, Decimal]]) -> list[Fill]:
    """Fills whose realised PnL is what the router's arithmetic makes of them."""
    position = Position("bybit", "main", PERP)
    made = []
    for number, (side, quantity, price, fee) in enumerate(raw, start=1):
        applied = apply_fill(position, side, quantity, price, fee)
        position = applied.position
        made.append(fill(number, side, quantity, price, fee=fee, pnl=applied.realized))
    return made


def _one_by_one(history: list[Fill]) -> tuple[Holding, list[Booked]]:
    holding, steps = Holding(BTC), []
    for one in history:
        steps.append(book(holding, one))
        holding = steps[-1].holding
    return holding, steps


@given(trades)
def test_booking_one_by_one_and_all_again_agree_to_the_last_digit(
    raw: list[tuple[Side, Decimal, Decimal, Decimal]],
) -> None:
    history = _history(raw)
    holding, steps = _one_by_one(history)
    again, trips = rebuild(BTC, reversed(history))
    assert again == holding
    assert trips == [step.round_trip for step in steps if step.round_trip is not None]


@given(trades)
def test_no_honest_claim_is_off(raw: list[tuple[Side, Decimal, Decimal, Decimal]]) -> None:
    assert not any(step.claim_is_off for step in _one_by_one(_history(raw))[1])


@given(trades)
def test_round_trips_and_the_trip_under_way_account_for_all_profit_and_fees(
    raw: list[tuple[Side, Decimal, Decimal, Decimal]],
) -> None:
    holding, steps = _one_by_one(_history(raw))
    trips = [step.round_trip for step in steps if step.round_trip is not None]
    assert sum((trip.realized_pnl for trip in trips), Decimal(0)) + holding.trip.pnl == holding.realized_pnl
    assert sum((trip.fees for trip in trips), Decimal(0)) + holding.trip.fees == holding.fees


def test_a_false_claim_is_noticed() -> None:
    opened = book(Holding(BTC), fill(1, Side.BUY, "1", "100"))
    assert book(opened.holding, fill(2, Side.SELL, "1", "110", pnl="10")).claim_error == 0
    assert book(opened.holding, fill(2, Side.SELL, "1", "110", pnl="11")).claim_is_off


def test_a_round_trip_knows_its_entry_and_exit() -> None:
    _, steps = _one_by_one(
        _history(
            [
                (Side.SELL, Decimal(1), Decimal(100), Decimal("0.1")),
                (Side.SELL, Decimal(1), Decimal(110), Decimal("0.1")),
                (Side.BUY, Decimal("1.5"), Decimal(100), Decimal("0.3")),
                (Side.BUY, Decimal("0.5"), Decimal(104), Decimal("0.1")),
            ]
        )
    )
    trip = steps[-1].round_trip
    assert trip is not None
    assert trip.side is Side.SELL
    assert [trip.quantity, trip.entry_price, trip.exit_price] == [2, 105, 101]
    assert [trip.realized_pnl, trip.fees] == [8, Decimal("0.6")]
    assert trip.phase == "SCAVENGER"
    assert (trip.opened_ms, trip.closed_ms) == (1_001_000, 1_004_000)


def test_a_flip_ends_one_trip_and_begins_the_next_and_shares_its_fee() -> None:
    holding, steps = _one_by_one(
        _history(
            [
                (Side.BUY, Decimal(1), Decimal(100), Decimal(0)),
                (Side.SELL, Decimal(4), Decimal(101), Decimal("0.4")),
            ]
        )
    )
    trip = steps[-1].round_trip
    assert trip is not None
    assert [trip.quantity, trip.realized_pnl, trip.fees] == [1, 1, Decimal("0.1")]
    assert [holding.quantity, holding.average_price] == [-3, 101]
    assert [holding.trip.entry_quantity, holding.trip.fees] == [3, Decimal("0.3")]
    assert holding.trip.opened_ms == 1_002_000


def test_a_fill_behind_a_later_one_is_late() -> None:
    holding = book(Holding(BTC), fill(5)).holding
    assert is_late(holding, fill(4))
    assert not is_late(holding, fill(6))


@pytest.mark.parametrize("vector_id", ["E2", "E4", "E9", "E5.1", "E6", "E11.1"])
def test_ledger_vector(vector_id: str) -> None:
    vectors = load_vectors("execution")
    vector = next(one for one in vectors["vectors"] + vectors["defects"] if one["id"] == vector_id)
    sides: dict[str, Side] = {}
    position = Position("bybit", "main", PERP)
    booked: dict[str, Fill] = {}
    holding = Holding(BTC)
    realised: list[Decimal] = []
    for number, step in enumerate(vector["input"]["steps"], start=1):
        if "intent" in step:
            intent = step["intent"]
            sides[intent["signal_id"]] = Side.BUY if intent["type"] == "BUY_SETUP" else Side.SELL
            continue
        raw = step["fill"]
        side, quantity, price = sides[raw["signal_id"]], Decimal(str(raw["size"])), Decimal(str(raw["price"]))
        if raw["child_id"] not in booked:
            applied = apply_fill(position, side, quantity, price, Decimal(0))
            position = applied.position
            one = fill(number, side, quantity, price, pnl=applied.realized)
            booked[raw["child_id"]] = one
            holding = book(holding, one).holding
            if applied.closed:
                realised.append(applied.realized)
        expected = vector["expected"].get("after_step", {}).get(str(number), {}).get("position")
        if expected is not None:
            assert (holding.quantity > 0) == (expected["side"] == "LONG")
            assert abs(holding.quantity) == Decimal(str(expected["size"]))
            if "entry_price" in expected:
                assert holding.average_price == Decimal(str(expected["entry_price"]))
    expected = vector["expected"]
    if "realised_pnl_sequence" in expected:
        assert realised == expected["realised_pnl_sequence"]
        assert holding.realized_pnl == sum(expected["realised_pnl_sequence"])
    if "aggregate_size" in expected:
        assert abs(holding.quantity) == Decimal(str(expected["aggregate_size"]))
