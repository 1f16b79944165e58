"""A TCP relay in front of the venue that notes when the first byte of a request reaches the venue's socket.

Guarantees: bytes are passed on unchanged and before they are read; the instant is `time.perf_counter_ns` at receipt,
comparable with any process of this machine. Never: a request of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import cast

CREATE = b"POST /v5/order/create"
CANCEL = b"POST /v5/order/cancel "
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to create or cancel an order; `at_ns` is when its first byte came."""

    cancels: bool
    at_ns: int
    body: bytes


@dataclass(slots=True)
class WireTap:
    """Listens on a free loopback port and relays to `port`."""

    port: int
    arrivals: deque[Arrival] = field(default_factory=deque)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _open: set[asyncio.Transport] = field(default_factory=set)

    async def start(self) -> str:
        """The URL to use in the place of the venue's."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Closes the listener and every relayed connection."""
        if self._server is not None:
            self._server.close()
        for transport in list(self._open):
            transport.close()

    def keep(self, transport: asyncio.Transport) -> None:
        """Remembers a connection until it is forgotten."""
        self._open.add(transport)

    def forget(self, transport: asyncio.Transport) -> None:
        """A connection has ended."""
        self._open.discard(transport)

    def note(self, arrival: Arrival) -> None:
        """A whole request has been seen."""
        self.arrivals.append(arrival)
        self.came.set()

    async def next(self, *, cancels: bool, timeout_s: float) -> Arrival:
        """The next request of a kind; those of the other kind before it are thrown away. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                while self.arrivals:
                    found = self.arrivals.popleft()
                    if found.cancels is cancels:
                        return found
                self.came.clear()
                await self.came.wait()


class _Client(asyncio.Protocol):
    """The router's side of one connection."""

    def __init__(self, tap: WireTap) -> None:
        self._tap = tap
        self._transport: asyncio.Transport
        self._venue: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._began_ns = 0
        self._request = bytearray()
        self._connecting: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connects onwards."""
        self._transport = cast("asyncio.Transport", transport)
        self._tap.keep(self._transport)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._venue, _ = await loop.create_connection(
                lambda: _Answer(self._tap, self._transport), "127.0.0.1", self._tap.port
            )
        except OSError:
            self._transport.close()
            return
        for data in self._early:
            self._venue.write(data)

    def data_received(self, data: bytes) -> None:
        """Passes bytes on and notes requests."""
        now = time.perf_counter_ns()
        if self._venue is None:
            self._early.append(data)
        else:
            self._venue.write(data)
        if self._began_ns == 0:
            if not data.startswith((CREATE, CANCEL)):
                return
            self._began_ns = now
        self._request += data
        head, end, body = bytes(self._request).partition(_HEAD_END)
        if end and len(body) >= _length(head):
            self._tap.note(Arrival(head.startswith(CANCEL), self._began_ns, body))
            self._began_ns = 0
            self._request.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the onward connection too."""
        self._tap.forget(self._transport)
        if self._venue is not None:
            self._venue.close()


class _Answer(asyncio.Protocol):
    """The venue's side of one connection."""

    def __init__(self, tap: WireTap, client: asyncio.Transport) -> None:
        self._tap = tap
        self._client = client
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers it."""
        self._transport = cast("asyncio.Transport", transport)
        self._tap.keep(self._transport)

    def data_received(self, data: bytes) -> None:
        """Passes the answer back."""
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the client's connection too."""
        self._tap.forget(self._transport)
        self._client.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
