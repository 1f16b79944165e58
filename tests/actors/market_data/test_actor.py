"""Market data as a plain process between the real paper venue and a real bus."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from protos import market_pb2 as pb
from tests.processes import running_actor
from tests.titan.paper.process import RunningVenue, start
from titan import subjects
from titan.bus import Bus, Received, open_bus
from titan.cache import Cache
from titan.runtime import Runtime, VenueAddress
from titan.servers import Addresses
from titan.testing import runtime_for_tests

ROOT = Path(__file__).resolve().parents[3]
SYMBOL = "BTC/USDT:USDT"
SPEED = 30.0


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[RunningVenue]:
    running = start(tmp_path, "--speed", str(SPEED), "--symbols", SYMBOL)
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGCONT)
        running.stop(signal.SIGKILL)


@pytest.fixture
def runtime(nats_server: Addresses, redis_server: Addresses, tmp_path: Path, venue: RunningVenue) -> Runtime:
    address = VenueAddress(
        name="bybit", rest_url=f"http://127.0.0.1:{venue.port}", ws_url=f"ws://127.0.0.1:{venue.port}", paper=True
    )
    return runtime_for_tests(
        tmp_path,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
        redis_url=redis_server.redis_url,
        symbols=(SYMBOL,),
        speed=SPEED,
        venues=(address,),
    )


@pytest.fixture
async def bus(runtime: Runtime) -> AsyncIterator[Bus]:
    async with open_bus(runtime, "scavenger") as bus:
        yield bus


@pytest.fixture
async def market_data(runtime: Runtime, bus: Bus) -> AsyncIterator[asyncio.subprocess.Process]:
    async with running_actor("actors.market_data.actor:MarketData", runtime.home) as process:
        yield process


async def link(statuses: asyncio.Queue[Received[pb.VenueStatus]], state: pb.VenueLinkState.ValueType) -> pb.VenueStatus:
    async with asyncio.timeout(30):
        while True:
            status = (await statuses.get()).message
            if status.state == state:
                return status


async def test_trades_tickers_books_and_bars_of_the_venue_reach_the_bus_and_the_cache(
    runtime: Runtime, bus: Bus, market_data: asyncio.subprocess.Process
) -> None:
    batches: asyncio.Queue[Received[pb.TradeBatch]] = asyncio.Queue()
    tickers: asyncio.Queue[Received[pb.Ticker]] = asyncio.Queue()
    books: asyncio.Queue[Received[pb.Book]] = asyncio.Queue()
    bars: asyncio.Queue[Received[pb.Candle]] = asyncio.Queue()
    await bus.subscribe(subjects.trades("bybit", SYMBOL), pb.TradeBatch, batches.put)
    await bus.subscribe(subjects.ticker("bybit", SYMBOL), pb.Ticker, tickers.put)
    await bus.subscribe(subjects.book("bybit", SYMBOL), pb.Book, books.put)
    await bus.subscribe(subjects.candle("bybit", SYMBOL), pb.Candle, bars.put)
    async with asyncio.timeout(30):
        first, second = (await batches.get()).message, (await batches.get()).message
        ticker, book, bar = (await tickers.get()).message, (await books.get()).message, (await bars.get()).message
    assert first.ts_ms[-1] <= second.ts_ms[0]
    assert set(first.trade_id).isdisjoint(second.trade_id)
    price = first.price[-1] / 10**first.price_scale
    assert float(ticker.bid) < float(ticker.ask)
    assert abs(float(ticker.last) / price - 1) < 0.05
    assert len(book.bids) == len(book.asks) == 10
    assert bar.closed
    reply = await asyncio.wait_for(loaded(bus), 20)
    assert reply.candles[-1].open_ts_ms + 60_000 <= ticker.ts_ms + 120_000
    assert len(reply.candles) == 200
    cache = Cache(runtime.redis_url)
    async with asyncio.timeout(20):
        while SYMBOL not in (await cache.last_prices() or {}):
            await asyncio.sleep(0.05)
    await cache.close()


async def loaded(bus: Bus) -> pb.CandlesReply:
    """The store's answer once it has been filled."""
    request = pb.CandlesRequest(symbol=SYMBOL, interval_s=60, limit=200)
    while True:
        reply = await bus.request(subjects.RPC_CANDLES, request, pb.CandlesReply)
        if not reply.error:
            return reply
        await asyncio.sleep(0.05)


async def test_a_venue_that_hangs_with_its_sockets_open_is_noticed_and_taken_up_again(
    runtime: Runtime, bus: Bus, venue: RunningVenue, market_data: asyncio.subprocess.Process
) -> None:
    statuses: asyncio.Queue[Received[pb.VenueStatus]] = asyncio.Queue()
    await bus.subscribe(subjects.VENUE_STATUS, pb.VenueStatus, statuses.put)
    await link(statuses, pb.VENUE_LINK_STATE_CONNECTED)
    venue.process.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(30):
        while (await statuses.get()).message.state == pb.VENUE_LINK_STATE_CONNECTED:
            pass
    venue.process.send_signal(signal.SIGCONT)
    status = await link(statuses, pb.VENUE_LINK_STATE_CONNECTED)
    assert status.reconnects_15m >= 1
    batches: asyncio.Queue[Received[pb.TradeBatch]] = asyncio.Queue()
    await bus.subscribe(subjects.trades("bybit", SYMBOL), pb.TradeBatch, batches.put)
    assert (await asyncio.wait_for(batches.get(), 20)).message.ts_ms
    assert market_data.returncode is None


async def test_a_venue_that_is_gone_degrades_and_does_not_kill(
    runtime: Runtime, bus: Bus, venue: RunningVenue, market_data: asyncio.subprocess.Process
) -> None:
    statuses: asyncio.Queue[Received[pb.VenueStatus]] = asyncio.Queue()
    await bus.subscribe(subjects.VENUE_STATUS, pb.VenueStatus, statuses.put)
    await link(statuses, pb.VENUE_LINK_STATE_CONNECTED)
    venue.stop(signal.SIGKILL)
    await link(statuses, pb.VENUE_LINK_STATE_DISCONNECTED)
    url = f"http://127.0.0.1:{runtime.ports['market_data_http']}/health"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        body = await answer.json()
    assert answer.status == 200
    assert body["components"]["venue"]["status"] == "degraded"
    assert market_data.returncode is None
