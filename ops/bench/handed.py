"""The real router with a venue adapter that tells when an order is handed to it: where the router's own part ends.

Guarantees: everything else is the real router's; the instant is `time.perf_counter_ns`, comparable with any process of this
machine, taken before anything of the adapter runs. For benches only.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from pathlib import Path
from typing import ClassVar

from actors.router.actor import Router
from titan.model import Order
from titan.runtime import Runtime, VenueAddress
from titan.venues.base import Venue, VenueAck
from titan.venues.bybit import BybitVenue

_INSTANT = struct.Struct("q")


def _path(runtime: Runtime) -> Path:
    return runtime.run_dir / "handed.sock"


class TellingVenue(BybitVenue):
    """Sends the instant of each `submit` to whoever listens at `path`."""

    def __init__(self, address: VenueAddress, path: Path) -> None:
        super().__init__(address)
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.connect(str(path))
        # Whoever hears too slowly misses something; the router never waits for it.
        self._told.setblocking(False)

    async def submit(self, order: Order) -> VenueAck:
        """Tells, then submits."""
        with contextlib.suppress(BlockingIOError):
            self._told.send(_INSTANT.pack(time.perf_counter_ns()))
        return await super().submit(order)


class HandedRouter(Router):
    """A router that tells when it hands an order to its venue's session."""

    name: ClassVar[str] = "router"

    def make_venue(self) -> Venue:
        """The telling adapter."""
        return TellingVenue(self.runtime.venue, _path(self.runtime))


class Ear:
    """Hears what a `HandedRouter` of the same run tells. To be made on the loop, before the router starts."""

    def __init__(self, runtime: Runtime) -> None:
        self._heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.bind(str(_path(runtime)))
        self._heard.setblocking(False)
        self._last_ns = 0
        asyncio.get_running_loop().add_reader(self._heard, self._hear)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                (self._last_ns,) = _INSTANT.unpack(self._heard.recv(_INSTANT.size))

    def last(self) -> int:
        """The latest instant told, in ns; 0 before the first."""
        self._hear()
        return self._last_ns

    def close(self) -> None:
        """Hears no more."""
        asyncio.get_running_loop().remove_reader(self._heard)
        self._heard.close()
