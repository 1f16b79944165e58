"""Each invariant is shown a broken world, and must say so; the world in which everything holds breaks none."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.titan.invariants.world import (
    NOW_MS,
    SYMBOL,
    VENUE_FILLS,
    VENUE_ORDERS,
    Book,
    book,
    closed,
    ledger,
    opened,
    venue,
    world,
)
from titan.codes import TradingState
from titan.ids import client_order_id
from titan.invariants import (
    MEANING,
    Approval,
    Child,
    Escalated,
    Invariant,
    Leader,
    Limit,
    Live,
    Recovery,
    Remembered,
    Restart,
    VenueFunding,
    VenueOrder,
    World,
    check,
    persisting,
)
from titan.journal.rows import SNAPSHOT, StoredRow, sealed
from titan.model import Side


def broken(seen: World) -> list[Invariant]:
    return [each.invariant for each in check(seen)]


def keys(seen: World) -> list[str]:
    return [each.key for each in check(seen)]


def test_a_world_in_which_everything_holds_breaks_nothing() -> None:
    assert check(world()) == ()


def test_what_nobody_looked_at_is_not_judged() -> None:
    assert check(World(now_ms=NOW_MS)) == ()
    assert check(world(venue=None, ledger=None, live=None)) == ()


def test_every_invariant_has_its_sentence() -> None:
    assert set(MEANING) == set(Invariant)


# I1


def test_a_send_that_was_made_twice_is_seen() -> None:
    again = replace(VENUE_ORDERS[0], venue_order_id="v9")
    found = check(world(venue=venue((*VENUE_ORDERS, again))))
    assert [each.invariant for each in found] == [Invariant.ONE_ORDER]
    assert found[0].evidence["venue_order_ids"] == "v1, v9"


def test_an_order_begun_twice_in_the_journal_is_seen() -> None:
    rows = book()
    rows.order("i1", "NEW", "PENDING")
    rows.order("i1", "FILL", "FILLED", filled="0.1", venue_order_id="v1")
    assert broken(world(rows)) == [Invariant.ONE_ORDER]


def test_one_child_of_an_intent_under_two_client_ids_is_seen() -> None:
    rows = book()
    other = client_order_id("somebody", 5)
    rows.order("i1", "NEW", "PENDING", client_id=other)
    rows.order("i1", "CANCEL", "CANCELED", client_id=other)
    double = VenueOrder("v9", other, SYMBOL, Side.BUY, Decimal("0.1"), Decimal(0), False, live=False)
    assert broken(world(rows, venue=venue((*VENUE_ORDERS, double)))) == [Invariant.ONE_ORDER]


# I2


def test_a_fill_that_the_journal_lost_is_seen() -> None:
    rows = Book()
    opened(rows)
    assert "journal:lost:t2" in keys(world(rows))


def test_a_fill_booked_twice_is_seen_in_both_books() -> None:
    rows = book()
    rows.fill("t2", client_order_id("i2", 0), "SELL", "51000", "0.05", "1.4025", "50")
    assert "journal:twice:t2" in keys(world(rows))
    twice = replace(ledger(), fills=(*ledger().fills, ledger().fills[0]))
    assert keys(world(ledger=twice)) == ["postgres:twice:t1"]


def test_a_fill_that_postgres_lost_is_seen() -> None:
    assert keys(world(ledger=replace(ledger(), fills=ledger().fills[:1]))) == ["postgres:lost:t2"]


def test_a_fill_that_nobody_traded_is_seen() -> None:
    assert "journal:invented:t2" in keys(world(venue=venue(fills=VENUE_FILLS[:1])))


def test_a_fill_booked_at_another_price_is_seen() -> None:
    real = replace(VENUE_FILLS[0], price=Decimal(50001))
    assert keys(world(venue=venue(fills=(real, VENUE_FILLS[1]))))[:1] == ["postgres:differs:t1"]


def test_funding_that_was_never_booked_is_seen() -> None:
    paid = replace(venue(), fundings=(VenueFunding("f1", SYMBOL, Decimal("0.5")),))
    assert keys(world(venue=paid)) == ["journal:funding:f1"]


def test_a_position_taken_over_without_fills_is_seen() -> None:
    rows = book()
    rows.add(
        "position", symbol=SYMBOL, quantity="0.07", previous_quantity="0.05", average_price="50000", reason="start"
    )
    assert "adopted:11" in keys(world(rows))


# I3


def test_a_position_that_differs_is_seen_only_while_trading_is_active() -> None:
    off = venue(position="0.06")
    assert broken(world(venue=off)) == [Invariant.POSITIONS_AGREE] * 3
    reducing = Live(TradingState.REDUCING, {SYMBOL: Decimal("0.05")}, None)
    assert broken(world(venue=off, live=reducing)) == []


def test_the_routers_own_word_is_compared_too() -> None:
    lying = Live(TradingState.ACTIVE, {SYMBOL: Decimal("0.04")}, None)
    assert keys(world(live=lying)) == [f"router:{SYMBOL}:-0.01"]


# I4


def test_an_order_at_the_venue_that_was_never_written_is_seen() -> None:
    cid = client_order_id("unwritten", 0)
    stray = VenueOrder("v9", cid, SYMBOL, Side.BUY, Decimal("0.1"), Decimal(0), False, live=True)
    seen = world(venue=venue((*VENUE_ORDERS, stray)))
    assert keys(seen) == [f"unwritten:{cid}"]
    assert broken(replace(seen, excused=frozenset({cid}))) == []


def test_an_order_written_only_after_it_was_found_is_seen() -> None:
    rows = book()
    cid = client_order_id("late", 0)
    rows.order("late", "ADOPT", "OPEN", role="EXTERNAL", client_id=cid)
    stray = VenueOrder("v9", cid, SYMBOL, Side.BUY, Decimal("0.1"), Decimal(0), False, live=True)
    assert keys(world(rows, venue=venue((*VENUE_ORDERS, stray)))) == [f"unwritten:{cid}"]


def test_an_order_without_its_approval_is_seen() -> None:
    rows = book()
    cid = rows.order("i3", "NEW", "PENDING", approved=False)
    rows.order("i3", "REFUSE", "REJECTED")
    assert keys(world(rows)) == [f"unapproved:{cid}"]


@pytest.mark.parametrize("state", ["HALTED", "REDUCING", "DISARMED"])
def test_an_opening_against_the_trading_state_is_seen(state: str) -> None:
    rows = book()
    rows.trading(state)
    cid = rows.order("i3", "NEW", "PENDING")
    rows.order("i3", "REFUSE", "REJECTED")
    assert keys(world(rows)) == [f"state:{cid}"]


def test_a_reduce_only_close_may_leave_under_halt() -> None:
    rows = Book()
    opened(rows)
    rows.trading("HALTED")
    closed(rows)
    assert check(world(rows)) == ()


def test_an_order_larger_or_on_the_other_side_than_approved_is_seen() -> None:
    larger = replace(VENUE_ORDERS[0], quantity=Decimal("0.2"))
    assert keys(world(venue=venue((larger, VENUE_ORDERS[1])))) == [f"larger:{larger.client_order_id}"]
    turned = replace(VENUE_ORDERS[0], side=Side.SELL)
    assert keys(world(venue=venue((turned, VENUE_ORDERS[1])))) == [f"other:{turned.client_order_id}"]
    opening = replace(VENUE_ORDERS[1], reduce_only=False)
    assert keys(world(venue=venue((VENUE_ORDERS[0], opening)))) == [f"opens:{opening.client_order_id}"]


# I5


def test_an_order_nobody_looks_for_is_seen() -> None:
    rows = book()
    cid = rows.order("i3", "NEW", "PENDING", ts_ms=NOW_MS - 31_000)
    assert keys(world(rows)) == [f"stuck:{cid}"]
    fresh = book()
    fresh.order("i3", "NEW", "PENDING", ts_ms=NOW_MS - 1_000)
    assert check(world(fresh)) == ()


def test_an_order_in_doubt_needs_an_alert() -> None:
    rows = book()
    rows.order("i3", "NEW", "PENDING")
    cid = rows.order("i3", "TIMEOUT", "UNKNOWN")
    assert keys(world(rows)) == [f"silent:{cid}"]
    assert check(world(rows, alerts=(f"{cid} BUY 0.1: looked up",))) == ()


def test_an_order_given_up_that_lives_at_the_venue_is_seen() -> None:
    rows = book()
    rows.order("i3", "NEW", "PENDING")
    cid = rows.order("i3", "NOT_FOUND", "REJECTED")
    alive = VenueOrder("v3", cid, SYMBOL, Side.BUY, Decimal("0.1"), Decimal(0), False, live=True)
    assert keys(world(rows, venue=venue((*VENUE_ORDERS, alive)))) == [f"venue:{cid}"]


def test_an_order_that_ended_and_is_still_open_here_is_seen() -> None:
    rows = book()
    rows.order("i3", "NEW", "PENDING")
    cid = rows.order("i3", "ACK", "OPEN", venue_order_id="v3")
    gone = VenueOrder("v3", cid, SYMBOL, Side.BUY, Decimal("0.1"), Decimal(0), False, live=False)
    assert keys(world(rows, venue=venue((*VENUE_ORDERS, gone)))) == [f"venue:{cid}"]


def test_an_approved_intent_that_vanished_is_seen() -> None:
    lost = replace(ledger(), approvals=(Approval("d9", "s-never", NOW_MS - 60_000),))
    assert keys(world(ledger=lost)) == ["approval:d9"]
    fresh = replace(ledger(), approvals=(Approval("d9", "s-never", NOW_MS - 100),))
    assert check(world(ledger=fresh)) == ()
    done = replace(ledger(), approvals=(Approval("d1", "s-i1", NOW_MS - 60_000),))
    assert check(world(ledger=done)) == ()


# I6


def test_a_profit_that_replay_does_not_give_is_seen() -> None:
    rows = Book()
    opened(rows)
    cid = rows.order("i2", "NEW", "PENDING", side="SELL", quantity="0.05", role="CLOSE", reduce_only=True)
    rows.fill("t2", cid, "SELL", "51000", "0.05", "1.4025", "49")
    rows.order("i2", "FILL", "FILLED", side="SELL", quantity="0.05", filled="0.05", role="CLOSE", reduce_only=True)
    assert keys(world(rows)) == ["fill:t2"]


def test_cash_that_was_corrected_by_hand_is_seen() -> None:
    rows = book()
    rows.wallet("100045.8475", previous="100046")
    assert keys(world(rows)) == ["wallet:11"]


def test_cash_that_differs_is_seen() -> None:
    richer = replace(venue(), wallet=Decimal(100_046))
    assert broken(world(venue=richer)) == [Invariant.MONEY_ADDS_UP]


def test_cash_that_another_average_price_explains_is_no_difference() -> None:
    richer = replace(venue(), wallet=Decimal("100046.8475"))
    assert check(world(venue=replace(richer, averages={SYMBOL: Decimal(50_020)}))) == ()
    assert broken(world(venue=replace(richer, averages={SYMBOL: Decimal(50_000)}))) == [Invariant.MONEY_ADDS_UP]


def test_postgres_money_that_differs_or_does_not_balance_is_seen() -> None:
    poor = replace(ledger(), positions=(replace(ledger().positions[0], fees=Decimal(4)),))
    assert broken(world(ledger=poor)) == [Invariant.MONEY_ADDS_UP]
    assert keys(world(ledger=replace(ledger(), unbalanced=("fill:t1",)))) == ["unbalanced:fill:t1"]


# I7


def test_a_skipped_journal_write_is_seen() -> None:
    rows = book()
    del rows.rows[4]
    assert "chain:6" in keys(world(rows))


def test_a_flipped_bit_is_seen() -> None:
    rows = book()
    row = rows.rows[5]
    payload = bytes((row.payload[0] ^ 1,)) + row.payload[1:]
    rows.rows[5] = replace(row, payload=payload)
    found = check(world(rows), [Invariant.JOURNAL_WHOLE])
    assert [each.key for each in found] == ["chain:6", "unreadable:6"]


def test_after_a_snapshot_only_what_follows_is_judged() -> None:
    whole = book()
    last = whole.rows[-1]
    seal = sealed(last.term, last.seq, last.hash, last.ts_ms, b"{}")
    snapshot = StoredRow(last.seq, last.term, SNAPSHOT, seal, last.hash, last.ts_ms)
    rows = Book(1, [snapshot])
    rows.order("i3", "NEW", "PENDING")
    assert broken(world(rows)) == [Invariant.NONE_LOST]


# I8


def test_a_recovery_that_is_late_or_never_comes_is_seen() -> None:
    seen = world(recoveries=(Recovery("brain", 0.9, 1.5), Recovery("router", 3.0, 2.5), Recovery("nats", None, 2.0)))
    assert keys(seen) == ["late:router", "never:nats"]


def test_a_row_that_was_seen_and_is_gone_is_seen() -> None:
    rows = book()
    kept = tuple(Remembered(row.seq, row.hash) for row in rows.rows)
    assert check(world(rows, remembered=kept)) == ()
    assert keys(world(rows, remembered=(*kept, Remembered(99, b"x"))))[-1] == "forgotten:99"
    assert keys(world(rows, remembered=(Remembered(3, b"x"),))) == ["forgotten:3"]


# I9


def test_a_stale_leader_that_writes_is_seen() -> None:
    rows = book()
    rows.start(2)
    rows.term = 1
    rows.order("i3", "NEW", "PENDING")
    assert broken(world(rows, venue=None, ledger=None, live=None)) == [Invariant.NONE_LOST, Invariant.ONE_ROUTER]
    assert "row:12" in keys(world(rows))


def test_a_term_that_does_not_rise_is_seen() -> None:
    rows = book()
    rows.start(1)
    assert keys(world(rows)) == ["start:11"]


def test_two_routers_that_could_send_at_once_are_seen() -> None:
    one, two = Leader(1, 100, 5_000, "a"), Leader(2, 4_000, None, "b")
    assert keys(world(leaders=(one, two))) == ["leaders:1:2"]
    assert check(world(leaders=(replace(one, ended_ms=4_000), two))) == ()
    assert keys(world(leaders=(replace(one, ended_ms=None), two))) == ["leaders:1:2"]


# I10

LIMITS = (Limit("phases", 2, 60_000),)


def test_a_supervisor_that_gave_up_says_so_once_until_its_children_are_quiet() -> None:
    crashes = tuple(Restart("phases", "scavenger", at * 1_000) for at in range(1, 12))
    once = (Escalated("phases", 2_500),)
    assert check(world(limits=LIMITS, restarts=crashes, escalations=once)) == ()
    again = tuple(replace(each, at_ms=each.at_ms + 600_000) for each in crashes)
    assert broken(world(limits=LIMITS, restarts=crashes + again, escalations=once)) == [Invariant.LOOPS_STAY_ALONE]


def test_a_supervisor_that_forgets_its_intensity_is_seen() -> None:
    loop = tuple(Restart("phases", "scavenger", at) for at in (1_000, 2_000, 3_000))
    assert broken(world(limits=LIMITS, restarts=loop)) == [Invariant.LOOPS_STAY_ALONE]
    assert check(world(limits=LIMITS, restarts=loop[:2])) == ()
    slow = tuple(replace(each, at_ms=each.at_ms * 60) for each in loop)
    assert check(world(limits=LIMITS, restarts=slow)) == ()


def test_a_supervisor_that_gave_up_in_between_may_try_again() -> None:
    loop = tuple(Restart("phases", "scavenger", at) for at in (1_000, 2_000, 30_000))
    assert check(world(limits=LIMITS, restarts=loop, escalations=(Escalated("phases", 2_500),))) == ()
    assert broken(world(limits=LIMITS, restarts=loop, escalations=(Escalated("money", 2_500),))) != []


def test_a_neighbour_that_a_looping_child_takes_with_it_is_seen() -> None:
    loop = Child("phases", "scavenger", ready=False, looping=True)
    fine = Child("money", "router", ready=True)
    assert check(world(children=(loop, fine))) == ()
    assert keys(world(children=(loop, replace(fine, ready=False)))) == ["dragged:router"]


# readings


def test_only_what_is_off_in_two_readings_persists() -> None:
    off = check(world(venue=venue(position="0.06")))
    other = check(world(venue=venue(position="0.07")))
    assert persisting(off, off) == off
    assert persisting(off, other) == ()
