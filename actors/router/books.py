"""How each journalled fact changes the state: the one set of functions that live trading and replay both use.

Guarantees: replaying the rows of a journal gives the state that wrote them, to the last decimal. Never: a row or an
effect of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from actors.router import rows
from actors.router.state import RouterConfig, RouterState
from titan.codes import TradingState
from titan.journal.rows import StoredRow
from titan.model import Fill, Order, OrderRole, OrderState
from titan.money import ZERO, dec
from titan.positions import Applied, apply_fill

OURS = frozenset({OrderRole.ENTRY, OrderRole.CLOSE, OrderRole.FLATTEN})


def put_order(state: RouterState, order: Order) -> None:
    """An order stands as given now."""
    cid = order.client_order_id
    known = state.orders.get(cid)
    state.orders[cid] = order
    if order.state.is_terminal:
        state.live.pop(cid, None)
    else:
        state.live[cid] = None
    if order.venue_order_id:
        state.by_venue_id[order.venue_order_id] = cid
    if order.state.is_terminal and order.role in OURS and not (known is not None and known.state.is_terminal):
        state.finished += 1
        state.filled += order.state is OrderState.FILLED
    if known is None:
        if order.role is OrderRole.ENTRY:
            state.last_entry[order.symbol] = cid
        if order.role in (OrderRole.ENTRY, OrderRole.CLOSE):
            state.intents.add(order.intent_id)


def fee_in_settlement(config: RouterConfig, fill: Fill) -> Decimal:
    """A fee in the settlement currency; one charged in the base currency is valued at the fill's price."""
    instrument = config.instruments.find(fill.venue, fill.symbol)
    if instrument is not None and fill.fee_currency == instrument.base:
        return fill.fee * fill.price
    return fill.fee


def applied_fill(state: RouterState, config: RouterConfig, fill: Fill) -> Applied:
    """What a fill would do to its position."""
    held = state.position(config, fill.symbol)
    return apply_fill(held, fill.side, fill.quantity, fill.price, fee_in_settlement(config, fill), fill.t_exchange_ms)


def put_fill(state: RouterState, config: RouterConfig, fill: Fill) -> Applied:
    """Books a fill: position, cash, and the mark that it is known."""
    applied = applied_fill(state, config, fill)
    state.fills.add(fill.fill_id)
    cid = fill.client_order_id
    state.traded[cid] = state.traded.get(cid, ZERO) + fill.price * fill.quantity
    state.positions[fill.symbol] = applied.position
    state.cursor_ms = max(state.cursor_ms, fill.t_exchange_ms)
    if state.money.cash is not None:
        state.money.cash += applied.realized - fee_in_settlement(config, fill)
    return applied


def put_funding(state: RouterState, config: RouterConfig, symbol: str, key: str, paid: Decimal, ts_ms: int) -> None:
    """Books a funding payment of `paid` (negative when received) to position and cash."""
    held = state.position(config, symbol)
    state.fills.add(key)
    state.positions[symbol] = replace(held, funding=held.funding + paid, updated_ms=ts_ms)
    state.cursor_ms = max(state.cursor_ms, ts_ms)
    if state.money.cash is not None:
        state.money.cash -= paid


def put_position(state: RouterState, config: RouterConfig, symbol: str, quantity: Decimal, average: Decimal) -> None:
    """A position is what the venue says; money earned so far stays."""
    held = state.position(config, symbol)
    state.positions[symbol] = replace(held, quantity=quantity, average_price=average)


def replay(state: RouterState, config: RouterConfig, stored: Iterable[StoredRow]) -> int:
    """Rebuilds the state from journal rows; returns how many. Raises ValueError or KeyError for an unknown row."""
    count = 0
    for row in stored:
        _apply(state, config, row)
        state.seq = row.seq
        count += 1
    return count


def _apply(state: RouterState, config: RouterConfig, row: StoredRow) -> None:
    payload = rows.decode(row.payload)
    if row.kind == rows.ORDER:
        put_order(state, rows.order_of(payload))
    elif row.kind == rows.FILL:
        put_fill(state, config, rows.fill_of(payload, row.seq, row.term))
    elif row.kind == rows.REJECT:
        state.intents.add(str(payload["intent_id"]))
    elif row.kind == rows.FUNDING:
        put_funding(
            state,
            config,
            str(payload["symbol"]),
            str(payload["fill_id"]),
            dec(str(payload["paid"])),
            int(payload["t_exchange_ms"]),
        )
    elif row.kind == rows.WALLET:
        state.money.currency = str(payload["currency"])
        state.money.cash = dec(str(payload["wallet"]))
    elif row.kind == rows.DAY:
        state.money.day = str(payload["day"])
        state.money.start_of_day = dec(str(payload["start_of_day"]))
        state.money.high_watermark = state.money.kept_watermark = dec(str(payload["high_watermark"]))
    elif row.kind == rows.POSITION:
        put_position(
            state,
            config,
            str(payload["symbol"]),
            dec(str(payload["quantity"])),
            dec(str(payload["average_price"])),
        )
    elif row.kind == rows.TRADING:
        state.trading = TradingState(str(payload["current"]))
        state.trading_reason = str(payload["reason"])
        state.trading_by = str(payload["operator_id"])
        state.resume_to = TradingState(str(payload["resume_to"]))
        state.run_started_ms = int(payload["run_started_ms"])
    elif row.kind != rows.START:
        raise ValueError(f"journal row {row.seq} is of unknown kind {row.kind!r}; a newer Titan wrote it")
