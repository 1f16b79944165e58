"""Faults of the venue and of its streams, by the paper venue's own switches.

Guarantees: every switch is bounded and cleared at the end, whatever happens. Never: a fault that a real exchange can't have.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from ops.chaos.arena import Arena
from ops.chaos.fault import Inject, Injected, Skip
from titan.errors import Transient

Switch = tuple[str, Mapping[str, Any]]
SETTLE_S = 2.0


def switched(*switches: Switch, seconds: float = 3.0) -> Inject:
    """Sets switches, trades through them, clears them; recovery counts from then on."""

    async def inject(arena: Arena) -> Injected:
        venue = arena.eyes.venue
        before = await venue.acted()
        for kind, fields in switches:
            await venue.switch(kind, seed=arena.draw.randrange(1 << 31), **fields)
        try:
            await arena.signals(seconds)
            deadline = time.monotonic() + SETTLE_S
            # A switch that counts stands until orders have used it up.
            while await venue.standing() and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
        finally:
            with contextlib.suppress(Transient):
                await venue.clear()
        acted = await venue.acted() - before
        if not acted:
            raise Skip("nothing came by that the switch could meet")
        return Injected(time.monotonic(), note=f"acted {acted} times")

    return inject
