"""The campaign's own logic against an arena of cardboard: what it draws, what it waits for, what it reports."""

from __future__ import annotations

import itertools
import math
import random
import time
from dataclasses import replace
from typing import Any, cast

import pytest

from ops.chaos import campaign as campaigns
from ops.chaos.campaign import Campaign, Lost
from ops.chaos.eyes import Sight
from ops.chaos.fault import Axis, ChaosFault, Inject, Injected, Skip
from ops.chaos.result import as_json, percentile, table_of
from ops.chaos.system import READY, ActorSeen
from tests.titan.invariants.world import venue, world
from titan.codes import TradingState
from titan.errors import Transient
from titan.invariants import World

FINE = Sight({"router": ActorSeen("router", "money", 7, READY, 0)}, TradingState.ACTIVE, "", 1, 0.1, 1e12, bus=True)


class Eyes:
    """Sees what a test says, one after the other; the last for ever."""

    def __init__(self, sights: list[Sight], worlds: list[World | Transient]) -> None:
        self.sights = sights
        self.worlds = worlds

    async def look(self) -> Sight:
        return self.sights.pop(0) if len(self.sights) > 1 else self.sights[0]

    async def world(self) -> World:
        found = self.worlds.pop(0) if len(self.worlds) > 1 else self.worlds[0]
        if isinstance(found, Transient):
            raise found
        return found


