"""The fault switches at the venue's sockets: around every request, on every frame, and on the admin port.

Guarantees: without a switch nothing changes; a fault before the handler leaves the ledger untouched, one after it leaves
the ledger as the handler made it. Never: an exchange's own words; those come from its `Dialect`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Protocol

from aiohttp import web

from titan.paper.faults import (
    MEANING,
    Fault,
    FaultBoard,
    FaultError,
    FaultKind,
    FrameKind,
    RequestKind,
    Standing,
    Verdict,
    parse_fault,
    targets_of,
)
from titan.paper.jsonio import dumps, loads
from titan.paper.protocol.hub import Hub

SWEEP_S = 0.02
HELD_FOR_S = 0.3

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Dialect(Protocol):
    """How one exchange speaks, as far as its faults need to know."""

    def request_kind(self, request: web.Request) -> RequestKind:
        """What a request asks for."""
        ...

    def frame_kind(self, topic: str) -> FrameKind:
        """What frames of a topic tell."""
        ...

    def refusal(self, fault: Fault) -> web.Response:
        """The exchange's answer for REJECT, SERVER_ERROR, RATE_LIMIT and MAINTENANCE."""
        ...

    def nothing(self, request: web.Request) -> web.Response:
        """The exchange's answer to a look-up that finds nothing."""
        ...

    def shifted(self, frame: bytes, shift_ms: int) -> bytes:
        """A frame with its times moved."""
        ...


def now_ms() -> int:
    """Monotonic wall time: what bounds the switches."""
    return time.monotonic_ns() // 1_000_000


class FaultShell:
    """One venue's switches at work. `hubs` are its channels by name."""

    def __init__(self, dialect: Dialect, hubs: Mapping[str, Hub]) -> None:
        self.board = FaultBoard()
        self._dialect = dialect
        self._hubs = dict(hubs)
        self._held: list[tuple[float, Hub, str, bytes]] = []
        self._next_cut_ms = dict.fromkeys(self._hubs, 0)
        self._sweeping: asyncio.Task[None] | None = None

    def wall_ms(self) -> int:
        """The venue's wall clock: the machine's, as far as no switch moves it."""
        wall = time.time_ns() // 1_000_000
        return wall + self.board.skew_ms(now_ms()) if self.board.standing else wall

    def stalled(self, hub: Hub) -> bool:
        """Whether a hub's channel is silent: what its clients send is not heard either."""
        if not self.board.standing:
            return False
        return any(own is hub and self.board.stalled(name, now_ms()) for name, own in self._hubs.items())

    # requests

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Stands around every request of the public port."""
        if not self.board.standing:
            return await handler(request)
        verdict = self.board.on_request(self._dialect.request_kind(request), now_ms())
        if verdict.delay_ms:
            await asyncio.sleep(verdict.delay_ms / 1000)
        return await handler(request) if verdict.fault is None else await self._faulty(request, handler, verdict)

    async def _faulty(self, request: web.Request, handler: Handler, verdict: Verdict) -> web.StreamResponse:
        fault = verdict.fault
        assert fault is not None
        if fault.kind is FaultKind.NOT_FOUND:
            return self._dialect.nothing(request)
        if fault.kind not in (FaultKind.DROP, FaultKind.LOST_ANSWER):
            return self._dialect.refusal(fault)
        if fault.kind is FaultKind.LOST_ANSWER:
            await handler(request)
        await asyncio.sleep(fault.delay_ms / 1000)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    # frames

    def _tamper(self, hub: Hub, topic: str, frame: bytes) -> None:
        decided = self.board.on_frame(self._dialect.frame_kind(topic), now_ms())
        if decided.shift_ms:
            frame = self._dialect.shifted(frame, decided.shift_ms)
        if decided.hold:
            self._held.append((time.monotonic() + HELD_FOR_S, hub, topic, frame))
            return
        for _ in range(decided.copies):
            hub.deliver(topic, frame)
        self._release(lambda _due, held: held is hub)

    def _release(self, ripe: Callable[[float, Hub], bool]) -> None:
        if not self._held:
            return
        leaving = [each for each in self._held if ripe(each[0], each[1])]
        self._held = [each for each in self._held if each not in leaving]
        for _, hub, topic, frame in leaving:
            hub.deliver(topic, frame)

    # life of the switches

    def set(self, fault: Fault) -> Standing:
        """Sets a switch. Call it in a running loop."""
        standing = self.board.set(fault, now_ms())
        for hub in self._hubs.values():
            hub.tamper = self._tamper
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep(), name="faults")
        return standing

    async def _sweep(self) -> None:
        while self.board.standing or self._held:
            await self._cut()
            await asyncio.sleep(SWEEP_S)
            self.board.sweep(now_ms())
            moment = time.monotonic()
            self._release(lambda due, _hub, at=moment: due <= at)  # type: ignore[misc]
        for hub in self._hubs.values():
            hub.tamper = None

    async def _cut(self) -> None:
        for name, hub in self._hubs.items():
            if not hub.connections or now_ms() < self._next_cut_ms[name]:
                continue
            code = self.board.closing(name, now_ms())
            if code is None:
                continue
            self._next_cut_ms[name] = now_ms() + max(self._pace(), int(SWEEP_S * 1000))
            for connection in list(hub.connections):
                await connection.cut(code)

    def _pace(self) -> int:
        return max(
            (each.fault.delay_ms for each in self.board.standing if each.fault.kind is FaultKind.STORM), default=0
        )

    def clear(self, number: int | None = None) -> int:
        """Removes one switch or all."""
        return self.board.clear(number)

    # the admin port

    def add_routes(self, app: web.Application) -> None:
        """Puts `/faults` on the admin application."""
        app.router.add_get("/faults", self._list)
        app.router.add_post("/faults", self._post)
        app.router.add_delete("/faults", self._delete)
        app.router.add_delete("/faults/{number}", self._delete)

    async def _list(self, _request: web.Request) -> web.Response:
        """What stands, what acted so far, and what can be set."""
        self.board.sweep(now_ms())
        kinds = {kind.value: {"does": MEANING[kind], "on": list(targets_of(kind))} for kind in FaultKind}
        standing = [_shown(each) for each in self.board.standing]
        return _json({"faults": standing, "injected": self.board.injected, "kinds": kinds})

    async def _post(self, request: web.Request) -> web.Response:
        """Sets one switch."""
        try:
            given = loads(await request.text())
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return _json({"error": 'send one JSON object, for example {"kind": "drop", "count": 1}'}, 400)
        try:
            return _json(_shown(self.set(parse_fault(given))), 201)
        except FaultError as error:
            return _json({"error": str(error)}, 400)

    async def _delete(self, request: web.Request) -> web.Response:
        """Removes one switch by its number, or all."""
        text = request.match_info.get("number")
        if text is None:
            return _json({"cleared": self.clear()})
        if not text.isdigit():
            return _json({"error": f"{text!r} is no number of a fault; GET /faults lists them"}, 400)
        if not self.clear(int(text)):
            return _json({"error": f"no fault {text} stands; GET /faults lists them"}, 404)
        return _json({"cleared": 1})


def _shown(standing: Standing) -> dict[str, object]:
    left = max(0, standing.until_ms - now_ms()) / 1000 if standing.until_ms else None
    fault = {name: value for name, value in asdict(standing.fault).items() if value not in ("", 0, 0.0, ())}
    return {"number": standing.number, **fault, "acted": standing.acted, "seconds_left": left}


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=dumps(value), content_type="application/json", status=status)
