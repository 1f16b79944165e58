"""signal-to-socket: a signal published until the first byte of its order at the venue's socket, by bus and by fast lane.

Market data, brain, router, execution, NATS, PostgreSQL, Redis and the paper venue run as processes of their own while the
market flows at 60 times real time; the bench plays the phase and sends one small signed signal at a time. What ccxt needs
from the adapter's call to the socket (signing, encoding, aiohttp) is measured apart, by the same adapter against the same
tap, and is part of the whole. Both ways are measured one after the other on systems of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from ops.bench.children import Child, quiet_loop, started
from ops.bench.result import Options, Report, Target, row
from ops.bench.town import SYMBOL, Town, town
from protos import brain_pb2, market_pb2, trading_pb2
from titan import subjects
from titan.bus import Received
from titan.codec import signal_to_pb
from titan.errors import Fatal, TimedOut
from titan.ids import ClientOrderId, SignalId, client_order_id, new_ulid
from titan.model import Action, Order, OrderRole, OrderType, Phase, Side, Signal
from titan.servers import Kind
from titan.venues.bybit import make_venue

TARGET = Target(p50=1.5, p99=6.0)
SPEED = 60.0
ACTORS = (
    "actors.router.actor:Router",
    "actors.execution.actor:Execution",
    "actors.brain.actor:Brain",
    "actors.market_data.actor:MarketData",
)
SIZE_BASE = Decimal("0.0022")
START_TIMEOUT_S = 60.0
ARRIVAL_TIMEOUT_S = 2.0
PAUSE_S = 0.03
WARM_UP = 20
MOST = 400
CCXT_SAMPLES = 300
MOST_MISSES = 50


@dataclass(slots=True)
class PlayedPhase:
    """What the bench hears while it plays the phase."""

    here: Town
    price: Decimal | None = None
    verdicts: Counter[str] = field(default_factory=Counter)
    last_reason: str = ""

    async def listen(self) -> None:
        """Subscribes to quotes and decisions."""

        async def ticker(received: Received[market_pb2.Ticker]) -> None:
            self.price = Decimal(received.message.ask or received.message.last)

        async def decision(received: Received[brain_pb2.Decision]) -> None:
            self.verdicts[received.message.code] += 1
            self.last_reason = received.message.reason

        async def reject(received: Received[trading_pb2.Reject]) -> None:
            self.verdicts[received.message.code] += 1
            self.last_reason = received.message.detail

        await self.here.bus.subscribe(subjects.ticker("bybit", SYMBOL), market_pb2.Ticker, ticker)
        await self.here.bus.subscribe(subjects.DECISION, brain_pb2.Decision, decision)
        await self.here.bus.subscribe(subjects.REJECT, trading_pb2.Reject, reject)

    def signal(self) -> Signal:
        """A small buy with stop and target far away, as of now."""
        assert self.price is not None
        now = self.here.clock.now()
        return Signal(
            signal_id=SignalId(f"bench-{new_ulid()}"),
            phase=Phase.SCAVENGER,
            action=Action.OPEN,
            venue="bybit",
            symbol=SYMBOL,
            side=Side.BUY,
            requested_size=self.price * SIZE_BASE,
            entry_price=self.price,
            stop_price=self.price * Decimal("0.8"),
            target_price=self.price * Decimal("1.4"),
            confidence=95.0,
            leverage=1.0,
            volatility=0.1,
            trap_type="BREAKOUT",
            order_type=OrderType.MARKET,
            max_slippage_bps=100,
            t_signal_ms=now.market_ms,
            t_exchange_ms=now.market_ms,
            ttl_ms=5_000,
            t_wall_ns=time.time_ns(),
        )

    async def one(self) -> tuple[int, int] | None:
        """When a signal was published and when its order was at the socket, in ns; None when it did not become an order."""
        message = signal_to_pb(self.signal())
        self.here.tap.arrivals.clear()
        began = time.perf_counter_ns()
        await self.here.bus.publish(subjects.SIGNAL_SUBMIT, message, idempotency_key=message.signal_id)
        try:
            arrived = await self.here.tap.next(cancels=False, timeout_s=ARRIVAL_TIMEOUT_S)
        except TimeoutError:
            return None
        return began, arrived.at_ns

    async def warm(self) -> None:
        """Waits until signals become orders. Raises TimedOut with the last reason why they do not."""
        deadline = time.monotonic() + START_TIMEOUT_S
        passed = 0
        while passed < WARM_UP:
            if time.monotonic() > deadline:
                raise TimedOut(f"no signal became an order: {dict(self.verdicts)} {self.last_reason}")
            if self.price is not None and await self.one() is not None:
                passed += 1
            await asyncio.sleep(PAUSE_S)

    async def many(self, seconds: float, took: Callable[[int, int], None]) -> int:
        """Signals for so long, or until as many became orders as the policy's notional admits; returns how many did not.

        `took` is told when each was published and when its order was at the socket. Raises Fatal when too few become orders.
        """
        done = misses = 0
        deadline = time.monotonic() + seconds
        while not done or (time.monotonic() < deadline and done < MOST):
            way = await self.one()
            if way is not None:
                took(*way)
                done += 1
            else:
                misses += 1
                if misses > MOST_MISSES:
                    raise Fatal(f"too many signals became no order: {dict(self.verdicts)} {self.last_reason}")
            await asyncio.sleep(PAUSE_S)
        return misses


def run(options: Options) -> Report:
    """Signals one after the other until the time is over or 400 became orders, which the policy's notional still admits."""
    return quiet_loop(_report(options.seconds))