class Trader:
    """Notes commands."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    async def command(self, verb: str, _reason: str) -> None:
        self.commands.append(verb)


class Arena:
    """Cardboard."""

    def __init__(self, sights: list[Sight] | None = None, worlds: list[World | Transient] | None = None) -> None:
        self.draw = random.Random(7)
        self.eyes = Eyes(sights or [FINE], worlds or [world()])
        self.trader = Trader()
        self.budgets: dict[str, int] = {}

    def budget(self, group: str) -> int:
        return self.budgets.get(group, 100)


def fault(number: int, inject: Inject | None = None, axis: Axis = Axis.VENUE, **more: Any) -> ChaosFault:
    async def nothing(_arena: object) -> Injected:
        return Injected(time.monotonic())

    return ChaosFault(number, axis, f"f{number}", "nothing", inject or nothing, **more)


def campaign(arena: Arena, *faults: ChaosFault) -> tuple[Campaign, list[str]]:
    lines: list[str] = []
    return Campaign(cast("Any", arena), faults, lines.append), lines


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "READ_EVERY_S", 0.001)
    monkeypatch.setattr(campaigns, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(campaigns, "SETTLE_WITHIN_S", 0.5)


async def test_every_fault_comes_before_any_comes_again_and_a_seed_repeats_it() -> None:
    def drawn() -> list[int]:
        faults = [fault(n, axis=Axis.VENUE if n % 2 else Axis.BUS) for n in range(1, 9)]
        draws = iter(campaign(Arena(), *faults)[0]._draw())
        return [next(draws).number for _ in range(16)]

    first = drawn()
    assert first == drawn()
    assert sorted(first[:8]) == sorted(first[8:]) == list(range(1, 9))
    assert all({a % 2, b % 2} == {0, 1} for a, b in zip(first[::2], first[1::2], strict=True))


async def test_a_soak_gives_each_fault_as_many_turns_as_any_other_and_leaves_out_who_is_spared() -> None:
    faults = [fault(1, axis=Axis.RAY), *(fault(n) for n in range(2, 8))]
    soak = campaign(Arena(), *faults)[0]
    soak.by_axis = False
    draws = iter(soak._draw())
    assert sorted(next(draws).number for _ in range(7)) == list(range(1, 8))
    soak.spared = lambda each: each.number in (2, 3, 4)
    assert sorted(next(draws).number for _ in range(8)) == [1, 1, 5, 5, 6, 6, 7, 7]
    soak.spared = lambda _: False
    assert {next(draws).number for _ in range(7)} >= {2, 3, 4}


async def test_a_fault_that_a_supervisor_can_not_afford_now_waits() -> None:
    arena = Arena()
    arena.budgets["money"] = 1
    draws = iter(campaign(arena, fault(1, group="money"), fault(2), fault(3))[0]._draw())
    assert sorted(next(draws).number for _ in range(2)) == [2, 3]
    assert next(draws).number == 1


async def test_the_only_fault_there_is_waits_until_its_supervisor_says_that_it_can_afford_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(campaigns, "BUDGET_EVERY_S", 0.001)
    arena = Arena()
    arena.budgets["money"] = 0
    looked = arena.eyes.look

    async def look() -> Sight:
        arena.budgets["money"] += 1
        return await looked()

    run, _ = campaign(arena, fault(1, group="money"))
    monkeypatch.setattr(arena.eyes, "look", look)
    await run._one(fault(1, group="money"))
    assert arena.budgets["money"] >= 2
    assert [each.fault.number for each in run.result.runs] == [1]


async def test_recovery_is_measured_from_the_fault_until_it_is_over() -> None:
    looks = itertools.count()

    async def inject(_arena: object) -> Injected:
        return Injected(time.monotonic() - 1.5, lambda _: next(looks) > 3)

    run, _ = campaign(Arena(), fault(1, inject))
    await run.run(math.inf, 1)
    assert run.result.runs[0].recovery_s == pytest.approx(1.5, abs=0.5)
    assert run.result.findings == []


async def test_what_never_comes_back_is_a_violation_and_the_campaign_goes_on() -> None:
    async def inject(_arena: object) -> Injected:
        return Injected(time.monotonic(), lambda _: False)

    run, lines = campaign(Arena(), fault(1, inject, within_s=0.02), fault(2))
    await run.run(math.inf, 2)
    assert [each.fault for each in run.result.findings] == ["f1"]
    assert len(run.result.runs) == 2
    assert any("VIOLATION I8" in line for line in lines)


async def test_what_a_fault_finds_broken_itself_is_a_violation() -> None:
    async def inject(_arena: object) -> Injected:
        return Injected(time.monotonic(), broken=lambda _: "a healthy child was restarted")

    run, _ = campaign(Arena(), fault(1, inject))
    await run.run(math.inf, 1)
    assert [each.violation.text for each in run.result.findings] == ["a healthy child was restarted"]


async def test_only_what_stays_off_is_a_violation_and_is_told_once() -> None:
    off = world(venue=venue(position="0.06"))
    passing, _ = campaign(Arena(worlds=[off, off, world()]), fault(1))
    await passing.run(math.inf, 1)
    assert passing.result.findings == []
    staying, _ = campaign(Arena(worlds=[off]), fault(1), fault(2))
    await staying.run(math.inf, 2)
    assert [each.number for each in staying.result.findings] == [staying.result.findings[0].number] * 3
    assert {each.violation.invariant.value for each in staying.result.findings} == {"I3"}


async def test_a_side_that_stays_unreadable_is_a_violation() -> None:
    run, _ = campaign(Arena(worlds=[Transient("PostgreSQL does not answer")]), fault(1))
    await run.run(math.inf, 1)
    assert [each.violation.text for each in run.result.findings] == ["PostgreSQL does not answer"]


async def test_what_can_not_be_injected_is_skipped_with_its_reason() -> None:
    async def inject(_arena: object) -> Injected:
        raise Skip("no root here")

    run, _ = campaign(Arena(), fault(1, inject))
    await run.run(math.inf, 1)
    assert run.result.runs == []
    assert run.result.skipped == {"f1": "no root here"}


async def test_a_halt_is_lifted_the_operators_way() -> None:
    halted = replace(FINE, trading=TradingState.HALTED)
    disarmed = replace(FINE, trading=TradingState.DISARMED)
    arena = Arena(sights=[halted, halted, FINE])
    await campaign(arena, fault(1))[0]._active()
    assert arena.trader.commands == ["resume"]
    arena = Arena(sights=[disarmed, FINE])
    await campaign(arena, fault(1))[0]._active()
    assert arena.trader.commands == ["arm"]


async def test_a_system_that_does_not_come_back_ends_the_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "ACTIVE_WITHIN_S", 0.01)
    run, _ = campaign(Arena(sights=[replace(FINE, age_s=99.0)]), fault(1))

    async def nothing() -> None:
        return None

    monkeypatch.setattr(run, "_anew", nothing)
    with pytest.raises(Lost, match=r"the router is silent for 99\.0 s"):
        await run.run(math.inf, 1)
    assert run.result.revived == 1


async def test_the_json_object_has_the_documented_shape() -> None:
    run, _ = campaign(Arena(), fault(1, target_s=2.0), fault(2))
    await run.run(math.inf, 4)
    shown = as_json(run.result, {"seed": 7, "minutes": 1.0})
    assert {key: shown[key] for key in ("seed", "minutes", "faults", "violations")} == {
        "seed": 7,
        "minutes": 1.0,
        "faults": 4,
        "violations": 0,
    }
    rows = cast("list[dict[str, Any]]", shown["table"])
    assert [(row["fault"], row["runs"], row["violations"]) for row in rows] == [("f1", 2, 0), ("f2", 2, 0)]
    assert set(rows[0]["recovery_s"]) == {"p50", "p99", "max"}
    assert rows[0]["verdict"] == "met"
    assert table_of(run.result)[1].verdict == ""


def test_percentiles_are_of_samples() -> None:
    assert percentile([], 0.99) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_a_sight_says_what_is_missing() -> None:
    assert FINE.active
    assert FINE.missing() == ""
    assert "no root supervisor answers" in replace(FINE, actors={}).missing()
    down = replace(FINE.actors["router"], state="ACTOR_STATE_BACKOFF")
    assert replace(FINE, actors={"router": down}).missing() == "router backoff"
    assert "trading is REDUCING: why" in replace(FINE, trading=TradingState.REDUCING, reason="why").missing()


async def test_what_the_router_said_before_the_fault_proves_no_recovery() -> None:
    began = time.monotonic()
    old = replace(FINE, heard_s=began - 1)
    arena = Arena(sights=[FINE, old, old, replace(FINE, heard_s=began + 60)])

    async def inject(_arena: object) -> Injected:
        return Injected(began)

    run, _ = campaign(arena, fault(1, inject))
    await run.run(math.inf, 1)
    assert run.result.runs[0].recovery_s is not None
    assert len(arena.eyes.sights) == 1
