"""cancel-under-flood: an operator's disarm until the cancel of a resting order is at the venue's socket, while trades flood.

The flood is that of the absorb bench, on a symbol of its own: an injector and a real Scavenger take all the processor
they can get. A real router trades another symbol at the real paper venue behind a wire tap; the bench plays the brain
(pulse, quotes, signed intents) and the operator. Each sample rests one order far from the market, then disarms: the clock
runs from the command's publication over the bus, the router and ccxt to the first byte of the cancel at the venue.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from decimal import Decimal

import aiohttp

from ops.bench.absorb import taken_trades
from ops.bench.children import Child, quiet_loop
from ops.bench.result import Options, Report, Target, row
from ops.bench.town import SYMBOL, Town, flooded, town
from protos import market_pb2, system_pb2, trading_pb2
from titan import subjects
from titan.bus import Received
from titan.codec import intent_to_pb
from titan.codes import RejectCode
from titan.errors import TimedOut
from titan.ids import IntentId, SignalId, new_ulid
from titan.model import Action, Intent, OrderType, Phase, Side
from titan.policy import load_policy
from titan.servers import Kind

TARGET = Target(p99=20.0)
FLOODED = "ETH/USDT:USDT"
PULSE_S = 0.2
_NO = "no "
STEP_TIMEOUT_S = 10.0
WARM_UP = 5
HEARD_WITHIN_S = 20.0


class Refused(TimedOut):
    """The router made no order of an intent."""


@dataclass(slots=True)
class Desk:
    """The brain and the operator, as far as the bench plays them."""

    here: Town
    policy_hash: str
    price: Decimal
    refusal: str = ""
    _opened: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    _ended: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def listen(self) -> None:
        """Follows the orders' events."""

        async def order(received: Received[trading_pb2.OrderEvent]) -> None:
            event = received.message
            if event.state == trading_pb2.ORDER_STATE_OPEN:
                self._opened.put_nowait(event.intent_id)
            elif event.state in (trading_pb2.ORDER_STATE_CANCELED, trading_pb2.ORDER_STATE_REJECTED):
                self._ended.put_nowait(event.intent_id)

        async def reject(received: Received[trading_pb2.Reject]) -> None:
            self.refusal = f"{received.message.code}: {received.message.detail}"
            self._opened.put_nowait(f"{_NO}{received.message.intent_id}")

        await self.here.bus.subscribe(subjects.ORDER_EVENT, trading_pb2.OrderEvent, order)
        await self.here.bus.subscribe(subjects.REJECT, trading_pb2.Reject, reject)

    async def pulse(self) -> None:
        """Quotes and the brain's heartbeat, for ever."""
        text = str(self.price)
        while True:
            quote = market_pb2.Ticker(
                venue="bybit",
                symbol=SYMBOL,
                ts_ms=self.here.clock.now().market_ms,
                last=text,
                mark=text,
                bid=text,
                ask=text,
            )
            await self.here.bus.publish(subjects.ticker("bybit", SYMBOL), quote)
            beat = system_pb2.Heartbeat(service="brain", state=system_pb2.ACTOR_STATE_READY)
            await self.here.bus.publish(subjects.heartbeat("brain"), beat)
            await asyncio.sleep(PULSE_S)

    async def arm(self) -> None:
        """Lets the router open. Raises TimedOut when it will not."""
        receipt = await self.here.bus.request(
            subjects.operator("arm"), _command("arm"), trading_pb2.OperatorReceipt, STEP_TIMEOUT_S
        )
        if not receipt.accepted:
            raise TimedOut(f"the router does not arm: {receipt.code} {receipt.detail}")

    async def begin(self) -> None:
        """The first order, as soon as the router has heard prices and pulse. Raises Refused for any other refusal."""
        deadline = time.monotonic() + HEARD_WITHIN_S
        while True:
            try:
                await self.one()
                return
            except Refused:
                unheard = self.refusal.startswith(
                    (RejectCode.HEARTBEAT_STALE.value, RejectCode.MARKET_DATA_STALE.value)
                )
                if not unheard or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(PULSE_S)

    async def rest(self) -> str:
        """Places an order at half the price; returns its intent id once it is open. Raises Refused when it is none."""
        now = self.here.clock.now()
        price = (self.price / 2).quantize(Decimal(1))
        intent = Intent(
            intent_id=IntentId(new_ulid()),
            signal_id=SignalId(f"bench-{new_ulid()}"),
            phase=Phase.SCAVENGER,
            action=Action.OPEN,
            venue="bybit",
            account="main",
            symbol=SYMBOL,
            side=Side.BUY,
            size_usd=self.price * Decimal("0.002"),
            quantity=None,
            order_type=OrderType.LIMIT,
            limit_price=price,
            reference_price=self.price,
            stop_price=price / 2,
            target_price=None,
            max_slippage_bps=100,
            leverage=Decimal(1),
            policy_hash=self.policy_hash,
            t_signal_ms=now.market_ms,
            t_decision_ms=now.market_ms,
            ttl_ms=5_000,
            t_wall_ns=time.time_ns(),
        )
        subject = subjects.intent_place(intent.venue, intent.account, intent.symbol)
        await self.here.bus.publish(subject, intent_to_pb(intent), idempotency_key=intent.intent_id)
        await self._until(self._opened, intent.intent_id, "open")
        return intent.intent_id

    async def ended(self, intent_id: str) -> None:
        """Waits until the order of an intent has ended."""
        await self._until(self._ended, intent_id, "end")

    async def _until(self, news: asyncio.Queue[str], intent_id: str, what: str) -> None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                while (told := await news.get()) != intent_id:
                    if told == f"{_NO}{intent_id}":
                        raise Refused(f"{intent_id} was refused: {self.refusal}")
        except TimeoutError:
            raise TimedOut(
                f"the order of {intent_id} did not {what} within {STEP_TIMEOUT_S:.0f} s {self.refusal}"
            ) from None

    async def disarm(self) -> None:
        """Has every order cancelled."""
        await self.here.bus.publish(subjects.operator("disarm"), _command("disarm"))

    async def one(self) -> float:
        """Milliseconds from disarm to the cancel at the venue's socket."""
        await self.arm()
        intent_id = await self.rest()
        self.here.tap.arrivals.clear()
        began = time.perf_counter_ns()
        await self.disarm()
        arrived = await self.here.tap.next(cancels=True, timeout_s=STEP_TIMEOUT_S)
        await self.ended(intent_id)
        return (arrived.at_ns - began) / 1e6


