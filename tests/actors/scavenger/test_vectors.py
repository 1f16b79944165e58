"""Every acceptance vector of the Scavenger, and its defect.

The vectors name no symbol, so the canonical form `BTC/USDT:USDT` stands in where a calculator wants one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from actors.scavenger.config import ScavengerConfig
from actors.scavenger.detectors import basis_gap, funding_squeeze, oi_wipeout
from actors.scavenger.fire import Outcome, order_style
from actors.scavenger.flow import Cvd, Leader, LeadLag, VolumeValidator, velocity
from actors.scavenger.indicators import Bar, Bbo, Volatility, order_flow_imbalance, sma, stddev
from actors.scavenger.sizing import leveraged_notional, position_size
from actors.scavenger.traps import Direction, Trap, daily_level, holds, liquidation, near, structure_traps
from tests.shared_data import SHARED, load_vectors

SYMBOL = "BTC/USDT:USDT"
CONFIG = ScavengerConfig()


def _bars(rows: list[dict[str, float]]) -> list[Bar]:
    bars: list[Bar] = []
    for row in rows:
        for _ in range(int(row.get("repeat", 1))):
            close = float(row["close"])
            volume = float(row.get("volume", 1.0))
            bars.append(Bar(len(bars) * 3_600_000, close, float(row["high"]), float(row["low"]), close, volume))
    return bars


def _trap(trap: Trap | None) -> dict[str, Any] | None:
    if trap is None:
        return None
    return {
        "direction": trap.direction.value,
        "trigger": trap.trigger,
        "confidence": trap.confidence,
        "leverage": trap.leverage,
    }


def _position_size(given: dict[str, Any]) -> float:
    return float(
        position_size(
            Decimal(str(given["equity"])),
            given["confidence"],
            given["stop_fraction"],
            given["target_fraction"],
            given["cap_fraction"],
        )
    )


def _leveraged(given: dict[str, Any]) -> dict[str, float]:
    margin = Decimal(str(_position_size(given)))
    return {"notional": float(leveraged_notional(margin, given["leverage"]))}


def _oi_wipeout(given: dict[str, Any]) -> dict[str, Any] | None:
    found = oi_wipeout(
        SYMBOL, given["oi_5min_ago"], given["oi_now"], given["closes_1m"], given["price"], given["cvd_60s"], CONFIG
    )
    return _trap(found)


def _funding(given: dict[str, Any]) -> dict[str, Any] | None:
    bars = _bars(given["bars_5m"])
    return _trap(funding_squeeze(SYMBOL, given["funding"], bars, given["cvd_300s"], given["cvd_300s_previous"], CONFIG))


def _basis(given: dict[str, Any]) -> dict[str, float] | None:
    gap = basis_gap(given["spot"], given["perp"], given["volume_24h"], CONFIG)
    return None if gap is None else {"trigger": gap.trigger, "target": gap.target, "stop": gap.stop}


def _cvd(given: dict[str, Any]) -> float:
    cvd = Cvd()
    for index, (side, qty) in enumerate(given["trades"]):
        cvd.add(index * 1000, qty if side == "buy" else -qty)
    return cvd.over(60_000, len(given["trades"]) * 1000)


def _volume_validator(given: dict[str, Any]) -> bool:
    validator = VolumeValidator()
    for batch in given["batches"]:
        assert not validator.check(batch["t_ms"], batch["trades"])
    return validator.check(given["check_at_ms"], 0)


def _confirmation(given: dict[str, Any]) -> dict[str, Any]:
    held = holds(Direction(given["direction"]), given["trigger"], given["last_price"])
    return {"holds": held} if held else {"holds": held, "reason": Outcome.WICK_REVERSION.value}


def _lead_lag(given: dict[str, Any]) -> dict[str, float]:
    series = given["series"]
    assert series["formula"] == "50000 + 100*sin(0.3*k)"
    tracker = LeadLag()
    for k in range(series["points"]):
        price = 50_000 + 100 * math.sin(0.3 * k)
        tracker.add(Leader.BINANCE, k * series["step_ms"], price)
        tracker.add(Leader.BYBIT, k * series["step_ms"], price)
    found = tracker.correlations()
    assert found is not None
    return {"correlation": found[1]}


GROUPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "position_size": _position_size,
    "position_size_leverage": _leveraged,
    "position_size_invalid": lambda given: _leveraged(given)["notional"],
    "velocity": lambda given: velocity([(int(ts), float(price)) for ts, price in given["points"]]),
    "order_type": lambda given: order_style(given["velocity"], given["atr"], Volatility.LOW, CONFIG).value,
    "sma": lambda given: sma(given["values"], given["period"]),
    "stddev": lambda given: stddev(given["values"], given["period"]),
    "trap_liquidation": lambda given: _trap(liquidation(SYMBOL, _bars(given["bars"]), CONFIG)),
    "trap_daily_level": lambda given: _trap(daily_level(SYMBOL, _bars(given["bars"]), CONFIG)),
    "trap_oi_wipeout": _oi_wipeout,
    "trap_funding_squeeze": _funding,
    "trap_basis_arb": _basis,
    "ofi": lambda given: order_flow_imbalance([Bbo(*update) for update in given["updates"]])[-1],
    "cvd": _cvd,
    "volume_validator": _volume_validator,
    "confirmation": _confirmation,
    "distance_gate": lambda given: {"passes": near(given["price"], given["trigger"])},
    "lead_lag": _lead_lag,
}


def _vectors() -> list[Any]:
    # Without the shared data one case remains, and it skips visibly when it loads the vectors.
    if not (SHARED / "vectors/scavenger.json").exists():
        return [pytest.param(None, id="absent")]
    return [pytest.param(vector, id=vector["id"]) for vector in load_vectors("scavenger")["vectors"]]


def _same(got: Any, expected: Any) -> bool:
    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        return bool(got == expected)
    return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("vector", _vectors())
def test_every_vector_is_met(vector: dict[str, Any] | None) -> None:
    if vector is None:
        load_vectors("scavenger")
        return
    got = GROUPS[vector["group"]](vector["input"])
    expected = vector["expected"]
    if not isinstance(expected, dict):
        assert _same(got, expected), f"{vector['id']}: {got} != {expected}"
        return
    assert got is not None
    for key, value in expected.items():
        if key.endswith("_gt"):
            assert got[key.removesuffix("_gt")] > value
        else:
            assert _same(got[key], value), f"{vector['id']}: {key} {got[key]} != {value}"


def test_a_breakout_carries_confidence_on_the_scale_of_a_hundred_and_a_size_above_zero() -> None:
    [defect] = load_vectors("scavenger")["defects"]
    given, expected = defect["input"], defect["expected"]
    ranging = [Bar(index * 3_600_000, 100, 110, 90, 100, 1) for index in range(50)]
    found = {trap.trap_type.value: trap for trap in structure_traps(SYMBOL, ranging, CONFIG)}[given["trap_type"]]
    size = position_size(
        Decimal(given["equity"]),
        found.confidence,
        given["stop_fraction"],
        given["target_fraction"],
        given["cap_fraction"],
    )
    assert found.confidence == expected["confidence_0_100"]
    assert (size > 0) is expected["size_positive"]
    rejected = position_size(Decimal(given["equity"]), defect["rejected"]["confidence"], 0.01, 0.03, 0.5)
    assert size != rejected == defect["rejected"]["size"]
