"""Messages around the brain, for its tests: signals, router reports, tickers, fills."""

from __future__ import annotations

from typing import Any

from protos import market_pb2, trading_pb2

SYMBOL = "BTC/USDT:USDT"
VENUE, ACCOUNT = "bybit", "main"


def signal_message(name: str, market_ms: int, **changes: Any) -> trading_pb2.Signal:
    """A healthy opening signal: 1,000 USD of BTC long at 50,000 with a stop 1 % below."""
    fields: dict[str, Any] = {
        "signal_id": name,
        "phase": trading_pb2.PHASE_SCAVENGER,
        "action": trading_pb2.SIGNAL_ACTION_OPEN,
        "venue": "auto",
        "symbol": SYMBOL,
        "side": trading_pb2.SIDE_BUY,
        "requested_size_usd": "1000",
        "entry_price": "50000",
        "stop_price": "49500",
        "target_price": "51000",
        "confidence": 85.0,
        "volatility": 50.0,
        "trap_type": "BREAKOUT",
        "order_type": trading_pb2.ORDER_TYPE_MARKET,
        "t_signal_ms": market_ms,
        "t_exchange_ms": market_ms,
    }
    fields.update(changes)
    return trading_pb2.Signal(**fields)


def position_message(quantity: str, average: str = "50000", symbol: str = SYMBOL) -> trading_pb2.Position:
    """A position marked at its average price."""
    return trading_pb2.Position(
        venue=VENUE, account=ACCOUNT, symbol=symbol, quantity=quantity, average_price=average, mark_price=average
    )


def router_message(wall_ms: int, seq: int, policy_hash: str, **changes: Any) -> trading_pb2.RouterState:
    """A healthy report: ACTIVE, reconciled, 10,000 USD of equity, flat."""
    fields: dict[str, Any] = {
        "trading_state": trading_pb2.TRADING_STATE_ACTIVE,
        "reason": "armed",
        "equity": equity_message("10000"),
        "policy_hash": policy_hash,
        "term": 1,
        "journal_seq": seq,
        "ts_ms": wall_ms,
        "reconciled": True,
        "pending_notional_usd": "0",
    }
    fields.update(changes)
    return trading_pb2.RouterState(**fields)


def equity_message(equity: str, start_of_day: str = "10000") -> trading_pb2.Equity:
    """An equity with the day's start."""
    return trading_pb2.Equity(
        venue=VENUE,
        account=ACCOUNT,
        currency="USDT",
        equity=equity,
        wallet=equity,
        start_of_day=start_of_day,
        high_watermark=start_of_day,
    )


def ticker_message(market_ms: int, price: str = "50000", symbol: str = SYMBOL) -> market_pb2.Ticker:
    """A ticker without a spread."""
    return market_pb2.Ticker(venue=VENUE, symbol=symbol, ts_ms=market_ms, last=price, mark=price, bid=price, ask=price)


def fill_message(
    fill_id: str,
    intent_id: str,
    side: trading_pb2.Side.ValueType,
    quantity: str,
    price: str,
    ts_ms: int,
    *,
    role: trading_pb2.OrderRole.ValueType = trading_pb2.ORDER_ROLE_ENTRY,
    fee: str = "0",
    seq: int = 2,
) -> trading_pb2.Fill:
    """One execution of a scavenger's order."""
    return trading_pb2.Fill(
        fill_id=fill_id,
        venue_trade_id=fill_id,
        client_order_id="ttaa",
        intent_id=intent_id,
        phase=trading_pb2.PHASE_SCAVENGER,
        role=role,
        venue=VENUE,
        account=ACCOUNT,
        symbol=SYMBOL,
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
        fee_currency="USDT",
        t_exchange_ms=ts_ms,
        journal_seq=seq,
        term=1,
    )


def entry_order(intent_id: str, quantity: str = "0.1", filled: str = "0", **changes: Any) -> trading_pb2.OrderEvent:
    """An entry order that the router lists as open."""
    fields: dict[str, Any] = {
        "client_order_id": f"tt{intent_id}",
        "intent_id": intent_id,
        "role": trading_pb2.ORDER_ROLE_ENTRY,
        "venue": "bybit",
        "account": "main",
        "symbol": SYMBOL,
        "side": trading_pb2.SIDE_BUY,
        "quantity": quantity,
        "filled_quantity": filled,
        "price": "50000",
        "state": trading_pb2.ORDER_STATE_OPEN,
    }
    fields.update(changes)
    return trading_pb2.OrderEvent(**fields)
