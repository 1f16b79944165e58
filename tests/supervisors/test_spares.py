"""Warm processes in reserve: each becomes one actor, one that fails is dead before anybody else is started, none is needed."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import structlog

from supervisors import spares as module
from supervisors.host_order import HostOrder, HostReport
from supervisors.processes import Death
from supervisors.spares import Spares
from tests.waiting import until

ORDER = HostOrder("router", "actors.router.actor:Router", 4, "/home")
LOG = cast("Any", structlog.get_logger())


class Spare:
    """A sleeping process that keeps a diary."""

    def __init__(self, error: Exception | None = None, hangs: bool = False) -> None:
        self.process = subprocess.Popen(["sleep", "300"])
        self.error = error
        self.hangs = hangs
        self.orders: list[HostOrder] = []
        self.warmed = False

    @property
    def pid(self) -> int:
        return self.process.pid

    async def take(self, order: HostOrder) -> HostReport:
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.orders.append(order)
        return HostReport(order.name, self.pid, order.incarnation, False, order.home, "n")

    async def warm(self) -> None:
        self.warmed = True
        if self.error is not None:
            raise self.error

    async def end(self) -> None:
        self.process.kill()

    @property
    def gone(self) -> bool:
        return self.process.poll() is not None


class Maker:
    """Makes what a test wants, then good ones."""

    def __init__(self) -> None:
        self.wanted: list[Spare | Exception | None] = []
        self.made: list[Spare] = []

    async def __call__(self) -> Spare | None:
        what = self.wanted.pop(0) if self.wanted else Spare()
        if isinstance(what, Exception):
            raise what
        if what is not None:
            self.made.append(what)
        return what


@pytest.fixture
async def maker() -> AsyncIterator[Maker]:
    made = Maker()
    yield made
    for spare in made.made:
        spare.process.kill()
        spare.process.wait()


def spares(maker: Maker, *, settled: bool = False, count: int = 1) -> Spares[Spare]:
    return Spares(count, maker, lambda: settled, LOG)


async def test_a_spare_is_made_warmed_and_becomes_one_actor(maker: Maker) -> None:
    kept = spares(maker)
    kept.fill()
    await until(lambda: bool(maker.made) and maker.made[0].warmed)
    taken = await kept.take(ORDER)
    assert taken is not None
    assert taken[1].name == "router"
    assert maker.made[0].orders == [ORDER]
    await until(lambda: len(maker.made) == 2)
    again = await kept.take(ORDER)
    assert again is not None
    assert again[0] is maker.made[1]
    kept.close()


async def test_one_on_its_way_is_waited_for_and_not_begun_twice(maker: Maker) -> None:
    kept = spares(maker)
    kept.fill()
    kept.fill()
    assert await kept.take(ORDER) is not None
    assert maker.made[0].orders == [ORDER]
    kept.close()


async def test_without_a_spare_nobody_waits_and_one_is_made_for_the_next(maker: Maker) -> None:
    kept = spares(maker)
    assert await kept.take(ORDER) is None
    await until(lambda: len(maker.made) == 1)
    kept.close()


async def test_none_are_kept_where_none_are_wanted(maker: Maker) -> None:
    kept = spares(maker, count=0)
    kept.fill()
    assert await kept.take(ORDER) is None
    assert maker.made == []


@pytest.mark.parametrize("spare", [{"error": RuntimeError("away")}, {"hangs": True}])
async def test_one_that_does_not_take_its_order_is_dead_before_the_answer(
    maker: Maker, monkeypatch: pytest.MonkeyPatch, spare: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "TAKE_WITHIN_S", 0.05)
    maker.wanted = [Spare(**spare)]
    kept = spares(maker)
    kept.fill()
    await until(lambda: bool(maker.made))
    assert await kept.take(ORDER) is None
    assert maker.made[0].gone
    kept.close()


async def test_a_start_that_is_given_up_leaves_no_process(maker: Maker) -> None:
    maker.wanted = [Spare(hangs=True)]
    kept = spares(maker)
    kept.fill()
    await until(lambda: bool(maker.made))
    taking = asyncio.create_task(kept.take(ORDER))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    await until(lambda: maker.made[0].gone)
    kept.close()


async def test_one_that_dies_in_reserve_is_replaced(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_AFTER_S", 0.0)
    kept = spares(maker)
    kept.fill()
    await until(lambda: bool(maker.made) and maker.made[0].warmed)
    maker.made[0].process.kill()
    await until(lambda: len(maker.made) == 2)
    taken = await kept.take(ORDER)
    assert taken is not None
    assert taken[0] is maker.made[1]
    kept.close()


async def test_after_a_crash_the_next_one_waits_until_the_actor_had_the_cores(maker: Maker) -> None:
    kept = spares(maker, settled=True)
    kept.fill()
    await until(lambda: bool(maker.made))
    assert await kept.take(ORDER) is not None
    assert await kept.take(ORDER) is None, "one that waits is not waited for"
    assert len(maker.made) == 1
    kept.close()


async def test_what_can_not_be_made_or_warmed_harms_nobody(maker: Maker) -> None:
    maker.wanted = [RuntimeError("Ray is away"), None]
    kept = spares(maker)
    for _ in range(2):
        kept.fill()
        assert await kept.take(ORDER) is None
    cold = Spare(error=None)
    kept.keep(cold)
    maker.made.append(cold)
    assert await kept.take(ORDER) is not None
    kept.close()


async def test_of_two_that_are_found_one_is_kept(maker: Maker) -> None:
    first, second = Spare(), Spare()
    maker.made += [first, second]
    kept = spares(maker)
    kept.keep(first)
    kept.keep(second)
    death = Death(second.pid)
    await asyncio.wait_for(death.wait(), 5.0)
    taken = await kept.take(ORDER)
    assert taken is not None
    assert taken[0] is first
    kept.close()
