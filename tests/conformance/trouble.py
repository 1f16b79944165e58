"""Cards C20 to C35: lost answers, broken connections, throttling, clocks. What is in doubt is found, never sent again."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest

from tests.conformance.bench import BTC, FAR_MS, KEY, Bench, adapter, limit, order
from tests.conformance.cards import card
from titan.errors import Ambiguous, Rejected, Transient
from titan.model import OrderState, Side
from titan.venues.limits import Budget, RateLimiter

D = Decimal
DOUBT = "Doubt"
PRESSURE = "Pressure"
CLOCK = "Clock"


@card(
    "C20",
    DOUBT,
    "The answer to an order is lost after the venue took it: one order, found by its client id, not sent again",
)
async def timeout_after_accept(b: Bench) -> None:
    sent = order()
    await b.fault("lost_answer", "place")
    with pytest.raises(Ambiguous):
        await b.venue.submit(sent)
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert found.state is OrderState.FILLED
    assert len(b.orders(sent.client_order_id)) == 1
    assert [one.client_order_id for one in await b.venue.executions(0, FAR_MS)] == [sent.client_order_id]


@card("C21", DOUBT, "The connection breaks before the venue handled the order: a doubt that no look-up finds")
async def timeout_before_accept(b: Bench) -> None:
    sent = order()
    await b.fault("drop", "place")
    with pytest.raises(Ambiguous):
        await b.venue.submit(sent)
    assert await b.venue.find_order(BTC, sent.client_order_id) is None
    assert b.orders() == []


@card("C22", DOUBT, "The order reaches the venue after we gave up: first not found, then found")
async def accepted_late(b: Bench) -> None:
    sent = order()
    await b.fault("drop", "place")
    with pytest.raises(Ambiguous):
        await b.venue.submit(sent)
    assert await b.venue.find_order(BTC, sent.client_order_id) is None
    b.arrive(sent)
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert found.state is OrderState.FILLED
    assert len(b.orders(sent.client_order_id)) == 1


@card("C23", DOUBT, "A look-up that the venue answers with nothing is believed only as long as it lasts")
async def not_found_then_found(b: Bench) -> None:
    sent = order()
    await b.fault("lost_answer", "place")
    with pytest.raises(Ambiguous):
        await b.venue.submit(sent)
    await b.fault("not_found", "lookup", seconds=60)
    assert await b.venue.find_order(BTC, sent.client_order_id) is None
    await b.calm()
    assert await b.venue.find_order(BTC, sent.client_order_id) is not None
    assert len(b.orders(sent.client_order_id)) == 1


@card("C24", DOUBT, "The answer to a cancel is lost: a doubt, and the order is seen cancelled")
async def ambiguous_cancel(b: Bench) -> None:
    sent = limit("80")
    ack = await b.venue.submit(sent)
    await b.fault("lost_answer", "cancel")
    with pytest.raises(Ambiguous):
        await b.venue.cancel(BTC, sent.client_order_id, ack.venue_order_id)
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert found.state is OrderState.CANCELED


@card("C25", DOUBT, "A cancel that never reached the venue is a doubt, and the order is seen open")
async def cancel_that_never_arrived(b: Bench) -> None:
    sent = limit("80")
    await b.venue.submit(sent)
    await b.fault("drop", "cancel")
    with pytest.raises(Ambiguous):
        await b.venue.cancel(BTC, sent.client_order_id, "")
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert found.state is OrderState.OPEN
    await b.venue.cancel(BTC, sent.client_order_id, "")


@card(
    "C26",
    DOUBT,
    "The answer to a change is lost: a doubt, and the order shows what it became",
    instead={"mexc": "refused, not offered"},
)
async def ambiguous_amend(b: Bench) -> None:
    sent = limit("80")
    await b.venue.submit(sent)
    if not b.venue.capabilities.amends:
        with pytest.raises(Rejected):
            await b.venue.amend(sent, price=D(81))
        return
    await b.fault("lost_answer", "cancel")
    with pytest.raises(Ambiguous):
        await b.venue.amend(sent, price=D(81))
    found = await b.venue.find_order(BTC, sent.client_order_id)
    assert found is not None
    assert found.price == D(81)
    assert len(b.orders(sent.client_order_id)) == 1


@card("C27", DOUBT, "HTTP 5xx is a doubt, whatever its body says")
async def server_error(b: Bench) -> None:
    for status in (500, 502, 503, 504):
        await b.fault("server_error", "place", status=status)
        with pytest.raises(Ambiguous):
            await b.venue.submit(order())
    assert b.orders() == []


@card("C28", DOUBT, "Maintenance is a doubt for orders; reading works again when it is over")
async def maintenance(b: Bench) -> None:
    await b.fault("maintenance", seconds=60)
    with pytest.raises(Ambiguous):
        await b.venue.submit(order())
    with pytest.raises((Ambiguous, Transient)):
        await b.venue.wallet()
    await b.calm()
    assert (await b.venue.wallet()).wallet == D(100_000)
    assert b.orders() == []


@card("C29", DOUBT, "A connection that is refused certainly did not happen: Transient")
async def connection_refused(b: Bench) -> None:
    other = adapter(b.name, "http://127.0.0.1:1", KEY)
    b.more.append(other)
    other._instruments = dict(b.venue._instruments)  # type: ignore[attr-defined]  # as an adapter that lost its venue
    other._sizes = dict(getattr(b.venue, "_sizes", {}))  # type: ignore[attr-defined]
    with pytest.raises(Transient):
        await other.submit(order())
    with pytest.raises(Transient):
        await other.open_stream()


@card("C30", PRESSURE, "After 429 nothing is sent before its Retry-After is over, not even a cancel")
async def retry_after(b: Bench) -> None:
    resting = limit("80")
    await b.venue.submit(resting)
    await b.fault("rate_limit", "place", retry_after_s=2)
    with pytest.raises(Transient) as refused:
        await b.venue.submit(limit("81"))
    assert refused.value.retry_after_s == 2
    began, before = time.monotonic(), b.paper.commands
    for attempt in (b.venue.submit(limit("82")), b.venue.cancel(BTC, resting.client_order_id, "")):
        with pytest.raises(Transient):
            await attempt
    assert b.paper.commands == before
    await b.venue.wallet()
    assert time.monotonic() - began > 1.5
    await b.venue.submit(limit("82"))
    assert len(b.orders()) == 2


@card("C31", PRESSURE, "When openings have used the budget up, cancels and reduce-only orders still go out at once")
async def room_for_what_lowers_risk(b: Bench) -> None:
    budgets = [Budget(one.name, one.capacity, 1e-6, one.reserve) for one in b.venue._profile.budgets]  # type: ignore[attr-defined]
    resting = limit("80")
    await b.venue.submit(resting)
    await b.venue.submit(order(quantity="0.3"))
    b.venue._limiter = RateLimiter(budgets, time.monotonic())  # type: ignore[attr-defined]  # a budget that never refills

    async def opens_until_refused() -> int:
        for sent in range(1_000):
            try:
                await b.venue.submit(limit("70"))
            except Transient:
                return sent
        raise AssertionError("the budget has no end")

    assert await opens_until_refused() > 0
    await b.venue.cancel(BTC, resting.client_order_id, "")
    await b.venue.submit(order(Side.SELL, "0.3", reduce_only=True))
    assert b.paper.core.account.positions["BTCUSDT"].size == 0


@card("C32", CLOCK, "A venue whose clock is 5 s ahead is signed for by its own time")
async def clock_ahead(b: Bench) -> None:
    await _skewed(b, 5_000)


@card("C33", CLOCK, "A venue whose clock is 5 s behind is signed for by its own time")
async def clock_behind(b: Bench) -> None:
    await _skewed(b, -5_000)


async def _skewed(b: Bench, skew_ms: int) -> None:
    await b.fault("clock_skew", skew_ms=skew_ms, seconds=60)
    other = await b.other()
    await other.load_instruments()
    await other.submit(order())
    await other.open_stream()
    assert len(b.trades()) == 1


@card("C34", CLOCK, "A clock that jumps during the run costs one refusal (Transient), never a doubt")
async def clock_jumps(b: Bench) -> None:
    for skew_ms in (20_000, -20_000):
        await b.calm()
        await b.fault("clock_skew", skew_ms=skew_ms, seconds=60)
        with pytest.raises(Transient):
            await b.venue.submit(limit("80"))
        await b.venue.submit(limit("80"))
    assert len(b.orders()) == 2


@card("C35", DOUBT, "Many answers are lost at once: every order is there once, under its client id")
async def storm_of_lost_answers(b: Bench) -> None:
    sent = [limit(f"{price}") for price in range(70, 80)]
    await b.fault("lost_answer", "place", count=5)
    results = await asyncio.gather(*(b.venue.submit(one) for one in sent), return_exceptions=True)
    assert sum(isinstance(one, Ambiguous) for one in results) == 5
    found = await asyncio.gather(*(b.venue.find_order(BTC, one.client_order_id) for one in sent))
    assert [one.client_order_id for one in found if one is not None] == [one.client_order_id for one in sent]
    assert len(b.orders()) == len(sent)
