"""What must stand before a service can talk: the server's port and every stream of the registry.

Guarantees: a stream that is missing is made, one that stands is never changed. Never: a wait without a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from urllib.parse import urlparse

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from titan import subjects
from titan.errors import Fatal, Transient

CONNECT_TIMEOUT_S = 15.0


def stream_config(spec: subjects.StreamSpec) -> StreamConfig:
    """The server's form of a stream of the registry."""
    return StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        storage=StorageType.FILE if spec.storage == "file" else StorageType.MEMORY,
        retention=RetentionPolicy.WORK_QUEUE if spec.retention == "workqueue" else RetentionPolicy.LIMITS,
        max_age=float(spec.max_age_s),
        max_bytes=spec.max_bytes,
        duplicate_window=float(spec.duplicate_window_s),
        discard=DiscardPolicy.OLD,
        num_replicas=1,
    )


async def wait_for_port(url: str, timeout_s: float) -> None:
    """Waits until a TCP connection to the URL's host and port succeeds. Raises Transient after `timeout_s`.

    To be called before the first connect: nats-py waits two seconds after a refused one.
    """
    parsed = urlparse(url)
    host, port = parsed.hostname or "127.0.0.1", parsed.port or 4222
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        if time.monotonic() >= deadline:
            raise Transient(f"nothing answers at {host}:{port} within {timeout_s:.0f} s")
        await asyncio.sleep(0.02)


async def ensure_streams(jetstream: JetStreamContext) -> None:
    """Makes the streams that are missing. Raises Transient when JetStream is away, Fatal for one of another nature."""
    await _until_it_answers(jetstream)
    for spec in subjects.STREAMS:
        wanted = stream_config(spec)
        try:
            found = await jetstream.stream_info(spec.name)
        except nats.js.errors.NotFoundError:
            await jetstream.add_stream(wanted)
            continue
        have = found.config
        if have.retention != wanted.retention or have.storage != wanted.storage:
            raise Fatal(
                f"stream {spec.name} has retention {have.retention} and storage {have.storage}, "
                f"wanted {wanted.retention} and {wanted.storage}: move its messages and delete it"
            )


async def pending_of(jetstream: JetStreamContext, stream: str, durable: str) -> int:
    """Unacknowledged messages of one durable consumer: its service may ask that, a list only who reads every backlog.

    Raises Transient.
    """
    try:
        info = await jetstream.consumer_info(stream, durable)
    except (nats.errors.Error, nats.js.errors.Error, OSError) as error:
        raise Transient(f"consumer {durable} can't be asked: {error!r}") from error
    return int(info.num_pending or 0) + int(info.num_ack_pending or 0)


async def backlog_of(jetstream: JetStreamContext, stream: str) -> dict[str, int]:
    """Unacknowledged messages of each durable consumer of a stream. Raises Transient."""
    try:
        infos = await jetstream.consumers_info(stream)
    except (nats.errors.Error, nats.js.errors.Error, OSError) as error:
        raise Transient(f"consumers of {stream} can't be asked: {error!r}") from error
    return {info.name: int(info.num_pending or 0) + int(info.num_ack_pending or 0) for info in infos}


async def _until_it_answers(jetstream: JetStreamContext) -> None:
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            await jetstream.account_info()
        except (nats.errors.Error, nats.js.errors.Error):
            if time.monotonic() >= deadline:
                raise Transient("JetStream does not answer") from None
            await asyncio.sleep(0.05)
        else:
            return
