"""A durable pull consumer: fetch, handle, acknowledge, for ever.

Guarantees: a message is acknowledged only after its handler returned; Transient redelivers, Rejected and ValueError
make a dead letter, anything else ends the consumer and with it the actor. Never: an acknowledgement on a guess.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from titan.bus.consumption import Consumer, outside
from titan.bus.opening import M, Opener, Received
from titan.codes import DeadLetterReason
from titan.errors import Rejected, Transient
from titan.logs import Log

FETCH_BATCH = 100
NAK_DELAY_S = 0.5
ACK_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class DurableConsumer(Generic[M]):
    """One durable's loop; run `run` as a task after `bind`.

    A concurrent one hands over all messages of a fetch at once, for handlers that commit together and do not mind the order.
    """

    client: Client
    jetstream: JetStreamContext
    opener: Opener
    log: Log
    stream: str
    durable: str
    subject: str
    message_type: type[M]
    handler: Callable[[Received[M]], Awaitable[None]]
    restore: Callable[[], Awaitable[None]]
    concurrent: bool
    handling: Consumer
    fetching: Consumer

    async def bind(self) -> None:
        """Makes the consumer on the server when it is missing."""
        await self.jetstream.add_consumer(
            self.stream,
            ConsumerConfig(
                # With a name the request's subject carries the filter, which the server's permissions can see.
                name=self.durable,
                durable_name=self.durable,
                filter_subject=self.subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=1000,
            ),
        )

    async def run(self) -> None:
        """Feeds the handler until the connection is closed."""
        pull = await self.jetstream.pull_subscribe_bind(self.durable, self.stream)
        while True:
            self.fetching.moved()
            try:
                batch = await pull.fetch(FETCH_BATCH, timeout=2.0)
            except (TimeoutError, nats.errors.TimeoutError):
                continue
            except (nats.errors.Error, nats.js.errors.Error) as error:
                if self.client.is_closed:
                    return
                self.log.warning("fetch failed", durable=self.durable, error=repr(error))
                await asyncio.sleep(0.2)
                if self.client.is_connected:
                    # A JetStream that does not answer yet is no reason to die: the next round asks again.
                    with contextlib.suppress(nats.errors.Error, nats.js.errors.Error, Transient), outside():
                        await self.restore()
                        await self.bind()
                    pull = await self.jetstream.pull_subscribe_bind(self.durable, self.stream)
                continue
            if self.concurrent:
                await asyncio.gather(*map(self._handle, batch))
                continue
            for msg in batch:
                await self._handle(msg)

    async def _handle(self, msg: Msg) -> None:
        self.handling.begin()
        try:
            await self._take(msg)
        finally:
            self.handling.end()
            self.fetching.moved()

    async def _take(self, msg: Msg) -> None:
        received = await self.opener.open(msg.subject, msg.data, self.message_type, from_stream=True)
        try:
            if received is not None:
                try:
                    await self.handler(received)
                except Transient as error:
                    self.log.info("redelivery asked for", subject=msg.subject, error=str(error))
                    await msg.nak(delay=error.retry_after_s or NAK_DELAY_S)
                    return
                except (Rejected, ValueError) as error:
                    await self.opener.dead_letter(msg.subject, msg.data, DeadLetterReason.INVALID, str(error))
            await msg.ack()
        except (nats.errors.ConnectionClosedError, nats.errors.ConnectionReconnectingError):
            self.log.info("not acknowledged, connection is away", subject=msg.subject)
