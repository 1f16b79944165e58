"""The decision on one signal, in the documented order: intake, reduce-only lane, breaker, arm, gate, size, intent.

Guarantees: every first sight of a signal gets exactly one decision; whatever lowers a position passes without a
strategy's approval; whatever raises risk needs every check to say yes, and a check that fails says no; an approval
reserves its exposure before it leaves. Source: reference/brain.md sections 2.1 and 2.4; architecture.md section 4.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from actors.brain.events import Announce, CountDuplicate, Effect
from actors.brain.gate import GateInput, judge
from actors.brain.hardening import TAKING, policy_guards
from actors.brain.messages import decision_id_of, decision_message
from actors.brain.outcome import Outcome, Veto
from actors.brain.placing import manner_of, portions, route_of
from actors.brain.sizing import authorized_size, wanted_size
from actors.brain.state import Approved, BrainState
from protos import trading_pb2
from titan import subjects
from titan.algos.routing import AUTO
from titan.clock import Now, market_limit_ms
from titan.codec import intent_to_pb, signal_from_pb
from titan.codes import TradingState, VetoCode
from titan.effects import Publish
from titan.ids import IntentId, deterministic_ulid
from titan.model import Action, Intent, OrderType, Position, Side, Signal
from titan.money import ONE, ZERO, text_of

PRICED = frozenset(kind for kind in OrderType if kind.names_price)
_QTY_STEP = Decimal("0.00000001")
_LEVERAGE_STEP = Decimal("0.01")


def decide(state: BrainState, message: trading_pb2.Signal, now: Now) -> list[Effect]:
    """Decides a signal: the intent to send when it is approved, and the decision to announce."""
    decision_id = ""
    signal: Signal | None = None
    try:
        signal = _intake(state, message)
        if not state.first_time(signal.signal_id, now.wall_ms):
            return [CountDuplicate(signal.phase.value)]
        decision_id = decision_id_of(signal)
        outcome = _outcome(state, signal, decision_id, now)
    except Veto as veto:
        outcome = veto.outcome
    except Exception as error:  # noqa: BLE001 - a check that can't be made is a no, whatever went wrong in it
        outcome = Outcome(VetoCode.RISK_CHECK_ERROR, f"RISK_CHECK_ERROR: {type(error).__name__}: {error}")
    effects: list[Effect] = []
    for number, intent in enumerate(outcome.intents):
        subject = subjects.intent_place(intent.venue, intent.account, intent.symbol)
        key = intent.intent_id if number else intent.signal_id
        effects.append(Publish(subject, intent_to_pb(intent), correlation_id=intent.signal_id, idempotency_key=key))
    effects.append(
        Announce(
            decision_message(
                message,
                decision_id=decision_id or deterministic_ulid(max(0, now.market_ms), "decision", message.signal_id),
                action=outcome.intents[0].action if outcome.intents else None,
                code=outcome.code,
                reason=outcome.reason,
                size=outcome.size,
                weights=state.weights,
                risk=outcome.risk,
                policy_hash=state.policy.hash,
                market_ms=now.market_ms,
            )
        )
    )
    return effects


def _intake(state: BrainState, message: trading_pb2.Signal) -> Signal:
    try:
        signal = signal_from_pb(message)
        _check_ranges(signal)
    except ValueError as error:
        raise Veto(VetoCode.INVALID_SIGNAL, f"INVALID_SIGNAL: {error}") from None
    return signal


def _check_ranges(signal: Signal) -> None:
    if not 0.0 <= signal.confidence <= 100.0:
        raise ValueError(f"confidence must be between 0 and 100, got {signal.confidence}")
    if not 0.0 <= signal.leverage <= 100.0:
        raise ValueError(f"leverage must be between 0 and 100, got {signal.leverage}")
    if signal.volatility < 0.0:
        raise ValueError(f"volatility must not be negative, got {signal.volatility}")
    if signal.t_signal_ms <= 0:
        raise ValueError(f"t_signal_ms must be above zero, got {signal.t_signal_ms}")
    if signal.order_type in PRICED and signal.entry_price is None:
        raise ValueError(f"a {signal.order_type.value} signal needs an entry_price")
    trigger = None if signal.terms is None else signal.terms.trigger_price or signal.terms.trail
    if signal.order_type.waits and trigger is None:
        raise ValueError(f"a {signal.order_type.value} signal needs terms with a trigger_price or a trail")


def _outcome(state: BrainState, signal: Signal, decision_id: str, now: Now) -> Outcome:
    _fresh_signal(state, signal, now)
    position = state.exposure.position(state.config.venue, state.config.account, signal.symbol)
    if signal.action is Action.CLOSE or _only_reduces(signal, position):
        return _reduce(state, signal, position, decision_id, now)
    _may_open_now(state, now)
    return _open(state, signal, decision_id, now)


def _fresh_signal(state: BrainState, signal: Signal, now: Now) -> None:
    config = state.config
    limit = min(config.signal_ttl_ms, signal.ttl_ms or config.signal_ttl_ms, state.policy.max_staleness_ms)
    limit = market_limit_ms(limit, config.speed)
    age = now.market_ms - signal.t_signal_ms
    if abs(age) > limit:
        raise Veto(VetoCode.STALE_SIGNAL, f"STALE_SIGNAL: signal is {age} ms old, limit {limit} ms (market time)")


# The lane of what lowers risk.


def _only_reduces(signal: Signal, position: Position | None) -> bool:
    if position is None or position.is_flat:
        return False
    opposite = (position.quantity > 0) == (signal.side is Side.SELL)
    return opposite and signal.requested_size <= position.notional


def _reduce(state: BrainState, signal: Signal, position: Position | None, decision_id: str, now: Now) -> Outcome:
    """A close passes breaker, arm and gate. Only a fresh report may say that there is nothing to close."""
    if signal.venue not in (AUTO, state.config.venue):
        text = (
            f"VENUE_UNAVAILABLE: asked for: {signal.venue} (not configured); positions are held at {state.config.venue}"
        )
        raise Veto(VetoCode.VENUE_UNAVAILABLE, text)
    certain = _router_fresh(state, now) and not any(
        held.symbol == signal.symbol for held in state.exposure.reservations.values()
    )
    if certain and position is None:
        raise Veto(VetoCode.NOTHING_TO_CLOSE, f"NOTHING_TO_CLOSE: no position in {signal.symbol}")
    if certain and position is not None and (position.quantity > 0) != (signal.side is Side.SELL):
        raise Veto(
            VetoCode.NOTHING_TO_CLOSE,
            f"NOTHING_TO_CLOSE: {signal.side.value} would grow the position of {text_of(position.quantity)}",
        )
    price = _price(state, signal) or (None if position is None else position.mark_price or position.average_price)
    quantity: Decimal | None = None
    if signal.requested_size > 0 and price is not None:
        quantity = (signal.requested_size / price).quantize(_QTY_STEP)
        if position is not None and quantity >= abs(position.quantity):
            quantity = None
    size = signal.requested_size
    if quantity is None and position is not None:
        size = position.notional
    intent = _intent(state, signal, decision_id, now, action=Action.CLOSE, size=size, quantity=quantity, leverage=ZERO)
    return Outcome(VetoCode.APPROVED, "Reduce-only: lowers the position", size, intents=(intent,))


# What raises risk.


def _router_fresh(state: BrainState, now: Now) -> bool:
    age = state.router_age_ms(now.wall_ms)
    return age is not None and age <= state.config.router_state_limit_wall_ms


def _may_open_now(state: BrainState, now: Now) -> None:
    """Breaker, then arm: the router's report must be fresh, ACTIVE, reconciled and of our policy."""
    if state.breaker.active(now.market_ms):
        raise Veto(VetoCode.BREAKER_ACTIVE, f"Circuit breaker active: {state.breaker.state.reason}")
    view = state.exposure.view
    if view is None or not _router_fresh(state, now):
        age = state.router_age_ms(now.wall_ms)
        seen = "never reported" if age is None else f"reported {age} ms ago"
        limit = state.config.router_state_limit_wall_ms
        raise Veto(VetoCode.ROUTER_STATE_STALE, f"ROUTER_STATE_STALE: the router {seen}, limit {limit} ms")
    match state.trading_state:
        case TradingState.ACTIVE:
            pass
        case TradingState.DISARMED:
            raise Veto(VetoCode.DISARMED, "System Disarmed (Operator Action)")
        case TradingState.REDUCING:
            raise Veto(VetoCode.REDUCING, f"System Reducing: {state.trading_reason}")
        case TradingState.HALTED:
            raise Veto(VetoCode.HALTED, f"System Halted: {state.trading_reason}")
    if not view.reconciled or view.equity is None:
        raise Veto(
            VetoCode.ROUTER_NOT_RECONCILED, "ROUTER_NOT_RECONCILED: the router has not agreed with the venue yet"
        )
    if not state.hash_matches:
        theirs = state.router_hash or "unknown"
        raise Veto(VetoCode.POLICY_HASH_MISMATCH, f"POLICY_HASH_MISMATCH: brain {state.policy.hash}, router {theirs}")


