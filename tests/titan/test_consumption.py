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
    assert consumption.stalled(time.monotonic() + 100, connected=True) == ""


def test_who_holds_a_message_longer_than_its_patience_is_named() -> None:
    consumption = Consumption()
    consumer = consumption.add("x", 0.25)
    consumer.begin()
    now = consumer.since_s
    assert consumption.stalled(now + 0.25, connected=True) == ""
    assert consumption.stalled(now + 0.5, connected=True) == "x has not moved for 0.5 s"
    consumer.end()
    assert consumption.stalled(now + 100, connected=True) == ""


def test_who_leaves_messages_waiting_is_named() -> None:
    consumption, queue = Consumption(), [1]
    consumer = consumption.add("x", 0.25, lambda: len(queue))
    now = consumer.since_s
    assert consumption.stalled(now + 3.0, connected=True) == "x has not moved for 3.0 s"
    consumer.moved()
    assert consumption.stalled(consumer.since_s + 0.1, connected=True) == ""
    queue.clear()
    assert consumption.stalled(now + 100, connected=True) == ""


def test_a_connection_that_is_away_is_held_against_nobody() -> None:
    consumption = Consumption()
    consumer = consumption.add("x", 0.25, lambda: 1)
    now = consumer.since_s
    assert consumption.stalled(now + 60, connected=False) == ""
    assert consumption.stalled(now + 60.2, connected=True) == "", "its time begins when the connection is back"


async def test_waiting_for_somebody_else_is_held_against_nobody() -> None:
    consumption = Consumption()
    consumer = consumption.add("x", 0.25)
    consumer.begin()
    with outside():
        assert consumption.stalled(consumer.since_s + 60, connected=True) == ""
    assert consumption.stalled(consumer.since_s + 0.5, connected=True) != ""
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
