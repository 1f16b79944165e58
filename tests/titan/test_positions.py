"""Position arithmetic, against the reference's ledger and against a small model."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import load_vectors
from titan.model import Position, Side
from titan.positions import Applied, apply_fill, reduces

D = Decimal
QUANTITY = st.decimals(min_value="0.001", max_value=100, places=3)
PRICE = st.decimals(min_value="0.1", max_value=100_000, places=1)
FILLS = st.lists(st.tuples(st.sampled_from(list(Side)), QUANTITY, PRICE), max_size=25)


def flat() -> Position:
    return Position("bybit", "main", "BTC/USDT:USDT")


def run(case: dict[str, Any]) -> tuple[Position, list[Applied]]:
    """Replays a vector's steps through the arithmetic."""
    sides: dict[str, Side] = {}
    position, applied = flat(), []
    seen: set[str] = set()
    for step in case["input"]["steps"]:
        if "intent" in step:
            wanted = step["intent"]
            buy = wanted["type"] in ("BUY_SETUP", "CLOSE_SHORT")
            sides[wanted["signal_id"]] = Side.BUY if buy else Side.SELL
        elif step["fill"]["child_id"] not in seen:
            fill = step["fill"]
            seen.add(fill["child_id"])
            side = sides[fill["signal_id"]]
            done = apply_fill(position, side, D(str(fill["size"])), D(str(fill["price"])), D(str(fill["fee"])))
            position = done.position
            applied.append(done)
    return position, applied


def vector(name: str) -> dict[str, Any]:
    loaded = load_vectors("execution")
    found: dict[str, Any] = next(each for each in (*loaded["vectors"], *loaded["defects"]) if each["id"] == name)
    return found


def test_vector_e2_a_reduce_keeps_the_side_and_the_entry() -> None:
    position, _ = run(vector("E2"))
    assert position.quantity == D(str(vector("E2")["expected"]["after_step"]["4"]["position"]["size"]))
    assert position.average_price == 2000


def test_vector_e4_a_flip_realises_only_what_was_held() -> None:
    case = vector("E4")
    position, applied = run(case)
    realised = [each.realized for each in applied if each.closed]
    assert realised == [D(each) for each in case["expected"]["realised_pnl_sequence"]]
    assert position.realized_pnl == case["expected"]["realised_pnl_total"]
    assert (position.quantity, position.average_price) == (D(-2), D(1980))


def test_vector_e9_an_add_weighs_the_entry() -> None:
    expected = vector("E9")["expected"]["after_step"]["4"]["position"]
    position, _ = run(vector("E9"))
    assert (position.quantity, position.average_price) == (expected["size"], expected["entry_price"])


@pytest.mark.parametrize("name", ["E5.1", "E6"])
def test_vectors_of_children_book_each_fill_once_and_none_is_discarded(name: str) -> None:
    position, _ = run(vector(name))
    assert position.quantity == D(str(vector(name)["expected"]["aggregate_size"]))


def test_vector_e11_realised_losses_add_up() -> None:
    case = vector("E11.1")
    position, applied = run(case)
    assert [each.realized for each in applied if each.closed] == case["expected"]["realised_pnl_sequence"]
    assert position.realized_pnl == case["expected"]["realised_today"]


def test_a_fill_without_quantity_or_price_is_refused() -> None:
    for quantity, price in ((D(0), D(1)), (D(1), D(0)), (D(-1), D(1))):
        with pytest.raises(ValueError, match="positive"):
            apply_fill(flat(), Side.BUY, quantity, price, D(0))


def test_a_round_trip_is_noticed_when_flat_or_flipped() -> None:
    held = apply_fill(flat(), Side.BUY, D(2), D(100), D(0))
    assert not held.round_trip
    assert not apply_fill(held.position, Side.SELL, D(1), D(110), D(0)).round_trip
    assert apply_fill(held.position, Side.SELL, D(2), D(110), D(0)).round_trip
    assert apply_fill(held.position, Side.SELL, D(3), D(110), D(0)).flipped


@given(FILLS)
def test_quantity_is_the_sum_and_money_is_conserved(fills: list[tuple[Side, Decimal, Decimal]]) -> None:
    position, cash = flat(), D(0)
    for side, quantity, price in fills:
        position = apply_fill(position, side, quantity, price, D(0)).position
        cash -= side.sign * quantity * price
    assert position.quantity == sum((side.sign * quantity for side, quantity, _ in fills), D(0))
    # Whatever was paid and not realised is what the position cost.
    assert abs(cash + position.quantity * position.average_price - position.realized_pnl) < D("1e-15")


@given(FILLS, st.decimals(min_value=0, max_value=10, places=4))
def test_every_fee_is_kept_apart_from_profit(fills: list[tuple[Side, Decimal, Decimal]], fee: Decimal) -> None:
    with_fee = without = flat()
    for side, quantity, price in fills:
        with_fee = apply_fill(with_fee, side, quantity, price, fee).position
        without = apply_fill(without, side, quantity, price, D(0)).position
    assert with_fee.fees == fee * len(fills)
    assert with_fee.realized_pnl == without.realized_pnl


@given(st.decimals(min_value=-50, max_value=50, places=3), st.sampled_from(list(Side)), QUANTITY)
def test_an_order_that_reduces_never_grows_or_flips(held: Decimal, side: Side, quantity: Decimal) -> None:
    after = held + side.sign * quantity
    assert reduces(held, side, quantity) == (abs(after) < abs(held) and (after == 0 or (after > 0) == (held > 0)))
