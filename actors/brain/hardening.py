"""What the policy demands of an opening beyond the risk gate.

Guarantees: the first demand that is not met is the veto. Never: a change of state.
Source: reference/brain.md section 2.4 (required hardening).
"""

from __future__ import annotations

from decimal import Decimal

from actors.brain.gate import RiskMetrics
from actors.brain.outcome import Veto
from actors.brain.state import BrainState
from titan.clock import Now, market_limit_ms
from titan.codes import VetoCode
from titan.model import OrderType, Signal
from titan.money import BPS, ZERO, text_of

TAKING = frozenset({OrderType.MARKET, OrderType.IOC, OrderType.FOK})


def policy_guards(state: BrainState, signal: Signal, size: Decimal, risk: RiskMetrics, now: Now) -> None:
    """What the policy demands beyond the gate: stop, fresh market, slippage, order count, daily loss, tail limits."""
    policy, symbol = state.policy, signal.symbol
    entry, stop = signal.entry_price, signal.stop_price
    if stop is None:
        raise Veto(VetoCode.STOP_MISSING, "STOP_MISSING: an opening signal needs a stop_price", risk)
    if entry is not None and (stop - entry) * signal.side.sign >= 0:
        raise Veto(
            VetoCode.STOP_DISTANCE,
            f"Stop {text_of(stop)} is on the wrong side of entry {text_of(entry)} for a {signal.side.value}",
            risk,
        )
    quote = state.quotes.get(symbol)
    limit = market_limit_ms(policy.max_staleness_ms, state.config.speed)
    if quote is None or now.market_ms - quote.ts_ms > limit:
        seen = "was never seen" if quote is None else f"is {now.market_ms - quote.ts_ms} ms old"
        raise Veto(
            VetoCode.MARKET_DATA_STALE, f"MARKET_DATA_STALE: the ticker of {symbol} {seen}, limit {limit} ms", risk
        )
    touch = quote.touch(signal.side)
    if signal.order_type in TAKING and entry is not None and touch is not None:
        gap = (touch - entry) / entry * signal.side.sign * BPS
        if gap > policy.max_slippage_bps:
            raise Veto(
                VetoCode.SLIPPAGE,
                f"SLIPPAGE: the market is {gap:.1f} bps beyond entry {text_of(entry)}, limit {policy.max_slippage_bps} bps",
                risk,
            )
    pending = state.exposure.pending_orders(symbol)
    if pending >= policy.max_open_orders_per_symbol:
        raise Veto(
            VetoCode.OPEN_ORDERS,
            f"OPEN_ORDERS: {pending} entries of {symbol} are pending, limit {policy.max_open_orders_per_symbol}",
            risk,
        )
    view = state.exposure.view
    if view is not None and view.daily_pnl <= policy.max_daily_loss:
        raise Veto(
            VetoCode.DAILY_LOSS,
            f"DAILY_LOSS: today's PnL {view.daily_pnl:.2f} <= limit {text_of(policy.max_daily_loss)}",
            risk,
        )
    silent = now.wall_ms - state.truth_wall_ms
    if silent > state.config.truth_limit_wall_ms:
        raise Veto(VetoCode.TRUTH_VETO, f"TRUTH_VETO: no truth pass for {silent // 1000} s", risk)
    constraints = state.binding_constraints(symbol)
    if constraints is not None:
        codes = ", ".join(constraints.reason_codes)
        if constraints.reduce_only:
            raise Veto(VetoCode.TAIL_RISK, f"TAIL_CONSTRAINT: reduce only ({codes})", risk)
        after = abs(state.exposure.worst().get(symbol, ZERO)) + size
        if after > constraints.max_position_notional:
            raise Veto(
                VetoCode.POSITION_NOTIONAL,
                f"TAIL_CONSTRAINT: position {text_of(after)} > {constraints.max_position_notional} ({codes})",
                risk,
            )
