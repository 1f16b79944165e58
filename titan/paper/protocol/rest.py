"""The REST listener: Bybit v5 paths, envelopes and refusals on aiohttp.

Guarantees: every answer is HTTP 200 with retCode, retMsg, result and wall time; private paths verify the signature
over the raw query or body. `respond` is the one place all requests pass. Never: trading logic.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from titan.paper.jsonio import dumps, loads
from titan.paper.orders import Refused, RetCode
from titan.paper.protocol import account, public, trading
from titan.paper.protocol.auth import Credentials, check_request
from titan.paper.protocol.encode import Object
from titan.paper.protocol.params import ParamError, Params
from titan.paper.venue import Venue

Answer = Object | Refused
Question = Callable[[Venue, Params], Answer]

PUBLIC_GET: dict[str, Question] = {
    "/v5/market/instruments-info": public.instruments,
    "/v5/market/tickers": public.tickers,
    "/v5/market/orderbook": public.order_book,
    "/v5/market/kline": public.klines,
    "/v5/market/mark-price-kline": public.klines,
    "/v5/market/index-price-kline": public.klines,
    "/v5/market/recent-trade": public.recent_trades,
    "/v5/market/funding/history": public.funding_history,
    "/v5/market/open-interest": public.open_interest,
    "/v5/market/risk-limit": public.risk_limits,
}

PRIVATE_GET: dict[str, Question] = {
    "/v5/order/realtime": account.realtime,
    "/v5/order/history": account.history,
    "/v5/execution/list": account.executions,
    "/v5/position/list": account.positions,
    "/v5/account/wallet-balance": account.wallet,
    "/v5/account/fee-rate": account.fee_rates,
}

PRIVATE_POST: dict[str, Question] = {
    "/v5/order/create": trading.create,
    "/v5/order/cancel": trading.cancel,
    "/v5/order/amend": trading.amend,
    "/v5/order/cancel-all": trading.cancel_all,
    "/v5/position/set-leverage": trading.set_leverage,
    "/v5/position/trading-stop": trading.trading_stop,
}

BATCH_POST: dict[str, Question] = {
    "/v5/order/create-batch": trading.create,
    "/v5/order/cancel-batch": trading.cancel,
    "/v5/order/amend-batch": trading.amend,
}


def envelope(answer: Answer, extra: Object | None = None) -> bytes:
    """Bybit's JSON envelope around a result or a refusal; `time` is wall time."""
    refused = isinstance(answer, Refused)
    return dumps(
        {
            "retCode": int(answer.code) if isinstance(answer, Refused) else 0,
            "retMsg": answer.message if isinstance(answer, Refused) else "OK",
            "result": {} if refused else answer,
            "retExtInfo": extra or {},
            "time": time.time_ns() // 1_000_000,
        }
    )


class RestApi:
    """Routes of one venue."""

    def __init__(self, venue: Venue, credentials: Credentials, wall_ms: Callable[[], int]) -> None:
        self._venue = venue
        self._credentials = credentials
        self._wall_ms = wall_ms

    def add_routes(self, app: web.Application) -> None:
        """Puts every path on the application."""
        get, post = app.router.add_get, app.router.add_post
        get("/v5/market/time", self._time)
        get("/v3/public/time", self._time)
        for path, question in PUBLIC_GET.items():
            get(path, self._public(question))
        for path, question in PRIVATE_GET.items():
            get(path, self._private(question))
        for path, question in PRIVATE_POST.items():
            post(path, self._private(question))
        for path, question in BATCH_POST.items():
            post(path, self._private(question, batch=True))
        key = self._credentials.api_key
        get("/v5/user/query-api", self._private(lambda _v, _p: account.key_info(key)))
        get("/v5/account/info", self._private(lambda v, _p: account.account_info(v.market_ms)))
        post("/v5/position/switch-mode", self._private(account.switch_mode))
        post("/v5/account/set-margin-mode", self._private(account.set_margin_mode))
        get("/v5/asset/coin/query-info", self._private(lambda v, _p: account.coins(v)))

    def add_fallback(self, app: web.Application) -> None:
        """Answers every other path in the venue's own form; to be added last."""
        app.router.add_route("*", "/{path:.*}", self._unknown)

    async def _unknown(self, request: web.Request) -> web.Response:
        refused = Refused(RetCode.NOT_FOUND_PATH, f"{request.method} {request.path} is not offered by this venue")
        return web.Response(body=envelope(refused), content_type="application/json", status=404)

    async def _time(self, _request: web.Request) -> web.Response:
        return respond(envelope(public.server_time(self._wall_ms() * 1_000_000)))

    def _public(self, question: Question) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return respond(envelope(self._ask(question, request.query)))

        return handle

    def _private(self, question: Question, *, batch: bool = False) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            raw: Mapping[str, object] = request.query
            if request.method == "POST":
                body = await request.text()
                refused = self._judge(request, body)
                if refused is not None:
                    return respond(envelope(refused))
                try:
                    parsed = loads(body)
                except ValueError:
                    parsed = None
                if not isinstance(parsed, dict):
                    return respond(envelope(Refused(RetCode.PARAMS, "params error: the body must be a JSON object")))
                raw = parsed
            else:
                refused = self._judge(request, request.raw_path.partition("?")[2])
                if refused is not None:
                    return respond(envelope(refused))
            if batch:
                try:
                    result, codes = trading.batch(self._venue, Params(raw), question)
                except ParamError as error:
                    return respond(envelope(error.refused))
                return respond(envelope(result, codes))
            return respond(envelope(self._ask(question, raw)))

        return handle

    def _judge(self, request: web.Request, payload: str) -> Refused | None:
        return check_request(self._credentials, request.headers, payload, self._wall_ms())

    def _ask(self, question: Question, raw: Mapping[str, object]) -> Answer:
        try:
            return question(self._venue, Params(raw))
        except ParamError as error:
            return error.refused


def respond(body: bytes) -> web.Response:
    """The HTTP answer of every request."""
    return web.Response(body=body, content_type="application/json")
