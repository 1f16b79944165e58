"""MEXC perpetuals in one-way mode with cross margin, through ccxt's signed transport.

Guarantees: every order carries its client id, but for those that wait for a price: of these MEXC keeps none, and they are known
again as `mexc_plans` says, for which their symbol's are read before one is sent. The stop and target of an entry travel with it
in one request and become a TP/SL order of the position; values come from the text of MEXC's JSON. Never: a resend. Changing an
order in place is not offered. Without a start time MEXC shows seven days, and that is what "the venue's whole memory" means here.
Limits: https://www.mexc.com/api-docs/futures/account-and-trading-endpoints (4 orders and 20 other requests in two
seconds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected, Transient
from titan.model import Order
from titan.runtime import VenueAddress
from titan.venues import mexc_shapes as shapes
from titan.venues.base import (
    VenueAck,
    VenueExecution,
    VenueOrder,
)
from titan.venues.limits import Lane
from titan.venues.mexc_books import READ, Call, MexcBooks
from titan.venues.mexc_plans import PLAN, plan_request, shape_of
from titan.venues.mexc_profile import PROFILE
from titan.venues.rest import ORDER_PATIENCE_S, order_of_executions
from titan.venues.stream import PrivateSocket

CREATE, CANCEL = {"create": 1.0}, {"cancel": 1.0}


class MexcVenue(MexcBooks):
    """One MEXC futures account. Implements `titan.venues.base.Venue`."""

    def __init__(self, address: VenueAddress) -> None:
        super().__init__(address, PROFILE)
        self._real_clock = not address.paper

    # orders

    async def submit(self, order: Order) -> VenueAck:
        """Sends an order, protection included."""
        if order.order_type in shapes.PLAN_CODES:
            return await self._submit_plan(order)
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

    async def _submit_plan(self, order: Order) -> VenueAck:
        venue_symbol, name = self._venue_symbol(order.symbol), order.client_order_id
        request = plan_request(order, venue_symbol, self._sizes[venue_symbol])
        lane = Lane.URGENT if order.reduce_only else Lane.NORMAL
        try:
            await self._read_plans("", venue_symbol, lane)
        except Ambiguous as error:
            raise Transient(f"the order was not sent, for what waits at the venue can't be read: {error}") from error
        place = self._exchange.contract_private_post_planorder_place_v2
        with self._plans.sending(name, shape_of(request)):
            try:
                answer = await self._call(place, request, CREATE, lane, ORDER_PATIENCE_S)
            except (Rejected, Transient):
                self._plans.forget(name)
                raise
            self._plans.tie(name, str(answer["data"]))
        return VenueAck(name, f"{PLAN}{answer['data']}")

    def remember(self, orders: Iterable[Order]) -> None:
        """Learns whose the waiting orders are that a former incarnation sent."""
        told = []
        for order in orders:
            if order.order_type in shapes.PLAN_CODES:
                shape = None
                if not order.venue_order_id and order.symbol in self._instruments:
                    venue_symbol = self._venue_symbol(order.symbol)
                    shape = shape_of(plan_request(order, venue_symbol, self._sizes[venue_symbol]))
                told.append((order, shape))
        self._plans.remember(told, judge_time=self._real_clock)

    async def cancel(self, symbol: str, client_order_id: str, venue_order_id: str) -> None:
        """Cancels by the venue's id when it is known, else by ours. A TP/SL order goes with both of its legs."""
        venue_symbol = self._venue_symbol(symbol)
        if venue_order_id.startswith(PLAN) or (not venue_order_id and self._plans.seeks(client_order_id)):
            raw = await self._find_plan(venue_symbol, client_order_id, venue_order_id)
            if raw is None:
                raise Rejected(RejectCode.VENUE_REJECTED, f"2040 mexc shows no such waiting order ({client_order_id})")
            venue_order_id = self._plans.became(str(raw["id"]))
            if not venue_order_id:
                withdraw = self._exchange.contract_private_post_planorder_cancel
                request = [{"symbol": venue_symbol, "orderId": str(raw["id"])}]
                await self._call(withdraw, request, CANCEL, Lane.URGENT, ORDER_PATIENCE_S)
                return
        await self._cancel(venue_symbol, client_order_id, venue_order_id)

    async def _cancel(self, venue_symbol: str, client_order_id: str, venue_order_id: str) -> None:
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
        if venue_order_id.startswith(PLAN) or (not venue_order_id and self._plans.seeks(client_order_id)):
            waiting = await self._find_plan(venue_symbol, client_order_id, venue_order_id)
            if waiting is None:
                return None
            became = self._plans.became(str(waiting["id"]))
            raw = (
                await self._one(exchange.contract_private_get_order_get_order_id, {"order_id": became})
                if became
                else None
            )
            return self._plan(waiting) if raw is None else self._order(raw)
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

    async def _find_plan(self, venue_symbol: str, client_order_id: str, venue_order_id: str) -> Any:
        if venue_order_id and client_order_id:
            self._plans.tie(client_order_id, venue_order_id.removeprefix(PLAN))
        raws = await self._read_plans("", venue_symbol, Lane.URGENT)
        number = venue_order_id.removeprefix(PLAN) or self._plans.number(client_order_id)
        return next((raw for raw in raws if str(raw["id"]) == number), None)

    async def _one(self, call: Call, request: dict[str, Any]) -> Any:
        try:
            answer = await self._call(call, request, READ, Lane.URGENT)
        except Rejected as error:
            if error.detail.startswith("2040"):
                return None
            raise
        return answer.get("data")

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


def make_venue(address: VenueAddress) -> MexcVenue:
    """The adapter of an account."""
    return MexcVenue(address)
