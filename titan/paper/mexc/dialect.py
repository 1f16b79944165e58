"""How MEXC futures sounds when it fails: what its paths and channels are about, and its words for trouble.

Guarantees: answers have the exchange's own shapes and codes, so that a client's real error handling meets them.
Never: a decision which fault applies.
"""

from __future__ import annotations

from aiohttp import web

from titan.paper.faults import Fault, FaultKind, FrameKind, RequestKind
from titan.paper.jsonio import dumps, loads
from titan.paper.mexc.api import DEALS, ORDERS

FRAMES = {ORDERS: FrameKind.ORDERS, DEALS: FrameKind.FILLS}
PRIVATE = "/api/v1/private/"
PLACES = ("order/create", "order/submit", "planorder/place", "planorder/place/v2")
CANCELS = ("order/cancel", "stoporder/cancel", "planorder/cancel")
SEARCHES = (
    "order/external/",
    "order/get/",
    "order/list/history_orders",
    "order/list/open_orders",
    "planorder/list/orders",
)
TIMES = ("ts", "timestamp", "createTime", "updateTime")


class MexcDialect:
    """Implements `titan.paper.fault_shell.Dialect`."""

    def request_kind(self, request: web.Request) -> RequestKind:
        """By path."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return RequestKind.CONNECT
        path = request.path.removeprefix(PRIVATE)
        if path == request.path:
            return RequestKind.MARKET
        if path in PLACES:
            return RequestKind.PLACE
        if path.startswith(CANCELS):
            return RequestKind.CANCEL
        return RequestKind.LOOKUP if path.startswith(SEARCHES) else RequestKind.READ

    def frame_kind(self, topic: str) -> FrameKind:
        """By the channel."""
        return FRAMES.get(topic, FrameKind.OTHER)

    def refusal(self, fault: Fault) -> web.Response:
        """An order that the account can't pay for, a server error, too many requests, or maintenance."""
        if fault.kind is FaultKind.REJECT:
            return _answer(2005, "Balance insufficient", 200)
        if fault.kind is FaultKind.RATE_LIMIT:
            answer = _answer(510, "Excessive frequency of requests", 429)
            answer.headers["Retry-After"] = str(fault.retry_after_s)
            return answer
        if fault.kind is FaultKind.SERVER_ERROR:
            return _answer(500, "Internal error", fault.status)
        return web.Response(text="<html><h1>503</h1></html>", content_type="text/html", status=503)

    def nothing(self, request: web.Request) -> web.Response:
        """A success without data."""
        return web.Response(body=dumps({"success": True, "code": 0}), content_type="application/json")

    def shifted(self, frame: bytes, shift_ms: int) -> bytes:
        """The frame's own time and those of its data."""
        message = loads(frame)
        for part in (message, message.get("data")):
            if isinstance(part, dict):
                for name in TIMES:
                    if isinstance(part.get(name), int):
                        part[name] += shift_ms
        return dumps(message)


def _answer(code: int, text: str, status: int) -> web.Response:
    body = dumps({"success": False, "code": code, "message": text})
    return web.Response(body=body, content_type="application/json", status=status)