async def _report(seconds: float) -> Report:
    by_bus, ccxt, missed = await measure(seconds, fast_lane=False)
    by_lane, again, also_missed = await measure(seconds, fast_lane=True)
    rows = (
        row("signal published to the venue's socket, over the bus", "ms", by_bus, TARGET),
        row("the same over the fast lane", "ms", by_lane),
        row("of it ccxt: adapter called to the socket", "ms", [*ccxt, *again]),
    )
    misses = missed + also_missed
    return Report("signal-to-socket", rows, (f"{misses} signals became no order",) if misses else ())


async def measure(seconds: float, *, fast_lane: bool) -> tuple[list[float], list[float], int]:
    """Milliseconds of each signal's way and of ccxt's share, and how many signals became no order."""
    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(town(tuple(Kind), speed=SPEED, service="scavenger", fast_lane=fast_lane))
        await started(stack, *(Child.actor(actor, here.runtime.home) for actor in ACTORS))
        phase = PlayedPhase(here)
        await phase.listen()
        await phase.warm()
        whole: list[float] = []
        misses = await phase.many(seconds, lambda began, arrived: whole.append((arrived - began) / 1e6))
        ccxt = await _ccxt_share(here, phase, len(whole))
    return whole, ccxt, misses


async def _ccxt_share(here: Town, phase: PlayedPhase, wanted: int) -> list[float]:
    """The adapter's own way to the socket: orders far from the market, each refused by the venue or left resting."""
    venue = make_venue(here.runtime.venue)
    samples: list[float] = []
    try:
        await venue.load_instruments()
        for _ in range(min(CCXT_SAMPLES, wanted)):
            here.tap.arrivals.clear()
            order = _order(phase)
            began = time.perf_counter_ns()
            sending = asyncio.ensure_future(venue.submit(order))
            arrived = await here.tap.next(cancels=False, timeout_s=ARRIVAL_TIMEOUT_S)
            samples.append((arrived.at_ns - began) / 1e6)
            ack = await sending
            await venue.cancel(SYMBOL, order.client_order_id, ack.venue_order_id)
    finally:
        await venue.close()
    return samples


def _order(phase: PlayedPhase) -> Order:
    assert phase.price is not None
    name = new_ulid()
    cid: ClientOrderId = client_order_id(name, 0)
    price = (phase.price / 2).quantize(Decimal(1))
    return Order(
        client_order_id=cid,
        intent_id=name,
        signal_id=name,
        child=0,
        role=OrderRole.ENTRY,
        phase=Phase.SCAVENGER,
        venue="bybit",
        account="main",
        symbol=SYMBOL,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.001"),
        price=price,
        trigger_price=None,
        stop_price=(price / 2).quantize(Decimal(1)),
        target_price=(price * 2).quantize(Decimal(1)),
        reduce_only=False,
    )