def _open(state: BrainState, signal: Signal, decision_id: str, now: Now) -> Outcome:
    equity = state.equity
    assert equity is not None
    where = route_of(state, signal)
    signal = _completed(state, signal)
    config, posture = state.config, state.posture
    tail = state.tails.get(signal.symbol) or state.tails.get(config.benchmark)
    modifier = state.performance.modifier(signal.phase, now.market_ms)
    verdict = judge(
        GateInput(
            signal=signal,
            size=wanted_size(signal.requested_size, modifier, posture.size_factor, tail),
            exposures=state.exposure.worst(),
            equity=equity,
            leverage_cap=state.leverage_cap(signal.symbol, equity),
            defcon=posture.defcon,
            regime=state.regime,
            truth=state.truth,
            quality=state.quality.score(now.wall_ms),
            latency_ms=max(0.0, now.wall_ms - signal.t_wall_ns / 1e6) if signal.t_wall_ns else 0.0,
            tails=state.tails,
            benchmark=config.benchmark,
            policy=state.policy,
            correlation=lambda left, right: state.history.correlation(left, right, now.market_ms),
            calibrate=lambda trap, stated: state.calibration.of(trap, stated, now.market_ms),
            unlisted_pending=state.exposure.unlisted_pending(),
            phase_notional=state.books.phase_notional(signal.phase) if config.phase_limits else ZERO,
            phase_limits=config.phase_limits,
            cost_veto=config.cost_veto,
            trade_gate=config.trade_gate,
        )
    )
    if verdict.code is VetoCode.SURVIVAL_MODE and not state.survival(now.market_ms):
        state.survival_until_ms = now.market_ms + config.survival_override_ms
    if not verdict.approved:
        raise Veto(verdict.code, verdict.reason, verdict.risk)
    constraints = state.binding_constraints(signal.symbol)
    weight = state.weights.of(signal.phase)
    size = authorized_size(verdict.size, equity, weight, tail, constraints, kelly=config.kelly_bound)
    policy_guards(state, signal, size, verdict.risk, now)
    if weight <= 0.0:
        raise Veto(
            VetoCode.ZERO_ALLOCATION,
            f"ZERO_ALLOCATION: {signal.phase.value} has no share of {equity:.2f} USD",
            verdict.risk,
        )
    if size < config.min_order_usd:
        raise Veto(VetoCode.SIZE_TOO_SMALL, f"SIZE_TOO_SMALL: {size} USD < {config.min_order_usd} USD", verdict.risk)
    shares = portions(state, where, size)
    manner = manner_of(state, signal, size)
    signal = manner.signal
    reason = verdict.reason if size == verdict.size else f"{verdict.reason}; capped at {size} USD"
    reason = "; ".join(filter(None, (reason, where.remark, manner.remark)))
    advice = state.constraints_of(signal.symbol)
    if advice is not None and constraints is None:
        reason = f"{reason}; tail policy advises {', '.join(advice.reason_codes)}"
    cap = state.leverage_cap(signal.symbol, equity)
    asked = Decimal(str(signal.leverage)) if signal.leverage > 0.0 else cap
    leverage = max(ONE, min(asked, cap)).quantize(_LEVERAGE_STEP)
    intents = tuple(
        _intent(
            state,
            signal,
            decision_id,
            now,
            action=Action.OPEN,
            size=part,
            quantity=None,
            leverage=leverage,
            venue=venue,
        )
        for venue, part in shares
    )
    for intent in intents:
        state.exposure.reserve(intent.intent_id, signal.symbol, signal.side, intent.size_usd, now.wall_ms)
    return Outcome(VetoCode.APPROVED, reason, size, verdict.risk, intents)


