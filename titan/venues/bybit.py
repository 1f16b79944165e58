"""Bybit v5, linear perpetuals in one-way mode, through ccxt's signed transport.

Guarantees: every order carries its client id; the stop and target of an entry travel with it in one request; values
come from the venue's raw strings. Never: a resend. ccxt signs, connects and decodes; its floats are not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

import ccxt

from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected, Transient
from titan.instruments import Instrument
from titan.model import Order, OrderState
from titan.money import text_of
from titan.runtime import VenueAddress
from titan.venues import bybit_shapes as shapes
from titan.venues.base import ExecutionKind, VenueAck, VenueExecution, VenueOrder, VenuePosition, VenueWallet
from titan.venues.errors import answer_code, translate
from titan.venues.exchange import make_exchange

CATEGORY = {"category": "linear"}
SETTLE = {"category": "linear", "settleCoin": "USDT"}
LEVERAGE_NOT_MODIFIED = 110043
WINDOW_MS = 7 * 86_400_000
STREAM_TIMEOUT_S = 5.0
ORDER_PAGE = 50
EXECUTION_PAGE = 100

Call = Callable[[dict[str, Any]], Awaitable[Any]]


class BybitVenue:
    """One Bybit account. Implements `titan.venues.base.Venue`."""

    def __init__(self, address: VenueAddress) -> None:
        self._exchange = make_exchange(address)
        self._name = address.name
        self._account = address.account
        self._symbols: dict[str, str] = {}
        self._venue_symbols: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The venue's name."""
        return self._name

    @property
    def account(self) -> str:
        """The account's name."""
        return self._account

    async def load_instruments(self) -> Sequence[Instrument]:
        """Every linear perpetual that trades now."""
        try:
            await self._exchange.load_markets()
        except ccxt.BaseError as error:
            raise translate(error) from error
        found = [
            shapes.instrument(market["info"], self._name)
            for market in self._exchange.markets.values()
            if market["swap"] and market["linear"] and market["active"]
        ]
        self._symbols = {one.venue_symbol: one.symbol for one in found}
        self._venue_symbols = {one.symbol: one.venue_symbol for one in found}
        return found

    async def submit(self, order: Order) -> VenueAck:
        """Sends an order, protection included."""
        request = shapes.order_request(order, self._venue_symbol(order.symbol))
        answer = await self._call(self._exchange.private_post_v5_order_create, request)
        return VenueAck(order.client_order_id, str(answer["result"]["orderId"]), int(answer.get("time") or 0))

    async def cancel(self, symbol: str, client_order_id: str, venue_order_id: str) -> None:
        """Cancels by the venue's id when it is known, else by ours."""
        request = {**CATEGORY, "symbol": self._venue_symbol(symbol)}
        if venue_order_id:
            request["orderId"] = venue_order_id
        else:
            request["orderLinkId"] = client_order_id
        await self._call(self._exchange.private_post_v5_order_cancel, request)

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        """Looks in open and recent orders, in the order history, and in executions."""
        name, wanted = ("orderId", venue_order_id) if venue_order_id else ("orderLinkId", client_order_id)
        request = {**CATEGORY, "symbol": self._venue_symbol(symbol), name: wanted}
        for call in (self._exchange.private_get_v5_order_realtime, self._exchange.private_get_v5_order_history):
            for raw in (await self._call(call, dict(request)))["result"]["list"]:
                if raw.get(name) == wanted:
                    return self._order(raw)
        done = (await self._call(self._exchange.private_get_v5_execution_list, dict(request)))["result"]["list"]
        own = [self._execution(raw) for raw in done if raw.get(name) == wanted]
        return _order_of_executions(own) if own else None

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Open orders of all symbols settled in USDT."""
        call = self._exchange.private_get_v5_order_realtime
        return [self._order(raw) async for raw in self._pages(call, {**SETTLE, "openOnly": 0}, ORDER_PAGE)]

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        """Finished orders of the order history, window by window."""
        raws = await self._windows(self._exchange.private_get_v5_order_history, since_ms, until_ms, ORDER_PAGE)
        return [self._order(raw) for raw in reversed(raws)]

    async def positions(self) -> Sequence[VenuePosition]:
        """Positions of all symbols settled in USDT that are not flat."""
        call = self._exchange.private_get_v5_position_list
        found = [shapes.position(raw, self._symbol(raw)) async for raw in self._pages(call, dict(SETTLE), 200)]
        return [one for one in found if one.quantity != 0]

    async def wallet(self) -> VenueWallet:
        """The USDT of the unified account."""
        answer = await self._call(
            self._exchange.private_get_v5_account_wallet_balance, {"accountType": "UNIFIED", "coin": "USDT"}
        )
        return shapes.wallet(answer["result"])

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        """Every page of every window, oldest first."""
        call = self._exchange.private_get_v5_execution_list
        seen: dict[str, VenueExecution] = {}
        for raw in reversed(await self._windows(call, since_ms, until_ms, EXECUTION_PAGE)):
            done = self._execution(raw)
            seen.setdefault(done.venue_trade_id, done)
        return sorted(seen.values(), key=lambda done: done.ts_ms)

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Sets both sides' leverage; 110043 (not modified) is success."""
        text = text_of(leverage)
        request = {**CATEGORY, "symbol": self._venue_symbol(symbol), "buyLeverage": text, "sellLeverage": text}
        try:
            await self._exchange.private_post_v5_position_set_leverage(request)
        except ccxt.BaseError as error:
            if answer_code(error)[0] != LEVERAGE_NOT_MODIFIED:
                raise translate(error) from error

    async def open_stream(self) -> None:
        """Connects the private WebSocket and waits until the venue took our key."""
        exchange = self._exchange
        try:
            url = await exchange.get_url_by_market_type(None, True, "watchOrders")
            await asyncio.wait_for(exchange.authenticate(url), STREAM_TIMEOUT_S)
        except TimeoutError as error:
            raise Transient(f"the private stream gave no answer within {STREAM_TIMEOUT_S:.0f} s") from error
        except ccxt.BaseError as error:
            raise Transient(f"the private stream can't be opened: {error}") from error

    async def watch_orders(self) -> Sequence[VenueOrder]:
        """The next changes of own orders."""
        return [self._order(each["info"]) for each in await self._watch(self._exchange.watch_orders)]

    async def watch_executions(self) -> Sequence[VenueExecution]:
        """The next own trades; funding comes by REST only."""
        return [self._execution(each["info"]) for each in await self._watch(self._exchange.watch_my_trades)]

    async def close(self) -> None:
        """Closes the HTTP session and the WebSocket."""
        await self._exchange.close()

    async def _call(self, call: Call, request: dict[str, Any]) -> Any:
        try:
            answer = await call(request)
        except ccxt.BaseError as error:
            raise translate(error) from error
        if not isinstance(answer, dict):
            raise Ambiguous(f"the venue answered with no JSON object: {str(answer)[:200]!r}")
        return answer

    async def _watch(self, watch: Callable[[], Awaitable[Any]]) -> Sequence[Any]:
        try:
            updates: Sequence[Any] = await watch()
        except ccxt.BaseError as error:
            raise Transient(f"the private stream broke: {error}") from error
        return updates

    async def _windows(self, call: Call, since_ms: int, until_ms: int, limit: int) -> list[Any]:
        """Raw rows of [since, until], newest first within the windows of seven days that the venue allows."""
        if since_ms <= 0:
            return [raw async for raw in self._pages(call, dict(CATEGORY), limit)]
        found: list[Any] = []
        end = until_ms
        while end >= since_ms:
            start = max(since_ms, end - WINDOW_MS + 1)
            window = {**CATEGORY, "startTime": start, "endTime": end}
            found += [raw async for raw in self._pages(call, window, limit)]
            end = start - 1
        return found

    async def _pages(self, call: Call, request: dict[str, Any], limit: int) -> AsyncIterator[Any]:
        cursor = ""
        while True:
            page = {**request, "limit": limit}
            if cursor:
                page["cursor"] = cursor
            result = (await self._call(call, page))["result"]
            for raw in result["list"]:
                yield raw
            following = str(result.get("nextPageCursor") or "")
            if not following or following == cursor or not result["list"]:
                return
            cursor = following

    def _venue_symbol(self, symbol: str) -> str:
        try:
            return self._venue_symbols[symbol]
        except KeyError:
            raise Rejected(RejectCode.UNKNOWN_INSTRUMENT, f"{self._name} lists no {symbol} that trades now") from None

    def _symbol(self, raw: Any) -> str:
        name = str(raw["symbol"])
        # A market listed since the start is still named, so that its fills are never dropped.
        return self._symbols.get(name) or str(self._exchange.safe_symbol(name, None, None, "swap"))

    def _order(self, raw: Any) -> VenueOrder:
        return shapes.venue_order(raw, self._symbol(raw))

    def _execution(self, raw: Any) -> VenueExecution:
        return shapes.execution(raw, self._symbol(raw))


def _order_of_executions(own: Sequence[VenueExecution]) -> VenueOrder:
    trades = [done for done in own if done.kind is ExecutionKind.TRADE]
    last = own[0]
    filled = sum((done.quantity for done in trades), Decimal(0))
    value = sum((done.quantity * done.price for done in trades), Decimal(0))
    wanted = last.order_quantity or filled
    return VenueOrder(
        venue_order_id=last.venue_order_id,
        client_order_id=last.client_order_id,
        parent_client_order_id="",
        symbol=last.symbol,
        side=last.side,
        order_type=last.order_type,
        role=last.role,
        quantity=wanted,
        price=None,
        trigger_price=None,
        reduce_only=False,
        state=OrderState.FILLED if filled >= wanted else OrderState.PARTIALLY_FILLED,
        filled=filled,
        average_price=value / filled if filled else Decimal(0),
        created_ms=last.ts_ms,
        updated_ms=max(done.ts_ms for done in own),
        detail=f"reconstructed from {len(own)} executions",
    )


def make_venue(address: VenueAddress) -> BybitVenue:
    """The adapter of a venue. Raises ConfigError when there is none."""
    return BybitVenue(address)
