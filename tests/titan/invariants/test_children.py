"""I4's quantities: what the children of one intent can make is never more than the intent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.titan.invariants.world import NOW_MS, POLICY, SYMBOL, Book, book, world
from titan.ids import IntentId, SignalId
from titan.invariants import Invariant, check
from titan.journal.parents import WORK, parent_payload
from titan.journal.rows import SNAPSHOT
from titan.journal.values import ParentLeg, ParentRow
from titan.model import Action, Execution, Intent, OrderType, Phase, Side, Style

OTHER = "ETH/USDT:USDT"


def worked(rows: Book, quantity: str = "0.3", *, hedged: bool = False) -> None:
    """An intent to buy that is worked in slices, or hedged by ten times as much of another market."""
    size = Decimal(quantity)
    intent = Intent(
        intent_id=IntentId("i3"),
        signal_id=SignalId("s-i3"),
        phase=Phase.SCAVENGER,
        action=Action.OPEN,
        venue="bybit",
        account="main",
        symbol=SYMBOL,
        side=Side.BUY,
        size_usd=size * 50_000,
        quantity=size,
        order_type=OrderType.MARKET,
        limit_price=None,
        reference_price=Decimal(50_000),
        stop_price=Decimal(49_000),
        target_price=None,
        max_slippage_bps=100,
        leverage=Decimal(1),
        policy_hash=POLICY,
        t_signal_ms=NOW_MS,
        t_decision_ms=NOW_MS,
        ttl_ms=5_000,
        execution=Execution(Style.TWAP, 3_000, slices=3),
    )
    leg = ParentLeg(SYMBOL, Side.BUY, size, Decimal(50_500), None, Decimal(49_000), None)
    legs = (leg, replace(leg, symbol=OTHER, side=Side.SELL, quantity=10 * size)) if hedged else (leg,)
    row = ParentRow(intent, legs, False, NOW_MS, NOW_MS + 3_000, WORK, None, "", NOW_MS)
    rows.add("parent", NOW_MS, **{name: value for name, value in parent_payload(row).items() if name != "ts_ms"})


def off(rows: Book) -> list[str]:
    return [each.text for each in check(world(rows), [Invariant.APPROVED]) if each.key.startswith("children:")]


def test_slices_that_make_the_intent_break_nothing() -> None:
    rows = book()
    worked(rows)
    rows.order("i3", "NEW", "PENDING", quantity="0.1", child=0)
    rows.order("i3", "CANCEL", "CANCELED", quantity="0.1", filled="0.04", child=0)
    rows.order("i3", "NEW", "PENDING", quantity="0.16", child=1)
    rows.order("i3", "FILL", "FILLED", quantity="0.16", filled="0.16", child=1)
    rows.order("i3", "NEW", "PENDING", quantity="0.1", child=2)
    assert off(rows) == []


@pytest.mark.parametrize("state", ["OPEN", "UNKNOWN", "PENDING"])
def test_a_child_beside_one_that_may_still_fill_counts_the_whole_of_it(state: str) -> None:
    rows = book()
    worked(rows)
    rows.order("i3", "NEW", "PENDING", quantity="0.2", child=0)
    rows.order("i3", "ACK", state, quantity="0.2", child=0)
    rows.order("i3", "NEW", "PENDING", quantity="0.11", child=1)
    [said] = off(rows)
    assert "child 1 of intent i3 for 0.11" in said
    assert "beside 0.2 that may fill: more than the 0.3" in said


def test_what_fills_late_breaks_nothing_and_an_order_after_it_does() -> None:
    rows = book()
    worked(rows)
    rows.order("i3", "NEW", "PENDING", quantity="0.3", child=0)
    rows.order("i3", "CANCEL", "CANCELED", quantity="0.3", child=0)
    rows.order("i3", "NEW", "PENDING", quantity="0.3", child=1)
    rows.order("i3", "PARTIAL_FILL", "CANCELED", quantity="0.3", filled="0.2", child=0)
    rows.order("i3", "CANCEL", "CANCELED", quantity="0.3", child=1)
    assert off(rows) == []
    rows.order("i3", "NEW", "PENDING", quantity="0.2", child=2)
    assert len(off(rows)) == 1


def test_a_leg_is_taken_back_for_no_more_than_it_filled() -> None:
    rows = book()
    worked(rows)
    rows.order("i3", "NEW", "PENDING", quantity="0.3", child=0)
    rows.order("i3", "CANCEL", "CANCELED", quantity="0.3", filled="0.2", child=0)
    rows.order("i3", "NEW", "PENDING", quantity="0.2", child=1, side="SELL", role="CLOSE", reduce_only=True)
    assert off(rows) == []
    rows.order("i3", "NEW", "PENDING", quantity="0.1", child=2, side="SELL", role="CLOSE", reduce_only=True)
    assert len(off(rows)) == 1


@pytest.mark.parametrize(("hedge", "found"), [("3.2", 0), ("3.3", 1)])
def test_a_hedge_follows_what_the_venue_overfilled(hedge: str, found: int) -> None:
    rows = book()
    worked(rows, hedged=True)
    rows.order("i3", "NEW", "PENDING", quantity="0.3", child=0)
    rows.order("i3", "FILL", "FILLED", quantity="0.3", filled="0.32", child=0)
    rows.order("i3", "NEW", "PENDING", quantity=hedge, child=1, symbol=OTHER, side="SELL")
    assert len(off(rows)) == found


def test_what_replaces_a_plain_order_is_no_larger_than_what_that_left() -> None:
    rows = book()
    rows.order("i4", "NEW", "PENDING", quantity="0.3")
    rows.order("i4", "CANCEL", "CANCELED", quantity="0.3", filled="0.1")
    rows.order("i4", "NEW", "PENDING", quantity="0.2", child=1)
    assert off(rows) == []
    rows.order("i4", "REFUSE", "REJECTED", quantity="0.2", child=1)
    rows.order("i4", "NEW", "PENDING", quantity="0.3", child=2)
    assert len(off(rows)) == 1


def test_targets_are_no_part_of_an_intents_size() -> None:
    rows = book()
    rows.order("i4", "NEW", "PENDING", quantity="0.3")
    rows.order("i4", "FILL", "FILLED", quantity="0.3", filled="0.3")
    rows.order("i4", "NEW", "PENDING", quantity="0.3", child=1, side="SELL", role="TARGET", reduce_only=True)
    assert off(rows) == []


def test_after_a_snapshot_the_intents_before_it_are_not_judged() -> None:
    rows = book()
    rows.add(SNAPSHOT)
    rows.order("i4", "NEW", "PENDING", quantity="0.3")
    rows.order("i4", "NEW", "PENDING", quantity="0.3", child=1)
    assert off(rows) == []