def _price(state: BrainState, signal: Signal) -> Decimal | None:
    quote = state.quotes.get(signal.symbol)
    touch = None if quote is None else quote.touch(signal.side)
    return touch or signal.entry_price


def _completed(state: BrainState, signal: Signal) -> Signal:
    """The signal with the market's entry price and volatility where the phase gave none."""
    if signal.entry_price is not None and signal.volatility > 0.0:
        return signal
    volatility = signal.volatility or state.history.volatility(signal.symbol) or 0.0
    return replace(signal, entry_price=signal.entry_price or _price(state, signal), volatility=volatility)


def _intent(
    state: BrainState,
    signal: Signal,
    decision_id: str,
    now: Now,
    *,
    action: Action,
    size: Decimal,
    quantity: Decimal | None,
    leverage: Decimal,
    venue: str = "",
) -> Intent:
    config, policy = state.config, state.policy
    opening = action is Action.OPEN
    venue = venue or config.venue
    # The first venue's intent is named by the signal alone, as ever; those of further venues by theirs, too.
    parts = (signal.signal_id,) if venue == config.venue else (signal.signal_id, venue)
    reference = _price(state, signal)
    intent = Intent(
        intent_id=IntentId(deterministic_ulid(signal.t_signal_ms, "intent", *parts)),
        signal_id=signal.signal_id,
        phase=signal.phase,
        action=action,
        venue=venue,
        account=config.account,
        symbol=signal.symbol,
        side=signal.side,
        size_usd=size,
        quantity=quantity,
        order_type=signal.order_type,
        limit_price=signal.entry_price if signal.order_type in PRICED else None,
        reference_price=reference,
        stop_price=signal.stop_price if opening else None,
        target_price=signal.target_price if opening else None,
        max_slippage_bps=min(signal.max_slippage_bps or policy.max_slippage_bps, policy.max_slippage_bps),
        leverage=leverage,
        policy_hash=policy.hash,
        t_signal_ms=signal.t_signal_ms,
        t_decision_ms=now.market_ms,
        ttl_ms=config.intent_ttl_ms,
        trap_type=signal.trap_type,
        decision_id=decision_id,
        t_wall_ns=signal.t_wall_ns,
        terms=signal.terms,
        execution=signal.execution,
    )
    takes = signal.order_type in TAKING and opening and signal.execution is None
    state.quality.sent(now.wall_ms)
    state.remember(intent.intent_id, Approved(signal.trap_type, signal.side, reference, now.wall_ms, takes))
    return intent
