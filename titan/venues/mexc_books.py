"""What a MEXC futures account shows: orders, trades, positions and money, read by REST.

Guarantees: every row of every page; an order that MEXC made out of a stop, a target or a plan order keeps the id that it
waited under, and its trades name our client id even where MEXC's list does not. Never: an order or a cancel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from titan.instruments import Instrument
from titan.model import OrderRole
from titan.money import dec
from titan.runtime import VenueAddress
from titan.venues import mexc_shapes as shapes
from titan.venues.base import VenueExecution, VenueOrder, VenuePosition, VenueWallet
from titan.venues.limits import Lane
from titan.venues.mexc_plans import ENDED, EXECUTED, PLAN, WAITING, Plans, plan_order
from titan.venues.rest import RestVenue, VenueProfile, oldest_first
from titan.venues.stream import News, PrivateSocket

PAGE = 100
BATCH = 50
READ = {"query": 1.0}
ORDERS, DEALS = "push.personal.order", "push.personal.order.deal"

Call = Callable[[Any], Awaitable[Any]]


class MexcBooks(RestVenue):
    """The reading half of one account's adapter."""

    def __init__(self, address: VenueAddress, profile: VenueProfile) -> None:
        super().__init__(address, profile)
        self._stream = PrivateSocket(self._news, ping={"method": "ping"})
        self._sizes: dict[str, Decimal] = {}
        self._names: dict[str, str] = {}
        self._spawned: dict[str, tuple[str, OrderRole]] = {}
        self._touched: set[str] = set()
        self._plans = Plans()

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

    # reading

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Open orders of all symbols, waiting stops and targets included."""
        # What waits is read first: whose price comes meanwhile is seen again as the order that it became.
        found = {f"{PLAN}{raw['id']}": self._plan(raw) for raw in await self._read_plans(WAITING)}
        raws = await self._pages(self._exchange.contract_private_get_order_list_open_orders, {})
        await self._learn_plans(raws)
        for raw in raws:
            order = self._order(raw)
            found[order.venue_order_id] = order
        return [*found.values(), *await self._stops(0)]

    async def _read_plans(self, states: str, venue_symbol: str = "", lane: Lane = Lane.NORMAL) -> list[Any]:
        """Plan orders in these states (all when empty) of which it is known whose they are."""
        asked = {"states": states, "symbol": venue_symbol}
        request = {name: value for name, value in asked.items() if value}
        call = self._exchange.contract_private_get_planorder_list_orders
        return self._plans.read(await self._pages(call, request, lane))

    async def _learn_plans(self, raws: Iterable[Any]) -> None:
        """Reads what plan orders became when orders are among these that no client named."""
        for raw in raws:
            number = str(raw["orderId"])
            if not (shapes.has_name(raw) or number in self._spawned or self._plans.plan_of(number)):
                await self._read_plans(EXECUTED)
                return

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
        if any(not shapes.has_name(raw) for raw in raws):
            await self._stops(1)
        found = [self._order(raw) for raw in raws]
        # A plan order lives for seven days, and MEXC shows as many.
        ended = [self._plan(raw) for raw in await self._read_plans(ENDED)]
        found += [one for one in ended if one.created_ms >= since_ms and (not until_ms or one.created_ms <= until_ms)]
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
            await self._learn_plans([raw for raw in raws if not self._names.get(str(raw["orderId"]))])
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
        await self._learn_plans(found)
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
        shown = self._plans.named(found)
        self._names[found.venue_order_id] = shown.client_order_id
        if shown is not found:
            return shown
        spawned = self._spawned.get(found.venue_order_id)
        return found if spawned is None else replace(found, venue_order_id=spawned[0], role=spawned[1])

    def _plan(self, raw: Any) -> VenueOrder:
        venue_symbol = str(raw["symbol"])
        self._touched.add(venue_symbol)
        name = self._plans.name(str(raw["id"]))
        return plan_order(raw, self._symbol(venue_symbol), self._size(venue_symbol), name)

    def _deal(self, raw: Any) -> VenueExecution:
        venue_symbol, order_id = str(raw["symbol"]), str(raw["orderId"])
        name = self._names.get(order_id, "")
        found = shapes.deal(raw, self._symbol(venue_symbol), self._size(venue_symbol), name)
        plan = self._plans.plan_of(order_id)
        if plan:
            return replace(found, venue_order_id=plan, client_order_id=self._plans.name(plan.removeprefix(PLAN)))
        spawned = self._spawned.get(order_id)
        return found if spawned is None else replace(found, venue_order_id=spawned[0], role=spawned[1])

    def _news(self, message: dict[str, Any]) -> Iterable[News]:
        raw = message.get("data")
        if message.get("channel") == ORDERS and isinstance(raw, dict):
            number = str(raw["orderId"])
            # Which stop, target or plan order this was, only REST says: here it would look like a stranger's order.
            if shapes.has_name(raw) or number in self._spawned or self._plans.plan_of(number):
                yield self._order(raw)
        elif message.get("channel") == DEALS and isinstance(raw, dict):
            name = str(raw["externalOid"]) if shapes.has_name(raw) else self._names.get(str(raw["orderId"]), "")
            if name:
                self._names[str(raw["orderId"])] = name
                yield self._deal(raw)
            else:
                # Which stop or target this was, only REST says: here it would look like a stranger's order.
                self._stream.watch.told(str(raw["id"]), int(raw["timestamp"]))
