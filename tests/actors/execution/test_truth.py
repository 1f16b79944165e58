"""The comparison: equal sides agree, every single difference is found, news under way is not one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.execution.sides import FillView, OrderView, Snapshot, within
from actors.execution.truth import Comparison, Drift, compare, evidence, missing_at_venue, next_confidence, persisting
from titan.codes import DifferenceKind
from titan.model import OrderState, Side

PERP = "BTC/USDT:USDT"
OPENING = Decimal(10_000)
amounts = st.decimals("0.001", "10", places=3)
prices = st.decimals("1", "100000", places=2)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Snapshot, Snapshot, Snapshot]:
    """Three sides that agree: orders with their fills, some refused before they left, some still open."""
    orders, fills = [], []
    position, money = Decimal(0), OPENING
    for number in range(draw(st.integers(1, 6))):
        quantity = draw(amounts) * 4
        pieces = draw(st.integers(0, 4))
        side = draw(st.sampled_from(list(Side)))
        filled = quantity / 4 * pieces
        state = (
            OrderState.FILLED
            if pieces == 4
            else draw(st.sampled_from([OrderState.CANCELED, OrderState.OPEN, OrderState.EXPIRED]))
        )
        price = draw(st.one_of(st.none(), prices))
        orders.append(
            OrderView(f"c{number}", f"v{number}", PERP, side, quantity, price, state, filled, created_ms=number)
        )
        for piece in range(pieces):
            paid = draw(prices)
            cash = draw(st.decimals("-50", "50", places=8))
            fills.append(
                FillView(f"f{number}.{piece}", f"v{number}", PERP, side, paid, quantity / 4, paid / 1000, "USDT", cash)
            )
            position += quantity / 4 * side.sign
            money += cash
    unsent = OrderView("c-unsent", "", PERP, Side.BUY, Decimal(1), None, OrderState.REJECTED, Decimal(0))
    positions = {PERP: position} if position else {}
    ours = Snapshot((*orders, unsent), tuple(fills), positions, {"USDT": money})
    at_venue = Snapshot(
        tuple(replace(order, price=order.price or Decimal(7)) for order in orders),
        tuple(replace(fill, cash=Decimal(0)) for fill in fills),
        positions,
        {"USDT": money},
    )
    return at_venue, ours, replace(ours, legs=dict(positions))


def _kinds(found: Comparison) -> set[DifferenceKind]:
    return {drift.kind for drift in found.drifts}


@given(worlds())
def test_sides_that_agree_differ_in_nothing(sides: tuple[Snapshot, Snapshot, Snapshot]) -> None:
    found = compare(*sides)
    assert found.drifts == ()
    assert found.orders == len(sides[1].orders)
    assert found.fills == len(sides[1].fills)


_ORDER_KINDS = (
    DifferenceKind.ORDER_MISSING_AT_VENUE,
    DifferenceKind.ORDER_MISSING_IN_JOURNAL,
    DifferenceKind.ORDER_MISSING_IN_LEDGER,
)
_FILL_KINDS = (
    DifferenceKind.FILL_MISSING_AT_VENUE,
    DifferenceKind.FILL_MISSING_IN_JOURNAL,
    DifferenceKind.FILL_MISSING_IN_LEDGER,
)


@given(worlds(), st.integers(0, 2), st.data())
def test_an_order_missing_on_one_side_is_found(
    sides: tuple[Snapshot, Snapshot, Snapshot], side: int, data: st.DataObject
) -> None:
    victim = data.draw(st.sampled_from(sides[side].orders))
    changed = list(sides)
    changed[side] = replace(sides[side], orders=tuple(each for each in sides[side].orders if each is not victim))
    found = compare(*changed)
    assert _kinds(found) == {_ORDER_KINDS[side]}
    assert [drift.key for drift in found.drifts] == [victim.venue_order_id or victim.client_order_id]


@given(worlds(), st.integers(0, 2), st.data())
def test_a_fill_missing_on_one_side_is_found(
    sides: tuple[Snapshot, Snapshot, Snapshot], side: int, data: st.DataObject
) -> None:
    if not sides[side].fills:
        return
    victim = data.draw(st.sampled_from(sides[side].fills))
    changed = list(sides)
    changed[side] = replace(sides[side], fills=tuple(each for each in sides[side].fills if each is not victim))
    assert _FILL_KINDS[side] in _kinds(compare(*changed))


@given(worlds(), st.integers(0, 2))
def test_an_order_too_many_on_one_side_is_found(sides: tuple[Snapshot, Snapshot, Snapshot], side: int) -> None:
    extra = OrderView("c-extra", "v-extra", PERP, Side.BUY, Decimal(1), Decimal(5), OrderState.OPEN, Decimal(0))
    changed = list(sides)
    changed[side] = replace(sides[side], orders=(*sides[side].orders, extra))
    assert [drift.key for drift in compare(*changed).drifts] == ["v-extra"]


@given(worlds(), st.integers(0, 2))
def test_an_order_twice_on_one_side_is_found(sides: tuple[Snapshot, Snapshot, Snapshot], side: int) -> None:
    changed = list(sides)
    changed[side] = replace(sides[side], orders=(*sides[side].orders, sides[side].orders[0]))
    assert DifferenceKind.ORDER_DIFFERS in _kinds(compare(*changed))


@given(worlds())
def test_a_second_live_order_with_the_same_client_id_is_found(sides: tuple[Snapshot, Snapshot, Snapshot]) -> None:
    twin = replace(sides[0].orders[0], venue_order_id="v-twin")
    found = compare(replace(sides[0], orders=(*sides[0].orders, twin)), sides[1], sides[2])
    assert ("v-twin", DifferenceKind.ORDER_MISSING_IN_JOURNAL) in {(drift.key, drift.kind) for drift in found.drifts}


_ORDER_CHANGES: dict[str, Callable[[OrderView], OrderView]] = {
    "quantity": lambda order: replace(order, quantity=order.quantity + Decimal("0.001")),
    "filled": lambda order: replace(order, filled=order.filled + Decimal("0.001")),
    "side": lambda order: replace(order, side=order.side.opposite),
    "symbol": lambda order: replace(order, symbol="ETH/USDT:USDT"),
    "state": lambda order: replace(
        order, state=OrderState.CANCELED if order.state is OrderState.FILLED else OrderState.FILLED
    ),
    "client id": lambda order: replace(order, client_order_id="c-other"),
}


@given(worlds(), st.integers(0, 2), st.sampled_from(sorted(_ORDER_CHANGES)), st.data())
def test_a_changed_field_of_an_order_is_found(
    sides: tuple[Snapshot, Snapshot, Snapshot], side: int, field: str, data: st.DataObject
) -> None:
    victim = data.draw(st.sampled_from([order for order in sides[side].orders if order.venue_order_id]))
    changed = list(sides)
    spoilt = tuple(_ORDER_CHANGES[field](each) if each is victim else each for each in sides[side].orders)
    changed[side] = replace(sides[side], orders=spoilt)
    found = compare(*changed)
    assert (DifferenceKind.ORDER_DIFFERS, victim.venue_order_id) in {(drift.kind, drift.key) for drift in found.drifts}


_FILL_CHANGES: dict[str, Callable[[FillView], FillView]] = {
    "price": lambda fill: replace(fill, price=fill.price + Decimal("0.01")),
    "quantity": lambda fill: replace(fill, quantity=fill.quantity + Decimal("0.001")),
    "fee": lambda fill: replace(fill, fee=fill.fee + Decimal("0.00000001")),
    "fee currency": lambda fill: replace(fill, fee_currency="BNB"),
    "side": lambda fill: replace(fill, side=fill.side.opposite),
    "order": lambda fill: replace(fill, venue_order_id="v-other"),
}


@given(worlds(), st.integers(0, 2), st.sampled_from(sorted(_FILL_CHANGES)), st.data())
def test_a_changed_field_of_a_fill_is_found(
    sides: tuple[Snapshot, Snapshot, Snapshot], side: int, field: str, data: st.DataObject
) -> None:
    if not sides[side].fills:
        return
    victim = data.draw(st.sampled_from(sides[side].fills))
    changed = list(sides)
    spoilt = tuple(_FILL_CHANGES[field](each) if each is victim else each for each in sides[side].fills)
    changed[side] = replace(sides[side], fills=spoilt)
    found = compare(*changed)
    assert (DifferenceKind.FILL_DIFFERS, victim.fill_id) in {(drift.kind, drift.key) for drift in found.drifts}


@given(worlds(), st.integers(0, 2), st.decimals("-5", "5", places=3).filter(bool))
def test_a_position_that_is_off_is_found(sides: tuple[Snapshot, Snapshot, Snapshot], side: int, error: Decimal) -> None:
    changed = list(sides)
    held = sides[side].positions.get(PERP, Decimal(0)) + error
    changed[side] = replace(sides[side], positions={PERP: held})
    assert _kinds(compare(*changed)) == {DifferenceKind.POSITION_DIFFERS}


@given(worlds(), st.integers(0, 2), st.sampled_from([Decimal("0.00001"), Decimal(-3)]))
def test_money_that_is_off_is_found(sides: tuple[Snapshot, Snapshot, Snapshot], side: int, error: Decimal) -> None:
    changed = list(sides)
    changed[side] = replace(sides[side], money={"USDT": sides[side].money["USDT"] + error})
    assert _kinds(compare(*changed)) == {DifferenceKind.BALANCE_DIFFERS}


@given(worlds())
def test_entries_that_do_not_add_up_to_the_position_are_found(sides: tuple[Snapshot, Snapshot, Snapshot]) -> None:
    legs = {PERP: sides[2].positions.get(PERP, Decimal(0)) + 1}
    found = compare(sides[0], sides[1], replace(sides[2], legs=legs))
    assert [drift.key for drift in found.drifts] == [f"{PERP} in the ledger"]


@given(worlds(), st.data())
def test_fills_that_the_venue_has_not_listed_yet_do_not_blur_position_and_money(
    sides: tuple[Snapshot, Snapshot, Snapshot], data: st.DataObject
) -> None:
    if not sides[0].fills:
        return
    later = data.draw(st.sampled_from(sides[1].fills))
    at_venue = replace(
        sides[0],
        fills=tuple(each for each in sides[0].fills if each.fill_id != later.fill_id),
        positions={PERP: sides[0].positions.get(PERP, Decimal(0)) - later.quantity * later.side.sign},
        money={"USDT": sides[0].money["USDT"] - later.cash},
    )
    assert _kinds(compare(at_venue, sides[1], sides[2])) == {DifferenceKind.FILL_MISSING_AT_VENUE}


def _order(**changes: object) -> OrderView:
    base = OrderView("c", "v", PERP, Side.SELL, Decimal(1), None, OrderState.CANCELED, Decimal(0))
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.UNKNOWN, OrderState.REJECTED, OrderState.EXPIRED])
def test_an_order_that_never_left_need_not_be_at_the_venue(state: OrderState) -> None:
    ours = Snapshot(orders=(_order(state=state, venue_order_id=""),))
    assert compare(Snapshot(), ours, ours).drifts == ()


def test_an_order_that_was_sent_must_be_at_the_venue() -> None:
    ours = Snapshot(orders=(_order(state=OrderState.SENT, venue_order_id=""),))
    assert missing_at_venue(compare(Snapshot(), ours, ours)) == ("c",)


def test_protection_that_the_venue_made_is_matched_by_its_id_and_sized_by_the_venue() -> None:
    ours = Snapshot(orders=(_order(quantity=Decimal(2)),))
    theirs = Snapshot(orders=(_order(client_order_id="", venue_made=True, price=Decimal(90)),))
    assert compare(theirs, ours, ours).drifts == ()


def test_protection_that_went_unused_need_not_be_ours_but_what_it_filled_must_be() -> None:
    spent = _order(client_order_id="", venue_made=True)
    assert compare(Snapshot(orders=(spent,)), Snapshot(), Snapshot()).drifts == ()
    used = replace(spent, state=OrderState.FILLED, filled=Decimal(1))
    found = compare(Snapshot(orders=(used,)), Snapshot(), Snapshot())
    assert _kinds(found) == {DifferenceKind.ORDER_MISSING_IN_JOURNAL}


def test_an_unknown_order_that_the_venue_has_filled_is_a_difference() -> None:
    ours = Snapshot(orders=(_order(state=OrderState.UNKNOWN, venue_order_id=""),))
    theirs = Snapshot(orders=(_order(state=OrderState.FILLED, filled=Decimal(1)),))
    assert _kinds(compare(theirs, ours, ours)) == {DifferenceKind.ORDER_DIFFERS}


def _drift(venue: str, journal: str, key: str = "k") -> Comparison:
    return Comparison(1, 1, (Drift(DifferenceKind.ORDER_DIFFERS, key, venue, journal, journal),))


def test_a_difference_persists_when_it_is_the_same_again() -> None:
    assert persisting(_drift("a", "b"), _drift("a", "b")).drifts


def test_a_difference_persists_when_the_books_stand_still_while_the_venue_moves_on() -> None:
    assert persisting(_drift("a", "b"), _drift("c", "b")).drifts


def test_a_difference_in_which_both_sides_move_on_is_under_way() -> None:
    assert not persisting(_drift("a", "b"), _drift("c", "d")).drifts


def test_a_difference_of_something_else_has_not_persisted() -> None:
    assert not persisting(_drift("a", "b"), _drift("a", "b", key="other")).drifts


def test_confidence_falls_by_twenty_a_difference_and_rises_by_one_a_clean_pass() -> None:
    assert [next_confidence(100, 0), next_confidence(99, 0), next_confidence(100, 1)] == [100, 100, 80]
    assert [next_confidence(100, 7), next_confidence(0, 0)] == [0, 1]


@given(worlds(), st.randoms(use_true_random=False))
def test_evidence_is_a_function_of_what_was_compared_not_of_its_order(
    sides: tuple[Snapshot, Snapshot, Snapshot], chance: object
) -> None:
    shuffled = list(sides[0].orders)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert evidence(replace(sides[0], orders=tuple(shuffled)), sides[1], sides[2]) == evidence(*sides)
    changed = replace(sides[1], money={"USDT": Decimal(1)})
    assert evidence(sides[0], changed, sides[2]) != evidence(*sides)


def test_what_happened_before_the_books_were_opened_is_left_out_unless_it_is_known() -> None:
    old, known, new = (
        _order(client_order_id=name, venue_order_id=name, created_ms=ms)
        for name, ms in [("old", 1), ("known", 2), ("new", 9)]
    )
    old_fill, new_fill = (
        FillView(name, "v", PERP, Side.BUY, Decimal(1), Decimal(1), Decimal(0), "USDT", ts_ms=ms)
        for name, ms in [("old", 1), ("new", 9)]
    )
    venue = Snapshot(orders=(old, known, new), fills=(old_fill, new_fill))
    kept = within(venue, Snapshot(orders=(known,)), Snapshot(), opened_ms=5)
    assert kept.orders == (known, new)
    assert kept.fills == (new_fill,)
