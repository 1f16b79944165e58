"""How Bybit v5 sounds when it fails: what its paths and topics are about, and its words for trouble.

Guarantees: answers have the exchange's own shapes and codes, so that a client's real error handling meets them.
Never: a decision which fault applies.
"""

from __future__ import annotations

from aiohttp import web

from titan.paper.faults import Fault, FaultKind, FrameKind, RequestKind
from titan.paper.jsonio import dumps, loads

PLACES = ("/v5/order/create", "/v5/order/create-batch")
CANCELS = ("/v5/order/cancel", "/v5/order/cancel-batch", "/v5/order/cancel-all", "/v5/order/amend")
SEARCHES = ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list")
FRAMES = {
    "order": FrameKind.ORDERS,
    "execution": FrameKind.FILLS,
    "position": FrameKind.ACCOUNT,
    "wallet": FrameKind.ACCOUNT,
    "orderbook": FrameKind.BOOK,
    "publicTrade": FrameKind.TRADES,
    "tickers": FrameKind.TICKER,
}
TOO_MANY, NO_BALANCE = 10006, 110007
TIMES = ("ts", "cts", "creationTime", "T", "timestamp")


class BybitDialect:
    """Implements `titan.paper.fault_shell.Dialect`."""

    def request_kind(self, request: web.Request) -> RequestKind:
        """By path; a search that names an order is a look-up."""
        path = request.path
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return RequestKind.CONNECT
        if path in PLACES:
            return RequestKind.PLACE
        if path in CANCELS:
            return RequestKind.CANCEL
        if path in SEARCHES and ("orderId" in request.query or "orderLinkId" in request.query):
            return RequestKind.LOOKUP
        return RequestKind.MARKET if path.startswith(("/v5/market", "/v3/public")) else RequestKind.READ

    def frame_kind(self, topic: str) -> FrameKind:
        """By the topic's first word."""
        return FRAMES.get(topic.partition(".")[0], FrameKind.OTHER)

    def refusal(self, fault: Fault) -> web.Response:
        """An order that the account can't pay for, a server error, too many requests, or maintenance."""
        if fault.kind is FaultKind.REJECT:
            return _answer(NO_BALANCE, "ab not enough for new order", 200)
        if fault.kind is FaultKind.RATE_LIMIT:
            answer = _answer(TOO_MANY, "Too many visits!", 429)
            answer.headers["Retry-After"] = str(fault.retry_after_s)
            return answer
        # What stands before the exchange answers then, and that speaks no JSON.
        status = 503 if fault.kind is FaultKind.MAINTENANCE else fault.status
        return web.Response(
            text=f"<html><h1>{status}</h1>{fault.kind.value}</html>", content_type="text/html", status=status
        )

    def nothing(self, request: web.Request) -> web.Response:
        """An empty list."""
        category = request.query.get("category", "linear")
        return _answer(0, "OK", 200, {"nextPageCursor": "", "category": category, "list": []})

    def shifted(self, frame: bytes, shift_ms: int) -> bytes:
        """The frame's own times and those of its rows."""
        message = loads(frame)
        rows = message.get("data")
        for part in (message, *(rows if isinstance(rows, list) else [rows])):
            if isinstance(part, dict):
                for name in TIMES:
                    if isinstance(part.get(name), int):
                        part[name] += shift_ms
        return dumps(message)


def _answer(code: int, text: str, status: int, result: dict[str, object] | None = None) -> web.Response:
    body = dumps({"retCode": code, "retMsg": text, "result": result or {}, "retExtInfo": {}, "time": 0})
    return web.Response(body=body, content_type="application/json", status=status)
