"""Cards C51 to C60: orders of further types, and what a venue that does not take one says."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.conformance.bench import BTC, FAR_MS, Bench, limit, order
from tests.conformance.cards import card
from tests.titan.paper.house import T0, trade
from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.venues.base import Protection

D = Decimal
TYPES = "Order types"
NOT_BINANCE = {"binance": "refused, not offered"}


async def _refused(b: Bench, wanted: Order) -> bool:
    """Whether the venue does not take the type; then it says so by code, and nothing is sent."""
    if wanted.order_type in b.venue.capabilities.order_types:
        return False
    before = b.paper.commands
    with pytest.raises(Rejected) as refused:
        await b.venue.submit(wanted)
    assert refused.value.code == RejectCode.ORDER_TYPE_UNSUPPORTED
    assert b.paper.commands == before
    return True


async def _found(b: Bench, wanted: Order) -> tuple[OrderState, Decimal, OrderType, Decimal | None]:
    found = await b.venue.find_order(BTC, wanted.client_order_id)
    assert found is not None
    return found.state, found.filled, found.order_type, found.trigger_price


def _waiting(kind: OrderType, side: Side, trigger: str, **fields: Any) -> Order:
    return replace(order(side), order_type=kind, trigger_price=D(trigger), **fields)


@card("C51", TYPES, "A FOK order fills whole at once, or not at all")
async def fill_or_kill(b: Bench) -> None:
    more = limit("101", quantity="3", order_type=OrderType.FOK)
    await b.venue.submit(more)
    assert (await _found(b, more))[:3] == (OrderState.CANCELED, D(0), OrderType.FOK)
    less = limit("101", quantity="0.5", order_type=OrderType.FOK)
    await b.venue.submit(less)
    assert (await _found(b, less))[:2] == (OrderState.FILLED, D("0.5"))


@card("C52", TYPES, "A stop order waits for its price, is seen waiting with its trigger, and fires once")
async def stop_market(b: Bench) -> None:
    entry = _waiting(OrderType.STOP_MARKET, Side.BUY, "105")
    if await _refused(b, entry):
        return
    await b.venue.submit(entry)
    assert await _found(b, entry) == (OrderState.OPEN, D(0), OrderType.STOP_MARKET, D(105))
    assert [one.client_order_id for one in await b.venue.open_orders()] == [entry.client_order_id]
    b.feed(trade(105, 1, "buy", ts=T0 + 2000))
    assert (await _found(b, entry))[:2] == (OrderState.FILLED, D("0.1"))
    assert [one.client_order_id for one in await b.venue.executions(0, FAR_MS)] == [entry.client_order_id]


@card("C53", TYPES, "A stop-limit order rests at its price once its trigger was reached", instead=NOT_BINANCE)
async def stop_limit(b: Bench) -> None:
    entry = _waiting(OrderType.STOP_LIMIT, Side.BUY, "105", price=D(90))
    if await _refused(b, entry):
        return
    await b.venue.submit(entry)
    assert (await _found(b, entry))[:3] == (OrderState.OPEN, D(0), OrderType.STOP_LIMIT)
    b.feed(trade(105, 1, "buy", ts=T0 + 2000))
    assert (await _found(b, entry))[:2] == (OrderState.OPEN, D(0))
    b.feed(trade(89, 5, "sell", ts=T0 + 3000))
    assert (await _found(b, entry))[:2] == (OrderState.FILLED, D("0.1"))


@card("C54", TYPES, "A take-profit, market or limit, closes at its price and only closes")
async def take_profit(b: Bench) -> None:
    away = _waiting(OrderType.TAKE_PROFIT_MARKET, Side.SELL, "110", reduce_only=True)
    if await _refused(b, away):
        return
    await b.venue.submit(order(quantity="0.2"))
    rests = _waiting(OrderType.TAKE_PROFIT_LIMIT, Side.SELL, "110", price=D(90), reduce_only=True)
    taken = [each for each in (away, rests) if not await _refused(b, each)]
    for wanted in taken:
        await b.venue.submit(wanted)
        assert (await _found(b, wanted))[0] is OrderState.OPEN
    b.feed(trade(110, 1, "buy", ts=T0 + 2000))
    for wanted in taken:
        assert (await _found(b, wanted))[:2] == (OrderState.FILLED, D("0.1"))
    assert sum(one.quantity for one in await b.venue.positions()) == D("0.2") - D("0.1") * len(taken)


@card("C55", TYPES, "A waiting order is moved where the venue can, and is cancelled by its client id")
async def moved_trigger(b: Bench) -> None:
    await b.venue.submit(order(quantity="0.2"))
    stop = _waiting(OrderType.STOP_MARKET, Side.SELL, "80", quantity=D("0.2"), reduce_only=True)
    if await _refused(b, stop):
        return
    await b.venue.submit(stop)
    if "trigger_price" in b.venue.capabilities.amends_waiting:
        await b.venue.amend(stop, trigger_price=D(85), quantity=D("0.1"))
        found = await b.venue.find_order(BTC, stop.client_order_id)
        assert found is not None
        assert (found.trigger_price, found.quantity) == (D(85), D("0.1"))
    else:
        with pytest.raises(Rejected):
            await b.venue.amend(stop, trigger_price=D(85))
    await b.venue.cancel(BTC, stop.client_order_id, "")
    assert (await _found(b, stop))[0] is OrderState.CANCELED


@card(
    "C56",
    TYPES,
    "The stop that came with an entry moves with a request of its own",
    instead={"binance": "refused: a new stop stands first", "mexc": "refused, not offered"},
)
async def moved_protection(b: Bench) -> None:
    await b.venue.submit(order(stop_price=D(90)))
    [stop] = [one for one in await b.venue.open_orders() if one.role is OrderRole.STOP]
    mine = order(
        Side.SELL, role=OrderRole.STOP, order_type=OrderType.STOP_MARKET, trigger_price=D(90), reduce_only=True
    )
    mine = replace(mine, venue_order_id=stop.venue_order_id)
    if "trigger_price" not in b.venue.capabilities.amends_waiting:
        with pytest.raises(Rejected):
            await b.venue.amend(mine, trigger_price=D(95))
        return
    assert b.venue.capabilities.protection is Protection.ATTACHED
    await b.venue.amend(mine, trigger_price=D(95))
    assert [one.stop_price for one in await b.venue.positions()] == [D(95)]


@card("C57", TYPES, "A type that no venue takes is refused with its code before anything is sent")
async def unknown_type(b: Bench) -> None:
    assert await _refused(b, _waiting(OrderType.TRAILING_STOP, Side.SELL, "90", reduce_only=True))


@card(
    "C58", TYPES, "The answer to a waiting order is lost: one order, found by its client id, by a new adapter as well"
)
async def lost_answer_of_a_waiting_order(b: Bench) -> None:
    sent = _waiting(OrderType.STOP_MARKET, Side.BUY, "105")
    await b.fault("lost_answer", "place")
    with pytest.raises(Ambiguous):
        await b.venue.submit(sent)
    assert [one.client_order_id for one in await b.venue.open_orders()] == [sent.client_order_id]
    anew = await b.other()
    await anew.load_instruments()
    anew.remember([sent])
    names = set()
    for venue in (b.venue, anew):
        found = await venue.find_order(BTC, sent.client_order_id)
        assert found is not None
        assert (found.state, found.trigger_price) == (OrderState.OPEN, D(105))
        names.add((found.client_order_id, found.venue_order_id))
    b.feed(trade(105, 1, "buy", ts=T0 + 2000))
    for venue in (b.venue, anew):
        [done] = await venue.executions(0, FAR_MS)
        assert done.client_order_id == sent.client_order_id
    assert len(b.orders()) == len(names) == 1


@card(
    "C59",
    TYPES,
    "Of waiting orders that are alike, one of them in doubt, each is found as itself, and what never came is not",
)
async def waiting_orders_alike(b: Bench) -> None:
    first, lost, never = (_waiting(OrderType.STOP_MARKET, Side.BUY, "105") for _ in range(3))
    ack = await b.venue.submit(first)
    await b.fault("lost_answer", "place")
    with pytest.raises(Ambiguous):
        await b.venue.submit(lost)
    found = await b.venue.find_order(BTC, lost.client_order_id)
    assert found is not None
    assert found.venue_order_id != ack.venue_order_id
    await b.fault("drop", "place")
    with pytest.raises(Ambiguous):
        await b.venue.submit(never)
    assert await b.venue.find_order(BTC, never.client_order_id) is None
    await b.venue.cancel(BTC, lost.client_order_id, "")
    [left] = await b.venue.open_orders()
    assert (left.client_order_id, left.venue_order_id) == (first.client_order_id, ack.venue_order_id)
    assert (await _found(b, lost))[0] is OrderState.CANCELED


@card("C60", TYPES, "What a waiting order became is cancelled under the id that it waited under", instead=NOT_BINANCE)
async def cancelled_after_its_trigger(b: Bench) -> None:
    entry = _waiting(OrderType.STOP_LIMIT, Side.BUY, "105", price=D(90))
    if await _refused(b, entry):
        return
    ack = await b.venue.submit(entry)
    b.feed(trade(105, 1, "buy", ts=T0 + 2000))
    [resting] = await b.venue.open_orders()
    assert (resting.client_order_id, resting.venue_order_id) == (entry.client_order_id, ack.venue_order_id)
    await b.venue.cancel(BTC, entry.client_order_id, ack.venue_order_id)
    assert (await _found(b, entry))[0] is OrderState.CANCELED
    assert await b.venue.open_orders() == []
