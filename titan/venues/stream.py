"""A private stream: one WebSocket that is opened, watched and broken loudly.

Guarantees: `open` returns only after the venue took our key; every break, and a stream that says nothing of trades the
venue's REST shows, ends every waiter with `Transient`. Never: a reconnect of its own, a decision.

ccxt's own client is not used here: it does not wait for MEXC's login and keeps a listen key that the venue forgot.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import aiohttp

from titan.errors import Transient
from titan.venues.base import ExecutionKind, VenueExecution, VenueOrder

OPEN_TIMEOUT_S = 5.0
PING_S = 10.0
STALL_S = 3.0
REMEMBERED = 4096

News = VenueOrder | VenueExecution
T = TypeVar("T")
Login = Callable[["PrivateSocket"], Awaitable[None]]
Keep = Callable[[], Coroutine[Any, Any, None]]


class StallWatch:
    """Finds a stream that is open and silent: trades that REST showed and the stream still owes after a while.

    Pure: `now_s` is monotonic. Which trades are owed is decided by the exchange's own times: one older than the
    newest that was known when the stream opened is not owed.
    """

    def __init__(self) -> None:
        self._told: deque[str] = deque(maxlen=REMEMBERED)
        self._owed: dict[str, float] = {}
        self._newest_ms = 0
        self._from_ms: int | None = None

    def opened(self) -> None:
        """A new stream stands: it owes what happens from now on."""
        self._owed.clear()
        self._from_ms = self._newest_ms

    def told(self, trade_id: str, ts_ms: int) -> None:
        """The stream told of a trade."""
        self._told.append(trade_id)
        self._owed.pop(trade_id, None)
        self._newest_ms = max(self._newest_ms, ts_ms)

    def shown(self, executions: Iterable[VenueExecution], now_s: float) -> str:
        """REST showed these. Returns what the stream has owed for too long, or nothing."""
        trades = [done for done in executions if done.kind is ExecutionKind.TRADE]
        if self._from_ms is not None:
            for done in trades:
                if done.ts_ms > self._from_ms and done.venue_trade_id not in self._told:
                    self._owed.setdefault(done.venue_trade_id, now_s)
        self._newest_ms = max((self._newest_ms, *(done.ts_ms for done in trades)))
        late = [trade for trade, since in self._owed.items() if now_s - since > STALL_S]
        return f"{len(late)} trades that REST shows, among them {late[0]}" if late else ""


class PrivateSocket:
    """One connection. `decode` turns a message into news, or raises Transient when the venue ends the stream."""

    def __init__(self, decode: Callable[[dict[str, Any]], Iterable[News]], ping: dict[str, Any] | None = None) -> None:
        """`ping` is the message that keeps the connection, for venues that want one of their own."""
        self._decode = decode
        self._ping = ping
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._http: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._orders: asyncio.Queue[VenueOrder] = asyncio.Queue()
        self._executions: asyncio.Queue[VenueExecution] = asyncio.Queue()
        self._broken: asyncio.Future[str] | None = None
        self.watch = StallWatch()

    async def open(self, url: str, login: Login | None = None, keep: Keep | None = None) -> None:
        """Connects, logs in and begins to listen; `keep` runs as long as the connection. Raises Transient."""
        await self.close()
        self._http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                self._socket = await self._http.ws_connect(url, heartbeat=PING_S, max_msg_size=0)
                if login is not None:
                    await login(self)
        except TimeoutError as error:
            await self.close()
            raise Transient(f"the private stream gave no answer within {OPEN_TIMEOUT_S:.0f} s") from error
        except (aiohttp.ClientError, OSError, Transient) as error:
            await self.close()
            raise Transient(f"the private stream can't be opened: {error}") from error
        self._broken = asyncio.get_running_loop().create_future()
        self._orders, self._executions = asyncio.Queue(), asyncio.Queue()
        self.watch.opened()
        self._tasks = [asyncio.create_task(self._listen(), name="private stream")]
        if keep is not None:
            self._tasks.append(asyncio.create_task(keep(), name="private stream key"))
        if self._ping is not None:
            self._tasks.append(asyncio.create_task(self._keep(self._ping), name="private stream ping"))

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Sends a message while logging in and returns the next one. Raises Transient when the socket closes."""
        assert self._socket is not None, "a login speaks on an open socket"
        await self._socket.send_json(message)
        answer = await self._socket.receive()
        if answer.type is not aiohttp.WSMsgType.TEXT:
            raise Transient(f"the venue closed the stream during the login: {answer.data!r}")
        found: dict[str, Any] = json.loads(answer.data)
        return found

    async def orders(self) -> list[VenueOrder]:
        """The next changes of own orders. Transient when the stream broke."""
        return await self._next(self._orders)

    async def executions(self) -> list[VenueExecution]:
        """The next own trades. Transient when the stream broke."""
        return await self._next(self._executions)

    def shown(self, executions: Iterable[VenueExecution]) -> None:
        """REST showed executions: a stream that owes some of them for too long is broken."""
        owed = self.watch.shown(executions, asyncio.get_running_loop().time())
        if owed:
            self._break(f"the private stream is open and silent: it owes {owed}")

    async def close(self) -> None:
        """Ends the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._break("the private stream was closed")
        if self._socket is not None:
            await self._socket.close()
        if self._http is not None:
            await self._http.close()
        self._socket = self._http = None

    async def _next(self, queue: asyncio.Queue[T]) -> list[T]:
        if self._broken is None:
            raise Transient("the private stream is not open")
        getting = asyncio.ensure_future(queue.get())
        try:
            waiting: list[asyncio.Future[Any]] = [getting, self._broken]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                raise Transient(self._broken.result())
            found = [getting.result()]
        finally:
            getting.cancel()
        while not queue.empty():
            found.append(queue.get_nowait())
        return found

    def _break(self, why: str) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(why)

    async def _listen(self) -> None:
        socket = self._socket
        assert socket is not None, "open() connects before it listens"
        try:
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                for each in self._decode(json.loads(frame.data, parse_float=str)):
                    if isinstance(each, VenueOrder):
                        self._orders.put_nowait(each)
                    else:
                        self.watch.told(each.venue_trade_id, each.ts_ms)
                        self._executions.put_nowait(each)
        except (Transient, aiohttp.ClientError, ValueError, KeyError) as error:
            # A message we can't read ends the stream: REST tells what it said, and the next one starts anew.
            self._break(f"the private stream broke: {error!r}")
        else:
            self._break(f"the private stream broke: closed with code {socket.close_code}")

    async def _keep(self, ping: dict[str, Any]) -> None:
        while True:
            await asyncio.sleep(PING_S)
            if self._socket is not None and not self._socket.closed:
                await self._socket.send_json(ping)
