"""Which lanes a service sends on and listens to, and whether each of the two ways brings what the other does.

Guarantees: a message that came on one way only is noticed after `PATIENCE_S` and counted by the way that missed it; the
loss of a way changes nothing but the time a message takes. Never: a decision about a message; the bus opens both copies alike.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from prometheus_client import Counter

from titan.bus.lane import LaneClient, LaneServer
from titan.logs import Log
from titan.metrics import Metrics
from titan.subjects import LANES, LaneRow

PATIENCE_S = 2.0
REMEMBERED = 10_000
SHOW_EVERY_S = 1.0

Way = Literal["lane", "bus"]
Keep = Callable[[asyncio.Task[None]], None]


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """How a lane stands. `age_s` is how long ago it brought something, -1 when it never did."""

    healthy: bool
    detail: str
    age_s: float = -1.0


class LaneWatch:
    """Pairs the two copies of each message. Pure: seconds of one monotonic clock are handed in."""

    def __init__(self) -> None:
        self._single: OrderedDict[int, tuple[Way, float]] = OrderedDict()
        self.missed: dict[Way, int] = {"lane": 0, "bus": 0}
        self.missed_s: dict[Way, float] = {"lane": -1.0, "bus": -1.0}
        self.came_s: dict[Way, float] = {"lane": -1.0, "bus": -1.0}

    def came(self, way: Way, wire: bytes, now_s: float) -> bool:
        """A copy arrived; whether it is the first of its message."""
        key = hash(wire)
        self.came_s[way] = now_s
        held = self._single.get(key)
        if held is not None and held[0] != way:
            del self._single[key]
            return False
        self._single[key] = (way, now_s)
        self._judge(now_s)
        return True

    def health(self, now_s: float, peers: int) -> LaneHealth:
        """What to show of a lane with `peers` senders connected."""
        self._judge(now_s)
        age = -1.0 if self.came_s["lane"] < 0 else now_s - self.came_s["lane"]
        if peers == 0:
            return LaneHealth(False, "no sender is connected: the bus carries alone", age)
        pairs: tuple[tuple[Way, Way], ...] = (("lane", "bus"), ("bus", "lane"))
        for way, other in pairs:
            if self.missed_s[way] > self.came_s[way]:
                return LaneHealth(False, f"what the {other} brought did not come on the {way}", age)
        missed = self.missed["lane"] + self.missed["bus"]
        return LaneHealth(True, f"{missed} messages came on one way only" if missed else "both ways carry", age)

    def _judge(self, now_s: float) -> None:
        while self._single:
            key, (way, at_s) = next(iter(self._single.items()))
            if now_s - at_s < PATIENCE_S and len(self._single) <= REMEMBERED:
                break
            del self._single[key]
            absent: Way = "bus" if way == "lane" else "lane"
            self.missed[absent] += 1
            self.missed_s[absent] = at_s


class Lanes:
    """The lanes of one service. Without any it does nothing."""

    def __init__(self, folder: Path, service: str, metrics: Metrics, log: Log) -> None:
        self._folder = folder
        self._service = service
        self._log = log
        self._metrics = metrics
        self._clients = {row: LaneClient(self._path(row)) for row in LANES if service in row.senders}
        self._failure = ""
        self._servers: dict[str, tuple[LaneRow, LaneServer, LaneWatch]] = {}
        # Found once: by its labels a counter takes longer to find than to count.
        self._firsts: dict[tuple[str, Way], Counter] = {}

    def start(self, keep: Keep) -> None:
        """Begins to connect where this service sends."""
        loop = asyncio.get_running_loop()
        for row, client in self._clients.items():
            keep(loop.create_task(client.run(), name=f"lane-to-{row.name}"))
        if self._clients:
            keep(loop.create_task(self._show(), name="lane-gauges"))

    def send(self, subject: str, wire: bytes) -> None:
        """The lane's copy of a message, when the subject has a lane and this service sends on it."""
        for row, client in self._clients.items():
            if row.carries(subject):
                client.send(subject, wire)

    async def listen(self, subject: str, take: Callable[[str, bytes], Coroutine[Any, Any, None]], keep: Keep) -> None:
        """Opens the lane of a subscription, if this service has one for it; `take` gets each frame."""
        row = next((row for row in LANES if row.subject == subject and self._service in row.receivers), None)
        if row is None:
            return

        async def noted(on: str, wire: bytes) -> None:
            self._came(subject, "lane", wire)
            if row.carries(on):
                await take(on, wire)

        server = LaneServer(self._path(row), noted, self._log)
        try:
            await server.open()
        except OSError as error:
            self._failure = f"{self._path(row)} can't be opened: {error}; the bus carries alone"
            self._log.warning("fast lane not opened", error=self._failure)
            return
        self._servers[subject] = row, server, LaneWatch()
        ways: tuple[Way, Way] = ("lane", "bus")
        for way in ways:
            self._firsts[subject, way] = self._metrics.counter("titan_ipc_messages_total").labels(row.name, way)
        self._metrics.zero("titan_ipc_messages_total", (row.name,), get_args(Way))
        loop = asyncio.get_running_loop()
        keep(loop.create_task(server.run(), name=f"lane-{row.name}"))
        if len(self._servers) == 1 and not self._clients:
            keep(loop.create_task(self._show(), name="lane-gauges"))

    def came_by_bus(self, subject: str, wire: bytes) -> None:
        """The bus brought a message of a subscription."""
        if subject in self._servers:
            self._came(subject, "bus", wire)

    def _came(self, subject: str, way: Way, wire: bytes) -> None:
        _, _, watch = self._servers[subject]
        if watch.came(way, wire, time.monotonic()):
            self._firsts[subject, way].inc()

    def health(self) -> LaneHealth | None:
        """How the lane that this service listens to stands; None without one."""
        if self._failure:
            return LaneHealth(False, self._failure)
        for _, server, watch in self._servers.values():
            return watch.health(time.monotonic(), server.peers)
        return None

    def close(self) -> None:
        """Hangs up."""
        for client in self._clients.values():
            client.close()
        for _, server, _ in self._servers.values():
            server.close()

    def _path(self, row: LaneRow) -> Path:
        return self._folder / f"{row.name}.sock"

    async def _show(self) -> None:
        connected = self._metrics.gauge("titan_ipc_connected")
        missed = self._metrics.gauge("titan_ipc_missed_messages")
        while True:
            for row, client in self._clients.items():
                connected.labels(row.name).set(client.connected)
                missed.labels(row.name, "unsent").set(client.unsent)
            for row, server, watch in self._servers.values():
                watch.health(time.monotonic(), server.peers)
                connected.labels(row.name).set(server.peers)
                for way, count in watch.missed.items():
                    missed.labels(row.name, way).set(count)
                missed.labels(row.name, "dropped").set(server.dropped)
            await asyncio.sleep(SHOW_EVERY_S)
