"""MEXC futures' objects to the room's values, and an order to MEXC's request.

Guarantees: numbers are read from the text of MEXC's JSON, never through a float; quantities are base units here and whole
contracts there; an object that makes no sense is a ValueError. Never: I/O.
Source: https://www.mexc.com/api-docs/futures/account-and-trading-endpoints.

A stop and a target live in a TP/SL order that the entry created. Its venue id here is `sl-` or `tp-` and MEXC's number,
also after it triggered.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from titan.codes import RejectCode
from titan.errors import Rejected
from titan.instruments import Instrument
from titan.model import Order, OrderRole, OrderState, OrderType, Side
from titan.money import ZERO, dec, text_of
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder, VenuePosition, VenueWallet

Raw = Mapping[str, Any]
WINDOW_MS = 90 * 86_400_000

SIDE_CODES = {(Side.BUY, False): 1, (Side.BUY, True): 2, (Side.SELL, False): 3, (Side.SELL, True): 4}
SIDES = {code: key for key, code in SIDE_CODES.items()}
TYPE_CODES = {OrderType.LIMIT: 1, OrderType.POST_ONLY: 2, OrderType.IOC: 3, OrderType.FOK: 4, OrderType.MARKET: 5}
ORDER_TYPES = {
    **{code: kind for kind, code in TYPE_CODES.items()},
    6: OrderType.MARKET,
}
# What a plan order becomes when its price comes.
PLAN_CODES = {
    OrderType.STOP_MARKET: 5,
    OrderType.STOP_LIMIT: 1,
    OrderType.TAKE_PROFIT_MARKET: 5,
    OrderType.TAKE_PROFIT_LIMIT: 1,
}
TIME_IN_FORCE = {kind: str(code) for kind, code in (TYPE_CODES | PLAN_CODES).items()}
STATES = {
    1: OrderState.OPEN,
    2: OrderState.OPEN,
    3: OrderState.FILLED,
    4: OrderState.CANCELED,
    5: OrderState.REJECTED,
}
STOP_STATES = {
    1: OrderState.OPEN,
    2: OrderState.CANCELED,
    3: OrderState.FILLED,
    4: OrderState.CANCELED,
    5: OrderState.REJECTED,
}
CROSS, ONE_WAY = 2, 2
STOP, TARGET = "sl-", "tp-"


def order_request(order: Order, venue_symbol: str, contract: Decimal) -> dict[str, Any]:
    """The body of order/create; `contract` is the size of one contract in base units.

    Raises Rejected for an order type that MEXC does not take, and for a part of a contract.
    """
    kind = TYPE_CODES.get(order.order_type) or PLAN_CODES.get(order.order_type)
    if kind is None:
        raise Rejected(RejectCode.ORDER_TYPE_UNSUPPORTED, f"mexc takes no {order.order_type.value} order of its own")
    volume = order.quantity / contract
    if volume != volume.to_integral_value() or volume <= 0:
        raise Rejected(
            RejectCode.INVALID_SIZE, f"{order.quantity} is no whole number of contracts of {contract} ({order.symbol})"
        )
    request: dict[str, Any] = {
        "symbol": venue_symbol,
        "vol": int(volume),
        "side": SIDE_CODES[order.side, order.reduce_only],
        "type": kind,
        "openType": CROSS,
        "positionMode": ONE_WAY,
        "externalOid": order.client_order_id,
    }
    if order.price is not None and order.order_type.names_price:
        request["price"] = number(order.price)
    if order.stop_price is not None:
        request["stopLossPrice"] = number(order.stop_price)
    if order.target_price is not None:
        request["takeProfitPrice"] = number(order.target_price)
    return request


def number(value: Decimal) -> float:
    """A price as the JSON number that MEXC wants. Raises ValueError when no number says exactly that."""
    found = float(value)
    if Decimal(repr(found)) != value:
        raise ValueError(f"{text_of(value)} has more digits than a JSON number keeps")
    return found


def contract_size(raw: Raw) -> Decimal:
    """Base units in one contract."""
    return _number(raw, "contractSize")


def instrument(raw: Raw, venue: str) -> Instrument:
    """A contract of contract/detail."""
    base, quote, settle = str(raw["baseCoin"]), str(raw["quoteCoin"]), str(raw["settleCoin"])
    size = contract_size(raw)
    return Instrument(
        symbol=f"{base}/{quote}:{settle}",
        base=base,
        quote=quote,
        settle=settle,
        kind="perp",
        tick=_number(raw, "priceUnit"),
        lot=_number(raw, "volUnit") * size,
        min_qty=_number(raw, "minVol") * size,
        min_notional=ZERO,
        max_leverage=_number(raw, "maxLeverage"),
        venue=venue,
        venue_symbol=str(raw["symbol"]),
    )


def venue_order(raw: Raw, symbol: str, contract: Decimal) -> VenueOrder:
    """An entry of the order endpoints or the order channel."""
    side, reduce_only = side_of(raw)
    quantity, filled = _number(raw, "vol") * contract, _number(raw, "dealVol") * contract
    state = _state(STATES, raw)
    if state is OrderState.OPEN and filled > 0:
        state = OrderState.PARTIALLY_FILLED
    elif state is OrderState.REJECTED and filled > 0:
        state = OrderState.CANCELED
    error = int(raw.get("errorCode") or 0)
    return VenueOrder(
        venue_order_id=str(raw["orderId"]),
        client_order_id=str(raw.get("externalOid") or ""),
        parent_client_order_id="",
        symbol=symbol,
        side=side,
        order_type=ORDER_TYPES.get(int(raw["orderType"]), OrderType.LIMIT),
        role=OrderRole.EXTERNAL,
        quantity=quantity,
        price=_set(raw, "price"),
        trigger_price=None,
        reduce_only=reduce_only,
        state=state,
        filled=filled,
        average_price=_number(raw, "dealAvgPrice"),
        created_ms=int(raw["createTime"]),
        updated_ms=int(raw["updateTime"]),
        detail=f"error {error}" if error else "",
    )


def stop_orders(raw: Raw, symbol: str, contract: Decimal, parent: str) -> list[VenueOrder]:
    """The stop and the target of a TP/SL order, each as an order of its own."""
    closes_long = int(raw["positionType"]) == 1
    legs = (
        (STOP, "stopLossPrice", OrderRole.STOP, OrderType.STOP_MARKET),
        (TARGET, "takeProfitPrice", OrderRole.TARGET, OrderType.TAKE_PROFIT_MARKET),
    )
    return [
        VenueOrder(
            venue_order_id=f"{prefix}{raw['id']}",
            client_order_id="",
            parent_client_order_id=parent,
            symbol=symbol,
            side=Side.SELL if closes_long else Side.BUY,
            order_type=kind,
            role=role,
            quantity=_number(raw, "vol") * contract,
            price=None,
            trigger_price=price,
            reduce_only=True,
            state=_state(STOP_STATES, raw),
            filled=_number(raw, "realityVol") * contract,
            average_price=ZERO,
            created_ms=int(raw["createTime"]),
            updated_ms=int(raw["updateTime"]),
        )
        for prefix, name, role, kind in legs
        if (price := _set(raw, name)) is not None
    ]


def deal(raw: Raw, symbol: str, contract: Decimal, client_order_id: str) -> VenueExecution:
    """An entry of order_deals or of the deal channel."""
    taker = raw.get("isTaker", raw.get("taker"))
    return VenueExecution(
        venue_trade_id=str(raw["id"]),
        venue_order_id=str(raw["orderId"]),
        client_order_id=client_order_id,
        kind=ExecutionKind.TRADE,
        symbol=symbol,
        side=side_of(raw)[0],
        price=_number(raw, "price"),
        quantity=_number(raw, "vol") * contract,
        fee=_number(raw, "fee"),
        fee_currency=str(raw.get("feeCurrency") or "USDT"),
        maker=not taker,
        ts_ms=int(raw["timestamp"]),
    )


def funding(raw: Raw, symbol: str) -> VenueExecution:
    """A funding record; its amount is what the wallet received."""
    return VenueExecution(
        venue_trade_id=f"funding-{raw['id']}",
        venue_order_id="",
        client_order_id="",
        kind=ExecutionKind.FUNDING,
        symbol=symbol,
        side=Side.BUY if int(raw["positionType"]) == 1 else Side.SELL,
        price=ZERO,
        quantity=ZERO,
        fee=-_number(raw, "funding"),
        fee_currency="USDT",
        maker=False,
        ts_ms=int(raw["settleTime"]),
    )


def position(
    raw: Raw,
    symbol: str,
    contract: Decimal,
    mark: Decimal | None,
    protection: tuple[Decimal | None, Decimal | None],
) -> VenuePosition:
    """An entry of open_positions; `protection` is the stop and the target that stand."""
    held = _number(raw, "holdVol") * contract
    return VenuePosition(
        symbol=symbol,
        quantity=held if int(raw["positionType"]) == 1 else -held,
        average_price=_number(raw, "holdAvgPrice"),
        mark_price=mark,
        stop_price=protection[0],
        target_price=protection[1],
        leverage=_number(raw, "leverage"),
        updated_ms=int(raw.get("updateTime") or 0),
    )


def wallet(raws: list[Raw], currency: str = "USDT") -> VenueWallet:
    """The entry of `currency` of account/assets. Raises ValueError when the account does not hold it."""
    for raw in raws:
        if raw["currency"] == currency:
            equity, unrealized = _number(raw, "equity"), _number(raw, "unrealized")
            return VenueWallet(
                currency=currency,
                wallet=equity - unrealized,
                unrealized_pnl=unrealized,
                equity=equity,
                available=_number(raw, "availableBalance"),
            )
    raise ValueError(f"the account holds no {currency}; fund it, or name its settlement currency")


def has_name(raw: Raw) -> bool:
    """Whether a client named the order; `_m_` begins the names that MEXC makes up."""
    name = str(raw.get("externalOid") or "")
    return name != "" and not name.startswith("_m_")


def _number(raw: Raw, name: str) -> Decimal:
    return dec(str(raw.get(name) or "0"))


def _set(raw: Raw, name: str) -> Decimal | None:
    value = _number(raw, name)
    return None if value == 0 else value


def side_of(raw: Raw) -> tuple[Side, bool]:
    """The side of an entry, and whether it only closes. Raises ValueError for an unknown code."""
    try:
        return SIDES[int(raw["side"])]
    except KeyError:
        raise ValueError(f"unknown side {raw.get('side')!r}; known: 1 to 4") from None


def _state(states: Mapping[int, OrderState], raw: Raw) -> OrderState:
    try:
        return states[int(raw["state"])]
    except KeyError:
        raise ValueError(f"unknown order state {raw.get('state')!r}; known: 1 to 5") from None


def rows(data: Any) -> list[Any]:
    """The rows of a page: some endpoints wrap them."""
    return list(data["resultList"]) if isinstance(data, dict) else list(data)


def windows(since_ms: int, until_ms: int) -> list[dict[str, int]]:
    """The parts of [since, until] that one question may cover; one without bounds for the venue's whole memory."""
    if since_ms <= 0:
        return [{}]
    return [
        {"start_time": start, "end_time": min(until_ms, start + WINDOW_MS - 1)}
        for start in range(since_ms, until_ms + 1, WINDOW_MS)
    ]
