"""MEXC perpetuals in one-way mode with cross margin, through ccxt's signed transport.

Guarantees: every order carries its client id; the stop and target of an entry travel with it in one request and become
a TP/SL order of the position; values come from the text of MEXC's JSON. Never: a resend. Changing an order in place is
not offered. Without a start time MEXC shows seven days, and that is what "the venue's whole memory" means here.
Limits: https://www.mexc.com/api-docs/futures/account-and-trading-endpoints (4 orders and 20 other requests in two
seconds).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from titan.codes import RejectCode
from titan.errors import Rejected, Transient
from titan.instruments import Instrument
from titan.model import Order, OrderRole
from titan.money import dec
from titan.runtime import VenueAddress
from titan.venues import mexc_shapes as shapes
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
from titan.venues.errors import ErrorRules
from titan.venues.limits import Budget, Lane
from titan.venues.rest import ORDER_PATIENCE_S, RestVenue, VenueProfile, oldest_first, order_of_executions
from titan.venues.stream import News, PrivateSocket

PAGE = 100
BATCH = 50
ORDERS, DEALS = "push.personal.order", "push.personal.order.deal"
CREATE, CANCEL, READ = {"create": 1.0}, {"cancel": 1.0}, {"query": 1.0}

PROFILE = VenueProfile(
    capabilities=VenueCapabilities(
        time_in_force=shapes.TIME_IN_FORCE,
        client_id_max=32,
        client_id_chars="[A-Za-z0-9_-]",
        client_id_rule=ClientIdRule.REFUSED_WHILE_OPEN,
        protection=Protection.ATTACHED,
        post_only_refusal=PostOnlyRefusal.CANCELED,
        amends=frozenset(),
    ),
    # 510, 2037: too frequent. 500, 501, 503, 504: the outcome is open. 603, 2042: the id is known, it may be ours.
    errors=ErrorRules(
        code="code",
        message=("message", "msg"),
        transient=frozenset({510, 2037}),
        ambiguous=frozenset({500, 501, 503, 504, 603, 2042}),
        clock=frozenset({513, 10073, 700003}),
    ),
    budgets=(
        Budget("create", 4, 2, reserve=2),
        Budget("cancel", 20, 10),
        Budget("query", 20, 10, reserve=4),
    ),
    time_call="contract_public_get_ping",
    server_ms=lambda answer: int(answer["data"]),
)

Call = Callable[[Any], Awaitable[Any]]


class MexcVenue(RestVenue):
    """One MEXC futures account. Implements `titan.venues.base.Venue`."""

    def __init__(self, address: VenueAddress) -> None:
        super().__init__(address, PROFILE)
        self._stream = PrivateSocket(self._news, ping={"method": "ping"})
        self._sizes: dict[str, Decimal] = {}
        self._names: dict[str, str] = {}
        self._spawned: dict[str, tuple[str, OrderRole]] = {}
        self._touched: set[str] = set()

    async def load_instruments(self) -> Sequence[Instrument]:
        """Every USDT contract that trades now."""
        await self.measure_clock()
        listed = [
            raw
            for raw in await self._read(self._exchange.contract_public_get_detail, {})
            if raw["settleCoin"] == "USDT" and int(raw["state"]) == 0
        ]
        self._sizes = {str(raw["symbol"]): shapes.contract_size(raw) for raw in listed}
        return self._list([shapes.instrument(raw, self._name) for raw in listed])

    # orders

    async def submit(self, order: Order) -> VenueAck:
        """Sends an order, protection included."""
        venue_symbol = self._venue_symbol(order.symbol)
        request = shapes.order_request(order, venue_symbol, self._sizes[venue_symbol])
        self._touched.add(venue_symbol)
        lane = Lane.URGENT if order.reduce_only else Lane.NORMAL
        create = self._exchange.contract_private_post_order_create
        answer = await self._call(create, request, CREATE, lane, ORDER_PATIENCE_S)
        data = answer["data"]
        venue_order_id = str(data["orderId"])
        self._names[venue_order_id] = order.client_order_id
        return VenueAck(order.client_order_id, venue_order_id, int(data.get("ts") or 0))

    async def cancel(self, symbol: str, client_order_id: str, venue_order_id: str) -> None:
        """Cancels by the venue's id when it is known, else by ours. A TP/SL order goes with both of its legs."""
        venue_symbol = self._venue_symbol(symbol)
        exchange = self._exchange
        request: Any
        if venue_order_id.startswith((shapes.STOP, shapes.TARGET)):
            call: Call = exchange.contract_private_post_stoporder_cancel
            request = [{"stopPlanOrderId": venue_order_id[len(shapes.STOP) :]}]
        elif venue_order_id:
            call, request = exchange.contract_private_post_order_cancel, [venue_order_id]
        else:
            call = exchange.contract_private_post_order_cancel_with_external
            request = {"symbol": venue_symbol, "externalOid": client_order_id}
        answer = await self._call(call, request, CANCEL, Lane.URGENT, ORDER_PATIENCE_S)
        for each in answer.get("data") or []:
            if isinstance(each, dict) and int(each.get("errorCode") or 0):
                raise Rejected(RejectCode.VENUE_REJECTED, f"{each['errorCode']} {each.get('errorMsg', '')}")

    async def amend(
        self,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        """Always Rejected: cancel the order and send another."""
        raise Rejected(RejectCode.VENUE_REJECTED, "orders can't be changed at mexc; cancel it and send another")

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        """Asks for the order, then searches open orders, the history and the executions of the last days."""
        venue_symbol = self._venue_symbol(symbol)
        self._touched.add(venue_symbol)
        exchange = self._exchange
        if venue_order_id.startswith((shapes.STOP, shapes.TARGET)):
            found = [*await self._stops(0), *await self._stops(1)]
            return next((one for one in found if one.venue_order_id == venue_order_id), None)
        if venue_order_id:
            call, request = exchange.contract_private_get_order_get_order_id, {"order_id": venue_order_id}
        else:
            call = exchange.contract_private_get_order_external_symbol_external_oid
            request = {"symbol": venue_symbol, "external_oid": client_order_id}
        raw = await self._one(call, request)
        if raw is not None:
            return self._order(raw)
        for listed in (
            await self._pages(exchange.contract_private_get_order_list_open_orders, {}, Lane.URGENT),
            await self._pages(
                exchange.contract_private_get_order_list_history_orders, {"symbol": venue_symbol}, Lane.URGENT
            ),
        ):
            for each in listed:
                one = self._order(each)
                if (
                    (one.venue_order_id == venue_order_id)
                    if venue_order_id
                    else (one.client_order_id == client_order_id)
                ):
                    return one
        own = [done for done in await self.executions(0, 0) if venue_order_id and done.venue_order_id == venue_order_id]
        return order_of_executions(own) if own else None

    async def _one(self, call: Call, request: dict[str, Any]) -> Any:
        try:
            answer = await self._call(call, request, READ, Lane.URGENT)
        except Rejected as error:
            if error.detail.startswith("2040"):
                return None
            raise
        return answer.get("data")

    # reading

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Open orders of all symbols, waiting stops and targets included."""
        raws = await self._pages(self._exchange.contract_private_get_order_list_open_orders, {})
        return [*(self._order(raw) for raw in raws), *await self._stops(0)]

    async def _stops(self, finished: int) -> list[VenueOrder]:
        raws = await self._pages(self._exchange.contract_private_get_stoporder_list_orders, {"is_finished": finished})
        await self._learn_names({str(raw["orderId"]) for raw in raws})
        found: list[VenueOrder] = []
        for raw in raws:
            venue_symbol = str(raw["symbol"])
            parent = self._names.get(str(raw["orderId"]), "")
            legs = shapes.stop_orders(raw, self._symbol(venue_symbol), self._size(venue_symbol), parent)
            found += legs
            placed = str(raw.get("placeOrderId") or "0")
            if placed != "0" and legs:
                # 1 says that the target fired, everything else that the stop did.
                target = str(raw.get("triggerSide")) == "1" or (len(legs) == 1 and legs[0].role is OrderRole.TARGET)
                role = OrderRole.TARGET if target else OrderRole.STOP
                prefix = shapes.TARGET if target else shapes.STOP
                self._spawned[placed] = (f"{prefix}{raw['id']}", role)
        return found

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        """Finished orders of the history."""
        raws = await self._history(since_ms, until_ms)
        if any(not raw.get("externalOid") for raw in raws):
            await self._stops(1)
        found = [self._order(raw) for raw in raws]
        return sorted((one for one in found if one.state.is_terminal), key=lambda one: one.created_ms)

    async def positions(self) -> Sequence[VenuePosition]:
        """Positions that are not flat, with their fair price and the stop and target that stand."""
        raws = await self._read(self._exchange.contract_private_get_position_open_positions, {})
        held = [raw for raw in raws if dec(str(raw["holdVol"])) != 0]
        if not held:
            return []
        stops = await self._stops(0)
        marks = await asyncio.gather(*(self._mark(str(raw["symbol"])) for raw in held))
        found = []
        for raw, mark in zip(held, marks, strict=True):
            venue_symbol = str(raw["symbol"])
            self._touched.add(venue_symbol)
            symbol = self._symbol(venue_symbol)
            own = {each.role: each.trigger_price for each in stops if each.symbol == symbol}
            protection = (own.get(OrderRole.STOP), own.get(OrderRole.TARGET))
            found.append(shapes.position(raw, symbol, self._size(venue_symbol), mark, protection))
        return found

    async def _mark(self, venue_symbol: str) -> Decimal:
        call = self._exchange.contract_public_get_fair_price_symbol
        return dec(str((await self._read(call, {"symbol": venue_symbol}))["fairPrice"]))

    async def wallet(self) -> VenueWallet:
        """The USDT of the futures account."""
        return shapes.wallet(await self._read(self._exchange.contract_private_get_account_assets, {}))

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        """Deals of every symbol that the account's orders name, and funding."""
        await self._history(since_ms, until_ms)
        raws: list[Any] = []
        for venue_symbol in sorted(self._touched):
            for window in shapes.windows(since_ms, until_ms):
                request = {"symbol": venue_symbol, **window}
                raws += await self._pages(self._exchange.contract_private_get_order_list_order_deals, request)
        await self._learn_names({str(raw["orderId"]) for raw in raws})
        if any(not self._names.get(str(raw["orderId"])) for raw in raws):
            await self._stops(1)
        found = [self._deal(raw) for raw in reversed(raws)]
        found += await self._funding(since_ms, until_ms)
        done = oldest_first(found)
        self._stream.shown(done)
        return done

    async def _funding(self, since_ms: int, until_ms: int) -> list[VenueExecution]:
        found: list[VenueExecution] = []
        page = 1
        while True:
            request = {"page_num": page, "page_size": PAGE}
            rows = shapes.rows(await self._read(self._exchange.contract_private_get_position_funding_records, request))
            found += [shapes.funding(raw, self._symbol(str(raw["symbol"]))) for raw in rows]
            # Newest first: what is older than the window ends the search.
            if len(rows) < PAGE or found[-1].ts_ms < since_ms:
                return [done for done in found if done.ts_ms >= since_ms and (not until_ms or done.ts_ms <= until_ms)]
            page += 1

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Sets the leverage of an open position, or of both directions when there is none."""
        venue_symbol = self._venue_symbol(symbol)
        change = self._exchange.contract_private_post_position_change_leverage
        held = await self._read(self._exchange.contract_private_get_position_open_positions, {"symbol": venue_symbol})
        if held:
            for raw in held:
                await self._read(change, {"positionId": int(raw["positionId"]), "leverage": int(leverage)})
            return
        for direction in (1, 2):
            request = {"symbol": venue_symbol, "leverage": int(leverage), "openType": shapes.CROSS}
            await self._read(change, {**request, "positionType": direction})

    # the private stream

    async def open_stream(self) -> None:
        """Connects and logs in; MEXC pushes every private channel after that."""
        await self._stream.open(str(self._exchange.urls["api"]["ws"]["swap"]), self._login)

    async def _login(self, socket: PrivateSocket) -> None:
        exchange = self._exchange
        stamp = str(exchange.nonce())
        signature = exchange.hmac(
            exchange.encode(f"{exchange.apiKey}{stamp}"), exchange.encode(exchange.secret), hashlib.sha256
        )
        param = {"apiKey": exchange.apiKey, "reqTime": stamp, "signature": signature}
        answer = await socket.ask({"method": "login", "param": param})
        if answer.get("channel") != "rs.login" or answer.get("data") != "success":
            raise Transient(f"the venue refused the login: {answer.get('data')}")

    async def watch_orders(self) -> Sequence[VenueOrder]:
        """The next changes of own orders; stops and targets come by REST only."""
        return await self._stream.orders()

    async def watch_executions(self) -> Sequence[VenueExecution]:
        """The next own trades; those of stops and targets, and funding, come by REST only."""
        return await self._stream.executions()

    async def close(self) -> None:
        """Closes the stream and the HTTP session."""
        await self._stream.close()
        await super().close()

    def _news(self, message: dict[str, Any]) -> Iterable[News]:
        raw = message.get("data")
        if message.get("channel") == ORDERS and isinstance(raw, dict):
            yield self._order(raw)
        elif message.get("channel") == DEALS and isinstance(raw, dict):
            name = str(raw.get("externalOid") or self._names.get(str(raw["orderId"]), ""))
            if name:
                self._names[str(raw["orderId"])] = name
                yield self._deal(raw)
            else:
                # Which stop or target this was, only REST says: here it would look like a stranger's order.
                self._stream.watch.told(str(raw["id"]), int(raw["timestamp"]))

    # names and pages

    async def _read(self, call: Call, request: dict[str, Any]) -> Any:
        answer = await self._call(call, request, READ)
        return answer.get("data") or []

    async def _pages(self, call: Call, request: dict[str, Any], lane: Lane = Lane.NORMAL) -> list[Any]:
        """Every row, newest first, each once: a new row between two pages shifts the others, it hides none."""
        found: dict[str, Any] = {}
        page = 1
        while True:
            asked = {**request, "page_num": page, "page_size": PAGE}
            rows = shapes.rows((await self._call(call, asked, READ, lane)).get("data") or [])
            for raw in rows:
                found.setdefault(str(raw.get("id") or raw.get("orderId")), raw)
            if len(rows) < PAGE:
                return list(found.values())
            page += 1

    async def _history(self, since_ms: int, until_ms: int) -> list[Any]:
        found: list[Any] = []
        for window in shapes.windows(since_ms, until_ms):
            found += await self._pages(self._exchange.contract_private_get_order_list_history_orders, dict(window))
        for raw in found:
            self._order(raw)
        return found

    async def _learn_names(self, numbers: set[str]) -> None:
        """Learns the client ids of orders by their numbers."""
        unknown = sorted(number for number in numbers if number not in self._names and number != "0")
        for start in range(0, len(unknown), BATCH):
            request = {"order_ids": ",".join(unknown[start : start + BATCH])}
            for raw in await self._read(self._exchange.contract_private_get_order_batch_query, request):
                self._order(raw)

    def _size(self, venue_symbol: str) -> Decimal:
        try:
            return self._sizes[venue_symbol]
        except KeyError:
            raise ValueError(f"the contract size of {venue_symbol} is not known; load the instruments again") from None

    def _order(self, raw: Any) -> VenueOrder:
        venue_symbol = str(raw["symbol"])
        self._touched.add(venue_symbol)
        found = shapes.venue_order(raw, self._symbol(venue_symbol), self._size(venue_symbol))
        self._names[found.venue_order_id] = found.client_order_id
        spawned = self._spawned.get(found.venue_order_id)
        return found if spawned is None else replace(found, venue_order_id=spawned[0], role=spawned[1])

    def _deal(self, raw: Any) -> VenueExecution:
        venue_symbol, order_id = str(raw["symbol"]), str(raw["orderId"])
        name = self._names.get(order_id, "")
        found = shapes.deal(raw, self._symbol(venue_symbol), self._size(venue_symbol), name)
        spawned = self._spawned.get(order_id)
        return found if spawned is None else replace(found, venue_order_id=spawned[0], role=spawned[1])


def make_venue(address: VenueAddress) -> MexcVenue:
    """The adapter of an account."""
    return MexcVenue(address)
