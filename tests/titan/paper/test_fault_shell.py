"""The fault switches at real sockets: what a ccxt client meets, and what the ledger holds afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import ccxt
import pytest

from tests.titan.paper.live import LiveVenue, first, subscribed
from tests.waiting import until
from titan.paper.faults import FaultKind

SYMBOL = "BTC/USDT:USDT"


async def admin(live: LiveVenue, method: str, path: str = "/faults", body: object = None) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{live.admin_port}{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as answer:
        return answer.status, await answer.json()


async def switch(live: LiveVenue, kind: FaultKind, **fields: object) -> Any:
    status, shown = await admin(live, "POST", body={"kind": kind.value, **fields})
    assert status == 201, shown
    return shown


async def buy(exchange: Any, link: str = "tt-1", price: float = 90) -> Any:
    return await exchange.create_order(SYMBOL, "limit", "buy", 0.1, price, {"orderLinkId": link})


def known(live: LiveVenue) -> list[str]:
    return [order.link_id for order in live.venue.core.open_orders.values()]


@pytest.fixture
async def trader(live: LiveVenue, exchange: Any) -> Any:
    await exchange.load_markets()
    return exchange


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.LOST_ANSWER])
async def test_an_answer_that_never_comes_before_or_after_the_order_stands(
    live: LiveVenue, trader: Any, kind: FaultKind
) -> None:
    await switch(live, kind, on="place", count=1, delay_ms=10)
    with pytest.raises(ccxt.NetworkError):
        await buy(trader)
    assert known(live) == (["tt-1"] if kind is FaultKind.LOST_ANSWER else [])
    await buy(trader, "tt-2")
    assert "tt-2" in known(live)


@pytest.mark.parametrize(
    ("kind", "fields", "error"),
    [
        (FaultKind.SERVER_ERROR, {"status": 502}, ccxt.ExchangeNotAvailable),
        (FaultKind.RATE_LIMIT, {"retry_after_s": 2}, ccxt.RateLimitExceeded),
        (FaultKind.REJECT, {}, ccxt.InsufficientFunds),
    ],
)
async def test_an_order_that_is_not_taken_is_not_there(
    live: LiveVenue, trader: Any, kind: FaultKind, fields: dict[str, object], error: type[Exception]
) -> None:
    await switch(live, kind, on="place", count=1, **fields)
    with pytest.raises(error):
        await buy(trader)
    assert known(live) == []


async def test_an_order_is_not_found_and_then_found(live: LiveVenue, trader: Any) -> None:
    made = await buy(trader)
    await switch(live, FaultKind.NOT_FOUND, count=1)
    request = {"category": "linear", "symbol": "BTCUSDT", "orderId": made["id"]}
    assert (await trader.private_get_v5_order_realtime(request))["result"]["list"] == []
    assert (await trader.private_get_v5_order_realtime(request))["result"]["list"][0]["orderLinkId"] == "tt-1"


async def test_a_clock_that_is_off_refuses_signatures(live: LiveVenue, trader: Any) -> None:
    for skew in (-5_000, 6_000):
        shown = await switch(live, FaultKind.CLOCK_SKEW, seconds=30, skew_ms=skew)
        with pytest.raises(ccxt.InvalidNonce):
            await trader.fetch_balance()
        assert (await admin(live, "DELETE", f"/faults/{shown['number']}"))[0] == 200
    await trader.fetch_balance()


async def test_maintenance_refuses_everything_and_closes_streams(live: LiveVenue, trader: Any) -> None:
    watching = asyncio.create_task(trader.watch_trades(SYMBOL))
    await subscribed(live, "publicTrade.BTCUSDT")
    await switch(live, FaultKind.MAINTENANCE, seconds=30)
    with pytest.raises(ccxt.NetworkError):
        await first(watching)
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await trader.fetch_time()
    with pytest.raises(ccxt.NetworkError):
        await first(trader.watch_ticker(SYMBOL))
    await admin(live, "DELETE")
    await trader.fetch_time()


async def test_a_fill_frame_that_comes_twice_or_never(live: LiveVenue, trader: Any) -> None:
    seen: list[str] = []

    async def watch() -> None:
        while True:
            seen.extend(each["id"] for each in await trader.watch_my_trades(SYMBOL))
            trader.myTrades = None

    watching = asyncio.create_task(watch())
    await subscribed(live, "execution", private=True)
    await switch(live, FaultKind.MISSING, on="fills", count=1)
    await buy(trader, "tt-1", 101)
    await switch(live, FaultKind.DUPLICATE, on="fills", count=1)
    await buy(trader, "tt-2", 101)
    await until(lambda: len(seen) >= 2)
    watching.cancel()
    assert len(set(seen)) == 1
    made = {each.exec_id: each.link_id for each in live.venue.ledger.executions(_all(), 10)}
    assert made[seen[0]] == "tt-2"


async def test_a_frame_is_overtaken_by_the_next(live: LiveVenue, trader: Any) -> None:
    got: list[str] = []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{live.port}/v5/public/linear") as socket,
    ):
        await socket.send_json({"op": "subscribe", "args": ["publicTrade.BTCUSDT", "tickers.BTCUSDT"]})
        await subscribed(live, "tickers.BTCUSDT")
        await switch(live, FaultKind.REORDER, on="trades", count=1)
        await switch(live, FaultKind.STALE, on="trades", count=1, skew_ms=-50_000)
        hub = live.venue.public
        hub.publish("publicTrade.BTCUSDT", b'{"topic":"publicTrade.BTCUSDT","ts":60000,"data":[{"T":60000}]}')
        hub.publish("tickers.BTCUSDT", b'{"topic":"tickers.BTCUSDT","type":"delta","ts":60001,"data":{"n":"second"}}')
        while len(got) < 2:
            message = await socket.receive_json()
            if message.get("ts") in (10_000, 60_001):
                got.append(f"{message['topic']} {message['ts']}")
    assert got == ["tickers.BTCUSDT 60001", "publicTrade.BTCUSDT 10000"]


async def test_a_stall_keeps_sockets_open_and_silent(live: LiveVenue) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{live.port}/v5/public/linear") as socket,
    ):
        await socket.send_json({"op": "subscribe", "args": ["tickers.BTCUSDT"]})
        await subscribed(live, "tickers.BTCUSDT")
        await switch(live, FaultKind.STALL, seconds=30)
        live.venue.public.publish("tickers.BTCUSDT", b'{"topic":"lost"}')
        await socket.send_json({"op": "subscribe", "args": ["publicTrade.BTCUSDT"]})
        await admin(live, "DELETE")
        live.venue.public.publish("tickers.BTCUSDT", b'{"topic":"kept"}')
        topics = []
        while "kept" not in topics:
            topics.append((await socket.receive_json()).get("topic"))
    assert "lost" not in topics
    assert not live.venue.public.wants("publicTrade.BTCUSDT")


@pytest.mark.parametrize("code", [1000, 1006])
async def test_a_stream_is_closed_with_a_code_or_without_a_word(live: LiveVenue, code: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{live.port}/v5/public/linear") as socket,
    ):
        await until(lambda: live.venue.public.connections)
        await switch(live, FaultKind.CLOSE, on="public", count=1, code=code)
        ended = await asyncio.wait_for(socket.receive(), 10)
        assert ended.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert code == (ended.data if ended.type is aiohttp.WSMsgType.CLOSE else socket.close_code)
    assert live.venue.private.connections == set()


async def test_a_storm_cuts_as_often_as_clients_come_back(live: LiveVenue) -> None:
    await switch(live, FaultKind.STORM, on="public", seconds=30, delay_ms=20)
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.ws_connect(f"http://127.0.0.1:{live.port}/v5/public/linear") as socket:
                await asyncio.wait_for(socket.receive(), 10)
                assert socket.closed


async def test_the_admin_port_lists_counts_refuses_and_clears(live: LiveVenue, trader: Any) -> None:
    await switch(live, FaultKind.REJECT, on="place", count=2)
    with pytest.raises(ccxt.InsufficientFunds):
        await buy(trader)
    _, shown = await admin(live, "GET")
    assert shown["faults"][0] | {"number": 0} == shown["faults"][0] | {"number": 0, "kind": "reject", "acted": 1}
    assert shown["injected"] == {"reject": 1}
    assert set(shown["kinds"]) == {kind.value for kind in FaultKind}
    assert await admin(live, "POST", body={"kind": "fire"}) == (400, {"error": shown_error("fire")})
    assert (await admin(live, "POST", body=[1]))[0] == 400
    assert (await admin(live, "DELETE", "/faults/99"))[0] == 404
    assert (await admin(live, "DELETE", "/faults/x"))[0] == 400
    assert await admin(live, "DELETE") == (200, {"cleared": 1})
    await buy(trader)


async def test_the_public_port_has_no_switches(live: LiveVenue) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{live.port}/faults", json={"kind": "drop", "count": 1}) as answer,
    ):
        assert answer.status == 404


def shown_error(kind: str) -> str:
    return f"unknown kind {kind!r}; known: {', '.join(each.value for each in FaultKind)}"


def _all() -> Any:
    from titan.paper.ledger import Filter

    return Filter()
