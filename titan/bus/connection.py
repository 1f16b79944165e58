"""The bus: signed protobuf messages over NATS, for shells only.

Guarantees: what reaches a handler has a valid signature for its subject; everything else is a dead letter counted by
reason; a durable consumer acknowledges only after its handler returned. Never: the only copy of anything that must
survive (that is the journal), nor a wait without a limit.

Traps of nats-py handled here (reference/infrastructure.md section 1): subscribe needs two flushes; publishes in flight are
bounded; the port is probed before the first connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar, Unpack

import nats
import nats.errors
import nats.js.errors
from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.kv import KeyValue

from titan.access import inbox_of
from titan.bus.asking import ask
from titan.bus.consumption import ANSWER_S, HELD_S, Consumption, outside
from titan.bus.durable import ACK_WAIT_S, DurableConsumer
from titan.bus.lanes import LaneHealth, Lanes
from titan.bus.opening import Links, M, Opener, Received
from titan.bus.streams import CONNECT_TIMEOUT_S, backlog_of, ensure_streams, pending_of, wait_for_port
from titan.codes import DeadLetterReason
from titan.envelope import Head, KeyRing, Verifier, seal
from titan.errors import Rejected, Transient
from titan.logs import get_logger
from titan.metrics import Metrics
from titan.runtime import Runtime
from titan.tasks import end_all
from titan.tls import transport

R = TypeVar("R", bound=Message)

ACK_TIMEOUT_S = 5.0
MAX_IN_FLIGHT = 64


Handler = Callable[[Received[M]], Awaitable[None]]
RawHandler = Callable[[str, bytes, str], Awaitable[None]]


class Bus:
    """One service's connection. Create it with `Bus.connect`."""

    def __init__(self, client: Client, runtime: Runtime, service: str, metrics: Metrics) -> None:
        self._nc = client
        self._js: JetStreamContext = client.jetstream(timeout=ACK_TIMEOUT_S)
        self._keys = KeyRing.of(runtime)
        self._verifier = Verifier(self._keys)
        self._service = service
        self._log = get_logger(service)
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._consumption = Consumption()
        self._opener = Opener(client, self._verifier, service, metrics)
        self._out = metrics.counter("titan_bus_messages_total").labels(service, "out")
        self._lanes = Lanes(runtime.lane_dir, service if runtime.fast_lane else "", metrics, self._log)

    @classmethod
    async def connect(cls, runtime: Runtime, service: str, metrics: Metrics | None = None) -> Bus:
        """Connects as the service, and makes sure that every stream of the registry exists.

        Raises Transient when NATS is away, ConfigError for a service without a login.
        """
        login, password = runtime.nats_login(service)
        await wait_for_port(runtime.nats_url, CONNECT_TIMEOUT_S)
        log = get_logger(service)

        async def on_error(error: Exception) -> None:
            log.warning("bus error", error=repr(error))

        async def on_disconnect() -> None:
            log.warning("bus disconnected")

        buses: list[Bus] = []

        async def on_reconnect() -> None:
            log.info("bus reconnected")
            for bus in buses:
                bus._make_streams_again()

        client = await nats.connect(
            runtime.nats_url,
            user=login or None,
            password=password or None,
            name=f"titan-{service}",
            inbox_prefix=inbox_of(service),
            **transport(runtime.nats_tls),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=16 * 1024 * 1024,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
        )
        bus = cls(client, runtime, service, Metrics() if metrics is None else metrics)
        await ensure_streams(bus.jetstream)
        buses.append(bus)
        bus._lanes.start(bus._keep)
        return bus

    @property
    def connected(self) -> bool:
        """Whether the connection stands now."""
        return self._nc.is_connected

    def stalled(self) -> str:
        """The consumer that has work and does none, and for how long; nothing when all is well."""
        return self._consumption.stalled(time.monotonic(), connected=self.connected)

    @property
    def lane(self) -> LaneHealth | None:
        """How the fast lane that this service listens to stands; None without one."""
        return self._lanes.health()

    @property
    def client(self) -> Client:
        """The client underneath, for what this class does not offer."""
        return self._nc

    @property
    def jetstream(self) -> JetStreamContext:
        """The JetStream context underneath."""
        return self._js

    def _make_streams_again(self) -> None:
        """After a reconnect: a server that was restarted has lost its memory streams, or its whole data directory."""

        async def ensure() -> None:
            try:
                await ensure_streams(self._js)
            except (nats.errors.Error, nats.js.errors.Error, Transient) as error:
                self._log.warning("streams not made again", error=repr(error))

        self._keep(asyncio.get_running_loop().create_task(ensure(), name="ensure-streams"))

    def seal(self, subject: str, message: Message, **links: Unpack[Links]) -> tuple[str, bytes]:
        """Encodes and signs a message for a subject; returns (envelope id, wire bytes)."""
        head = Head(
            subject=subject,
            type=message.DESCRIPTOR.full_name,
            producer=self._service,
            ts_ms=time.time_ns() // 1_000_000,
            **links,
        )
        return seal(self._keys.current, head, message.SerializeToString(), os.urandom(26))

    async def publish(self, subject: str, message: Message, **links: Unpack[Links]) -> str:
        """Sends on core NATS and returns the envelope id. While disconnected it is buffered up to 16 MB."""
        sealed, wire = self.seal(subject, message, **links)
        self._lanes.send(subject, wire)
        await self._nc.publish(subject, wire)
        self._out.inc()
        return sealed

    async def publish_durable(self, subject: str, message: Message, **links: Unpack[Links]) -> str:
        """Sends to the subject's stream and waits for its acknowledgement. Raises Transient when it does not come."""
        sealed, wire = self.seal(subject, message, **links)
        key = links.get("idempotency_key") or sealed
        async with self._in_flight:
            try:
                with outside():
                    await self._js.publish(subject, wire, headers={"Nats-Msg-Id": key})
            except (nats.errors.Error, nats.js.errors.Error, OSError) as error:
                raise Transient(f"no acknowledgement for {subject}: {error!r}") from error
        self._out.inc()
        return sealed

    async def flush(self) -> None:
        """Waits until everything published has reached the server."""
        await self._nc.flush(timeout=5)

    async def subscribe(self, subject: str, message_type: type[M], handler: Handler[M]) -> Subscription:
        """Calls `handler` with each verified message; identical copies are dropped and counted."""

        async def take(on: str, data: bytes) -> None:
            received = await self._opener.open(on, data, message_type)
            if received is not None:
                await self._guarded(handler(received))

        async def on_message(msg: Msg) -> None:
            self._lanes.came_by_bus(subject, msg.data)
            await take(msg.subject, msg.data)

        subscription = await self._subscribed(subject, on_message)
        await self._lanes.listen(subject, take, self._keep)
        return subscription

    async def subscribe_raw(self, subject: str, handler: RawHandler) -> Subscription:
        """Calls `handler(subject, data, reply)` with bytes as they came, unverified."""

        async def on_message(msg: Msg) -> None:
            self._opener.count_raw()
            await self._guarded(handler(msg.subject, msg.data, msg.reply))

        return await self._subscribed(subject, on_message)

    async def _subscribed(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]], patience_s: float = HELD_S
    ) -> Subscription:
        made: list[Subscription] = []
        consumer = self._consumption.add(subject, patience_s, lambda: sum(each.pending_msgs for each in made))

        async def on_message(msg: Msg) -> None:
            consumer.begin()
            try:
                await callback(msg)
            finally:
                consumer.end()

        subscription = await self._nc.subscribe(
            subject, cb=on_message, pending_msgs_limit=262_144, pending_bytes_limit=256 * 1024 * 1024
        )
        made.append(subscription)
        await self._nc.flush()
        await self._nc.flush()
        return subscription

    async def subscribe_any(self, subject: str, handler: Handler[Message]) -> Subscription:
        """Calls `handler` with each verified message of whatever type its envelope names."""

        async def on_message(msg: Msg) -> None:
            received = await self._opener.open_any(msg.subject, msg.data)
            if received is not None:
                await self._guarded(handler(received))

        return await self._subscribed(subject, on_message)

    async def consume(
        self,
        stream: str,
        durable: str,
        subject: str,
        message_type: type[M],
        handler: Handler[M],
        *,
        concurrent: bool = False,
        patience_s: float = ACK_WAIT_S,
    ) -> None:
        """Feeds `handler` from a durable pull consumer until the bus closes; see `DurableConsumer`.

        A message held for longer than `patience_s` is no progress; by then the server would deliver it again.

        A failure that the consumer can't mend fails the bus (see `failed`); the message is redelivered to the next
        incarnation.
        """
        consumer = DurableConsumer(
            self._nc,
            self._js,
            self._opener,
            self._log,
            stream,
            durable,
            subject,
            message_type,
            handler,
            partial(ensure_streams, self._js),
            concurrent,
            self._consumption.add(durable, patience_s),
            self._consumption.add(f"fetching of {durable}", ACK_WAIT_S, lambda: 1),
        )
        await consumer.bind()
        self._keep(asyncio.create_task(consumer.run(), name=f"consume-{durable}"))

    async def dead_letter(self, subject: str, data: bytes, reason: DeadLetterReason, detail: str) -> None:
        """Puts bytes aside with the reason, and counts them."""
        await self._opener.dead_letter(subject, data, reason, detail)

    async def request(self, subject: str, message: Message, reply_type: type[R], timeout_s: float = 5.0) -> R:
        """Asks a service. Raises Transient when nobody answers in time, Rejected when the answer is not signed."""
        deadline = time.monotonic() + timeout_s
        _, wire = self.seal(subject, message)
        with outside():
            answer = await ask(self._nc, subject, wire, deadline)
        opened = self._verifier.open(answer.data, f"{subject}.reply", time.time_ns() // 1_000_000)
        reply = reply_type()
        try:
            reply.ParseFromString(opened.envelope.payload)
        except DecodeError as error:
            raise Rejected(DeadLetterReason.UNDECODABLE, f"answer on {subject} is not {reply_type.__name__}") from error
        return reply

    async def serve(
        self,
        subject: str,
        request_type: type[M],
        handler: Callable[[Received[M]], Awaitable[Message]],
        *,
        concurrent: bool = False,
    ) -> Subscription:
        """Answers requests on a subject with what `handler` returns; one after the other unless `concurrent`."""

        async def on_message(msg: Msg) -> None:
            received = await self._opener.open(msg.subject, msg.data, request_type)
            if received is None or not msg.reply:
                return
            answer = self._guarded(self._answer(received, msg.reply, handler))
            if concurrent:
                self._keep(asyncio.create_task(answer, name=f"answer-{subject}"))
            else:
                await answer

        return await self._subscribed(subject, on_message, ANSWER_S)

    async def _answer(
        self, received: Received[M], inbox: str, handler: Callable[[Received[M]], Awaitable[Message]]
    ) -> None:
        await self.reply(inbox, received.subject, await handler(received), received.envelope.id)

    async def reply(self, inbox: str, subject: str, message: Message, causation_id: str = "") -> None:
        """Answers a request that came on `subject`."""
        _, wire = self.seal(f"{subject}.reply", message, causation_id=causation_id)
        await self._nc.publish(inbox, wire)

    async def kv(self, bucket: str) -> KeyValue:
        """A key-value bucket, made when it is missing. Raises Transient when JetStream is away."""
        try:
            try:
                return await self._js.key_value(bucket)
            except nats.js.errors.NotFoundError:
                return await self._js.create_key_value(bucket=bucket, history=1)
        except (nats.errors.Error, nats.js.errors.Error) as error:
            raise Transient(f"bucket {bucket} can't be opened: {error!r}") from error

    async def pending(self, stream: str, durable: str) -> int:
        """Messages a durable consumer has not acknowledged yet. Raises Transient."""
        return await pending_of(self._js, stream, durable)

    async def backlog(self, stream: str) -> dict[str, int]:
        """Unacknowledged messages of each durable consumer of a stream. Raises Transient."""
        return await backlog_of(self._js, stream)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Lets a handler's failure reach `failed`: nats-py itself would only log it and carry on."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the actor's death notice: whoever awaits `failed` dies with it
            if not self._failure.done():
                self._failure.set_exception(error)

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Holds a background task until it ends, and no longer: a bus that reconnects for months must not grow."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._note_failure)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)

    async def failed(self) -> None:
        """Waits for ever, or raises what a handler or consumer could not mend."""
        await asyncio.shield(self._failure)

    async def close(self) -> None:
        """Stops the consumers, sends what is buffered, and disconnects."""
        await end_all(self._tasks)
        self._lanes.close()
        if self._failure.done() and not self._failure.cancelled():
            self._failure.exception()
        else:
            self._failure.cancel()
        if self._nc.is_connected:
            with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError):
                await self._nc.flush(timeout=2)
        with contextlib.suppress(nats.errors.Error):
            await self._nc.close()


@contextlib.asynccontextmanager
async def open_bus(runtime: Runtime, service: str) -> AsyncIterator[Bus]:
    """A bus for the length of a block, for tools and tests."""
    bus = await Bus.connect(runtime, service)
    try:
        yield bus
    finally:
        await bus.close()
