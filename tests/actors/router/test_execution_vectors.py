"""The shared acceptance vectors of execution: each runs here or in the test named for it, or does not apply, with the reason.

Vectors write `BTC/USDT` where the house form is `BTC/USDT:USDT`, and sizes in base units where intents carry USD.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from actors.router.guard import Opening, examine
from tests.actors.router.support import Bottle, config, d, intent, policy
from tests.conformance.bench import limit
from tests.shared_data import SHARED, load_vectors
from titan.algos import ImpactGate, Target, impact_bps, split
from titan.algos.impact import Impact
from titan.model import OrderType, Side
from titan.venues import binance_shapes, mexc_shapes
from titan.venues.limits import Budget, Lane, TokenBucket

ROOT = Path(__file__).parents[3]
Vector = dict[str, Any]


def _guard(vector: Vector) -> None:
    """R2, R3.2, R5.1: an opening of so much at such a price, against the policy's limits."""
    given = vector["input"]
    overrides = {} if given["policy"] == "default" else given["policy"]
    names = {"max_position_notional": "maxPositionNotional", "max_open_orders_per_symbol": "maxOpenOrdersPerSymbol"}
    limits = policy(**{names[key]: value for key, value in overrides.items()})
    bottle = Bottle(config(policy=limits), Decimal(given["equity"])).begin()
    wish = given["intent"]
    [price] = wish["entry_zone"]
    bottle.refresh(str(price))
    usd = str(Decimal(str(wish["size"])) * price)
    for number in range(sum(given.get("active_intents", {}).values())):
        waiting = intent(f"w{number}", size_usd="50", reference=str(price), policy_hash=limits.hash)
        bottle.send(waiting)
    wanted = intent(size_usd=usd, reference=str(price), policy_hash=limits.hash)
    answer = examine(wanted, bottle.state, bottle.config, bottle.now)
    assert isinstance(answer, Opening) is vector["expected"]["allowed"], answer
    if not isinstance(answer, Opening):
        assert answer.code.value == {"MaxOpenOrdersExceeded": "OPEN_ORDERS"}[vector["expected"]["reason"]]


def _canonical(vector: Vector) -> None:
    """S1: the canonical text; signatures are over bytes as received, of which `tests/titan/test_envelope.py` tells."""
    assert rfc8785.dumps(vector["input"]["payload"]).decode() == vector["expected"]["canonical_payload"]


def _split(vector: Vector) -> None:
    given = vector["input"]
    targets = [Target(name, Decimal(str(weight)), Decimal("0.0001")) for name, weight in given["weights"]]
    found = split(Decimal(given["quantity"]), targets, Decimal(1))
    assert found == [(name, Decimal(str(share))) for name, share in vector["expected"]["orders"]]
    assert sum(share for _, share in found) == 1


def _impact(vector: Vector) -> None:
    """I1.2, I2. The word for the smallest step differs: below 5 bps an intent goes as it asks to, post-only included."""
    given, expected = vector["input"], vector["expected"]
    bps = impact_bps(given["notional_usd"], given["adv_usd"], given["sigma_daily"])
    assert bps == pytest.approx(expected["impact_bps"], rel=1e-9)
    assert ImpactGate().judge(bps) is {"IOC": Impact.IOC, "PostOnly": Impact.FREE}[expected["decision"]]


def _bucket(vector: Vector) -> None:
    given = vector["input"]
    bucket = TokenBucket(Budget("vector", given["capacity"], given["fill_per_s"]))
    results = []
    for step in given["steps"]:
        granted = bucket.wait_s(step["take"], 0.0, Lane.NORMAL) == 0
        if granted:
            bucket.take(step["take"])
        results.append(granted)
    assert results == vector["expected"]["results"]


def _mexc_side(vector: Vector) -> None:
    given = vector["input"]
    assert mexc_shapes.SIDE_CODES[Side(given["side"]), given["reduce_only"]] == vector["expected"]


