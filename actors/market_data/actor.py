"""The market data shell: a ccxt.pro session in, the bus out; reconnects, bars, status, last prices.

Guarantees: Ready as soon as the venue's streams are subscribed, or after five seconds without it, degraded and still
trying; a session that fails or goes silent is replaced with backoff. Losing Redis costs nothing but a counter.
Never: a decision about trading.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

import nats.errors

from actors.market_data.core import (
    FLUSH,
    Connected,
    Disconnected,
    Effect,
    Event,
    FetchCandles,
    FlushDue,
    MarketDataCore,
    Resubscribe,
    SecondPassed,
)
from actors.market_data.session import SessionEvent, VenueSession
from actors.market_data.staleness import LinkState
from protos import market_pb2 as pb
from titan import subjects
from titan.actor import Actor, ActorContext, Component, Status
from titan.bus import Received
from titan.cache import Cache, LastPrice
from titan.effects import Publish, SetTimer
from titan.errors import Fatal, Transient
from titan.phrases import Phrase
from titan.venues.adapters import make_market_exchange

READY_WITHIN_S = 5.0
STATUS_EVERY_S = 1.0
FETCH_RETRY_S = 1.0
MAX_BACKOFF_S = 5.0
STABLE_S = 30.0
MAX_OUTBOX = 50_000


class MarketData(Actor):
    """The market of one venue as a supervised part of Titan."""

    name: ClassVar[str] = "market_data"
    http: ClassVar[str | None] = "market_data_http"

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        venue = self.runtime.venue
        self.core = MarketDataCore(venue.name, self.runtime.symbols, self.clock.speed, venue.ws_url)
        self._cache = Cache(self.runtime.redis_url) if self.runtime.redis_url else None
        self._session: VenueSession | None = None
        self._connected = asyncio.Event()
        self._outbox: list[Publish] = []
        self._outbox_filled = asyncio.Event()
        self._fetching: set[tuple[str, int]] = set()
        self._last_event = time.monotonic()
        self._counted: dict[tuple[str, str], int] = {}
        self._cache_failures = 0
        self.metrics.zero("titan_cache_failures_total", (self.name,))

    async def on_start(self) -> None:
        """Serves bars, opens the venue session, and waits a little for its streams."""
        await self.bus.serve(subjects.RPC_CANDLES, pb.CandlesRequest, self._candles)
        self.spawn(self._publisher(), "publisher")
        self.spawn(self._sessions(), "sessions")
        self.spawn(self._seconds(), "seconds")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connected.wait(), READY_WITHIN_S)

    async def on_stop(self) -> None:
        """Ends the venue session and the cache connection."""
        if self._session is not None:
            self._session.end("stopping")
        if self._cache is not None:
            await self._cache.close()

    async def _candles(self, received: Received[pb.CandlesRequest]) -> pb.CandlesReply:
        return self.core.candles(received.message)

    async def _sessions(self) -> None:
        backoff_s = 0.1
        while True:
            started = time.monotonic()
            session = VenueSession(
                make_market_exchange(self.runtime.venue),
                self.core.venue,
                self.core.symbols,
                self._take,
                self._unreadable,
            )
            self._session = session
            try:
                reason = await session.run()
            except Transient as error:
                reason = str(error)
            self._feed(Disconnected(reason))
            self.log.warning(Phrase.WEBSOCKET_DISCONNECTED.value, venue=self.core.venue, reason=reason)
            if time.monotonic() - started > STABLE_S:
                backoff_s = 0.1
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    def _take(self, event: SessionEvent) -> None:
        self._last_event = time.monotonic()
        if isinstance(event, Connected):
            self.log.info(Phrase.WEBSOCKET_CONNECTED.value, venue=self.core.venue, symbols=list(event.scales))
            self._connected.set()
        self.advance()
        self._feed(event)

    def _unreadable(self, what: str) -> None:
        self.core.parse_error(self.clock.now())
        self.log.warning("unreadable market data", what=what)

    def _feed(self, event: Event) -> None:
        effects = self.core.handle(event, self.clock.now())
        if effects:
            self._carry_out(effects)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish():
                    self._outbox.append(effect)
                    self._outbox_filled.set()
                case SetTimer():
                    asyncio.get_running_loop().call_later(effect.after_ms / 1000, self._timer, effect.key)
                case FetchCandles():
                    self._fetch_soon(effect)
                case Resubscribe():
                    self.log.warning("stale, subscribing anew", reason=effect.reason)
                    if self._session is not None:
                        self._session.end(effect.reason)

    def _timer(self, key: str) -> None:
        self._feed(FlushDue(key.removeprefix(FLUSH)))

    def _fetch_soon(self, effect: FetchCandles) -> None:
        key = (effect.symbol, effect.interval_s)
        if key not in self._fetching:
            self._fetching.add(key)
            self.spawn(self._fetch(effect), f"bars-{effect.symbol}-{effect.interval_s}")

    async def _fetch(self, effect: FetchCandles) -> None:
        done = False
        while not done:
            session = self._session
            try:
                if session is not None:
                    await session.fetch(effect.symbol, effect.interval_s)
                    done = True
            except Transient as error:
                self.log.info(
                    "bars not there yet", symbol=effect.symbol, interval_s=effect.interval_s, error=str(error)
                )
            if not done:
                await asyncio.sleep(FETCH_RETRY_S)
        self._fetching.discard((effect.symbol, effect.interval_s))

    async def _publisher(self) -> None:
        while True:
            await self._outbox_filled.wait()
            self._outbox_filled.clear()
            outbox, self._outbox = self._outbox, []
            if len(outbox) > MAX_OUTBOX:
                raise Fatal(f"{len(outbox)} messages wait for the bus, at most {MAX_OUTBOX} may")
            for message in outbox:
                # While the bus is away market data is worth nothing later; the status says that it is away.
                with contextlib.suppress(nats.errors.Error):
                    await self.bus.publish(message.subject, message.message)

    async def _seconds(self) -> None:
        while True:
            await asyncio.sleep(STATUS_EVERY_S)
            self._feed(SecondPassed())
            self._measure()
            if self._cache is not None:
                prices = {symbol: LastPrice(*last) for symbol, last in self.core.last_prices.items()}
                await self._cache.put_last_prices(prices)
                lost = self._cache.failures - self._cache_failures
                if lost:
                    self._cache_failures = self._cache.failures
                    self.metrics.counter("titan_cache_failures_total").labels(self.name).inc(lost)

    def _measure(self) -> None:
        venue = self.core.venue
        ages, streams = self.metrics.gauge("titan_stream_age_seconds"), self.core.ages
        for age in streams.ages(self.clock.now().market_ms):
            ages.labels(venue, age.symbol, age.kind.value).set(streams.wall_s(age))
        events = self.metrics.counter("titan_market_events_total")
        for (symbol, kind), count in self.core.events.items():
            before = self._counted.get((symbol, kind.value), 0)
            if count > before:
                events.labels(venue, symbol, kind.value).inc(count - before)
                self._counted[symbol, kind.value] = count
        self.metrics.gauge("titan_venue_link_up").labels(venue).set(self.core.link is LinkState.CONNECTED)

    def components(self) -> Mapping[str, Component]:
        """The venue link, the bars and the cache."""
        age_ms = int((time.monotonic() - self._last_event) * 1000)
        link: Status = "healthy" if self.core.link is LinkState.CONNECTED else "degraded"
        loading = [
            f"{symbol} {interval} s" for (symbol, interval), store in self.core.stores.items() if not store.loaded
        ]
        parts = {
            "venue": Component(link, f"{self.core.link.value} {self.core.link_detail}".strip(), age_ms),
            "bars": Component(
                "degraded" if loading else "healthy", f"loading {', '.join(loading)}" if loading else "loaded"
            ),
        }
        if self._cache is not None:
            # Redis is disposable: its loss is told, and degrades nothing.
            parts["cache"] = Component("healthy", f"{self._cache.failures} failed writes")
        return parts
