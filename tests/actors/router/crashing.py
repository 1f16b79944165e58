"""Routers that die at a chosen instruction: what no signal from outside could hit reliably."""

from __future__ import annotations

import os
import signal

from actors.router.actor import Router
from titan.model import Order
from titan.venues.base import VenueAck
from titan.venues.bybit import BybitVenue


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _DiesBeforeSend(BybitVenue):
    async def submit(self, order: Order) -> VenueAck:
        die()
        raise AssertionError("unreachable")


class DiesBeforeSend(Router):
    """Killed after the row is written and before a byte leaves."""

    def make_venue(self) -> BybitVenue:
        return _DiesBeforeSend(self.runtime.venue)


class _DiesAfterAccept(BybitVenue):
    async def submit(self, order: Order) -> VenueAck:
        await super().submit(order)
        die()
        raise AssertionError("unreachable")


class DiesBeforeAck(Router):
    """Killed after the venue took the order and before the router knows."""

    def make_venue(self) -> BybitVenue:
        return _DiesAfterAccept(self.runtime.venue)