def _binance_request(vector: Vector) -> None:
    given = vector["input"]
    wanted = limit(
        str(given["price"]),
        Side(given["side"]),
        str(given["quantity"]),
        order_type=OrderType(given["order_type"]),
        reduce_only=given["reduce_only"],
    )
    request = binance_shapes.order_request(wanted, "ETHUSDT")
    assert {key: request[key] for key in vector["expected"]} == vector["expected"]
    assert request["newClientOrderId"] == wanted.client_order_id
    assert d(request["quantity"]) == d(2)


HERE: dict[str, Callable[[Vector], None]] = {
    "R2": _guard,
    "R3.2": _guard,
    "R5.1": _guard,
    "S1": _canonical,
    "RT2": _split,
    "I1.2": _impact,
    "I2": _impact,
    "TB1.1": _bucket,
    "X1.2": _mexc_side,
    "X1.4": _mexc_side,
    "X2": _binance_request,
}

ELSEWHERE = {
    "E2": "tests/titan/test_positions.py",
    "E4": "tests/titan/test_positions.py",
    "E9": "tests/titan/test_positions.py",
    "E5.1": "tests/titan/test_positions.py",
    "E6": "tests/titan/test_positions.py",
    "E11.1": "tests/actors/router/test_guard.py",
    "E12": "tests/actors/router/test_audit.py",
    "R6.1": "tests/actors/router/test_slippage.py",
    "R6.3": "tests/actors/router/test_slippage.py",
    "R7.2": "tests/actors/router/test_guard.py",
    "R8": "tests/titan/test_policy.py",
    "O1.2": "tests/titan/test_orders.py",
    "O1.4": "tests/titan/test_orders.py",
}
"""Where the vector is read from the shared file and checked."""

NOT_APPLICABLE = {
    "S3.2": "commands are signed as bytes: test_envelope.py refuses every changed byte of a signature",
    "S3.4": "the tolerance is 300 s and fixed: test_envelope.py refuses what is older, test_operator_door.py an old command",
    "S3.6": "the actor is the envelope's producer, which the signature covers; a body without it does not verify",
    "S3.8": "the time is the envelope's, which the signature covers; a body without one is from 1970 and expired",
    "V1.1": "intents are protobuf messages: a field has one name, `t_signal_ms`, and no alias",
    "F1": "no conversion of maker orders by fees: the brain's COST gate weighs fees before an intent is made",
    "F2.2": "as F1; MAKER_FIRST crosses after its reprices when its intent says so, not after a profit calculation",
    "F3": "an intent names its order type; the router never turns it into a market order by the book's imbalance",
    "D1.1": "no drift classes: a bad fill is judged by the slippage bands of `slippage`, over a window",
    "D2": "as D1.1: late fills do not halt trading (the vector's class B did, for good); latency is a histogram",
    "C1.2": "no constraints store: the brain applies tail-risk limits before it approves",
}


def _vectors() -> dict[str, Vector]:
    loaded = load_vectors("execution")
    return {each["id"]: each for each in (*loaded["vectors"], *loaded["defects"])}


@pytest.mark.parametrize("vector_id", HERE)
def test_a_vector_of_execution_holds(vector_id: str) -> None:
    HERE[vector_id](_vectors()[vector_id])


def test_every_vector_runs_or_is_named_with_its_reason() -> None:
    if not (SHARED / "vectors/execution.json").exists():
        pytest.skip("without the shared data there are no vectors")
    assert sorted([*HERE, *ELSEWHERE, *NOT_APPLICABLE]) == sorted(_vectors())
    assert all(reason for reason in NOT_APPLICABLE.values())


@pytest.mark.parametrize(("vector_id", "path"), ELSEWHERE.items())
def test_a_vector_that_runs_elsewhere_is_read_there(vector_id: str, path: str) -> None:
    text = (ROOT / path).read_text()
    assert 'load_vectors("execution")' in text
    assert f'"{vector_id}"' in text or "for vector in load_vectors" in text
