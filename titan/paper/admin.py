"""The admin listener: health, the ledger as the oracle of tests, injection of public trades for benches and of jumps in price
for drills; the fault switches (`fault_shell`) stand beside it.

Guarantees: what `/ledger/*` shows is read from the durable record. Never: reachable through the public port.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal

from aiohttp import web

from titan.money import text_of
from titan.paper.desk import SymbolState
from titan.paper.feeds.base import FeedTrade
from titan.paper.jsonio import dumps, loads
from titan.paper.ledger import Filter
from titan.paper.publisher import MAX_TRADES_A_FRAME
from titan.paper.rows import as_dict
from titan.paper.venue import Venue

ALL_ROWS = 10_000_000
MAX_INJECTED = 50_000_000
MAX_INJECTED_AT_ONCE = 8 * MAX_TRADES_A_FRAME
INJECTION_PAUSE_S = 0.002


class AdminApi:
    """Routes of one venue's admin port."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._started = time.monotonic()

    def add_routes(self, app: web.Application) -> None:
        """Puts every path on the application."""
        app.router.add_get("/health", self.health)
        app.router.add_get("/ledger/orders", self.orders)
        app.router.add_get("/ledger/executions", self.executions)
        app.router.add_get("/ledger/positions", self.positions)
        app.router.add_get("/ledger/balance", self.balance)
        app.router.add_post("/ledger/trade-injection", self.inject)
        app.router.add_post("/market/jump", self.jump)

    async def health(self, _request: web.Request) -> web.Response:
        """What feed runs, at which market time and speed, and how the venue is."""
        venue = self._venue
        return _json(
            {
                "status": "healthy",
                "detail": "feed ended" if venue.feed_ended else "feed running",
                "feed": venue.feed.name,
                "warmup": venue.feed.warmup,
                "speed": venue.clock.speed,
                "market_ms": venue.market_ms,
                "wall_ms": time.time_ns() // 1_000_000,
                "symbols": [s.instrument.symbol for s in venue.core.symbols.values()],
                "events": venue.events,
                "commands": venue.commands,
                "open_orders": len(venue.core.open_orders),
                "public_connections": len(venue.public.connections),
                "private_connections": len(venue.private.connections),
                "uptime_s": round(time.monotonic() - self._started, 3),
            }
        )

    async def orders(self, _request: web.Request) -> web.Response:
        """Every order, newest first."""
        return _rows([as_dict(row) for row in self._venue.ledger.orders(Filter(), ALL_ROWS)])

    async def executions(self, _request: web.Request) -> web.Response:
        """Every execution, newest first."""
        return _rows([as_dict(row) for row in self._venue.ledger.executions(Filter(), ALL_ROWS)])

    async def positions(self, _request: web.Request) -> web.Response:
        """Every position that ever changed."""
        return _rows([as_dict(row) for row in self._venue.ledger.positions()])

    async def balance(self, _request: web.Request) -> web.Response:
        """The wallet and every change of it, newest first."""
        rows = self._venue.ledger.balance_rows(ALL_ROWS)
        initial = self._venue.ledger.initial_wallet
        return _json(
            {
                "initial": text_of(initial),
                "wallet": text_of(rows[0].wallet if rows else initial),
                "rows": [as_dict(row) for row in rows],
            }
        )

    async def inject(self, request: web.Request) -> web.Response:
        """Publishes `count` synthetic public trades of `symbol` at `rate` a wall second; nothing is matched."""
        try:
            body = loads(await request.text())
        except ValueError:
            body = None
        wanted: Mapping[str, object] = body if isinstance(body, dict) else {}
        symbol = str(wanted.get("symbol", ""))
        count, rate = wanted.get("count"), wanted.get("rate")
        venue = self._venue
        state = self._state(symbol)
        if (
            state is None
            or not isinstance(count, int)
            or not isinstance(rate, int | float)
            or not 0 < count <= MAX_INJECTED
            or rate <= 0
        ):
            known = ", ".join(s.instrument.id for s in venue.core.symbols.values())
            return _json(
                {"error": f"send symbol (one of {known}), count (1 to {MAX_INJECTED}) and rate (above 0)"}, status=400
            )
        publisher = venue.publishers[state.instrument.id]
        started = time.monotonic()
        sent = frames = 0
        while sent < count:
            due = min(count, int((time.monotonic() - started) * rate) + 1)
            size = min(due - sent, MAX_INJECTED_AT_ONCE)
            frames += publisher.publish_trades(
                self._tape(state.instrument.symbol, state.last, sent, size), venue.market_ms
            )
            sent += size
            await asyncio.sleep(INJECTION_PAUSE_S)
        elapsed = time.monotonic() - started
        return _json({"injected": sent, "frames": frames, "elapsed_s": round(elapsed, 6)})

    async def jump(self, request: web.Request) -> web.Response:
        """Multiplies the price of `symbol` by `factor` from now on."""
        try:
            body = loads(await request.text())
        except ValueError:
            body = None
        wanted: Mapping[str, object] = body if isinstance(body, dict) else {}
        state = self._state(str(wanted.get("symbol", "")))
        try:
            factor = Decimal(str(wanted.get("factor", "")))
            if state is None:
                raise ValueError("there is no such symbol")
            whole = self._venue.jumps.add(state.instrument.symbol, factor, state.instrument.tick)
        except (ValueError, ArithmeticError) as error:
            known = ", ".join(s.instrument.id for s in self._venue.core.symbols.values())
            return _json({"error": f"send symbol (one of {known}) and factor ({error})"}, status=400)
        return _json({"symbol": state.instrument.symbol, "factor": text_of(whole)})

    def _state(self, symbol: str) -> SymbolState | None:
        found = (s for s in self._venue.core.symbols.values() if symbol in (s.instrument.id, s.instrument.symbol))
        return next(found, None)

    def _tape(self, symbol: str, price: Decimal, first: int, size: int) -> list[FeedTrade]:
        now = self._venue.market_ms
        qty = Decimal("0.001")
        return [
            FeedTrade(now, symbol, price, qty, "buy" if n % 2 else "sell", f"injected-{n}")
            for n in range(first, first + size)
        ]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=dumps(value), content_type="application/json", status=status)


def _rows(rows: list[dict[str, object]]) -> web.Response:
    return _json({"count": len(rows), "rows": rows})
