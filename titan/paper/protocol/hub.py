"""WebSocket connections and their topics: one encoded frame goes to every subscriber.

Guarantees: a slow reader never delays others; one whose queue passes the limit is closed and counted.
Never: what a frame means.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiohttp import WSMsgType, web

MAX_PENDING_FRAMES = 20_000
WITHOUT_A_WORD = 1006


class Connection:
    """One client's socket with its outgoing queue."""

    def __init__(
        self, socket: web.WebSocketResponse, conn_id: str, transport: asyncio.BaseTransport | None = None
    ) -> None:
        self.socket = socket
        self._transport = transport
        self.conn_id = conn_id
        self.topics: set[str] = set()
        self.authenticated = False
        self._pending: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self.overflowed = False

    def send(self, frame: bytes) -> None:
        """Queues a text frame; never waits."""
        if len(self._pending) >= MAX_PENDING_FRAMES:
            self.overflowed = True
        else:
            self._pending.append(frame)
        self._wake.set()

    async def cut(self, code: int) -> None:
        """Ends the connection with a close code; 1006 is a break without a word."""
        if code == WITHOUT_A_WORD and isinstance(self._transport, asyncio.Transport):
            self._transport.abort()
        else:
            await self.socket.close(code=code)

    async def run_writer(self) -> None:
        """Writes queued frames until the socket closes or the queue overflows."""
        while not self.socket.closed:
            await self._wake.wait()
            self._wake.clear()
            while self._pending and not self.overflowed:
                try:
                    await self.socket.send_frame(self._pending.popleft(), WSMsgType.TEXT)
                except ConnectionError:
                    return
            if self.overflowed:
                await self.socket.close(code=1008, message=b"slow consumer")
                return


class Hub:
    """Who listens to what."""

    def __init__(self) -> None:
        self._subscribers: dict[str, set[Connection]] = {}
        self.connections: set[Connection] = set()
        self.tamper: Callable[[Hub, str, bytes], None] | None = None

    def join(self, connection: Connection, topic: str) -> None:
        """Adds a subscription."""
        connection.topics.add(topic)
        self._subscribers.setdefault(topic, set()).add(connection)

    def leave(self, connection: Connection, topic: str) -> None:
        """Removes a subscription; unknown ones are ignored."""
        connection.topics.discard(topic)
        listeners = self._subscribers.get(topic)
        if listeners is not None:
            listeners.discard(connection)
            if not listeners:
                del self._subscribers[topic]

    def drop(self, connection: Connection) -> None:
        """Forgets a connection."""
        self.connections.discard(connection)
        for topic in list(connection.topics):
            self.leave(connection, topic)

    def wants(self, topic: str) -> bool:
        """Whether anyone listens."""
        return topic in self._subscribers

    def topics(self, prefix: str) -> list[str]:
        """Topics with listeners that start with `prefix`."""
        return [topic for topic in self._subscribers if topic.startswith(prefix)]

    def publish(self, topic: str, frame: bytes) -> None:
        """Queues a frame for every listener of a topic, or hands it to who tampers with frames now."""
        if self.tamper is not None:
            self.tamper(self, topic, frame)
        else:
            self.deliver(topic, frame)

    def deliver(self, topic: str, frame: bytes) -> None:
        """Queues a frame for every listener of a topic."""
        for connection in self._subscribers.get(topic, ()):
            connection.send(frame)
