"""Fills, orders and news for the tests of this room."""

from __future__ import annotations

from decimal import Decimal

from actors.execution.news import OrderNews
from titan.ids import ClientOrderId
from titan.model import Fill, Order, OrderRole, OrderState, OrderType, Phase, Side, fill_id_of
from titan.money import ZERO

PERP = "BTC/USDT:USDT"
SPOT = "BTC/USDT"


def fill(
    number: int,
    side: Side = Side.BUY,
    quantity: str | Decimal = "1",
    price: str | Decimal = "100",
    *,
    fee: str | Decimal = "0",
    pnl: str | Decimal = "0",
    symbol: str = PERP,
    fee_currency: str = "USDT",
    phase: Phase | None = Phase.SCAVENGER,
    seq: int | None = None,
    order: str = "order",
    ts_ms: int | None = None,
) -> Fill:
    """Fill number `number` of the account bybit:main."""
    return Fill(
        fill_id=fill_id_of("bybit", "main", f"t{number}"),
        venue_trade_id=f"t{number}",
        client_order_id=ClientOrderId(order),
        venue_order_id=f"v-{order}",
        venue="bybit",
        account="main",
        symbol=symbol,
        side=side,
        price=Decimal(price),
        quantity=Decimal(quantity),
        fee=Decimal(fee),
        fee_currency=fee_currency,
        maker=False,
        t_exchange_ms=1_000_000 + number * 1000 if ts_ms is None else ts_ms,
        intent_id="intent",
        signal_id="signal",
        phase=phase,
        role=OrderRole.ENTRY,
        journal_seq=number if seq is None else seq,
        term=1,
        realized_pnl=Decimal(pnl),
    )


def order(
    name: str = "order",
    state: OrderState = OrderState.OPEN,
    *,
    filled: str = "0",
    quantity: str = "2",
    seq: int = 1,
    term: int = 1,
    venue_order_id: str | None = None,
    price: str | None = "100.5",
    ts_ms: int = 5000,
) -> OrderNews:
    """One event of the order `name` of the account bybit:main."""
    return OrderNews(
        Order(
            client_order_id=ClientOrderId(name),
            intent_id="intent",
            signal_id="signal",
            child=0,
            role=OrderRole.ENTRY,
            phase=Phase.SCAVENGER,
            venue="bybit",
            account="main",
            symbol=PERP,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=Decimal(quantity),
            price=None if price is None else Decimal(price),
            trigger_price=None,
            stop_price=None,
            target_price=None,
            reduce_only=False,
            state=state,
            venue_order_id=f"v-{name}" if venue_order_id is None else venue_order_id,
            filled=Decimal(filled),
            average_price=ZERO,
        ),
        term,
        seq,
        ts_ms,
    )
