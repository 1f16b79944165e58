"""Bybit v5, linear perpetuals in one-way mode, through ccxt's signed transport.

Guarantees: every order carries its client id; the stop and target of an entry travel with it in one request; values
come from the venue's raw strings. Never: a resend. ccxt signs, connects and decodes; its floats are not used.
Limits: https://bybit-exchange.github.io/docs/v5/rate-limit (per second and account, counted per endpoint).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import ccxt

from titan.codes import RejectCode
from titan.errors import Rejected, Transient
from titan.instruments import Instrument
from titan.model import Order, OrderRole
from titan.money import text_of
from titan.runtime import VenueAddress
from titan.venues import bybit_shapes as shapes
from titan.venues.base import (
    ClientIdRule,
    PostOnlyRefusal,
    Protection,
    VenueAck,
    VenueCapabilities,
    VenueExecution,
    VenueOrder,
    VenuePosition,
    VenueWallet,
)
from titan.venues.errors import BYBIT, answer_code, translate
from titan.venues.limits import Budget, Lane
from titan.venues.rest import ORDER_PATIENCE_S, Call, RestVenue, VenueProfile, oldest_first, order_of_executions
from titan.venues.stream import StallWatch

R = TypeVar("R")

CATEGORY = {"category": "linear"}
SETTLE = {"category": "linear", "settleCoin": "USDT"}
LEVERAGE_NOT_MODIFIED = 110043
WINDOW_MS = 7 * 86_400_000
STREAM_TIMEOUT_S = 5.0
ORDER_PAGE = 50
EXECUTION_PAGE = 100
READ, CREATE, CANCEL, AMEND = {"query": 1.0}, {"create": 1.0}, {"cancel": 1.0}, {"amend": 1.0}

PROFILE = VenueProfile(
    capabilities=VenueCapabilities(
        time_in_force=shapes.TIME_IN_FORCE,
        client_id_max=36,
        client_id_chars="[A-Za-z0-9_-]",
        client_id_rule=ClientIdRule.REFUSED_WHILE_OPEN,
        protection=Protection.ATTACHED,
        post_only_refusal=PostOnlyRefusal.CANCELED,
        amends=frozenset({"price", "quantity"}),
        amends_waiting=frozenset({"price", "quantity", "trigger_price"}),
    ),
    errors=BYBIT,
    budgets=(
        Budget("create", 10, 10, reserve=3),
        Budget("cancel", 10, 10),
        Budget("amend", 10, 10),
        Budget("query", 50, 50, reserve=10),
    ),
    time_call="public_get_v5_market_time",
    server_ms=lambda answer: int(answer["result"]["timeNano"]) // 1_000_000,
)


class BybitVenue(RestVenue):
    """One Bybit account. Implements `titan.venues.base.Venue`."""

    def __init__(self, address: VenueAddress) -> None:
        super().__init__(address, PROFILE)
        self._stall = StallWatch()
        self._stalled = asyncio.Event()
        self._stream_url = ""

    async def load_instruments(self) -> Sequence[Instrument]:
        """Every linear perpetual that trades now."""
        await self.measure_clock()
        try:
            await self._exchange.load_markets()
        except ccxt.BaseError as error:
            raise translate(error) from error
        return self._list(
            [
                shapes.instrument(market["info"], self._name)
                for market in self._exchange.markets.values()
                if market["swap"] and market["linear"] and market["active"]
            ]
        )

    async def submit(self, order: Order) -> VenueAck:
        """Sends an order, protection included."""
        request = shapes.order_request(order, self._venue_symbol(order.symbol))
        lane = Lane.URGENT if order.reduce_only else Lane.NORMAL
        answer = await self._call(self._exchange.private_post_v5_order_create, request, CREATE, lane, ORDER_PATIENCE_S)
        return VenueAck(order.client_order_id, str(answer["result"]["orderId"]), int(answer.get("time") or 0))

    async def cancel(self, symbol: str, client_order_id: str, venue_order_id: str) -> None:
        """Cancels by the venue's id when it is known, else by ours."""
        request = {**CATEGORY, "symbol": self._venue_symbol(symbol)}
        if venue_order_id:
            request["orderId"] = venue_order_id
        else:
            request["orderLinkId"] = client_order_id
        await self._call(self._exchange.private_post_v5_order_cancel, request, CANCEL, Lane.URGENT, ORDER_PATIENCE_S)

    async def amend(
        self,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        """Changes an open order; a higher quantity or another price loses its place in the queue."""
        if order.role in shapes.STOP_ROLES.values() and order.child == 0:
            await self._move_protection(order, price, quantity, trigger_price)
            return
        request = {**CATEGORY, "symbol": self._venue_symbol(order.symbol), "orderLinkId": order.client_order_id}
        if price is not None:
            request["price"] = text_of(price)
        if quantity is not None:
            request["qty"] = text_of(quantity)
        if trigger_price is not None:
            request["triggerPrice"] = text_of(trigger_price)
        await self._call(self._exchange.private_post_v5_order_amend, request, AMEND, patience_s=ORDER_PATIENCE_S)

    async def _move_protection(
        self, order: Order, price: Decimal | None, quantity: Decimal | None, trigger_price: Decimal | None
    ) -> None:
        """Moves the stop or target that came with an entry: it belongs to the position, and is as large as that."""
        if trigger_price is None or price is not None or quantity is not None:
            raise Rejected(RejectCode.VENUE_REJECTED, "of a position's stop or target only the trigger can be changed")
        name = "stopLoss" if order.role is OrderRole.STOP else "takeProfit"
        request = {
            **CATEGORY,
            "symbol": self._venue_symbol(order.symbol),
            "positionIdx": 0,
            "tpslMode": "Full",
            name: text_of(trigger_price),
        }
        call = self._exchange.private_post_v5_position_trading_stop
        await self._call(call, request, AMEND, Lane.URGENT, ORDER_PATIENCE_S)

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        """Looks in open and recent orders, in the order history, and in executions."""
        name, wanted = ("orderId", venue_order_id) if venue_order_id else ("orderLinkId", client_order_id)
        request = {**CATEGORY, "symbol": self._venue_symbol(symbol), name: wanted}
        for call in (self._exchange.private_get_v5_order_realtime, self._exchange.private_get_v5_order_history):
            for raw in (await self._call(call, dict(request), READ, Lane.URGENT))["result"]["list"]:
                if raw.get(name) == wanted:
                    return self._order(raw)
        listed = self._exchange.private_get_v5_execution_list
        done = (await self._call(listed, dict(request), READ, Lane.URGENT))["result"]["list"]
        own = [self._execution(raw) for raw in done if raw.get(name) == wanted]
        return order_of_executions(own) if own else None

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Open orders of all symbols settled in USDT."""
        call = self._exchange.private_get_v5_order_realtime
        return [self._order(raw) async for raw in self._pages(call, {**SETTLE, "openOnly": 0}, ORDER_PAGE)]

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        """Finished orders of the order history, window by window."""
        call = self._exchange.private_get_v5_order_history
        return (await self._windows(call, since_ms, until_ms, ORDER_PAGE, self._order))[::-1]

    async def positions(self) -> Sequence[VenuePosition]:
        """Positions of all symbols settled in USDT that are not flat."""
        call = self._exchange.private_get_v5_position_list
        found = [
            shapes.position(raw, self._symbol(str(raw["symbol"]))) async for raw in self._pages(call, dict(SETTLE), 200)
        ]
        return [one for one in found if one.quantity != 0]

    async def wallet(self) -> VenueWallet:
        """The USDT of the unified account."""
        answer = await self._call(
            self._exchange.private_get_v5_account_wallet_balance, {"accountType": "UNIFIED", "coin": "USDT"}, READ
        )
        return shapes.wallet(answer["result"])

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        """Every page of every window, oldest first."""
        call = self._exchange.private_get_v5_execution_list
        found = oldest_first((await self._windows(call, since_ms, until_ms, EXECUTION_PAGE, self._execution))[::-1])
        if self._stall.shown(found, time.monotonic()):
            self._stalled.set()
        return found

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
        self._stalled.clear()
        try:
            url = await exchange.get_url_by_market_type(None, True, "watchOrders")
            self._stream_url = url
            await asyncio.wait_for(exchange.authenticate(url), STREAM_TIMEOUT_S)
        except TimeoutError as error:
            raise Transient(f"the private stream gave no answer within {STREAM_TIMEOUT_S:.0f} s") from error
        except ccxt.BaseError as error:
            raise Transient(f"the private stream can't be opened: {error}") from error
        self._stall.opened()

    async def watch_orders(self) -> Sequence[VenueOrder]:
        """The next changes of own orders."""
        return [self._order(each["info"]) for each in await self._watch(self._exchange.watch_orders)]

    async def watch_executions(self) -> Sequence[VenueExecution]:
        """The next own trades; funding comes by REST only."""
        found = [self._execution(each["info"]) for each in await self._watch(self._exchange.watch_my_trades)]
        for done in found:
            self._stall.told(done.venue_trade_id, done.ts_ms)
        return found

    async def _watch(self, watch: Callable[[], Awaitable[Any]]) -> Sequence[Any]:
        watching = asyncio.ensure_future(watch())
        stalled = asyncio.ensure_future(self._stalled.wait())
        try:
            await asyncio.wait({watching, stalled}, return_when=asyncio.FIRST_COMPLETED)
            if not watching.done():
                await self._drop_stream()
                raise Transient("the private stream is open and silent: it owes trades that REST shows")
            updates: Sequence[Any] = watching.result()
        except ccxt.BaseError as error:
            raise Transient(f"the private stream broke: {error}") from error
        finally:
            stalled.cancel()
            watching.cancel()
        return updates

    async def _drop_stream(self) -> None:
        client = self._exchange.clients.pop(self._stream_url, None)
        if client is not None:
            await client.close()

    async def _windows(self, call: Call, since_ms: int, until_ms: int, limit: int, read: Callable[[Any], R]) -> list[R]:
        """What was read of [since, until], newest first within the windows of seven days that the venue allows."""
        if since_ms <= 0:
            return [read(raw) async for raw in self._pages(call, dict(CATEGORY), limit)]
        found: list[R] = []
        end = until_ms
        while end >= since_ms:
            start = max(since_ms, end - WINDOW_MS + 1)
            window = {**CATEGORY, "startTime": start, "endTime": end}
            found += [read(raw) async for raw in self._pages(call, window, limit)]
            end = start - 1
        return found

    async def _pages(self, call: Call, request: dict[str, Any], limit: int) -> AsyncIterator[Any]:
        cursor = ""
        while True:
            page = {**request, "limit": limit}
            if cursor:
                page["cursor"] = cursor
            result = (await self._call(call, page, READ))["result"]
            for raw in result["list"]:
                yield raw
            following = str(result.get("nextPageCursor") or "")
            if not following or following == cursor or not result["list"]:
                return
            cursor = following

    def _order(self, raw: Any) -> VenueOrder:
        return shapes.venue_order(raw, self._symbol(str(raw["symbol"])))

    def _execution(self, raw: Any) -> VenueExecution:
        return shapes.execution(raw, self._symbol(str(raw["symbol"])))


def make_venue(address: VenueAddress) -> BybitVenue:
    """The adapter of a venue. Raises ConfigError when there is none."""
    return BybitVenue(address)
