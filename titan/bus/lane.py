"""The fast lane: signed envelopes between the processes of one node over a Unix domain socket, beside the bus.

A lane carries what `subjects.LANES` names, from its senders to the one service that listens. The bytes are those of the
bus, so the receiver takes whichever copy comes first and knows the other as a duplicate.
Guarantees: only processes of the same user are heard; a sender never waits and never fails, because the bus carries the
same message; a frame that makes no sense ends the connection it came on. Never: the only copy of anything.

A frame is the length of the subject and of the envelope (two big-endian 32-bit numbers), then both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from titan.logs import Log

MAX_SUBJECT = 512
MAX_FRAME = 1024 * 1024
MAX_WAITING = 10_000
MAX_UNSENT_BYTES = 4 * 1024 * 1024
AGAIN_S = 0.2
_HEAD = struct.Struct(">II")
_CREDENTIALS = struct.Struct("3i")

Take = Callable[[str, bytes], Awaitable[None]]


class BadFrame(ValueError):
    """Bytes on a lane that are no frame."""


def frame_of(subject: str, wire: bytes) -> bytes:
    """One frame. Raises BadFrame when subject or envelope is longer than a lane carries."""
    name = subject.encode()
    if not 0 < len(name) <= MAX_SUBJECT or not 0 < len(wire) <= MAX_FRAME:
        raise BadFrame(
            f"a frame of {len(name)} + {len(wire)} bytes; at most {MAX_SUBJECT} + {MAX_FRAME}, neither empty"
        )
    return _HEAD.pack(len(name), len(wire)) + name + wire


class Frames:
    """Cuts a stream of bytes into frames. Pure."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """The frames that are whole now, as (subject, envelope). Raises BadFrame."""
        held = self._held + data if self._held else data
        found: list[tuple[str, bytes]] = []
        at, end = 0, len(held)
        while end - at >= _HEAD.size:
            names, wires = _HEAD.unpack_from(held, at)
            if not 0 < names <= MAX_SUBJECT or not 0 < wires <= MAX_FRAME:
                raise BadFrame(f"a frame announces {names} + {wires} bytes; at most {MAX_SUBJECT} + {MAX_FRAME}")
            begin = at + _HEAD.size
            after = begin + names + wires
            if after > end:
                break
            try:
                subject = held[begin : begin + names].decode()
            except UnicodeDecodeError:
                raise BadFrame("a frame's subject is not UTF-8") from None
            found.append((subject, held[begin + names : after]))
            at = after
        self._held = held[at:]
        return found


class LaneServer:
    """The listening end. `take` is awaited for one frame after the other, in the order in which they came."""

    def __init__(self, path: Path, take: Take, log: Log) -> None:
        self._path = path
        self._take = take
        self._log = log
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._peers: set[asyncio.BaseTransport] = set()
        self._server: asyncio.AbstractServer
        self.dropped = 0

    @property
    def peers(self) -> int:
        """Senders that are connected."""
        return len(self._peers)

    @property
    def waiting(self) -> int:
        """Frames that came and were not taken yet."""
        return len(self._waiting)

    async def open(self) -> None:
        """Listens. The socket of a process that is gone is replaced."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Peer(self), str(self._path))
        finally:
            os.umask(before)

    async def run(self) -> None:
        """Hands frames on for ever."""
        waiting, loop = self._waiting, asyncio.get_running_loop()
        while True:
            while not waiting:
                # asyncio's Queue does the same in some fifteen calls.
                self._wake = loop.create_future()
                await self._wake
            subject, wire = waiting.popleft()
            await self._take(subject, wire)

    def close(self) -> None:
        """Hangs up. The path stays: it may be another process's by now."""
        if hasattr(self, "_server"):
            self._server.close()
        for peer in list(self._peers):
            peer.close()

    def joined(self, transport: asyncio.BaseTransport) -> bool:
        """A sender connected; False turns it away."""
        uid = _user_of(transport)
        if uid != os.geteuid():
            self._log.warning("a stranger on the fast lane", uid=uid, path=str(self._path))
            return False
        self._peers.add(transport)
        return True

    def left(self, transport: asyncio.BaseTransport) -> None:
        """A sender is gone."""
        self._peers.discard(transport)

    def came(self, subject: str, wire: bytes) -> None:
        """A frame is whole. Under a flood the lane drops what the bus brings anyhow."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append((subject, wire))
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    def nonsense(self, error: BadFrame) -> None:
        """A sender does not speak this protocol."""
        self._log.warning("nonsense on the fast lane", error=str(error), path=str(self._path))


class _Peer(asyncio.Protocol):
    """One sender's connection."""

    def __init__(self, server: LaneServer) -> None:
        self._lane = server
        self._frames = Frames()
        self._transport: asyncio.BaseTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if not self._lane.joined(transport):
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lane.left(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            for subject, wire in self._frames.feed(data):
                self._lane.came(subject, wire)
        except BadFrame as error:
            self._lane.nonsense(error)
            self._transport.close()


class LaneClient:
    """A sending end: connects when it can, sends when it is connected, and leaves the rest to the bus."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._transport: asyncio.WriteTransport | None = None
        self._fd = -1
        self._lost = asyncio.Event()
        self.sent = 0
        self.unsent = 0

    @property
    def connected(self) -> bool:
        """Whether somebody listens."""
        return self._transport is not None

    async def run(self) -> None:
        """Keeps connected for ever."""
        while True:
            try:
                await asyncio.get_running_loop().create_unix_connection(lambda: _Line(self), str(self._path))
            except OSError:
                await asyncio.sleep(AGAIN_S)
                continue
            await self._lost.wait()

    def send(self, subject: str, wire: bytes) -> bool:
        """Sends one frame without waiting; False when the bus carries this one alone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self.unsent += 1
            return False
        held = transport.get_write_buffer_size()
        if held > MAX_UNSENT_BYTES:
            self.unsent += 1
            return False
        frame = frame_of(subject, wire)
        # uvloop writes when the loop's turn ends, after everything else that the sender does in it.
        gone = 0 if held else self._at_once(frame)
        if gone < len(frame):
            transport.write(frame[gone:])
        self.sent += 1
        return True

    def _at_once(self, frame: bytes) -> int:
        """How much of a frame the socket takes now. What is wrong with it, the transport will say."""
        try:
            return os.write(self._fd, frame)
        except OSError:
            return 0

    def close(self) -> None:
        """Hangs up."""
        if self._transport is not None:
            self._transport.close()

    def connected_to(self, transport: asyncio.WriteTransport) -> None:
        """The line stands."""
        self._lost.clear()
        self._fd = transport.get_extra_info("socket").fileno()
        self._transport = transport

    def disconnected(self) -> None:
        """The line broke."""
        self._transport = None
        self._lost.set()


class _Line(asyncio.Protocol):
    """The client's connection."""

    def __init__(self, client: LaneClient) -> None:
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._client.connected_to(cast("asyncio.WriteTransport", transport))

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.disconnected()


def _user_of(transport: asyncio.BaseTransport) -> int:
    """The user id of the process at the other end; -1 when the system does not tell."""
    held = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        packed = held.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(packed)[1])
    return -1
