"""The Scavenger as a plain process on a real bus: history in, trades in, a signed signal out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from actors.scavenger.translate import columns
from protos import brain_pb2, market_pb2, phase_pb2, trading_pb2
from tests.actors.scavenger.tape import range_bars
from tests.processes import running_actor
from titan import subjects
from titan.bus import Bus, Received, open_bus
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.testing import runtime_for_tests

ROOT = Path(__file__).resolve().parents[3]
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
def runtime(nats_server: Addresses, tmp_path: Path) -> Runtime:
    return runtime_for_tests(
        tmp_path,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
        symbols=(SYMBOL,),
    )


@pytest.fixture
async def bus(runtime: Runtime) -> AsyncIterator[Bus]:
    """The rest of Titan: serves hourly bars that range from 90 to 110."""
    async with open_bus(runtime, "market_data") as bus:

        async def candles(received: Received[market_pb2.CandlesRequest]) -> market_pb2.CandlesReply:
            if received.message.interval_s != 3600:
                return market_pb2.CandlesReply()
            rows = [
                market_pb2.Candle(
                    venue="bybit",
                    symbol=SYMBOL,
                    interval_s=3600,
                    open_ts_ms=bar.open_ts_ms,
                    open=str(bar.open),
                    high=str(bar.high),
                    low=str(bar.low),
                    close=str(bar.close),
                    volume=str(bar.volume),
                    closed=True,
                )
                for bar in range_bars()
            ]
            return market_pb2.CandlesReply(candles=rows)

        await bus.serve(subjects.RPC_CANDLES, market_pb2.CandlesRequest, candles)
        yield bus


@pytest.fixture
async def scavenger(runtime: Runtime, bus: Bus) -> AsyncIterator[asyncio.subprocess.Process]:
    async with running_actor("actors.scavenger.actor:Scavenger", runtime.home) as process:
        yield process


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def budget() -> brain_pb2.Budget:
    return brain_pb2.Budget(
        phase=trading_pb2.PHASE_SCAVENGER,
        budget_id="b1",
        expires_at_ms=wall_ms() + 60_000,
        state=brain_pb2.BUDGET_STATE_ACTIVE,
        max_notional_usd="10000",
        max_leverage=5,
    )


def trades(ts_ms: list[int], price: int) -> market_pb2.TradeBatch:
    count = len(ts_ms)
    return market_pb2.TradeBatch(
        venue="bybit",
        symbol=SYMBOL,
        price_scale=1,
        qty_scale=3,
        ts_ms=ts_ms,
        price=[price] * count,
        qty=[1000] * count,
        side=[market_pb2.TAKER_SIDE_BUY] * count,
        trade_id=[str(place) for place in range(count)],
    )


async def health(runtime: Runtime) -> dict[str, dict[str, dict[str, str]]]:
    url = f"http://127.0.0.1:{runtime.ports['scavenger_http']}/health"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        found: dict[str, dict[str, dict[str, str]]] = await answer.json()
        return found


async def until_warm(runtime: Runtime, bus: Bus) -> None:
    """Budgets are not stored, so one is sent until the phase has it."""
    async with asyncio.timeout(20):
        while True:
            await bus.publish(subjects.BUDGET, budget())
            parts = (await health(runtime))["components"]
            if parts["budget"]["status"] == "healthy" and "LIQUIDATION needs" not in parts["warmth"]["detail"]:
                return
            await asyncio.sleep(0.05)


async def test_a_burst_at_a_trap_becomes_a_signed_signal_on_the_bus(
    runtime: Runtime, bus: Bus, scavenger: asyncio.subprocess.Process
) -> None:
    inbox: asyncio.Queue[Received[trading_pb2.Signal]] = asyncio.Queue()
    await bus.subscribe(subjects.SIGNAL_SUBMIT, trading_pb2.Signal, inbox.put)
    await until_warm(runtime, bus)
    now = wall_ms()
    subject = subjects.trades("bybit", SYMBOL)
    await bus.publish(subject, trades([now + place * 2 for place in range(60)], 1100))
    # No further trade: the confirmation comes from the market timer.
    received = await asyncio.wait_for(inbox.get(), 10)
    signal = received.message
    assert received.envelope.producer == "scavenger"
    assert received.envelope.idempotency_key == signal.signal_id
    assert signal.trap_type == "BREAKOUT"
    assert signal.side == trading_pb2.SIDE_BUY
    assert signal.requested_size_usd == "1833.33"
    assert signal.stop_price == "108.9"
    assert 0 < signal.t_wall_ns <= time.time_ns()


async def test_posture_and_health_say_what_is_missing(
    runtime: Runtime, bus: Bus, scavenger: asyncio.subprocess.Process
) -> None:
    inbox: asyncio.Queue[Received[phase_pb2.PhasePosture]] = asyncio.Queue()
    await bus.subscribe(subjects.posture("scavenger"), phase_pb2.PhasePosture, inbox.put)
    parts = (await health(runtime))["components"]
    assert parts["budget"]["detail"] == "no usable budget: nothing is opened"
    posture = (await asyncio.wait_for(inbox.get(), 15)).message
    assert posture.phase == trading_pb2.PHASE_SCAVENGER
    assert posture.status == phase_pb2.PHASE_STATUS_PAUSED
    assert int(posture.metrics["activeTraps"]) > 0


async def test_a_message_that_makes_no_sense_is_put_aside_and_the_phase_goes_on(
    runtime: Runtime, bus: Bus, scavenger: asyncio.subprocess.Process
) -> None:
    letters: asyncio.Queue[bytes] = asyncio.Queue()

    async def put(_: str, data: bytes, __: str) -> None:
        await letters.put(data)

    await bus.subscribe_raw(subjects.dead_letter("scavenger"), put)
    broken = trades([wall_ms()], 1100)
    broken.price.append(1)
    await bus.publish(subjects.trades("bybit", SYMBOL), broken)
    letter = await asyncio.wait_for(letters.get(), 10)
    assert b"differ in length" in letter
    await until_warm(runtime, bus)
    assert scavenger.returncode is None


def test_columns_are_scaled_exactly() -> None:
    read = columns(trades([1, 2], 1234))
    assert read.price.tolist() == [123.4, 123.4]
    assert read.qty.tolist() == [1.0, 1.0]
    assert read.buy.tolist() == [True, True]
