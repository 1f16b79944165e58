"""Binance USDⓈ-M perpetuals in one-way mode, through ccxt's signed transport.

Guarantees: every order carries its client id. Binance attaches no stop to an order: the stop and the target of an entry
are reduce-only orders that the venue has taken *before* the entry is sent, so that no position ever stands without
them; when the entry is refused they are withdrawn, when its fate is in doubt they stay. Protection whose entry is over
and whose position is flat is withdrawn a minute later. Never: a resend.
Limits: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info; weights: each endpoint's page.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from titan.codes import RejectCode
from titan.errors import Ambiguous, Rejected, Transient
from titan.instruments import Instrument
from titan.model import Order, OrderType
from titan.money import dec, text_of
from titan.runtime import VenueAddress
from titan.venues import binance_shapes as shapes
from titan.venues.base import (
    VenueAck,
    VenueExecution,
    VenueOrder,
    VenuePosition,
    VenueWallet,
)
from titan.venues.binance_history import History
from titan.venues.binance_profile import PROFILE
from titan.venues.limits import Lane
from titan.venues.rest import ORDER_PATIENCE_S, RestVenue, oldest_first
from titan.venues.stream import News, PrivateSocket

NO_SUCH_ORDER = "-2013"
ORPHAN_S, LISTEN_KEY_S = 60.0, 1200.0
ORDER = {"orders_10s": 1.0, "orders_1m": 1.0}


class BinanceVenue(RestVenue):
    """One Binance futures account. Implements `titan.venues.base.Venue`."""

    def __init__(self, address: VenueAddress) -> None:
        super().__init__(address, PROFILE)
        self._stream = PrivateSocket(self._news)
        self._history = History(self._read, self._exchange)
        self._names: dict[str, str] = {}
        self._algos: dict[str, str] = {}
        self._first_seen: dict[str, float] = {}
        self._algo_read: asyncio.Future[list[VenueOrder]] | None = None

    async def load_instruments(self) -> Sequence[Instrument]:
        """Every USDT perpetual that trades now, with its highest leverage."""
        await self.measure_clock()
        listed = await self._read(self._exchange.fapipublic_get_exchangeinfo, {}, 1)
        brackets = await self._read(self._exchange.fapiprivate_get_leveragebracket, {}, 1)
        leverages = {each["symbol"]: max(dec(one["initialLeverage"]) for one in each["brackets"]) for each in brackets}
        return self._list(
            [
                shapes.instrument(raw, self._name, leverages.get(raw["symbol"], Decimal(1)))
                for raw in listed["symbols"]
                if raw["contractType"] == "PERPETUAL" and raw["status"] == "TRADING" and raw["marginAsset"] == "USDT"
            ]
        )

    # orders

    async def submit(self, order: Order) -> VenueAck:
        """Places the protection, then the entry. A protection in doubt keeps the entry at home."""
        venue_symbol, waits = self._venue_symbol(order.symbol), order.order_type.waits
        request = (shapes.algo_request if waits else shapes.order_request)(order, venue_symbol)
        legs = [] if order.reduce_only else shapes.protection_requests(order, venue_symbol)
        self._history.touch(venue_symbol)
        for leg in legs:
            await self._protect(leg, legs)
        lane = Lane.URGENT if order.reduce_only else Lane.NORMAL
        call = self._exchange.fapiprivate_post_algoorder if waits else self._exchange.fapiprivate_post_order
        try:
            answer = await self._call(call, request, ORDER, lane, ORDER_PATIENCE_S)
        except (Rejected, Transient):
            await self._withdraw(legs)
            raise
        venue_order_id = f"{shapes.ALGO}{answer['algoId']}" if waits else str(answer["orderId"])
        if waits:
            self._algos[order.client_order_id] = str(answer["algoId"])
        self._names[venue_order_id] = order.client_order_id
        return VenueAck(order.client_order_id, venue_order_id, int(answer.get("updateTime") or 0))

    async def _protect(self, leg: dict[str, Any], legs: Sequence[dict[str, Any]]) -> None:
        call = self._exchange.fapiprivate_post_algoorder
        try:
            answer = await self._call(call, leg, ORDER, patience_s=ORDER_PATIENCE_S)
        except Ambiguous as error:
            await self._withdraw(legs)
            raise Transient(f"the entry was not sent, for its {leg['type']} is in doubt: {error}") from error
        except Rejected as error:
            await self._withdraw(legs)
            detail = f"the entry was not sent, for its {leg['type']} was refused: {error.detail}"
            raise Rejected(error.code, detail) from error
        except Transient:
            await self._withdraw(legs)
            raise
        self._algos[str(leg["clientAlgoId"])] = str(answer["algoId"])

    async def _withdraw(self, legs: Iterable[dict[str, Any]]) -> None:
        """Takes protection back whose entry never came. What fails stays: it is reduce-only, and is tidied later."""
        call = self._exchange.fapiprivate_delete_algoorder
        for leg in legs:
            with contextlib.suppress(Rejected, Transient, Ambiguous):
                request = {"symbol": leg["symbol"], "clientAlgoId": leg["clientAlgoId"]}
                await self._call(call, request, {"weight": 1.0}, Lane.URGENT, ORDER_PATIENCE_S)

    async def cancel(self, symbol: str, client_order_id: str, venue_order_id: str) -> None:
        """Cancels by the venue's id when it is known, else by ours."""
        request: dict[str, Any] = {"symbol": self._venue_symbol(symbol)}
        if venue_order_id.startswith(shapes.ALGO):
            call = self._exchange.fapiprivate_delete_algoorder
            request["algoId"] = venue_order_id.removeprefix(shapes.ALGO)
        elif not venue_order_id and client_order_id in self._algos:
            call = self._exchange.fapiprivate_delete_algoorder
            request["clientAlgoId"] = client_order_id
        else:
            call = self._exchange.fapiprivate_delete_order
            name, value = ("orderId", venue_order_id) if venue_order_id else ("origClientOrderId", client_order_id)
            request[name] = value
        await self._call(call, request, {"weight": 1.0}, Lane.URGENT, ORDER_PATIENCE_S)

    async def amend(
        self,
        order: Order,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> None:
        """Changes an open limit order; Binance wants both values again."""
        if order.order_type.waits or order.order_type is OrderType.MARKET or (price or order.price) is None:
            raise Rejected(RejectCode.VENUE_REJECTED, "only a plain order with a price can be changed at binance")
        request = {
            "symbol": self._venue_symbol(order.symbol),
            "origClientOrderId": order.client_order_id,
            "side": order.side.value,
            "quantity": text_of(quantity or order.quantity),
            "price": text_of(price or order.price),
        }
        call = self._exchange.fapiprivate_put_order
        await self._call(call, request, {**ORDER, "weight": 1.0}, patience_s=ORDER_PATIENCE_S)

    async def find_order(self, symbol: str, client_order_id: str, venue_order_id: str = "") -> VenueOrder | None:
        """Asks for the order, then searches the open orders and the history of a week."""
        venue_symbol = self._venue_symbol(symbol)
        self._history.touch(venue_symbol)
        request: dict[str, Any] = {"symbol": venue_symbol}
        if venue_order_id.startswith(shapes.ALGO):
            request["algoId"] = venue_order_id.removeprefix(shapes.ALGO)
            raw = await self._one(self._exchange.fapiprivate_get_algoorder, request)
            return None if raw is None else self._algo(raw)
        name, value = ("orderId", venue_order_id) if venue_order_id else ("origClientOrderId", client_order_id)
        raw = await self._one(self._exchange.fapiprivate_get_order, {**request, name: value})
        if raw is not None:
            return self._order(raw)
        if not venue_order_id:
            raw = await self._one(
                self._exchange.fapiprivate_get_algoorder, {**request, "clientAlgoId": client_order_id}
            )
            if raw is not None:
                return self._algo(raw)
        key = "orderId" if venue_order_id else "clientOrderId"
        for call, cost in (
            (self._exchange.fapiprivate_get_openorders, 1),
            (self._exchange.fapiprivate_get_allorders, 5),
        ):
            for each in await self._read(call, dict(request), cost, Lane.URGENT):
                if str(each[key]) == value:
                    return self._order(each)
        return None

    async def _one(self, call: Any, request: dict[str, Any]) -> Any:
        try:
            return await self._read(call, request, 1, Lane.URGENT)
        except Rejected as error:
            if error.detail.startswith(NO_SUCH_ORDER):
                return None
            raise

    # reading

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Open orders of all symbols, waiting stops and targets included."""
        plain, waiting = await asyncio.gather(self._open_plain(), self._open_algos())
        await self._tidy(plain, waiting)
        return [*plain, *waiting]

    async def _open_plain(self) -> list[VenueOrder]:
        return [self._order(raw) for raw in await self._read(self._exchange.fapiprivate_get_openorders, {}, 40)]

    async def _open_algos(self) -> list[VenueOrder]:  # open orders and positions share one answer: it weighs 40
        if self._algo_read is None or self._algo_read.done():
            self._algo_read = asyncio.ensure_future(self._read_algos())
        return await asyncio.shield(self._algo_read)

    async def _read_algos(self) -> list[VenueOrder]:
        return [self._algo(raw) for raw in await self._read(self._exchange.fapiprivate_get_openalgoorders, {}, 40)]

    async def _tidy(self, plain: Sequence[VenueOrder], waiting: Sequence[VenueOrder]) -> None:
        """Withdraws protection that protects nothing. Each answer is read after the one it depends on."""
        now = time.monotonic()
        resting = {order.client_order_id for order in plain}
        own = {order.venue_order_id: order for order in waiting if order.parent_client_order_id}
        self._first_seen = {cid: self._first_seen.get(cid, now) for cid in own}
        for cid, order in own.items():
            if now - self._first_seen[cid] < ORPHAN_S or order.parent_client_order_id in resting:
                continue
            entry = await self.find_order(order.symbol, order.parent_client_order_id)
            if entry is not None and not entry.state.is_terminal:
                continue
            if any(held.symbol == order.symbol for held in await self.positions()):
                continue
            with contextlib.suppress(Rejected, Transient, Ambiguous):
                await self.cancel(order.symbol, "", order.venue_order_id)

    async def closed_orders(self, since_ms: int, until_ms: int) -> Sequence[VenueOrder]:
        """Finished orders of every symbol that this account traded."""
        raws = await self._history.orders(since_ms, until_ms)
        for raw in raws:
            await self._name_algo(str(raw["symbol"]), str(raw["clientOrderId"]))
        found = [self._order(raw) for raw in raws]
        return sorted((one for one in found if one.state.is_terminal), key=lambda one: one.created_ms)

    async def positions(self) -> Sequence[VenuePosition]:
        """Positions that are not flat, each with the nearest of its stops and targets."""
        raws, waiting = await asyncio.gather(
            self._read(self._exchange.fapiprivatev3_get_positionrisk, {}, 5), self._open_algos()
        )
        found = []
        for raw in raws:
            quantity = dec(raw["positionAmt"])
            if quantity != 0:
                self._history.touch(str(raw["symbol"]))
                symbol = self._symbol(str(raw["symbol"]))
                stop, target = shapes.nearest(waiting, symbol, rises=quantity < 0)
                found.append(shapes.position(raw, symbol, stop, target))
        return found

    async def wallet(self) -> VenueWallet:
        """The USDT of the futures account."""
        return shapes.wallet(await self._read(self._exchange.fapiprivatev3_get_balance, {}, 5))

    async def executions(self, since_ms: int, until_ms: int) -> Sequence[VenueExecution]:
        """Trades of every symbol that the account's income names, and funding."""
        trades, income = await self._history.executions(since_ms, until_ms)
        nameless = [raw for raw in trades if str(raw["orderId"]) not in self._names]
        for raw in await self._history.orders_of(nameless):
            self._order(raw)
        for symbol, number in {(str(raw["symbol"]), str(raw["orderId"])) for raw in trades}:
            await self._name_algo(symbol, self._names.get(number, ""))
        found = [self._trade(raw) for raw in trades]
        found += [shapes.funding(raw, self._symbol(str(raw["symbol"]))) for raw in income]
        done = oldest_first(found)
        self._stream.shown(done)
        return done

    async def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Sets the symbol's leverage; what is set already is taken again."""
        request = {"symbol": self._venue_symbol(symbol), "leverage": int(leverage)}
        await self._read(self._exchange.fapiprivate_post_leverage, request, 1)

    # the private stream

    async def open_stream(self) -> None:
        """Gets a listen key and connects with it."""
        try:
            answer = await self._read(self._exchange.fapiprivate_post_listenkey, {}, 1)
        except (Rejected, Ambiguous) as error:
            raise Transient(f"the private stream can't be opened: {error}") from error
        key = str(answer["listenKey"])
        await self._stream.open(self._exchange.get_private_ws_url("linear", key), keep=self._keep_key)

    async def _keep_key(self) -> None:
        while True:
            await asyncio.sleep(LISTEN_KEY_S)
            with contextlib.suppress(Rejected, Transient, Ambiguous):
                await self._read(self._exchange.fapiprivate_put_listenkey, {}, 1)

    async def watch_orders(self) -> Sequence[VenueOrder]:
        """The next changes of own orders."""
        return await self._stream.orders()

    async def watch_executions(self) -> Sequence[VenueExecution]:
        """The next own trades; funding comes by REST only."""
        return await self._stream.executions()

    async def close(self) -> None:
        """Closes the stream and the HTTP session."""
        await self._stream.close()
        await super().close()

    def _news(self, message: dict[str, Any]) -> Iterable[News]:
        kind = message.get("e")
        if kind == "listenKeyExpired":
            raise Transient("the listen key of the private stream expired")
        if kind == "ORDER_TRADE_UPDATE":
            raw = message["o"]
            symbol = self._symbol(str(raw["s"]))
            self._names.setdefault(str(raw["i"]), str(raw["c"]))
            if raw["x"] == "TRADE":
                yield self._renamed_trade(shapes.trade_event(raw, symbol))
            yield self._renamed(shapes.order_event(raw, symbol))
        elif kind == "ALGO_UPDATE":
            raw = message["o"]
            self._learn({"clientAlgoId": raw["caid"], "algoId": raw["aid"], "actualOrderId": raw.get("ai")})
            yield shapes.algo_event(raw, self._symbol(str(raw["s"])), int(message["T"]))

    # names

    async def _read(self, call: Any, request: dict[str, Any], weight: float, lane: Lane = Lane.NORMAL) -> Any:
        return await self._call(call, request, {"weight": float(weight)}, lane)

    def _order(self, raw: Any) -> VenueOrder:
        found = shapes.venue_order(raw, self._symbol(str(raw["symbol"])))
        self._names.setdefault(found.venue_order_id, str(raw.get("clientOrderId") or ""))
        return self._renamed(found)

    def _algo(self, raw: Any) -> VenueOrder:
        self._learn(raw)
        return shapes.algo_order(raw, self._symbol(str(raw["symbol"])))

    def _trade(self, raw: Any) -> VenueExecution:
        name = self._names.get(str(raw["orderId"]), "")
        return self._renamed_trade(shapes.trade(raw, self._symbol(str(raw["symbol"])), name))

    def _renamed(self, order: VenueOrder) -> VenueOrder:
        name = self._names.get(order.venue_order_id, order.client_order_id)
        algo = self._algos.get(name)
        if algo is None:
            return order
        entry, role = shapes.entry_of(name)
        return replace(
            order,
            venue_order_id=f"{shapes.ALGO}{algo}",
            client_order_id="" if entry else name,
            parent_client_order_id=entry,
            role=role,
            order_type=shapes.ORDER_TYPES.get(role, order.order_type),
        )

    def _renamed_trade(self, done: VenueExecution) -> VenueExecution:
        name = self._names.get(done.venue_order_id, done.client_order_id)
        algo = self._algos.get(name)
        if algo is None:
            return done
        entry, role = shapes.entry_of(name)
        return replace(done, venue_order_id=f"{shapes.ALGO}{algo}", client_order_id="" if entry else name, role=role)

    async def _name_algo(self, venue_symbol: str, name: str) -> None:
        """After a restart a triggered stop is known by its name only: asks for its algo id."""
        if name in self._algos or not shapes.entry_of(name)[0]:
            return
        request = {"symbol": venue_symbol, "clientAlgoId": name}
        raw = await self._one(self._exchange.fapiprivate_get_algoorder, request)
        if raw is not None:
            self._learn(raw)

    def _learn(self, raw: Any) -> None:
        """A triggered stop or target becomes an order of the matching engine; it keeps the name it had before."""
        self._algos[str(raw["clientAlgoId"])] = str(raw["algoId"])
        if raw.get("actualOrderId"):
            self._names[str(raw["actualOrderId"])] = str(raw["clientAlgoId"])


def make_venue(address: VenueAddress) -> BinanceVenue:
    """The adapter of an account."""
    return BinanceVenue(address)