def _command(verb: str) -> trading_pb2.OperatorCommand:
    now_ms = time.time_ns() // 1_000_000
    return trading_pb2.OperatorCommand(
        command_id=new_ulid(), action=verb, reason="bench", operator_id="bench", ts_ms=now_ms
    )


def run(options: Options) -> Report:
    """The same cancels in peace and in the flood."""
    return quiet_loop(_measure(options.seconds))


async def _measure(seconds: float) -> Report:
    async with (
        town({Kind.NATS}, speed=1.0, service="brain") as here,
        Child.actor("actors.router.actor:Router", here.runtime.home),
    ):
        policy = await asyncio.to_thread(load_policy, here.runtime.policy_path)
        desk = Desk(here, policy.hash, await last_price(here))
        await desk.listen()
        pulsing = asyncio.create_task(desk.pulse())
        try:
            await desk.begin()
            for _ in range(WARM_UP):
                await desk.one()
            calm = await _samples(desk, seconds / 3)
            async with flooded(here, FLOODED, "ops.bench.flood:Flood") as url, aiohttp.ClientSession() as http:
                began, before = time.perf_counter(), await taken_trades(http, url)
                in_flood = await _samples(desk, seconds)
                rate = (await taken_trades(http, url) - before) / (time.perf_counter() - began)
        finally:
            pulsing.cancel()
            await asyncio.gather(pulsing, return_exceptions=True)
    rows = (
        row("disarm published to cancel at the socket, flood", "ms", in_flood, TARGET),
        row("the same without a flood", "ms", calm),
    )
    return Report("cancel-under-flood", rows, (f"the phase took {rate:,.0f} trades/s meanwhile",))


async def _samples(desk: Desk, seconds: float) -> list[float]:
    found: list[float] = []
    deadline = time.monotonic() + seconds
    while not found or time.monotonic() < deadline:
        found.append(await desk.one())
    return found


async def last_price(here: Town) -> Decimal:
    """The venue's last price."""
    url = f"{here.runtime.venue.rest_url}/v5/market/tickers"
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, params={"category": "linear", "symbol": "BTCUSDT"}) as answer,
    ):
        body = await answer.json()
    return Decimal(str(body["result"]["list"][0]["lastPrice"]))
