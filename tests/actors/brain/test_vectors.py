"""The shared acceptance vectors of the brain.

Adapted, with the reason beside each: vectors write `BTCUSDT` where the house form is `BTC/USDT:USDT`, and truth as a
fraction where the contract carries whole percents. Groups that belong to other rooms (signatures, symbols, fee
schedule, webhook, treasury sweep) are tested there.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from actors.brain.allocation import EXPLORE, Allocation, Thresholds, Weights, adaptive, for_regime, tier_of
from actors.brain.calibration import Record, calibrated
from actors.brain.changepoint import ChangePoint
from actors.brain.config import PhaseLimit
from actors.brain.correlation import PriceHistory
from actors.brain.costs import CostVeto, friction
from actors.brain.gate import GateInput, judge
from actors.brain.governance import Defcon, defcon_of
from actors.brain.performance import modifier_of, sharpe
from actors.brain.posture import truth_state
from actors.brain.regime import Cluster, Regime, Tail
from actors.brain.sizing import leverage_cap
from actors.brain.statehash import operator_state_hash, operator_state_text
from actors.brain.surprise import entropy, kl_divergence
from actors.brain.tail import (
    TailPolicy,
    alpha_throttle,
    aptr,
    kelly_fraction,
    safe_leverage,
    tail_constraints,
)
from tests.shared_data import SHARED, load_vectors
from titan.ids import SignalId
from titan.model import Action, OrderType, Phase, Side, Signal
from titan.policy import parse_policy
from titan.symbols import normalize

PHASES = {"phase1": Phase.SCAVENGER, "phase2": Phase.HUNTER, "phase3": Phase.SENTINEL, "manual": Phase.MANUAL}


def canonical(symbol: str) -> str:
    return normalize("binance", symbol, "perp")


def close(actual: object, expected: object) -> bool:
    """Whether an answer agrees with the vector; of an object only the keys given count."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict)
        return all(close(actual[key], value) for key, value in expected.items())
    if isinstance(expected, bool | str | list) or expected is None:
        return actual == expected
    return float(str(actual)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def as_dict(weights: Weights) -> dict[str, float]:
    return {"w1": weights.scavenger, "w2": weights.hunter, "w3": weights.sentinel}


def allocation_fresh(given: dict[str, Any]) -> object:
    equity = Decimal(str(given["equity"]))
    tier, cap = tier_of(equity)
    return as_dict(Allocation(Thresholds()).update(equity)) | {"tier": tier.value, "tier_leverage_cap": cap}


def allocation_hysteresis(given: dict[str, Any]) -> object:
    engine = Allocation(Thresholds())
    for equity in given["equity_history"]:
        engine.update(Decimal(str(equity)))
    return as_dict(engine.update(Decimal(str(given["equity"]))))


def allocation_regime(given: dict[str, Any]) -> object:
    weights = Allocation(Thresholds()).update(Decimal(str(given["equity"])))
    return as_dict(for_regime(weights, Regime(given["regime"])))


def allocation_adaptive(given: dict[str, Any]) -> object:
    weights = Allocation(Thresholds()).update(Decimal(str(given["equity"])))
    mixed = as_dict(adaptive(weights, tuple(given["sharpe"]), given.get("explore", EXPLORE)))
    return mixed | {"sum": sum(mixed.values())}


def trade_gate(given: dict[str, Any]) -> object:
    costs, edge = friction(given["requested_size_usd"], given["volatility"]), given["expected_edge"] or 0.0
    return {
        "accept": costs.accepts(edge),
        "total_friction": costs.total,
        "spread_cost": costs.spread,
        "fee_cost": costs.fee,
        "slippage_cost": costs.slippage,
        "net_expectancy": edge - costs.total,
    }


def powerlaw_constraints(given: dict[str, Any]) -> object:
    tail = Tail(given["alpha"], Cluster(given["vol_state"]), given["fit_confidence"], given["exceedance"])
    limits = tail_constraints(tail, TailPolicy())
    profile = limits.profile
    return {
        "risk_mode": limits.risk.value,
        "limits": {
            "max_pos_notional": limits.max_position_notional,
            "max_order_notional": limits.max_order_notional,
            "max_leverage": limits.max_leverage,
            "reduce_only": limits.reduce_only,
        },
        "execution_profile": {
            "slicing": {
                "max_slice_notional": profile.max_slice_notional,
                "min_slice_notional": profile.min_slice_notional,
                "cadence_ms": profile.cadence_ms,
            },
            "maker_bias": profile.maker_bias,
            "cancel_on_burst": {"enabled": profile.cancel_on_burst, "timeout_ms": profile.cancel_timeout_ms},
            "price_band_bps": profile.price_band_bps,
            "tif": {"type": profile.tif, "ttl_ms": profile.tif_ttl_ms},
        },
        "reason_codes": list(limits.reason_codes),
    }


def truth_confidence(given: dict[str, Any]) -> object:
    # The truth pass belongs to Execution, which publishes whole percents; the brain's part is the state they mean.
    percent = round(given["start"] * 100) - 20 * given["runs"].count("drift") + given["runs"].count("clean")
    return {"confidence": percent / 100, "state": truth_state(percent).value}


def state_hash(given: dict[str, Any]) -> object:
    return {"text": operator_state_text(**given), "hash16": operator_state_hash(**given)}


def risk_decision(given: dict[str, Any]) -> object:
    raw, state, policy_change = given["signal"], given["state"], given["policy"]
    policy = parse_policy(
        {
            "maxAccountLeverage": 10,
            "maxPositionNotional": 50_000,
            "maxDailyLoss": -1000,
            "maxOpenOrdersPerSymbol": 5,
            "symbolWhitelist": [],
            **policy_change,
        }
    )
    equity, defcon = Decimal(str(state["equity"])), Defcon(state["defcon"])
    tails = {canonical(symbol): Tail(each["alpha"], Cluster(each["vol"])) for symbol, each in state["powerlaw"].items()}
    exposures: dict[str, Decimal] = {}
    for held in given["positions"]:
        size = Decimal(str(held["size"])) * (1 if held["side"] == "LONG" else -1)
        exposures[canonical(held["symbol"])] = exposures.get(canonical(held["symbol"]), Decimal(0)) + size
    history, pair = PriceHistory(), state["pair_correlation"]
    benchmark = canonical("BTCUSDT")
    signal = Signal(
        signal_id=SignalId(raw["signalId"]),
        phase=PHASES[raw["phaseId"]],
        action=Action.OPEN,
        venue="auto",
        symbol=canonical(raw["symbol"]),
        side=Side(raw["side"]),
        requested_size=Decimal(str(raw["requestedSize"])),
        entry_price=optional(raw, "entryPrice"),
        stop_price=optional(raw, "stopLossPrice"),
        target_price=optional(raw, "targetPrice"),
        confidence=raw["confidence"],
        leverage=raw.get("leverage", 0.0),
        volatility=raw.get("volatility", 0.0),
        trap_type=raw.get("type", raw.get("trap_type", "")),
        order_type=OrderType.MARKET,
        max_slippage_bps=0,
        t_signal_ms=1,
        t_exchange_ms=1,
        ttl_ms=0,
    )
    verdict = judge(
        GateInput(
            signal=signal,
            size=signal.requested_size,
            exposures=exposures,
            equity=equity,
            leverage_cap=leverage_cap(equity, policy, defcon, tails.get(signal.symbol) or tails.get(benchmark), None),
            defcon=defcon,
            regime=Regime(state["regime"]),
            truth=round(state["truth_confidence"] * 100),
            quality=state["execution_quality"],
            latency_ms=raw.get("latencyProfile", {}).get("endToEnd", 0.0),
            tails=tails,
            benchmark=benchmark,
            policy=policy,
            correlation=(lambda left, right: pair)
            if state["price_history_available"]
            else (lambda left, right: history.correlation(left, right, 0)),
            calibrate=lambda trap, confidence: calibrated(Record(), confidence),
            phase_limits={
                PHASES[name]: PhaseLimit(Decimal(str(each["maxLeverage"])), Decimal(str(each["maxAllocation"])))
                for name, each in state["fractal_limits"].items()
            },
            cost_veto=None
            if state["cost_veto"] is None
            else CostVeto(state["cost_veto"]["minExpectancyRatio"], state["cost_veto"]["baseFeeBps"]),
        )
    )
    answer: dict[str, object] = {
        "approved": verdict.approved,
        "reason": verdict.reason,
        "reason_code": verdict.code.value,
        "risk": {
            "currentLeverage": verdict.risk.current_leverage,
            "projectedLeverage": verdict.risk.projected_leverage,
            "correlation": verdict.risk.correlation,
            "portfolioDelta": verdict.risk.delta,
            "portfolioBeta": verdict.risk.beta,
        },
    }
    if verdict.approved:
        answer["adjustedSize"] = verdict.size
    return answer


def optional(raw: dict[str, Any], key: str) -> Decimal | None:
    return Decimal(str(raw[key])) if key in raw else None


GROUPS: dict[str, Callable[[dict[str, Any]], object]] = {
    "allocation_fresh": allocation_fresh,
    "allocation_hysteresis": allocation_hysteresis,
    "allocation_regime": allocation_regime,
    "allocation_adaptive": allocation_adaptive,
    "kelly_by_alpha": lambda given: kelly_fraction(given["alpha"]),
    "defcon": lambda given: defcon_of(given["drawdown_pct"], given["latency_ms"], given["error_rate_5m"]).value,
    "sharpe": lambda given: sharpe(given["pnls"]),
    "performance_modifier": lambda given: modifier_of(given["sharpe"], enough_trades=given["trade_count_sufficient"]),
    "bayes_calibration": lambda given: calibrated(Record(given["wins"], given["trials"]), given["raw_confidence"]),
    "aptr": lambda given: aptr(given["notional_usd"], given["alpha"]),
    "alpha_throttle": lambda given: alpha_throttle(given["alpha"]),
    "trade_gate": trade_gate,
    "kl_divergence": lambda given: kl_divergence(given["p"], given["q"]),
    "entropy": lambda given: entropy(given["p"]),
    "powerlaw_constraints": powerlaw_constraints,
    "risk_policy_hash": lambda given: parse_policy(given["policy"]).hash,
    "operator_state_hash": state_hash,
    "risk_decision": risk_decision,
    "safe_leverage": lambda given: safe_leverage(given["alpha"], Decimal(str(given["base_leverage"]))),
    "truth_confidence": truth_confidence,
}


def cases(kind: str) -> list[Any]:
    if not (SHARED / "vectors" / "brain.json").exists():
        return [pytest.param(None, id="absent")]
    found = [each for each in load_vectors("brain")[kind] if each["group"] in GROUPS]
    return [pytest.param(each, id=each["id"]) for each in found]


@pytest.mark.parametrize("vector", cases("vectors"))
def test_an_acceptance_vector_of_the_brain_holds(vector: dict[str, Any] | None) -> None:
    if vector is None:
        load_vectors("brain")
        return
    assert close(GROUPS[vector["group"]](vector["input"]), vector["expected"])


@pytest.mark.parametrize("vector", cases("defects"))
def test_a_known_defect_is_not_reproduced(vector: dict[str, Any] | None) -> None:
    if vector is None:
        load_vectors("brain")
        return
    assert close(GROUPS[vector["group"]](vector["input"]), vector["expected"])


def test_the_change_score_rises_at_a_jump_and_at_a_drop() -> None:
    for vector in load_vectors("brain")["defects"]:
        if vector["group"] != "change_point":
            continue
        prices, detector = vector["input"]["prices"], ChangePoint(vector["input"]["hazard"])
        scores = {price: detector.observe(price / before - 1.0) for before, price in pairwise(prices)}
        assert scores[103] > 0.5
        assert scores[99] > 5 * vector["input"]["hazard"]
        assert scores[100.05] < vector["input"]["hazard"]
