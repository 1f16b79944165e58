"""Cards C44 to C50: the private stream is a hint; whatever it does, REST tells the truth."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from tests.conformance.bench import FAR_MS, Bench, heard, order, soon
from tests.conformance.cards import card
from tests.waiting import until
from titan.errors import Transient
from titan.model import OrderState
from titan.paper.protocol.auth import Credentials
from titan.venues import stream
from titan.venues.base import VenueExecution

D = Decimal
STREAM = "Stream"


async def listening(b: Bench) -> None:
    """Opens the stream and waits until both channels speak: subscriptions of some venues have no answer."""
    await b.venue.open_stream()
    watching = [asyncio.ensure_future(b.venue.watch_orders()), asyncio.ensure_future(b.venue.watch_executions())]
    for _ in range(30):
        await b.venue.submit(order(quantity="0.05"))
        await asyncio.wait(watching, timeout=0.3)
        if all(one.done() for one in watching):
            break
    await soon(asyncio.gather(*watching))


@card("C44", STREAM, "The stream tells orders and fills, and names them as REST does")
async def stream_tells(b: Bench) -> None:
    await listening(b)
    sent = order()
    telling = asyncio.gather(
        heard(b.venue.watch_executions, lambda one: one.client_order_id == sent.client_order_id),
        heard(b.venue.watch_orders, lambda one: one.filled == D("0.1")),
    )
    await asyncio.sleep(0)
    ack = await b.venue.submit(sent)
    done, seen = await telling
    assert (done.venue_order_id, done.price, done.quantity) == (ack.venue_order_id, D(101), D("0.1"))
    assert (seen.client_order_id, seen.state) == (sent.client_order_id, OrderState.FILLED)
    last = (await b.venue.executions(0, FAR_MS))[-1]
    assert (done.venue_trade_id, done.fee, done.ts_ms) == (last.venue_trade_id, last.fee, last.ts_ms)


@card("C45", STREAM, "A stream that is closed ends every waiter with Transient; opened again, it tells again")
async def stream_reconnects(b: Bench) -> None:
    for code in (1000, 1006):
        await listening(b)
        waiting = [asyncio.ensure_future(b.venue.watch_orders()), asyncio.ensure_future(b.venue.watch_executions())]
        await b.fault("close", "private", code=code)
        for one in waiting:
            with pytest.raises(Transient):
                await soon(one)
        await b.calm()
    await listening(b)


@card("C46", STREAM, "A frame that never comes is no loss: REST shows the fill")
async def missing_frame(b: Bench) -> None:
    await listening(b)
    before = len(b.trades())
    await b.fault("missing", "fills", seconds=60)
    sent = order()
    await b.venue.submit(sent)
    done = await b.venue.executions(0, FAR_MS)
    assert len(done) == before + 1
    assert done[-1].client_order_id == sent.client_order_id


@card("C47", STREAM, "A stream that is open and silent while REST shows trades is declared broken")
async def silent_stall(b: Bench) -> None:
    await listening(b)
    await b.venue.executions(0, FAR_MS)
    await b.fault("stall", "private", seconds=60)
    waiting = asyncio.ensure_future(b.venue.watch_executions())
    await b.venue.submit(order())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "STALL_S", 0.2)

        async def broken() -> bool:
            await b.venue.executions(0, FAR_MS)
            return waiting.done()

        await until(broken, "the end of a silent stream")
    with pytest.raises(Transient, match="silent"):
        await waiting
    await b.calm()
    await listening(b)


@card("C48", STREAM, "A frame that comes twice or late carries the same trade id")
async def repeated_frames(b: Bench) -> None:
    await listening(b)
    await b.fault("duplicate", "fills", seconds=60)
    sent = order()
    await b.venue.submit(sent)
    own: list[VenueExecution] = []
    while not own:
        own += [one for one in await soon(b.venue.watch_executions()) if one.client_order_id == sent.client_order_id]
    assert {one.venue_trade_id for one in own} == {(await b.venue.executions(0, FAR_MS))[-1].venue_trade_id}


@card("C49", STREAM, "A wrong key opens no stream")
async def stream_with_a_wrong_key(b: Bench) -> None:
    other = await b.other(Credentials("card-key", "wrong") if b.name != "binance" else Credentials("wrong", "wrong"))
    with pytest.raises(Transient):
        await other.open_stream()
    with pytest.raises(Transient):
        await soon(other.watch_orders())


@card("C50", STREAM, "What happened while the stream was away is there by REST, and the order of it is the venue's")
async def while_away(b: Bench) -> None:
    await listening(b)
    waiting = asyncio.ensure_future(b.venue.watch_executions())
    await b.fault("close", "private", code=1006)
    with pytest.raises(Transient):
        await soon(waiting)
    sent = [order(), order()]
    for one in sent:
        await b.venue.submit(one)
    await b.venue.open_stream()
    done = await b.venue.executions(0, FAR_MS)
    assert [one.client_order_id for one in done[-2:]] == [one.client_order_id for one in sent]
