"""The router's account of itself: what it holds, owes and allows, as one message.

Guarantees: built from the state alone; the trading state shown is the one that binds. Never: I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from actors.router.state import RouterConfig, RouterState
from protos import trading_pb2 as pb
from titan.clock import Now
from titan.codec import TRADING_STATE_TO_PB, order_to_pb, position_to_pb
from titan.model import OrderRole, OrderState, Position
from titan.money import ZERO, text_of


def positions(state: RouterState, config: RouterConfig) -> list[Position]:
    """Every position ever held, at the present mark, with its standing stop and target."""
    found = []
    for symbol in sorted(state.positions):
        protection = {order.role: order.trigger_price for order in state.live_orders(symbol) if order.reduce_only}
        found.append(
            replace(
                state.position(config, symbol),
                mark_price=state.price(symbol),
                stop_price=protection.get(OrderRole.STOP),
                target_price=protection.get(OrderRole.TARGET),
            )
        )
    return found


def equity(state: RouterState, config: RouterConfig, now: Now) -> pb.Equity:
    """Cash, unrealised profit and the marks of the day; empty amounts while the wallet is unknown."""
    money, whole = state.money, state.equity()
    return pb.Equity(
        venue=config.venue,
        account=config.account,
        currency=money.currency,
        wallet=text_of(money.cash),
        unrealized_pnl=text_of(state.unrealized()),
        equity=text_of(whole),
        start_of_day=text_of(money.start_of_day),
        high_watermark=text_of(money.high_watermark if whole is None else max(money.high_watermark, whole)),
        ts_ms=now.wall_ms,
        market_ts_ms=now.market_ms,
    )


def router_state(
    state: RouterState, config: RouterConfig, now: Now, affinity: Mapping[str, str] | None = None
) -> pb.RouterState:
    """The whole account."""
    live = state.live_orders()
    pending = ZERO
    worked = {leg.symbol for parent in state.parents.values() for leg in parent.row.legs}
    for symbol in worked | {order.symbol for order in live}:
        price = state.price(symbol)
        if price is not None:
            waiting = state.pending(symbol)
            pending += (waiting.buys + waiting.sells) * price
    return pb.RouterState(
        trading_state=TRADING_STATE_TO_PB[state.effective],
        reason=state.reason,
        equity=equity(state, config, now),
        positions=[position_to_pb(each) for each in positions(state, config)],
        open_orders=[order_to_pb(order, term=state.term) for order in live],
        pending_notional_usd=text_of(pending),
        policy_hash=config.policy_hash,
        term=state.term,
        journal_seq=state.seq,
        ts_ms=now.wall_ms,
        market_ts_ms=now.market_ms,
        reconciled=state.ready and not any(name.startswith("position ") for name in state.impediments),
        daily_pnl=text_of(state.daily_pnl()),
        unknown_orders=sum(1 for order in live if order.state is OrderState.UNKNOWN),
        affinity=dict(affinity or {}),
    )
