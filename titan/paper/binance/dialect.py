"""How Binance USDⓈ-M sounds when it fails: what its paths and events are about, and its words for trouble.

Guarantees: answers have the exchange's own shapes and codes, so that a client's real error handling meets them.
Never: a decision which fault applies.
"""

from __future__ import annotations

from aiohttp import web

from titan.paper.binance.api import ALGOS, FILLS, ORDERS
from titan.paper.faults import Fault, FaultKind, FrameKind, RequestKind
from titan.paper.jsonio import dumps, loads

FRAMES = {ORDERS: FrameKind.ORDERS, ALGOS: FrameKind.ORDERS, FILLS: FrameKind.FILLS}
PLACES = ("/fapi/v1/order", "/fapi/v1/algoOrder")
TIMES = ("E", "T")
NAMES = ("orderId", "origClientOrderId", "algoId", "clientAlgoId")


class BinanceDialect:
    """Implements `titan.paper.fault_shell.Dialect`."""

    def request_kind(self, request: web.Request) -> RequestKind:
        """By path and method; a change of an order counts as a cancel, for it needs the order to be there."""
        path, method = request.path, request.method
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return RequestKind.CONNECT
        if path in PLACES:
            return {"POST": RequestKind.PLACE, "GET": RequestKind.LOOKUP}.get(method, RequestKind.CANCEL)
        if path == "/fapi/v1/allOrders" or (path == "/fapi/v1/openOrders" and "symbol" in request.query):
            return RequestKind.LOOKUP
        public = ("/fapi/v1/time", "/fapi/v1/ping", "/fapi/v1/exchangeInfo")
        return RequestKind.MARKET if path in public or not path.startswith("/fapi") else RequestKind.READ

    def frame_kind(self, topic: str) -> FrameKind:
        """By the event."""
        return FRAMES.get(topic, FrameKind.OTHER)

    def refusal(self, fault: Fault) -> web.Response:
        """An order that the account can't pay for, a server error, too many requests, or maintenance."""
        if fault.kind is FaultKind.REJECT:
            return _answer(-2019, "Margin is insufficient.", 400)
        if fault.kind is FaultKind.RATE_LIMIT:
            answer = _answer(-1003, "Too many requests; current limit is 2400 requests per minute.", 429)
            answer.headers["Retry-After"] = str(fault.retry_after_s)
            return answer
        if fault.kind is FaultKind.SERVER_ERROR:
            text = "Unknown error, please check your request or try again later."
            return _answer(-1000, text, fault.status)
        return web.Response(text="<html><h1>503</h1></html>", content_type="text/html", status=503)

    def nothing(self, request: web.Request) -> web.Response:
        """No such order, or an empty list."""
        if request.path in PLACES:
            return _answer(-2013, "Order does not exist.", 400)
        return web.Response(body=b"[]", content_type="application/json")

    def shifted(self, frame: bytes, shift_ms: int) -> bytes:
        """The event's own times and those of its order."""
        message = loads(frame)
        for part in (message, message.get("o")):
            if isinstance(part, dict):
                for name in TIMES:
                    if isinstance(part.get(name), int):
                        part[name] += shift_ms
        return dumps(message)


def _answer(code: int, text: str, status: int) -> web.Response:
    return web.Response(body=dumps({"code": code, "msg": text}), content_type="application/json", status=status)
