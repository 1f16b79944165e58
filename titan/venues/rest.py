"""What every adapter shares: ccxt's signed transport behind the room's errors, budgets and the venue's clock.

Guarantees: a request waits for its budget and never exceeds it, cancels and reduce-only orders first; a Retry-After is
kept by every request; a refused timestamp leads to a new measurement of the venue's clock and a `Transient`. Never: a
resend.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import ccxt

from titan import symbols
from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected, Transient
from titan.instruments import Instrument
from titan.model import Order, OrderState
from titan.runtime import VenueAddress
from titan.venues.base import ExecutionKind, VenueCapabilities, VenueExecution, VenueOrder
from titan.venues.errors import ClockRefused, ErrorRules, translate
from titan.venues.exchange import make_exchange
from titan.venues.limits import Budget, Cost, Lane, RateLimiter

READ_PATIENCE_S = 10.0
ORDER_PATIENCE_S = 0.5
ASK_AGAIN_S = 0.001
# Changes of orders, and fills, that may come between two looks at a stream; what a longer silence hides, REST shows.
STREAM_MEMORY = 256

Call = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class VenueProfile:
    """A venue's constants. `server_ms` reads the venue's wall time out of the answer of its time endpoint."""

    capabilities: VenueCapabilities
    errors: ErrorRules
    budgets: tuple[Budget, ...]
    time_call: str
    server_ms: Callable[[Any], int]


class RestVenue:
    """One account through ccxt. Adapters add the words of their venue."""

    def __init__(self, address: VenueAddress, profile: VenueProfile) -> None:
        self._exchange = make_exchange(address)
        # ccxt's own throttle knows no urgent lane and no reserve.
        self._exchange.enableRateLimit = False
        # ccxt keeps a thousand of each, some 15 KB apiece, and nobody looks at them twice.
        self._exchange.options.update(ordersLimit=STREAM_MEMORY, tradesLimit=STREAM_MEMORY)
        self._profile = profile
        self._name = address.name
        self._account = address.account
        self._limiter = RateLimiter(() if address.paper else profile.budgets, time.monotonic())
        self._instruments: dict[str, Instrument] = {}
        self._symbols: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The venue's name."""
        return self._name

    @property
    def account(self) -> str:
        """The account's name."""
        return self._account

    @property
    def capabilities(self) -> VenueCapabilities:
        """What this venue can do and how."""
        return self._profile.capabilities

    async def close(self) -> None:
        """Closes the HTTP session and the WebSocket."""
        await self._exchange.close()

    # the venue's clock

    async def measure_clock(self) -> int:
        """Asks for the venue's wall time, and signs by it from now on. Returns ours minus the venue's, in ms."""
        self._never_resend()
        call: Call = getattr(self._exchange, self._profile.time_call)
        before = time.time_ns()
        answer = await self._call(call, {}, {})
        middle = (before + time.time_ns()) // 2_000_000
        difference = middle - self._profile.server_ms(answer)
        self._exchange.options["timeDifference"] = difference
        return difference

    def _never_resend(self) -> None:
        """aiohttp sends PUT and DELETE again by itself when a kept connection breaks; its switch has no public name."""
        self._exchange.open(True)
        self._exchange.session._retry_connection = False

    # requests

    async def _call(
        self, call: Call, request: Any, cost: Cost, lane: Lane = Lane.NORMAL, patience_s: float = READ_PATIENCE_S
    ) -> Any:
        wait = self._limiter.take(cost, time.monotonic(), lane)
        if wait > 0:
            await self._wait(wait, cost, lane, patience_s)
        try:
            answer = await call(request)
        except ccxt.BaseError as error:
            failure = translate(error, self._profile.errors)
            if isinstance(failure, ClockRefused):
                failure = await self._clock_refused(failure)
            elif isinstance(failure, Transient) and failure.retry_after_s:
                self._limiter.hold(failure.retry_after_s, time.monotonic())
            raise failure from error
        if not isinstance(answer, dict | list):
            raise Ambiguous(f"the venue answered with no JSON: {str(answer)[:200]!r}")
        return answer

    async def _wait(self, wait: float, cost: Cost, lane: Lane, patience_s: float) -> None:
        began = time.monotonic()
        while wait > 0:
            if time.monotonic() - began + wait > patience_s:
                raise Transient(f"the budget of {self._name} is spent for {wait:.1f} s; nothing was sent", wait)
            await asyncio.sleep(wait + ASK_AGAIN_S)
            wait = self._limiter.take(cost, time.monotonic(), lane)

    async def _clock_refused(self, failure: ClockRefused) -> Transient:
        before = self._exchange.options["timeDifference"]
        try:
            after = await self.measure_clock()
        except (Rejected, Transient, Ambiguous) as error:
            return Transient(f"{failure}; its clock can't be read: {error}")
        return Transient(f"{failure}; our clock is {after} ms ahead, {before} ms were assumed", retry_after_s=0.0)

    # names

    def remember(self, orders: Iterable[Order]) -> None:
        """Nothing to learn: the venue keeps our client ids."""

    def _list(self, found: Sequence[Instrument]) -> Sequence[Instrument]:
        self._instruments = {one.symbol: one for one in found}
        self._symbols = {one.venue_symbol: one.symbol for one in found}
        return found

    def _instrument(self, symbol: str) -> Instrument:
        found = self._instruments.get(symbol)
        if found is None:
            raise Rejected(RejectCode.UNKNOWN_INSTRUMENT, f"{self._name} lists no {symbol} that trades now")
        return found

    def _venue_symbol(self, symbol: str) -> str:
        return self._instrument(symbol).venue_symbol

    def _symbol(self, venue_symbol: str) -> str:
        # A market listed since the start is still named, so that its fills are never dropped.
        return self._symbols.get(venue_symbol) or symbols.normalize(self._name, venue_symbol, "perp")


def order_of_executions(own: Sequence[VenueExecution]) -> VenueOrder:
    """What the executions of one order tell about it when the order itself is no longer shown."""
    trades = [done for done in own if done.kind is ExecutionKind.TRADE]
    last = own[0]
    filled = sum((done.quantity for done in trades), Decimal(0))
    value = sum((done.quantity * done.price for done in trades), Decimal(0))
    wanted = last.order_quantity or filled
    return VenueOrder(
        venue_order_id=last.venue_order_id,
        client_order_id=last.client_order_id,
        parent_client_order_id="",
        symbol=last.symbol,
        side=last.side,
        order_type=last.order_type,
        role=last.role,
        quantity=wanted,
        price=None,
        trigger_price=None,
        reduce_only=False,
        state=OrderState.FILLED if filled >= wanted else OrderState.PARTIALLY_FILLED,
        filled=filled,
        average_price=value / filled if filled else Decimal(0),
        created_ms=last.ts_ms,
        updated_ms=max(done.ts_ms for done in own),
        detail=f"reconstructed from {len(own)} executions",
    )


def oldest_first(executions: Iterable[VenueExecution]) -> list[VenueExecution]:
    """Each execution once, in the order of their times; equal times keep the order they came in."""
    once: Mapping[str, VenueExecution] = {done.venue_trade_id: done for done in executions}
    return sorted(once.values(), key=lambda done: done.ts_ms)
