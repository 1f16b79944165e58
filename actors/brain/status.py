"""How the brain stands, for people: health components and the status answer.

Source: interfaces.md section 3, reference/operations.md section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from actors.brain.breaker import Trip
from actors.brain.budgets import BudgetState
from actors.brain.core import BrainCore
from actors.brain.posture import RiskLevel, TruthState, truth_state
from actors.brain.state import TRADING_PHASES
from actors.brain.statehash import operator_state_hash
from actors.brain.tail import tail_constraints
from titan.actor import Component
from titan.clock import Now, market_limit_ms
from titan.codes import TradingState
from titan.money import text_of

Json: TypeAlias = "bool | int | float | str | list[Json] | Mapping[str, Json] | None"

_POSTURES = {
    TradingState.ACTIVE: "armed",
    TradingState.DISARMED: "disarmed",
    TradingState.REDUCING: "armed",
    TradingState.HALTED: "halted",
}


def components_of(core: BrainCore, now: Now) -> Mapping[str, Component]:
    """The parts of the health answer that the core knows of."""
    return {
        "router": _router(core, now),
        "policy": _policy(core),
        "market": _market(core, now),
        "truth": _truth(core, now),
        "breaker": _breaker(core, now),
    }


def _router(core: BrainCore, now: Now) -> Component:
    age, view = core.state.router_age_ms(now.wall_ms), core.state.exposure.view
    if age is None or view is None:
        return Component("degraded", "the router has not reported yet: openings are held")
    if age > core.config.router_state_limit_wall_ms:
        return Component("degraded", "the router's report is stale: openings are held", age)
    if not view.reconciled:
        return Component("degraded", "the router has not agreed with the venue yet: openings are held", age)
    return Component("healthy", f"reconciled, term {view.term}, journal row {view.journal_seq}", age)


def _policy(core: BrainCore) -> Component:
    ours, theirs = core.policy.hash, core.state.router_hash
    if core.state.hash_matches:
        return Component("healthy", f"brain and router attest {ours}")
    return Component("degraded", f"brain attests {ours}, router {theirs or 'nothing yet'}: openings are held")


def _market(core: BrainCore, now: Now) -> Component:
    quotes = core.state.quotes
    if not quotes:
        return Component("degraded", "no ticker seen yet: openings are held")
    limit = market_limit_ms(core.policy.max_staleness_ms, core.config.speed)
    ages = {symbol: max(0, now.market_ms - quote.ts_ms) for symbol, quote in quotes.items()}
    stale = sorted(symbol for symbol, age in ages.items() if age > limit)
    if stale:
        return Component("degraded", f"stale tickers: {', '.join(stale)}", max(ages.values()))
    return Component("healthy", f"{len(quotes)} symbols", max(ages.values()))


def _truth(core: BrainCore, now: Now) -> Component:
    state = truth_state(core.state.truth)
    age = max(0, now.wall_ms - core.state.truth_wall_ms)
    return Component("healthy" if state is TruthState.HIGH else "degraded", f"{state.value} {core.state.truth}%", age)


def _breaker(core: BrainCore, now: Now) -> Component:
    breaker = core.state.breaker
    if not breaker.active(now.market_ms):
        return Component("healthy", "closed")
    return Component("degraded", f"{breaker.state.trip.value}: {breaker.state.reason}")


def mode_of(core: BrainCore, components: Mapping[str, Component], now: Now) -> RiskLevel:
    """The mode an operator reads: the risk state, raised by what is unhealthy."""
    order = list(RiskLevel)
    level = core.state.posture.level
    if core.state.breaker.active(now.market_ms):
        level = max(level, RiskLevel.DEFENSIVE, key=order.index)
    states = {part.status for part in components.values()}
    if "unhealthy" in states:
        return RiskLevel.EMERGENCY
    if "degraded" in states:
        level = max(level, RiskLevel.CAUTIOUS, key=order.index)
    return level


def status_of(core: BrainCore, components: Mapping[str, Component], now: Now) -> dict[str, Json]:
    """The whole status answer."""
    reasons = [*core.state.posture.reasons]
    reasons += [f"{name}: {part.detail}" for name, part in components.items() if part.status != "healthy"]
    return {
        "mode": mode_of(core, components, now).value,
        "reasons": list(reasons),
        "actions": ["disarm", "halt", "reduce", "mode cautious", "mode defensive", "accounting sync"],
        "unsafe_actions": ["arm", "resume", "mode normal", "reset-circuit-breaker"],
        "components": [
            {"name": name, "status": part.status, "age_ms": part.age_ms, "detail": part.detail}
            for name, part in components.items()
        ],
        "details": _details_of(core, now),
    }


def _details_of(core: BrainCore, now: Now) -> dict[str, Json]:
    """Everything the Brain decides by."""
    state, budgets = core.state, core.budgets(now)
    phase1, phase2, phase3 = (
        "active" if budgets[phase].state is BudgetState.ACTIVE else "halted" for phase in TRADING_PHASES
    )
    trip = state.breaker.state
    breaker = "closed" if trip.trip is Trip.CLOSED else "open"
    posture = _POSTURES[state.trading_state]
    return {
        "timestamp": now.wall_ms,
        "market_timestamp": now.market_ms,
        "equity": text_of(state.equity),
        "policyHash": core.policy.hash,
        "tradingState": state.trading_state.value,
        "stateHash": operator_state_hash(core.config.profile, posture, phase1, phase2, phase3, breaker),
        "defcon": state.posture.defcon.value,
        "regime": state.regime.value,
        "regimeSource": state.regime_source,
        "truthConfidence": state.truth,
        "dailyLossLadder": state.ladder.step.value,
        "operatorMode": state.operator_mode.value,
        "weights": {phase.value: state.weights.of(phase) for phase in TRADING_PHASES},
        "budgets": {
            phase.value: {
                "state": each.state.value,
                "maxNotional": text_of(each.max_notional),
                "reason": each.reason,
            }
            for phase, each in budgets.items()
        },
        "circuitBreaker": {
            "trip": trip.trip.value,
            "active": state.breaker.active(now.market_ms),
            "reason": trip.reason,
            "resumes_ms": trip.resumes_ms,
            "drawdown": float(state.drawdown(now.market_ms)),
        },
        "tailPolicy": {
            "mode": core.config.tail_mode.value,
            "symbols": {
                symbol: list(tail_constraints(tail, core.config.tail_policy).reason_codes)
                for symbol, tail in state.tails.items()
            },
        },
    }
