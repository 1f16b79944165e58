"""Plan orders of MEXC futures: what waits for a price there, and how it is known again.

MEXC keeps no id of the client's with a plan order, nor with the order that it becomes. Guarantees: a plan order is ours when
its answer said so, or when it is the only kind of thing that our unanswered request could have made: of that shape, not there
before we asked, and no other order's; what another request still under way may have made is nobody's until that has its
answer. It keeps one venue id from waiting to filled: `plan-` and MEXC's number. Never: I/O.
Source: https://www.mexc.com/api-docs/futures/account-and-trading-endpoints. MEXC ends a plan order after seven days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.money import ZERO, dec
from titan.venues import mexc_shapes as shapes
from titan.venues.base import VenueOrder

Raw = Mapping[str, Any]

PLAN = "plan-"
WAITING, EXECUTED = "1", "3"
ENDED = "2,4,5"
SEVEN_DAYS, LAST_PRICE = 2, 1
RISES, FALLS = 1, 2
REMEMBERED_SLACK_MS = 60_000
_STOPS = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT})
_TYPES = {
    (True, True): OrderType.STOP_MARKET,
    (True, False): OrderType.STOP_LIMIT,
    (False, True): OrderType.TAKE_PROFIT_MARKET,
    (False, False): OrderType.TAKE_PROFIT_LIMIT,
}
_STATES = {
    1: OrderState.OPEN,
    2: OrderState.CANCELED,
    3: OrderState.OPEN,
    4: OrderState.CANCELED,
    5: OrderState.REJECTED,
}
_DETAILS = {4: "ended by the venue", 5: "could not be carried out when its price came"}


class Shape(NamedTuple):
    """All that tells one plan order from another, beside its number."""

    symbol: str
    side: int
    volume: Decimal
    trigger: Decimal
    way: int
    kind: int
    price: Decimal


def plan_request(order: Order, venue_symbol: str, contract: Decimal) -> dict[str, Any]:
    """The body of planorder/place/v2. Raises Rejected for a part of a contract, ValueError without a trigger price."""
    if order.trigger_price is None:
        raise ValueError(f"{order.order_type.value} order {order.client_order_id} has no trigger price")
    stop = order.order_type in _STOPS
    request = shapes.order_request(order, venue_symbol, contract)
    # MEXC takes no id of ours here.
    del request["externalOid"]
    becomes = request.pop("type")
    return {
        **request,
        "orderType": becomes,
        "triggerPrice": shapes.number(order.trigger_price),
        "triggerType": RISES if stop == (order.side is Side.BUY) else FALLS,
        "executeCycle": SEVEN_DAYS,
        "trend": LAST_PRICE,
    }


def shape_of(raw: Raw) -> Shape:
    """The shape of an entry of planorder/list/orders, or of a request."""
    return Shape(
        str(raw["symbol"]),
        int(raw["side"]),
        dec(str(raw["vol"])),
        dec(str(raw["triggerPrice"])),
        int(raw["triggerType"]),
        int(raw["orderType"]),
        dec(str(raw.get("price") or "0")),
    )


def plan_order(raw: Raw, symbol: str, contract: Decimal, name: str) -> VenueOrder:
    """An entry of planorder/list/orders that has not become an order. Raises ValueError for what makes no sense."""
    side, reduce_only = shapes.side_of(raw)
    state = int(raw["state"])
    if state not in _STATES:
        raise ValueError(f"unknown state {raw['state']!r} of a plan order; known: 1 to 5")
    shape = shape_of(raw)
    kind = _type_of(shape, side)
    return VenueOrder(
        venue_order_id=f"{PLAN}{raw['id']}",
        client_order_id=name,
        parent_client_order_id="",
        symbol=symbol,
        side=side,
        order_type=kind,
        role=OrderRole.EXTERNAL,
        quantity=shape.volume * contract,
        price=shape.price if kind.names_price else None,
        trigger_price=shape.trigger,
        reduce_only=reduce_only,
        state=_STATES[state],
        filled=ZERO,
        average_price=ZERO,
        created_ms=int(raw["createTime"]),
        updated_ms=int(raw["updateTime"]),
        detail=_DETAILS.get(state, ""),
    )


def _type_of(shape: Shape, side: Side) -> OrderType:
    stop = (shape.way == RISES) == (side is Side.BUY)
    return _TYPES[stop, shape.kind == shapes.TYPE_CODES[OrderType.MARKET]]


class Plans:
    """Which plan order is whose."""

    def __init__(self) -> None:
        self._sought: dict[str, tuple[Shape, int]] = {}
        self._sending: list[Shape] = []
        self._numbers: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._others: set[str] = set()
        self._spawned: dict[str, Raw] = {}
        self._became: dict[str, str] = {}

    def remember(self, orders: Iterable[tuple[Order, Shape | None]], *, judge_time: bool) -> None:
        """Orders of a former incarnation, each with its shape when its answer was never seen.

        Where the venue's clock is a real one (`judge_time`), what is older than the order can't be it.
        """
        for order, shape in orders:
            if order.venue_order_id.startswith(PLAN):
                self.tie(order.client_order_id, order.venue_order_id.removeprefix(PLAN))
            elif shape is not None:
                since = order.created_ms - REMEMBERED_SLACK_MS if judge_time else 0
                self._sought[order.client_order_id] = shape, since
        self._others.clear()

    @contextmanager
    def sending(self, name: str, shape: Shape) -> Iterator[None]:
        """While a request is on its way; whoever knows how it ended says `tie` or `forget`."""
        self._sought[name] = shape, 0
        self._sending.append(shape)
        try:
            yield
        finally:
            self._sending.remove(shape)

    def tie(self, name: str, number: str) -> None:
        """This plan order is that order of ours."""
        before = self._names.get(number)
        if before is not None and before != name:
            del self._numbers[before]
        self._sought.pop(name, None)
        self._others.discard(number)
        self._numbers[name], self._names[number] = number, name

    def forget(self, name: str) -> None:
        """The request made no order."""
        self._sought.pop(name, None)

    def read(self, raws: Iterable[Raw]) -> list[Raw]:
        """Learns from entries of the list; returns those of which it is known whose they are, oldest first."""
        known = []
        for raw in sorted(raws, key=lambda one: int(one["createTime"])):
            number = str(raw["id"])
            if number not in self._names and number not in self._others and not self._judge(number, raw):
                continue
            known.append(raw)
            became = str(raw.get("orderId") or "0")
            if became != "0":
                self._spawned[became], self._became[number] = raw, became
        return known

    def _judge(self, number: str, raw: Raw) -> bool:
        shape, made_ms = shape_of(raw), int(raw["createTime"])
        if shape in self._sending:
            return False
        for name, (sought, since) in self._sought.items():
            if sought == shape and made_ms >= since:
                self.tie(name, number)
                return True
        self._others.add(number)
        return True

    def seeks(self, name: str) -> bool:
        """Whether this order of ours is, or may be, a plan order."""
        return name in self._numbers or name in self._sought

    def number(self, name: str) -> str:
        """MEXC's number of an order of ours; empty while it is not known."""
        return self._numbers.get(name, "")

    def name(self, number: str) -> str:
        """Our id of a plan order; empty when it is not ours."""
        return self._names.get(number, "")

    def became(self, number: str) -> str:
        """The number of the order that a plan order became; empty before."""
        return self._became.get(number, "")

    def plan_of(self, order_number: str) -> str:
        """The venue id of the plan order that became this order; empty when none did."""
        raw = self._spawned.get(order_number)
        return "" if raw is None else f"{PLAN}{raw['id']}"

    def named(self, order: VenueOrder) -> VenueOrder:
        """An order of the order endpoints under the ids of the plan order that became it, if one did."""
        raw = self._spawned.get(order.venue_order_id)
        if raw is None:
            return order
        shape = shape_of(raw)
        return replace(
            order,
            venue_order_id=f"{PLAN}{raw['id']}",
            client_order_id=self.name(str(raw["id"])),
            order_type=_type_of(shape, order.side),
            trigger_price=shape.trigger,
            created_ms=int(raw["createTime"]),
        )
