"""The Bybit adapter against the real paper venue: unmodified ccxt, only its URLs replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.processes import Process
from titan.errors import Ambiguous, Rejected, Transient
from titan.ids import ClientOrderId, client_order_id, new_ulid
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.runtime import VenueAddress
from titan.venues.base import ExecutionKind
from titan.venues.bybit import BybitVenue, make_venue

ROOT = Path(__file__).resolve().parents[3]
BTC = "BTC/USDT:USDT"
D = Decimal
FAR_MS = 4_000_000_000_000


@contextlib.asynccontextmanager
async def paper(home: Path) -> AsyncIterator[tuple[BybitVenue, asyncio.subprocess.Process]]:
    child = await Process.start(
        "titan.paper", "--feed", "synthetic:11", "--speed", "20", "--home", str(home), "--symbols", BTC
    )
    keys = json.loads((home / "run" / "paper_credentials.json").read_text())
    venue = make_venue(
        VenueAddress(
            name="bybit",
            rest_url=f"http://127.0.0.1:{child.ready['port']}",
            ws_url=f"ws://127.0.0.1:{child.ready['port']}",
            paper=True,
            **keys,
        )
    )
    try:
        await venue.load_instruments()
        yield venue, child.process
    finally:
        await venue.close()
        await child.stop()


def order(side: Side = Side.BUY, quantity: str = "0.01", **overrides: object) -> Order:
    made = Order(
        client_order_id=ClientOrderId(client_order_id(new_ulid(), 0)),
        intent_id="i",
        signal_id="s",
        child=0,
        role=OrderRole.ENTRY,
        phase=None,
        venue="bybit",
        account="main",
        symbol=BTC,
        side=side,
        order_type=OrderType.MARKET,
        quantity=D(quantity),
        price=None,
        trigger_price=None,
        stop_price=None,
        target_price=None,
        reduce_only=False,
    )
    return replace(made, **overrides)  # type: ignore[arg-type]  # each test names fields of an order


async def mark(venue: BybitVenue) -> Decimal:
    ticker = await venue._exchange.public_get_v5_market_tickers({"category": "linear", "symbol": "BTCUSDT"})
    return D(ticker["result"]["list"][0]["markPrice"])


async def test_the_life_of_orders_over_rest(tmp_path: Path) -> None:
    async with paper(tmp_path) as (venue, _):
        instruments = await venue.load_instruments()
        assert {one.symbol for one in instruments} == {BTC}
        assert (instruments[0].tick, instruments[0].venue_symbol) == (D("0.1"), "BTCUSDT")
        await venue.set_leverage(BTC, D(5))
        await venue.set_leverage(BTC, D(5))
        assert await venue.positions() == []
        before = await venue.wallet()

        # An entry with its protection in one request.
        price = await mark(venue)
        entry = order(stop_price=(price * D("0.9")).quantize(D(1)), target_price=(price * D("1.1")).quantize(D(1)))
        ack = await venue.submit(entry)
        assert ack.client_order_id == entry.client_order_id
        found = await venue.find_order(BTC, entry.client_order_id)
        assert found is not None
        assert (found.state, found.filled, found.venue_order_id) == (OrderState.FILLED, D("0.01"), ack.venue_order_id)
        protection = {each.role: each for each in await venue.open_orders()}
        assert set(protection) == {OrderRole.STOP, OrderRole.TARGET}
        assert protection[OrderRole.STOP].parent_client_order_id == entry.client_order_id
        assert protection[OrderRole.STOP].trigger_price == entry.stop_price
        assert protection[OrderRole.STOP].reduce_only
        stop = protection[OrderRole.STOP]
        assert await venue.find_order(BTC, "", stop.venue_order_id) == stop
        held = await venue.positions()
        assert [(each.symbol, each.quantity, each.stop_price) for each in held] == [(BTC, D("0.01"), entry.stop_price)]

        # The same client id again is a question, not an answer; a wish the venue cannot grant is a no.
        with pytest.raises(Rejected, match="lists no ETH"):
            await venue.submit(order(symbol="ETH/USDT:USDT"))
        with pytest.raises(Rejected, match="11"):
            await venue.submit(order(Side.BUY, "0.02", reduce_only=True))

        # A resting order: seen open, cancelled, seen cancelled, and then unknown to a second cancel.
        rest = order(order_type=OrderType.LIMIT, price=(price * D("0.8")).quantize(D(1)))
        await venue.submit(rest)
        with pytest.raises(Ambiguous):
            await venue.submit(rest)
        resting = await venue.find_order(BTC, rest.client_order_id)
        assert resting is not None
        assert resting.state is OrderState.OPEN
        assert resting.price == rest.price
        await venue.cancel(BTC, rest.client_order_id, "")
        ended = await venue.find_order(BTC, rest.client_order_id)
        assert ended is not None
        assert (ended.state, ended.detail) == (OrderState.CANCELED, "CancelByUser, EC_PerCancelRequest")
        with pytest.raises(Rejected, match="110001"):
            await venue.cancel(BTC, rest.client_order_id, "")
        assert await venue.find_order(BTC, "tt-never-sent") is None

        # Out again: everything is on the pages, oldest first, each once.
        out = order(Side.SELL, reduce_only=True, role=OrderRole.CLOSE)
        await venue.submit(out)
        assert await venue.positions() == []
        trades = [each for each in await venue.executions(0, FAR_MS) if each.kind is ExecutionKind.TRADE]
        assert [each.client_order_id for each in trades] == [entry.client_order_id, out.client_order_id]
        assert len({each.venue_trade_id for each in trades}) == 2
        closed = await venue.closed_orders(0, FAR_MS)
        assert {each.client_order_id for each in closed} >= {rest.client_order_id, out.client_order_id}
        assert [each.created_ms for each in closed] == sorted(each.created_ms for each in closed)
        since = trades[1].ts_ms
        assert [each.venue_trade_id for each in await venue.executions(since, since + 1)][-1:] == [
            trades[1].venue_trade_id
        ]
        paid = sum((each.fee for each in trades), D(0))
        gained = (trades[1].price - trades[0].price) * D("0.01")
        assert (await venue.wallet()).wallet == before.wallet + gained - paid


async def test_pages_have_no_gap_and_no_copy(tmp_path: Path) -> None:
    async with paper(tmp_path) as (venue, _):
        sent: list[str] = []
        for number in range(56):
            made = order(Side.BUY if number % 2 == 0 else Side.SELL, "0.001")
            await venue.submit(made)
            sent.append(made.client_order_id)
        closed = await venue.closed_orders(0, FAR_MS)
        assert [each.client_order_id for each in closed] == sent
        done = await venue.executions(0, FAR_MS)
        assert [each.client_order_id for each in done] == sent
        middle = done[28].ts_ms
        tail = [each.venue_trade_id for each in done if each.ts_ms >= middle]
        assert [each.venue_trade_id for each in await venue.executions(middle, done[-1].ts_ms)] == tail


async def test_the_private_stream_tells_orders_and_executions_and_breaks_loudly(tmp_path: Path) -> None:
    async with paper(tmp_path) as (venue, process):
        await venue.open_stream()
        orders = asyncio.create_task(venue.watch_orders())
        fills = asyncio.create_task(venue.watch_executions())
        sent: list[str] = []
        # A subscription has no answer to wait for: orders are sent until the stream speaks of one.
        while not (orders.done() and fills.done()):
            assert len(sent) < 20, "the private stream says nothing"
            made = order()
            await venue.submit(made)
            sent.append(made.client_order_id)
            await asyncio.wait({orders, fills}, timeout=0.4, return_when=asyncio.ALL_COMPLETED)
        seen, done = orders.result(), fills.result()
        assert {each.client_order_id for each in seen if each.client_order_id} <= set(sent)
        assert {each.client_order_id for each in done} <= set(sent)
        assert {each.quantity for each in done} == {D("0.01")}
        waiting = asyncio.create_task(venue.watch_executions())
        await asyncio.sleep(0)
        process.kill()
        with pytest.raises(Transient):
            await asyncio.wait_for(waiting, 10)
        with pytest.raises(Transient):
            await venue.open_stream()
        with pytest.raises(Transient, match="can't be reached"):
            await venue.submit(order())
        with pytest.raises(Transient):
            await venue.load_instruments() and await venue.wallet()
