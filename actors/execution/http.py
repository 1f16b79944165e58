"""What Execution shows over HTTP: the state routes, the emergency, and the metrics of its group.

Guarantees: every number carries its age and where it comes from; what the query asks for is checked before the database sees
it; flatten-all is counted, limited and audited, and on the public listener needs an operator. Never: a state of its own.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Protocol

from aiohttp import web

from actors.execution.core import ExecutionCore
from protos import trading_pb2 as pb
from titan.clock import Now
from titan.errors import Transient
from titan.http import ComponentLike, requires
from titan.money import ZERO, text_of
from titan.runtime import ApiTokens
from titan.store.queries import MAX_LIMIT, TradeRow

DEFAULT_TRADES = 100
FLATTENS = 3
FLATTEN_WINDOW_S = 10.0
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Face(Protocol):
    """What the routes need of the actor."""

    core: ExecutionCore

    def now(self) -> Now:
        """Both times."""
        ...

    def components(self) -> Mapping[str, ComponentLike]:
        """The parts of the health answer."""
        ...

    def health_extra(self) -> Mapping[str, str]:
        """Policy hash and trading state."""
        ...

    def exposition(self) -> bytes:
        """The metrics of the execution group."""
        ...

    async def trades(self, date: dt.date | None, limit: int) -> list[TradeRow]:
        """Fills of the ledger. Raises Transient."""
        ...

    async def flatten(self, who: str) -> pb.OperatorReceipt:
        """Orders the router to flatten, and audits it. Raises Transient when it does not answer."""
        ...


class Routes:
    """The routes of one actor; `add` puts them on a listener."""

    def __init__(self, face: Face, tokens: ApiTokens) -> None:
        self._face = face
        self._tokens = tokens
        self._flattens: deque[float] = deque(maxlen=FLATTENS)

    def add(self, app: web.Application, *, loopback: bool) -> None:
        """Adds every route; on the loopback listener flatten-all needs no token."""
        app.router.add_get("/api/health", self.health)
        app.router.add_get("/api/state/equity", self.equity)
        app.router.add_get("/api/state/positions", self.positions)
        app.router.add_get("/api/trades", self.trades)
        flatten: Handler = (
            self._flatten_local if loopback else requires("operator", self._tokens)(self._flatten_operator)
        )
        app.router.add_post("/api/emergency/flatten-all", flatten)

    async def health(self, _request: web.Request) -> web.Response:
        """Components, the runbooks' four as top-level keys too."""
        parts = {
            name: {"status": part.status, "age_ms": part.age_ms, "detail": part.detail}
            for name, part in self._face.components().items()
        }
        states = {part["status"] for part in parts.values()}
        status = "unhealthy" if "unhealthy" in states else "degraded" if "degraded" in states else "healthy"
        body = {
            "status": status,
            "websocket": parts["websocket"],
            "database": parts["database"],
            "broker": parts["broker"],
            "ipc": parts["ipc"],
            "components": parts,
            "as_of_ms": self._face.now().wall_ms,
            **self._face.health_extra(),
        }
        return web.json_response(body, status=503 if status == "unhealthy" else 200)

    async def equity(self, _request: web.Request) -> web.Response:
        """The account: equity, profit of the day, drawdown."""
        core = self._face.core
        point = core.equity
        if point is None:
            return _unavailable("no equity yet: neither ledger nor router knows the wallet")
        return web.json_response(
            {
                "venue": point.venue,
                "account": point.account,
                "currency": point.currency,
                "equity": text_of(point.equity),
                "wallet": text_of(point.wallet),
                "unrealized_pnl": text_of(point.unrealized_pnl),
                "daily_pnl": text_of(point.equity - point.start_of_day),
                "start_of_day": text_of(point.start_of_day),
                "high_watermark": text_of(point.high_watermark),
                "drawdown_percent": f"{point.drawdown_percent:.4f}",
                "market_ts_ms": point.market_ts_ms,
                "as_of_ms": point.ts_ms,
                "age_ms": max(0, self._face.now().wall_ms - point.ts_ms),
                "source": "router" if core.cash is None else "ledger",
                "marks": self._marks_age(),
            }
        )

    async def positions(self, _request: web.Request) -> web.Response:
        """Every position that is not flat, as a plain array."""
        core, now_ms = self._face.core, self._face.now().wall_ms
        found = []
        for holding in sorted(core.holdings.values(), key=lambda each: each.instrument.symbol):
            if not holding.quantity:
                continue
            symbol = holding.instrument.symbol
            mark = core.marks.get(symbol)
            stop, target = core.protection(symbol)
            heard_ms = now_ms if core.router_heard is None else core.router_heard.wall_ms
            found.append(
                {
                    "venue": holding.instrument.venue,
                    "account": holding.instrument.account,
                    "symbol": symbol,
                    "side": "LONG" if holding.quantity > 0 else "SHORT",
                    "quantity": text_of(holding.quantity),
                    "average_price": text_of(holding.average_price),
                    "mark_price": text_of(mark),
                    "notional": text_of(abs(holding.quantity) * (holding.average_price if mark is None else mark)),
                    "unrealized_pnl": text_of(
                        ZERO if mark is None else (mark - holding.average_price) * holding.quantity
                    ),
                    "realized_pnl": text_of(holding.realized_pnl),
                    "fees": text_of(holding.fees),
                    "funding": text_of(holding.funding),
                    "stop_price": text_of(stop),
                    "target_price": text_of(target),
                    "last_fill_market_ms": holding.updated_ms,
                    "as_of_ms": heard_ms,
                    "age_ms": max(0, now_ms - heard_ms),
                    "source": "ledger, marks of the router",
                }
            )
        return web.json_response(found)

    async def trades(self, request: web.Request) -> web.Response:
        """Fills of one UTC day of market time, or the last ones."""
        try:
            date, limit = _date(request.query.get("date", "")), _limit(request.query.get("limit", ""))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        try:
            found = await self._face.trades(date, limit)
        except Transient as error:
            return _unavailable(str(error))
        return web.json_response(
            {
                "trades": [_trade(row) for row in found],
                "count": len(found),
                "as_of_ms": self._face.now().wall_ms,
                "age_ms": 0,
                "source": "ledger",
            }
        )

    async def _flatten_local(self, request: web.Request) -> web.Response:
        host = request.headers.get("Host", "").rpartition(":")[0] or request.headers.get("Host", "")
        # A page in a browser can post to loopback, but never without telling where it comes from.
        if host not in _LOCAL_HOSTS or "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
            return web.json_response({"error": "flatten-all on loopback takes no requests from web pages"}, status=403)
        return await self._flatten("loopback")

    async def _flatten_operator(self, request: web.Request) -> web.Response:
        return await self._flatten(f"http:{request.remote or 'unknown'}")

    async def _flatten(self, who: str) -> web.Response:
        now = time.monotonic()
        if len(self._flattens) == FLATTENS and now - self._flattens[0] < FLATTEN_WINDOW_S:
            wait_s = max(1, round(FLATTEN_WINDOW_S - (now - self._flattens[0])))
            return web.json_response(
                {
                    "error": f"flatten-all was asked for {FLATTENS} times within {FLATTEN_WINDOW_S:.0f} s; wait {wait_s} s"
                },
                status=429,
                headers={"Retry-After": str(wait_s)},
            )
        self._flattens.append(now)
        try:
            receipt = await self._face.flatten(who)
        except Transient as error:
            return _unavailable(f"the router did not answer: {error}")
        body = {
            "command_id": receipt.command_id,
            "accepted": receipt.accepted,
            "prior_state": pb.TradingState.Name(receipt.prior_state).removeprefix("TRADING_STATE_"),
            "new_state": pb.TradingState.Name(receipt.new_state).removeprefix("TRADING_STATE_"),
            "code": receipt.code,
            "detail": receipt.detail,
            "effects": list(receipt.effects),
            "as_of_ms": self._face.now().wall_ms,
            "source": "router",
        }
        return web.json_response(body, status=200 if receipt.accepted else 409)

    def _marks_age(self) -> dict[str, object]:
        heard = self._face.core.router_heard
        if heard is None:
            return {"source": "router", "as_of_ms": None, "age_ms": None}
        age_ms = max(0, self._face.now().wall_ms - heard.wall_ms)
        return {"source": "router", "as_of_ms": heard.wall_ms, "age_ms": age_ms}


def _date(text: str) -> dt.date | None:
    if not text:
        return None
    try:
        if len(text) != len("YYYY-MM-DD"):
            raise ValueError
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"date must be a day like 2026-01-31, got {text[:40]!r}") from None


def _limit(text: str) -> int:
    if not text:
        return DEFAULT_TRADES
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT):
        raise ValueError(f"limit must be a whole number from 1 to {MAX_LIMIT}, got {text[:40]!r}")
    return int(text)


def _trade(row: TradeRow) -> dict[str, object]:
    return {name: text_of(value) if isinstance(value, Decimal) else value for name, value in asdict(row).items()}


def _unavailable(reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=503)
