"""The WebSocket listeners: public market data, private account events, and orders over a socket.

Guarantees: an answer to every operation; private topics and orders only after a verified `auth`; a new listener of
books or tickers gets a snapshot before any delta. Never: trading logic.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from aiohttp import WSMsgType, web

from titan.paper.fault_shell import FaultShell
from titan.paper.jsonio import dumps, loads
from titan.paper.orders import Refused, RetCode
from titan.paper.protocol import trading
from titan.paper.protocol.auth import DEFAULT_RECV_WINDOW_MS, MAX_AHEAD_MS, Credentials, check_stream
from titan.paper.protocol.encode import Object
from titan.paper.protocol.hub import Connection, Hub
from titan.paper.protocol.params import ParamError, Params
from titan.paper.publisher import BOOK_DEPTHS, KLINE_MINUTES
from titan.paper.venue import Venue

PRIVATE_TOPICS = frozenset(
    name for base in ("order", "execution", "execution.fast", "position", "wallet") for name in (base, f"{base}.linear")
)
TRADE_OPS: dict[str, Callable[[Venue, Params], Object | Refused]] = {
    "order.create": trading.create,
    "order.amend": trading.amend,
    "order.cancel": trading.cancel,
}

Message = dict[str, object]


class Streams:
    """WebSocket endpoints of one venue."""

    def __init__(self, venue: Venue, credentials: Credentials, faults: FaultShell) -> None:
        self._venue = venue
        self._credentials = credentials
        self._faults = faults
        self._ids = itertools.count(1)

    def add_routes(self, app: web.Application) -> None:
        """Puts every path on the application."""
        for category in trading.CATEGORIES:
            app.router.add_get(f"/v5/public/{category}", self.public)
        app.router.add_get("/v5/private", self.private)
        app.router.add_get("/v5/trade", self.trade)

    async def public(self, request: web.Request) -> web.WebSocketResponse:
        """Market data without a key."""
        return await self._serve(request, self._venue.public, self._on_public)

    async def private(self, request: web.Request) -> web.WebSocketResponse:
        """Own orders, executions, positions and wallet."""
        return await self._serve(request, self._venue.private, self._on_private)

    async def trade(self, request: web.Request) -> web.WebSocketResponse:
        """Orders over a socket."""
        return await self._serve(request, Hub(), self._on_trade)

    async def _serve(
        self, request: web.Request, hub: Hub, handle: Callable[[Connection, Hub, Message], None]
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        connection = Connection(socket, f"{self._venue.ledger.salt}-{next(self._ids)}", request.transport)
        hub.connections.add(connection)
        writer = asyncio.create_task(connection.run_writer(), name=f"writer {connection.conn_id}")
        try:
            async for frame in socket:
                if frame.type is not WSMsgType.TEXT or self._faults.stalled(hub):
                    continue
                try:
                    message = loads(frame.data)
                except ValueError:
                    message = None
                if isinstance(message, dict):
                    handle(connection, hub, message)
                else:
                    _answer(connection, {}, "", False, "Params Error: a message must be a JSON object")
        finally:
            hub.drop(connection)
            writer.cancel()
        return socket

    def _on_public(self, connection: Connection, hub: Hub, message: Message) -> None:
        op = message.get("op")
        if op == "ping":
            _answer(connection, message, "ping", True, "pong")
        elif op == "subscribe":
            topics = _topics(message)
            unknown = [t for t in topics if not self._is_public(t)]
            if unknown or not topics:
                _answer(connection, message, "subscribe", False, f"error:handler not found,topic:{', '.join(unknown)}")
                return
            for topic in topics:
                hub.join(connection, topic)
            _answer(connection, message, "subscribe", True, "subscribe")
            for topic in topics:
                self._snapshot(connection, topic)
        elif op == "unsubscribe":
            for topic in _topics(message):
                hub.leave(connection, topic)
            _answer(connection, message, "unsubscribe", True, "")
        else:
            _answer(connection, message, str(op), False, f"error:invalid op {op}")

    def _is_public(self, topic: str) -> bool:
        head, _, rest = topic.partition(".")
        symbols = self._venue.publishers
        if head in ("publicTrade", "tickers", "allLiquidation"):
            return rest in symbols
        middle, _, symbol = rest.partition(".")
        if head == "orderbook":
            return symbol in symbols and middle in {str(d) for d in BOOK_DEPTHS}
        return head == "kline" and symbol in symbols and middle in KLINE_MINUTES

    def _snapshot(self, connection: Connection, topic: str) -> None:
        head, *_, symbol = topic.split(".")
        publisher = self._venue.publishers[symbol]
        now = self._venue.market_ms
        if head == "orderbook":
            connection.send(publisher.book_snapshot(int(topic.split(".")[1]), now))
        elif head == "tickers":
            connection.send(publisher.ticker_snapshot(now))
        elif head == "kline":
            frame = publisher.kline_snapshot(topic, topic.split(".")[1], now)
            if frame is not None:
                connection.send(frame)

    def _authenticate(self, connection: Connection, message: Message) -> Refused | None:
        refused = check_stream(self._credentials, message.get("args"), self._faults.wall_ms())
        connection.authenticated = refused is None
        return refused

    def _on_private(self, connection: Connection, hub: Hub, message: Message) -> None:
        op = message.get("op")
        if op == "ping":
            pong: Message = {"op": "pong", "args": [str(self._faults.wall_ms())], "conn_id": connection.conn_id}
            if "req_id" in message:
                pong["req_id"] = message["req_id"]
            connection.send(dumps(pong))
        elif op == "auth":
            refused = self._authenticate(connection, message)
            _answer(connection, message, "auth", refused is None, "" if refused is None else refused.message)
        elif op in ("subscribe", "unsubscribe"):
            topics = _topics(message)
            unknown = [t for t in topics if t not in PRIVATE_TOPICS]
            if not connection.authenticated:
                _answer(connection, message, str(op), False, "Request not authorized: send auth first")
            elif unknown or not topics:
                _answer(connection, message, str(op), False, f"error:handler not found,topic:{', '.join(unknown)}")
            else:
                for topic in topics:
                    (hub.join if op == "subscribe" else hub.leave)(connection, topic)
                _answer(connection, message, str(op), True, "")
        else:
            _answer(connection, message, str(op), False, f"error:invalid op {op}")

    def _on_trade(self, connection: Connection, _hub: Hub, message: Message) -> None:
        op = str(message.get("op"))
        if op == "ping":
            connection.send(dumps({"op": "pong", "retCode": 0, "retMsg": "OK", "connId": connection.conn_id}))
            return
        answer: Object | Refused
        if op == "auth":
            refused = self._authenticate(connection, message)
            answer = {} if refused is None else refused
        elif op not in TRADE_OPS:
            answer = Refused(
                RetCode.PARAMS, f"params error: op {op!r} is not one of auth, ping, {', '.join(TRADE_OPS)}"
            )
        elif not connection.authenticated:
            answer = Refused(RetCode.BAD_SIGN, "Request not authorized: send auth first")
        else:
            answer = self._trade(TRADE_OPS[op], message)
        refusal = answer if isinstance(answer, Refused) else None
        reply: Message = {
            "retCode": int(refusal.code) if refusal else 0,
            "retMsg": refusal.message if refusal else "OK",
            "op": op,
            "connId": connection.conn_id,
        }
        if op != "auth":
            reply["data"] = {} if refusal else answer
            reply["header"] = {"Timenow": str(self._faults.wall_ms())}
            reply["retExtInfo"] = {}
        if "reqId" in message:
            reply["reqId"] = message["reqId"]
        connection.send(dumps(reply))

    def _trade(self, action: Callable[[Venue, Params], Object | Refused], message: Message) -> Object | Refused:
        header, args = message.get("header"), message.get("args")
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            return Refused(RetCode.PARAMS, "params error: args must hold exactly one order")
        head = Params(header if isinstance(header, dict) else {})
        try:
            stamp = head.time_ms("X-BAPI-TIMESTAMP")
            window = head.integer("X-BAPI-RECV-WINDOW", DEFAULT_RECV_WINDOW_MS, 0, 600_000)
            wall = self._faults.wall_ms()
            if stamp is None or not wall - window <= stamp < wall + MAX_AHEAD_MS:
                return Refused(
                    RetCode.EXPIRED,
                    f"invalid request: req_timestamp[{stamp}],server_timestamp[{wall}],recv_window[{window}]",
                )
            return action(self._venue, Params(args[0]))
        except ParamError as error:
            return error.refused


def _topics(message: Message) -> list[str]:
    args = message.get("args")
    return [str(topic) for topic in args] if isinstance(args, list) else []


def _answer(connection: Connection, message: Message, op: str, success: bool, text: str) -> None:
    reply: Message = {"success": success, "ret_msg": text, "conn_id": connection.conn_id, "op": op}
    if "req_id" in message:
        reply["req_id"] = message["req_id"]
    if not success:
        reply["request"] = {"op": op}
    connection.send(dumps(reply))
