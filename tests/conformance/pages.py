"""Cards C36 to C43: lists longer than a page, and the protection of entries."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conformance.bench import BTC, FAR_MS, PAGES, Bench, limit, order
from tests.conformance.cards import card
from tests.titan.paper.house import T0, trade
from titan.errors import Ambiguous, Rejected, Transient
from titan.model import OrderRole, OrderState, Side
from titan.venues import binance
from titan.venues.base import Protection

D = Decimal
PAGING = "Pages"
PROTECTION = "Protection"


@card("C36", PAGING, "Executions over page borders: none lost, none twice, oldest first")
async def pages_of_executions(b: Bench) -> None:
    b.flood(PAGES[b.name] + 7)
    booked = [(one.link_id, one.price, one.qty) for one in b.trades()]
    done = await b.venue.executions(0, FAR_MS)
    assert [(one.client_order_id, one.price, one.quantity) for one in done] == booked
    middle = done[len(done) // 2].ts_ms
    tail = await b.venue.executions(middle, done[-1].ts_ms)
    assert [one.venue_trade_id for one in tail] == [one.venue_trade_id for one in done if one.ts_ms >= middle]


@card("C37", PAGING, "More executions in one millisecond than a page holds: none lost", frozen=True)
async def equal_timestamps(b: Bench) -> None:
    b.flood(PAGES[b.name] + 7)
    booked = b.trades()
    moment = booked[0].time_ms
    assert {one.time_ms for one in booked} == {moment}
    done = await b.venue.executions(moment, moment + 1)
    assert len({one.venue_trade_id for one in done}) == len(done)
    assert sorted(one.client_order_id for one in done) == sorted(one.link_id for one in booked)


@card("C38", PAGING, "Open and finished orders over page borders: each once")
async def pages_of_orders(b: Bench) -> None:
    sent = [limit("50", quantity="0.1") for _ in range(105)]
    for one in sent:
        await b.venue.submit(one)
    names = sorted(one.client_order_id for one in sent)
    assert sorted(one.client_order_id for one in await b.venue.open_orders()) == names
    for one in sent:
        await b.venue.cancel(BTC, one.client_order_id, "")
    closed = await b.venue.closed_orders(T0, T0 + 3_600_000)
    assert sorted(one.client_order_id for one in closed) == names
    assert {one.state for one in closed} == {OrderState.CANCELED}


@card("C39", PROTECTION, "An entry's stop and target stand at the venue, name their entry, and show on the position")
async def protection_stands(b: Bench) -> None:
    entry = order(stop_price=D(90), target_price=D(120))
    await b.venue.submit(entry)
    waiting = {one.role: one for one in await b.venue.open_orders()}
    assert set(waiting) == {OrderRole.STOP, OrderRole.TARGET}
    for role, price in ((OrderRole.STOP, D(90)), (OrderRole.TARGET, D(120))):
        one = waiting[role]
        assert (one.trigger_price, one.quantity, one.side, one.reduce_only) == (price, D("0.1"), Side.SELL, True)
        # No journal knows a name for it: the auditor compares client ids.
        assert (one.parent_client_order_id, one.client_order_id) == (entry.client_order_id, "")
        found = await b.venue.find_order(BTC, one.client_order_id, one.venue_order_id)
        assert found is not None
        assert (found.venue_order_id, found.role) == (one.venue_order_id, role)
    assert [(one.stop_price, one.target_price) for one in await b.venue.positions()] == [(D(90), D(120))]


@card("C40", PROTECTION, "A stop that fires is one order: the id it waited under is the id it filled under")
async def stop_fires(b: Bench) -> None:
    await b.venue.submit(order(stop_price=D(90)))
    stop = next(one for one in await b.venue.open_orders() if one.role is OrderRole.STOP)
    b.feed(trade(89, 1, "sell", ts=T0 + 5_000))
    assert await b.venue.positions() == []
    done = await b.venue.executions(0, FAR_MS)
    assert [(one.role, one.venue_order_id) for one in done[1:]] == [(OrderRole.STOP, stop.venue_order_id)]
    # An adapter that knows nothing yet says the same.
    other = await b.other()
    await other.load_instruments()
    ended = await other.closed_orders(T0, T0 + 60_000)
    assert stop.venue_order_id in {one.venue_order_id for one in ended}
    again = await other.executions(T0, T0 + 60_000)
    assert [(one.role, one.venue_order_id) for one in again[1:]] == [(OrderRole.STOP, stop.venue_order_id)]


@card("C41", PROTECTION, "An entry that is refused leaves no protection behind")
async def refused_entry(b: Bench) -> None:
    with pytest.raises(Rejected):
        await b.venue.submit(order(quantity="0.0001", stop_price=D(90)))
    with pytest.raises(Rejected):
        await b.venue.submit(order(stop_price=D(150)))
    assert await b.venue.open_orders() == []
    assert await b.venue.positions() == []


@card(
    "C42",
    PROTECTION,
    "While an entry is in doubt its stop stands; where the stop goes first, a doubt about it keeps the entry at home",
)
async def protection_of_a_doubt(b: Bench) -> None:
    if b.venue.capabilities.protection is Protection.FIRST:
        await b.fault("lost_answer", "place")
        with pytest.raises(Transient):
            await b.venue.submit(order(stop_price=D(90)))
        assert b.trades() == []
        assert await b.venue.open_orders() == []
        place = b.venue._protect  # type: ignore[attr-defined]  # between the stop and the entry

        async def then_lose(*leg: object) -> None:
            await place(*leg)
            await b.fault("lost_answer", "place")

        b.venue._protect = then_lose  # type: ignore[attr-defined]
    else:
        await b.fault("lost_answer", "place")
    entry = order(stop_price=D(90))
    with pytest.raises(Ambiguous):
        await b.venue.submit(entry)
    assert len(b.orders(entry.client_order_id)) == 1
    assert [(one.quantity, one.stop_price) for one in await b.venue.positions()] == [(D("0.1"), D(90))]


@card("C43", PROTECTION, "Protection goes when its position is closed by hand")
async def protection_goes_with_its_position(b: Bench) -> None:
    await b.venue.submit(order(stop_price=D(90), target_price=D(120)))
    await b.venue.submit(order(Side.SELL, reduce_only=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binance, "ORPHAN_S", 0.0)
        await b.venue.open_orders()
    assert await b.venue.open_orders() == []
    assert b.paper.core.open_orders == {}
