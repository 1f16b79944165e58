"""The listener that speaks Binance USDⓈ-M: REST with Binance's signature, and the user data stream.

Guarantees: a private path verifies the key, the timestamp (wall time) and the HMAC-SHA256 over query and body; an event
leaves after the ledger has it. Never: trading logic. Sources: general-info and user-data-streams of
https://developers.binance.com/docs/derivatives/usds-margined-futures.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import secrets
from collections.abc import Awaitable, Callable
from decimal import Decimal
from urllib.parse import parse_qsl

from aiohttp import web

from titan.paper.binance import encode, trading
from titan.paper.binance.encode import Object
from titan.paper.binance.refusals import UNAUTHORIZED, ApiError
from titan.paper.binance.trading import Question, Room
from titan.paper.jsonio import dumps
from titan.paper.numbers import Numbers
from titan.paper.orders import (
    CancelType,
    Effect,
    ExecType,
    Executed,
    Execution,
    Order,
    OrderChanged,
    OrderStatus,
)
from titan.paper.protocol.auth import Credentials
from titan.paper.protocol.hub import Connection, Hub
from titan.paper.protocol.params import ParamError, Params
from titan.paper.venue import Venue
from titan.paper.wall import wall_clock_ms

DEFAULT_RECV_WINDOW_MS = 5000
MAX_AHEAD_MS = 1000
ORDERS, FILLS, ALGOS = "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE TRADE", "ALGO_UPDATE"

PUBLIC: dict[str, Question] = {"/fapi/v1/exchangeInfo": trading.exchange_info, "/fapi/v1/ping": lambda _r, _p: {}}
PRIVATE: dict[tuple[str, str], Question] = {
    ("POST", "/fapi/v1/order"): trading.create,
    ("PUT", "/fapi/v1/order"): trading.amend,
    ("DELETE", "/fapi/v1/order"): trading.cancel,
    ("GET", "/fapi/v1/order"): trading.query,
    ("GET", "/fapi/v1/openOrders"): trading.open_orders,
    ("GET", "/fapi/v1/allOrders"): trading.all_orders,
    ("POST", "/fapi/v1/algoOrder"): trading.create_algo,
    ("DELETE", "/fapi/v1/algoOrder"): trading.cancel_algo,
    ("GET", "/fapi/v1/algoOrder"): trading.query_algo,
    ("GET", "/fapi/v1/openAlgoOrders"): trading.open_algos,
    ("GET", "/fapi/v1/userTrades"): trading.user_trades,
    ("GET", "/fapi/v1/income"): trading.income,
    ("GET", "/fapi/v3/positionRisk"): trading.position_risk,
    ("GET", "/fapi/v3/balance"): trading.balance,
    ("POST", "/fapi/v1/leverage"): trading.leverage,
    ("GET", "/fapi/v1/leverageBracket"): trading.leverage_brackets,
}


class BinanceApi:
    """Routes and the private stream of one venue."""

    def __init__(self, venue: Venue, credentials: Credentials, wall_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._venue = venue
        self._credentials = credentials
        self.wall_ms = wall_ms
        self._room = Room(venue, Numbers(venue.ledger))
        self.private = Hub()
        self._listen_key = secrets.token_hex(32)
        self._ids = itertools.count(1)
        self._known = set(venue.core.open_orders)
        venue.observers.append(self._observe)

    def add_routes(self, app: web.Application) -> None:
        """Puts every path on the application."""
        app.router.add_get("/fapi/v1/time", self._time)
        for path, question in PUBLIC.items():
            app.router.add_get(path, self._public(question))
        for (method, path), question in PRIVATE.items():
            app.router.add_route(method, path, self._private(question))
        app.router.add_post("/fapi/v1/listenKey", self._key)
        app.router.add_put("/fapi/v1/listenKey", self._key)
        app.router.add_get("/private/ws", self._stream)

    # REST

    async def _time(self, _request: web.Request) -> web.Response:
        return _json({"serverTime": self.wall_ms()})

    def _public(self, question: Question) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return self._ask(question, Params(dict(request.query)))

        return handle

    def _private(self, question: Question) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            payload = request.raw_path.partition("?")[2] + await request.text()
            try:
                self._judge(request, payload)
            except ApiError as error:
                return _refused(error)
            return self._ask(question, Params(dict(parse_qsl(payload, keep_blank_values=True))))

        return handle

    def _judge(self, request: web.Request, payload: str) -> None:
        """Verifies a signed request: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info."""
        self._judge_key(request)
        signed, _, given = payload.rpartition("&signature=")
        values = dict(parse_qsl(signed))
        stamp, window = values.get("timestamp", ""), values.get("recvWindow", str(DEFAULT_RECV_WINDOW_MS))
        if not stamp.isdigit() or not window.isdigit():
            raise ApiError(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
        now = self.wall_ms()
        if int(stamp) >= now + MAX_AHEAD_MS:
            raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now - int(stamp) > int(window):
            raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")
        if not hmac.compare_digest(given.encode(), self._credentials.sign(signed).encode()):
            raise ApiError(-1022, "Signature for this request is not valid.")

    def _judge_key(self, request: web.Request) -> None:
        key = request.headers.get("X-MBX-APIKEY", "")
        if not hmac.compare_digest(key.encode(), self._credentials.api_key.encode()):
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", UNAUTHORIZED)

    def _ask(self, question: Question, params: Params) -> web.Response:
        try:
            return _json(question(self._room, params))
        except ApiError as error:
            return _refused(error)
        except ParamError as error:
            return _refused(ApiError(-1130, str(error)))

    # the user data stream

    async def _key(self, request: web.Request) -> web.Response:
        try:
            self._judge_key(request)
        except ApiError as error:
            return _refused(error)
        return _json({"listenKey": self._listen_key})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("listenKey") != self._listen_key:
            return web.Response(status=400, text="unknown listenKey")
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        connection = Connection(socket, f"binance-{next(self._ids)}", request.transport)
        self.private.connections.add(connection)
        for topic in (ORDERS, FILLS, ALGOS):
            self.private.join(connection, topic)
        writer = asyncio.create_task(connection.run_writer(), name=connection.conn_id)
        try:
            async for _ in socket:
                pass  # nothing is asked for on this stream
        finally:
            self.private.drop(connection)
            writer.cancel()
        return socket

    def _observe(self, effects: list[Effect]) -> None:
        self._room.numbers.observe(effects)
        trades: dict[str, list[Execution]] = {}
        for effect in effects:
            if isinstance(effect, Executed) and effect.execution.exec_type is not ExecType.FUNDING:
                trades.setdefault(effect.execution.order_id, []).append(effect.execution)
        for effect in effects:
            if isinstance(effect, OrderChanged):
                self._tell(effect.order, trades.pop(effect.order.order_id, []))

    def _tell(self, order: Order, trades: list[Execution]) -> None:
        fresh = order.order_id not in self._known
        if order.status.is_open:
            self._known.add(order.order_id)
        else:
            self._known.discard(order.order_id)
        if not self.private.connections or encode.never_was(order):
            return
        now = self._venue.market_ms
        if encode.is_algo(order):
            self._send(ALGOS, encode.algo_event(order, now))
        if not encode.is_plain(order):
            return
        before = order.cum_qty - sum((done.qty for done in trades), Decimal(0))
        if fresh or not trades:
            kind, status = ("NEW", "NEW") if trades or order.status.is_open else _end(order)
            self._send(ORDERS, encode.order_event(order, kind, status, None, before, now))
        for done in trades:
            before += done.qty
            status = "FILLED" if before >= order.qty else "PARTIALLY_FILLED"
            self._send(FILLS, encode.order_event(order, "TRADE", status, done, before, now))
        if trades and not order.status.is_open and order.status is not OrderStatus.FILLED:
            kind, status = _end(order)
            self._send(ORDERS, encode.order_event(order, kind, status, None, before, now))

    def _send(self, topic: str, event: Object) -> None:
        self.private.publish(topic, dumps(event))


def _end(order: Order) -> tuple[str, str]:
    by_user = order.cancel_type is CancelType.BY_USER
    return ("CANCELED", "CANCELED") if by_user else ("EXPIRED", encode.order_status(order))


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=dumps(value), content_type="application/json", status=status)


def _refused(error: ApiError) -> web.Response:
    return _json({"code": error.code, "msg": error.message}, error.status)
