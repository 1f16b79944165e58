"""Trades by hand beside a drill: what is counted of them, and how long none was approved."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.drill import proof
from ops.drill.proof import nothing_lost
from ops.drill.stage import Broken, Stage
from ops.drill.trades import Trades, longest_gap
from titan.errors import NotRunning, Transient
from titan.invariants import VenueOrder, VenueTruth, World
from titan.model import Side
from titan.money import dec
from titan.runtime import Runtime
from titan.testing import runtime_for_tests


class Answers(Stage):
    """A stage whose brain gives prepared answers."""

    def __init__(self, *answers: tuple[bool, str] | Exception) -> None:
        super().__init__(Path("/nowhere"), {})
        self._answers = list(answers)
        self.sides: list[bool] = []
        self.resets: list[str] = []

    def opening(
        self, size_usd: int = 200, *, sell: bool = False, limit: float = 0.0, stop_share: float = 0.05
    ) -> tuple[bool, str]:
        self.sides.append(sell)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def reset(self, what: str) -> None:
        self.resets.append(what)


def test_only_what_was_approved_counts_and_turns_the_side() -> None:
    stage = Answers((True, "APPROVED"), (False, "BREAKER_ACTIVE"), NotRunning("away"), (True, "APPROVED"))
    trades = Trades(stage)
    trades.trade(4)
    assert trades.approved == 2
    assert stage.sides == [False, True, True, True]
    assert trades.vetoes == {"BREAKER_ACTIVE": 1}
    assert stage.resets == ["reset-circuit-breaker"]


@pytest.mark.parametrize(
    ("moments", "expected"),
    [([], 10.0), ([1.0, 2.0], 8.0), ([4.0, 9.5], 5.5), ([-5.0, 30.0], 10.0), ([3.0, 6.0, 9.0], 3.0)],
)
def test_the_time_without_openings_counts_from_the_first_moment_to_the_last(
    moments: list[float], expected: float
) -> None:
    assert longest_gap(moments, 0.0, 10.0) == expected


class Prepared(Stage):
    @property
    def runtime(self) -> Runtime:
        return runtime_for_tests(self.home, nats_url="nats://127.0.0.1:1")


def order(number: str) -> VenueOrder:
    return VenueOrder(number, "titan-1", "BTC/USDT:USDT", Side.BUY, dec("1"), dec("0"), False, False)


@pytest.mark.parametrize("orders", [1, 2], ids=["once", "twice"])
def test_an_order_that_is_at_the_venue_twice_breaks_the_drill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orders: int
) -> None:
    readings = [Transient("away")] if orders == 1 else []

    async def reading(_: Runtime) -> World:
        if readings:
            raise readings.pop()
        return World(now_ms=0, venue=VenueTruth(orders=tuple(order(str(each)) for each in range(orders))))

    monkeypatch.setattr(proof, "reading", reading)
    monkeypatch.setattr(proof, "PAUSE_S", 0.01)
    stage = Prepared(tmp_path, {})
    if orders == 1:
        assert nothing_lost(stage, 5.0).orders == 1
    else:
        with pytest.raises(Broken, match="2 orders under the client order id titan-1"):
            nothing_lost(stage, 0.05)
