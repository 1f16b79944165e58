"""The bus against a real NATS server: what arrives, what is put aside, what is never lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import nats
import nats.js.errors
import pytest
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from protos import envelope_pb2, system_pb2
from tests.waiting import until
from titan import subjects
from titan.bus import Bus, Received
from titan.codes import DeadLetterReason
from titan.errors import Transient
from titan.metrics import Metrics
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.testing import runtime_for_tests


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


def alert(message: str) -> system_pb2.Alert:
    return system_pb2.Alert(code="TEST", message=message)


async def test_a_published_message_reaches_its_subscriber_verified(bus: Bus) -> None:
    subject = f"titan.sys.test.v1.{uuid4().hex}"
    seen: list[str] = []

    async def handler(received: Received[system_pb2.Alert]) -> None:
        seen.append(received.message.message)

    await bus.subscribe(subject, system_pb2.Alert, handler)
    await bus.publish(subject, alert("hello"))
    await until(lambda: seen == ["hello"], "the message")


async def test_what_a_handler_logs_carries_the_messages_correlation_id_and_no_dead_letter_does(bus: Bus) -> None:
    subject = f"titan.sys.test.v1.{uuid4().hex}"
    seen: list[object] = []

    async def handler(_: Received[system_pb2.Alert]) -> None:
        seen.append(get_contextvars().get("correlation_id"))

    await bus.subscribe(subject, system_pb2.Alert, handler)
    with capture_logs(processors=[merge_contextvars]) as lines:
        await bus.publish(subject, alert("a"), correlation_id="signal-1")
        await bus.client.publish(subject, b"forged")
        await bus.publish(subject, alert("b"), correlation_id="signal-2")
        await until(lambda: len(seen) == 2, "both messages")
    assert seen == ["signal-1", "signal-2"]
    assert [line.get("correlation_id") for line in lines if line["event"] == "dead letter"] == [None]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), DeadLetterReason.BAD_SIGNATURE),
        (lambda raw: b"plain text", DeadLetterReason.UNDECODABLE),
        (
            lambda raw: envelope_pb2.Signed(
                body=envelope_pb2.Signed.FromString(raw).body, key_id="test"
            ).SerializeToString(),
            DeadLetterReason.UNSIGNED,
        ),
    ],
)
async def test_what_can_not_be_trusted_becomes_a_dead_letter_with_its_reason(
    runtime: Runtime, spoil: Callable[[bytes], bytes], reason: DeadLetterReason
) -> None:
    metrics = Metrics()
    bus = await Bus.connect(runtime, "tester", metrics)
    subject = f"titan.sys.test.v1.{uuid4().hex}"
    seen: list[str] = []
    letters: list[envelope_pb2.DeadLetter] = []

    async def handler(received: Received[system_pb2.Alert]) -> None:
        seen.append(received.message.message)

    async def on_letter(_: str, data: bytes, __: str) -> None:
        letters.append(envelope_pb2.DeadLetter.FromString(data))

    await bus.subscribe(subject, system_pb2.Alert, handler)
    await bus.subscribe_raw(subjects.dead_letter("tester"), on_letter)
    _, raw = bus.seal(subject, alert("bad"))
    await bus.client.publish(subject, spoil(raw))
    await until(lambda: len(letters) == 1, "the dead letter")
    assert letters[0].reason == reason
    assert letters[0].original_subject == subject
    assert not seen
    assert metrics.counter("titan_dlq_total").labels(reason.value)._value.get() == 1
    await bus.close()


async def test_a_message_signed_for_another_subject_is_put_aside(bus: Bus) -> None:
    subject = f"titan.sys.test.v1.{uuid4().hex}"
    letters: list[str] = []

    async def handler(_: Received[system_pb2.Alert]) -> None:
        letters.append("delivered")

    async def on_letter(_: str, data: bytes, __: str) -> None:
        letters.append(envelope_pb2.DeadLetter.FromString(data).reason)

    await bus.subscribe(subject, system_pb2.Alert, handler)
    await bus.subscribe_raw(subjects.dead_letter("tester"), on_letter)
    _, raw = bus.seal("titan.sys.other.v1", alert("x"))
    await bus.client.publish(subject, raw)
    await until(lambda: letters == [DeadLetterReason.WRONG_SUBJECT], "the dead letter")


async def test_identical_copies_reach_a_subscriber_once(bus: Bus) -> None:
    subject = f"titan.sys.test.v1.{uuid4().hex}"
    seen: list[str] = []

    async def handler(received: Received[system_pb2.Alert]) -> None:
        seen.append(received.message.message)

    await bus.subscribe(subject, system_pb2.Alert, handler)
    _, raw = bus.seal(subject, alert("once"))
    for _ in range(3):
        await bus.client.publish(subject, raw)
    await bus.publish(subject, alert("last"))
    await until(lambda: "last" in seen, "the marker")
    assert seen == ["once", "last"]


async def test_a_durable_consumer_gets_what_came_before_it_and_again_what_it_could_not_take(bus: Bus) -> None:
    name = uuid4().hex
    subject = f"titan.evt.test.v1.{name}"
    await bus.publish_durable(subject, alert("first"))
    seen: list[str] = []

    async def handler(received: Received[system_pb2.Alert]) -> None:
        seen.append(received.message.message)
        if len(seen) == 1:
            raise Transient("not now", retry_after_s=0.01)

    await bus.consume("TITAN_EVT", f"T{name}", subject, system_pb2.Alert, handler)
    await until(lambda: seen == ["first", "first"], "the redelivery")
    for _ in range(500):
        if await bus.pending("TITAN_EVT", f"T{name}") == 0:
            break
        await asyncio.sleep(0.01)
    assert await bus.pending("TITAN_EVT", f"T{name}") == 0


async def test_a_poison_message_is_put_aside_and_the_next_one_delivered(bus: Bus) -> None:
    name = uuid4().hex
    subject = f"titan.evt.test.v1.{name}"
    seen: list[str] = []

    async def handler(received: Received[system_pb2.Alert]) -> None:
        if received.message.message == "poison":
            raise ValueError("can't be")
        seen.append(received.message.message)

    await bus.consume("TITAN_EVT", f"T{name}", subject, system_pb2.Alert, handler)
    await bus.publish_durable(subject, alert("poison"))
    await bus.publish_durable(subject, alert("good"))
    await until(lambda: seen == ["good"], "the message after the poison")


async def test_the_same_idempotency_key_is_stored_once(bus: Bus) -> None:
    name = uuid4().hex
    subject = f"titan.evt.test.v1.{name}"
    seen: list[str] = []

    async def handler(received: Received[system_pb2.Alert]) -> None:
        seen.append(received.message.message)

    for _ in range(2):
        await bus.publish_durable(subject, alert("same"), idempotency_key=name)
    await bus.publish_durable(subject, alert("other"))
    await bus.consume("TITAN_EVT", f"T{name}", subject, system_pb2.Alert, handler)
    await until(lambda: "other" in seen, "the marker")
    assert seen == ["same", "other"]


async def test_a_request_is_answered_signed(bus: Bus) -> None:
    subject = f"titan.rpc.test.v1.{uuid4().hex}"

    async def answer(received: Received[system_pb2.ActorsRequest]) -> system_pb2.Alert:
        return alert(received.message.requested_by)

    await bus.serve(subject, system_pb2.ActorsRequest, answer)
    reply = await bus.request(subject, system_pb2.ActorsRequest(requested_by="me"), system_pb2.Alert)
    assert reply.message == "me"


async def test_a_request_nobody_answers_is_transient(bus: Bus) -> None:
    with pytest.raises(Transient, match="no answer on"):
        await bus.request("titan.rpc.nobody.v1", system_pb2.ActorsRequest(), system_pb2.Alert, timeout_s=0.2)


async def test_a_stream_lost_with_its_server_is_made_again_after_the_reconnect(bus: Bus) -> None:
    await bus.jetstream.delete_stream("TITAN_DATA")
    with pytest.raises(Transient, match="TITAN_DATA"):
        await bus.backlog("TITAN_DATA")

    await bus.client.force_reconnect()

    async def exists() -> bool:
        try:
            await bus.jetstream.stream_info("TITAN_DATA")
        except nats.js.errors.NotFoundError:
            return False
        return True

    for _ in range(500):
        if await exists():
            break
        await asyncio.sleep(0.01)
    assert await exists()
    assert await bus.backlog("TITAN_DATA") == {}


async def test_a_bus_that_reconnects_again_and_again_does_not_grow(bus: Bus) -> None:
    def making() -> int:
        return sum(task.get_name() == "ensure-streams" for task in bus._tasks)

    for _ in range(5):
        bus._make_streams_again()
    assert making() == 5
    await until(lambda: making() == 0, "what has ended is let go of")


async def test_a_handler_that_fails_is_the_death_of_its_actor(bus: Bus) -> None:
    subject = f"titan.sys.test.v1.{uuid4().hex}"

    async def handler(_: Received[system_pb2.Alert]) -> None:
        raise RuntimeError("broken")

    await bus.subscribe(subject, system_pb2.Alert, handler)
    await bus.publish(subject, alert("x"))
    with pytest.raises(RuntimeError, match="broken"):
        await asyncio.wait_for(bus.failed(), 5)


async def test_a_wrong_password_is_refused(runtime: Runtime) -> None:
    with pytest.raises(nats.errors.Error):
        await nats.connect(
            runtime.nats_url, user="titan", password="wrong", allow_reconnect=False, max_reconnect_attempts=0
        )
