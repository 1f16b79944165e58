"""Which trades an open stream owes."""

from __future__ import annotations

from decimal import Decimal

from titan.model import Side
from titan.venues.base import ExecutionKind, VenueExecution
from titan.venues.stream import STALL_S, StallWatch


def execution(trade: str, ts_ms: int, kind: ExecutionKind = ExecutionKind.TRADE) -> VenueExecution:
    one = Decimal(1)
    return VenueExecution(trade, "v", "c", kind, "s", Side.BUY, one, one, one, "USDT", False, ts_ms)


def test_a_trade_that_the_stream_never_tells_breaks_it_after_a_while() -> None:
    watch = StallWatch()
    watch.shown([execution("old", 5)], 0.0)
    watch.opened()
    assert watch.shown([execution("old", 5), execution("new", 6)], 1.0) == ""
    assert watch.shown([execution("new", 6)], 1.0 + STALL_S) == ""
    assert "new" in watch.shown([], 1.1 + STALL_S)


def test_a_trade_that_was_told_is_not_owed_whoever_was_first() -> None:
    watch = StallWatch()
    watch.opened()
    watch.told("a", 5)
    watch.shown([execution("a", 5), execution("b", 6)], 1.0)
    watch.told("b", 6)
    assert watch.shown([execution("a", 5), execution("b", 6)], 100.0) == ""


def test_what_happened_before_the_stream_opened_is_not_owed() -> None:
    watch = StallWatch()
    assert watch.shown([execution("a", 5)], 0.0) == ""
    watch.opened()
    watch.shown([execution("a", 5)], 1.0)
    assert watch.shown([execution("a", 5)], 100.0) == ""


def test_funding_is_never_owed() -> None:
    watch = StallWatch()
    watch.opened()
    watch.shown([execution("f", 5, ExecutionKind.FUNDING)], 1.0)
    assert watch.shown([], 100.0) == ""


def test_a_new_stream_owes_nothing_of_the_old_one() -> None:
    watch = StallWatch()
    watch.opened()
    watch.shown([execution("a", 5)], 1.0)
    watch.opened()
    assert watch.shown([], 100.0) == ""
