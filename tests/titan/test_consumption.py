"""When a service consumes, and when it only seems to live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from protos import system_pb2
from tests.waiting import until
from titan.bus import Bus, Received, outside
from titan.bus.consumption import HELD_S, Consumption
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.testing import runtime_for_tests


def test_who_has_nothing_to_do_is_not_stalled() -> None:
    consumption = Consumption()
    consumption.add("x", 0.25)
    assert [consumption.stalled(now, connected=True) for now in (0.0, 100.0, 200.0)] == ["", "", ""]


def test_who_holds_a_message_longer_than_its_patience_is_named() -> None:
    consumption = Consumption()
    consumer = consumption.add("x", 0.25)
    consumer.begin()
    said = [consumption.stalled(now, connected=True) for now in (10.0, 10.25, 11.0)]
    assert said == ["", "", "x has not moved for 1.0 s"]
    consumer.end()
    assert consumption.stalled(12.0, connected=True) == ""


def test_who_leaves_messages_waiting_is_named() -> None:
    consumption, queue = Consumption(), [1]
    consumption.add("x", 0.25, lambda: len(queue))
    assert [consumption.stalled(now, connected=True) for now in (10.0, 13.0)] == ["", "x has not moved for 3.0 s"]
    queue.clear()
    assert consumption.stalled(14.0, connected=True) == ""


def test_who_is_slow_but_moves_is_never_named() -> None:
    consumption = Consumption()
    consumer = consumption.add("x", 0.25, lambda: 1_000)
    for second in range(20):
        consumer.begin()
        assert consumption.stalled(float(second), connected=True) == ""
        consumer.end()


def test_a_message_that_came_just_before_the_look_is_no_stall() -> None:
    consumption, queue = Consumption(), list[int]()
    consumption.add("x", 0.25, lambda: len(queue))
    assert consumption.stalled(10.0, connected=True) == ""
    queue.append(1)
    assert consumption.stalled(11.0, connected=True) == ""
    queue.clear()
    assert consumption.stalled(12.0, connected=True) == ""


def test_a_connection_that_is_away_is_held_against_nobody() -> None:
    consumption = Consumption()
    consumption.add("x", 0.25, lambda: 1)
    assert [consumption.stalled(now, connected=False) for now in (0.0, 60.0)] == ["", ""]
    assert consumption.stalled(60.5, connected=True) == "", "its time begins when the connection is back"


def test_waiting_for_somebody_else_is_held_against_nobody() -> None:
    consumption = Consumption()
    consumer = consumption.add("x", 0.25)
    consumer.begin()
    with outside():
        assert [consumption.stalled(now, connected=True) for now in (0.0, 60.0)] == ["", ""]
    said = [consumption.stalled(now, connected=True) for now in (61.0, 62.0, 63.0)]
    assert said == ["", "", "x has not moved for 1.0 s"]
    consumer.end()


def test_outside_of_any_handler_waiting_is_nobodys() -> None:
    with outside():
        pass


@pytest.fixture
def runtime(nats_server: Addresses, tmp_path: Path) -> Runtime:
    return runtime_for_tests(
        tmp_path,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
    )


@pytest.fixture
async def bus(runtime: Runtime) -> AsyncIterator[Bus]:
    connected = await Bus.connect(runtime, "tester")
    yield connected
    await connected.close()


async def test_a_handler_that_hangs_stalls_its_bus_until_it_goes_on(bus: Bus) -> None:
    subject, go = f"titan.sys.test.v1.{uuid4().hex}", asyncio.Event()

    async def handler(_: Received[system_pb2.Alert]) -> None:
        await go.wait()

    await bus.subscribe(subject, system_pb2.Alert, handler)
    assert bus.stalled() == ""
    await bus.publish(subject, system_pb2.Alert(code="TEST"))
    said = await until(bus.stalled, "the bus says that it is stalled")
    assert said.startswith(f"{subject} has not moved for ")
    go.set()
    await until(lambda: bus.stalled() == "", "it goes on")


async def test_a_durable_that_hangs_stalls_its_bus(bus: Bus) -> None:
    go, subject = asyncio.Event(), f"titan.evt.test.v1.{uuid4().hex}"

    async def handler(_: Received[system_pb2.Alert]) -> None:
        await go.wait()

    durable = f"T{uuid4().hex}"
    await bus.consume("TITAN_EVT", durable, subject, system_pb2.Alert, handler, patience_s=HELD_S)
    await bus.publish_durable(subject, system_pb2.Alert(code="TEST"))
    said = await until(bus.stalled, "the bus says that it is stalled")
    assert said.startswith(f"{durable} has not moved for ")
    go.set()
    await until(lambda: bus.stalled() == "", "it goes on")


async def test_a_handler_that_waits_for_an_answer_is_not_stalled(bus: Bus) -> None:
    subject, asked = f"titan.sys.test.v1.{uuid4().hex}", asyncio.Event()

    async def handler(_: Received[system_pb2.Alert]) -> None:
        asked.set()
        await bus.request("titan.rpc.nobody.v1", system_pb2.ActorsRequest(), system_pb2.Alert, timeout_s=3 * HELD_S)

    await bus.subscribe(subject, system_pb2.Alert, handler)
    await bus.publish(subject, system_pb2.Alert(code="TEST"))
    await asyncio.wait_for(asked.wait(), 20)
    looks = []
    deadline = time.monotonic() + 2 * HELD_S
    while time.monotonic() < deadline:
        looks.append(bus.stalled())
        await asyncio.sleep(0.01)
    assert set(looks) == {""}
