"""The listener that speaks MEXC futures: REST with MEXC's signature, and the private channels of its WebSocket.

Guarantees: a private path verifies the key, the request time (wall time) and the HMAC-SHA256 over key, time and
parameters; a push leaves after the ledger has what it tells. Never: trading logic. Sources: the integration guide and
the websocket pages of https://www.mexc.com/api-docs/futures.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web

from titan.paper.jsonio import dumps, loads
from titan.paper.mexc import encode, trading
from titan.paper.mexc.encode import Object
from titan.paper.mexc.trading import ApiError, Question, Room
from titan.paper.numbers import Numbers
from titan.paper.orders import Effect, ExecType, Executed, Order, OrderChanged
from titan.paper.protocol.auth import Credentials
from titan.paper.protocol.hub import Connection, Hub
from titan.paper.protocol.params import ParamError, Params
from titan.paper.venue import Venue
from titan.paper.wall import wall_clock_ms

RECV_WINDOW_MS = 10_000
ORDERS, DEALS = "push.personal.order", "push.personal.order.deal"

PUBLIC: dict[str, Question] = {
    "/api/v1/contract/detail": trading.contracts,
    "/api/v1/contract/fair_price/{symbol}": trading.fair_price,
}
PRIVATE: dict[tuple[str, str], Question] = {
    ("POST", "order/create"): trading.create,
    ("POST", "order/submit"): trading.create,
    ("POST", "order/cancel"): trading.cancel,
    ("POST", "order/cancel_with_external"): trading.cancel_external,
    ("POST", "stoporder/cancel"): trading.cancel_stop,
    ("POST", "planorder/place"): trading.create_plan,
    ("POST", "planorder/place/v2"): trading.create_plan,
    ("POST", "planorder/cancel"): trading.cancel_plan,
    ("GET", "order/external/{symbol}/{external_oid}"): trading.by_external,
    ("GET", "order/get/{order_id}"): trading.by_number,
    ("GET", "order/batch_query"): trading.batch,
    ("GET", "order/list/open_orders"): trading.open_orders,
    ("GET", "order/list/history_orders"): trading.history_orders,
    ("GET", "order/list/order_deals"): trading.deals,
    ("GET", "stoporder/list/orders"): trading.stop_orders,
    ("GET", "planorder/list/orders"): trading.plan_orders,
    ("GET", "position/open_positions"): trading.positions,
    ("GET", "position/funding_records"): trading.funding_records,
    ("POST", "position/change_leverage"): trading.change_leverage,
    ("GET", "account/assets"): trading.assets,
}


class MexcApi:
    """Routes and the private channels of one venue."""

    def __init__(self, venue: Venue, credentials: Credentials, wall_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._venue = venue
        self._credentials = credentials
        self.wall_ms = wall_ms
        listed = {encode.symbol_of(s.instrument): s.instrument for s in venue.core.symbols.values()}
        self._room = Room(venue, Numbers(venue.ledger), listed)
        self.private = Hub()
        self._ids = itertools.count(1)
        venue.observers.append(self._observe)

    def add_routes(self, app: web.Application) -> None:
        """Puts every path on the application."""
        app.router.add_get("/api/v1/contract/ping", self._ping)
        for path, question in PUBLIC.items():
            app.router.add_get(path, self._public(question))
        for (method, path), question in PRIVATE.items():
            app.router.add_route(method, f"/api/v1/private/{path}", self._private(question))
        app.router.add_get("/edge", self._stream)

    # REST

    async def _ping(self, _request: web.Request) -> web.Response:
        return _answer(self.wall_ms())

    def _public(self, question: Question) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return self._ask(question, {**request.query, **request.match_info})

        return handle

    def _private(self, question: Question) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            posted = request.method == "POST"
            payload = await request.text() if posted else request.raw_path.partition("?")[2]
            try:
                self._judge(request, payload)
                given: object = loads(payload) if posted else dict(request.query)
            except ApiError as error:
                return _refused(error)
            except ValueError:
                return _refused(ApiError(601, "Data parsing error"))
            named = given if isinstance(given, dict) else {"list": given}
            return self._ask(question, {**named, **request.match_info})

        return handle

    def _judge(self, request: web.Request, payload: str) -> None:
        key, stamp = request.headers.get("ApiKey", ""), request.headers.get("Request-Time", "")
        if not hmac.compare_digest(key.encode(), self._credentials.api_key.encode()):
            raise ApiError(402, "API key expired")
        if not stamp.isdigit() or abs(self.wall_ms() - int(stamp)) > RECV_WINDOW_MS:
            raise ApiError(513, f"Invalid request: Request-Time {stamp} is not within {RECV_WINDOW_MS} ms")
        given = request.headers.get("Signature", "")
        if not hmac.compare_digest(given.encode(), self._credentials.sign(f"{key}{stamp}{payload}").encode()):
            raise ApiError(602, "Signature verification failed")

    def _ask(self, question: Question, raw: Object) -> web.Response:
        try:
            return _answer(question(self._room, Params(raw)))
        except ApiError as error:
            return _refused(error)
        except ParamError as error:
            return _refused(ApiError(600, str(error)))

    # the WebSocket

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        connection = Connection(socket, f"mexc-{next(self._ids)}", request.transport)
        self.private.connections.add(connection)
        writer = asyncio.create_task(connection.run_writer(), name=connection.conn_id)
        try:
            async for frame in socket:
                message = loads(frame.data) if frame.type is WSMsgType.TEXT else None
                if isinstance(message, dict):
                    self._hear(connection, message)
        finally:
            self.private.drop(connection)
            writer.cancel()
        return socket

    def _hear(self, connection: Connection, message: Object) -> None:
        method = message.get("method")
        if method == "ping":
            connection.send(dumps({"channel": "pong", "data": self.wall_ms()}))
        elif method == "login":
            param = message.get("param")
            given = param if isinstance(param, dict) else {}
            key, stamp, signature = (str(given.get(name, "")) for name in ("apiKey", "reqTime", "signature"))
            good = hmac.compare_digest(key.encode(), self._credentials.api_key.encode()) and hmac.compare_digest(
                signature.encode(), self._credentials.sign(f"{key}{stamp}").encode()
            )
            if good:
                for topic in (ORDERS, DEALS):
                    self.private.join(connection, topic)
            channel, data = ("rs.login", "success") if good else ("rs.error", "signature verification failed")
            connection.send(dumps({"channel": channel, "data": data, "ts": self.wall_ms()}))
        else:
            connection.send(dumps({"channel": "rs.error", "data": f"Method {method} not supported", "ts": 0}))

    def _observe(self, effects: list[Effect]) -> None:
        self._room.numbers.observe(effects)
        if not self.private.connections:
            return
        orders: dict[str, Order] = {e.order.order_id: e.order for e in effects if isinstance(e, OrderChanged)}
        for effect in effects:
            if isinstance(effect, Executed) and effect.execution.exec_type is not ExecType.FUNDING:
                done = effect.execution
                one = self._venue.core.symbols[done.symbol].instrument
                self._send(DEALS, encode.deal_object(done, one, orders.get(done.order_id)))
        for order in orders.values():
            if encode.is_plain(order):
                one = self._venue.core.symbols[order.symbol].instrument
                self._send(ORDERS, encode.order_object(order, one))

    def _send(self, topic: str, data: Object) -> None:
        self.private.publish(topic, dumps({"channel": topic, "data": data, "ts": self._venue.market_ms}))


def _answer(data: object) -> web.Response:
    body: Object = {"success": True, "code": 0}
    if data is not None:
        body["data"] = data
    return web.Response(body=dumps(body), content_type="application/json")


def _refused(error: ApiError) -> web.Response:
    body = dumps({"success": False, "code": error.code, "message": error.message})
    return web.Response(body=body, content_type="application/json")
