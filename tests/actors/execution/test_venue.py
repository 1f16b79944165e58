"""Reading the venue's side while it trades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from actors.execution import venue as module
from actors.execution.venue import read_venue
from tests.actors.execution.builders import PERP, fill, order
from tests.actors.execution.world import OPENING, FakeVenue
from titan.errors import Transient
from titan.model import OrderRole, OrderState, Side
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder, VenueWallet

UNTIL_MS = 3_000_000_000_000


class TradingVenue(FakeVenue):
    """Trades once more during each of the first `trades` readings of the wallet."""

    def __init__(self, trades: int) -> None:
        super().__init__()
        self.left = trades

    async def wallet(self) -> VenueWallet:
        told = await super().wallet()
        if self.left:
            self.left -= 1
            self.trade(fill(200 - self.left, Side.BUY, "1", "100"), Decimal(-1))
        return told


async def test_positions_and_wallet_belong_to_the_listed_fills() -> None:
    source = TradingVenue(trades=3)
    seen = await read_venue(source, "bybit", "main", 1, UNTIL_MS)
    assert len(seen.fills) == 3
    assert seen.positions == {PERP: Decimal(3)}
    assert seen.money == {"USDT": OPENING - 3}


async def test_an_account_that_never_stands_still_can_not_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READINGS", 4)
    with pytest.raises(Transient, match="the account traded during each of 4 readings"):
        await read_venue(TradingVenue(trades=99), "bybit", "main", 1, UNTIL_MS)


async def test_an_order_that_moved_between_two_lists_is_taken_from_the_later_one() -> None:
    source = FakeVenue()
    source.take(order("a", OrderState.OPEN))
    ended = replace(source.orders["v-a"], state=OrderState.CANCELED)

    async def closed(since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        return [ended]

    source.closed_orders = closed  # type: ignore[method-assign]
    (only,) = (await read_venue(source, "bybit", "main", 1, UNTIL_MS)).orders
    assert only.state is OrderState.CANCELED


async def test_funding_is_no_fill_and_protection_is_the_venues_own() -> None:
    source = FakeVenue()
    source.trade(fill(1), Decimal(0))
    source.done.append(replace(source.done[0], venue_trade_id="f", kind=ExecutionKind.FUNDING))
    source.take(order("a"))
    source.orders["v-a"] = replace(source.orders["v-a"], client_order_id="", role=OrderRole.STOP)
    seen = await read_venue(source, "bybit", "main", 1, UNTIL_MS)
    assert [one.fill_id for one in seen.fills] == ["bybit:main:t1"]
    assert [one.venue_made for one in seen.orders] == [True]


async def test_only_what_is_new_is_read_again() -> None:
    asked: list[int] = []

    class Counting(FakeVenue):
        async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
            asked.append(since_ms)
            return await super().executions(since_ms, until_ms)

    source = Counting()
    source.trade(fill(1, ts_ms=5000), Decimal(0))
    await read_venue(source, "bybit", "main", 7, 9000)
    assert asked == [7, 5000, 5000]
