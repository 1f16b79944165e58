"""How long an account has no router when the leading one is killed and a standby is there.

Two real routers as plain processes, real NATS, the real paper venue; the bench plays the brain. Each sample kills the leader and
publishes an intent at once: the clock runs from the kill until the standby's order is open at the venue. Then the dead router is
started again, as its supervisor would, follows, and hears the brain.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack

from ops.bench.cancel import PULSE_S, Desk, last_price
from ops.bench.children import Child
from ops.bench.town import town
from titan.policy import load_policy
from titan.servers import Kind

ROUTERS = ("actors.router.actor:Router", "actors.router.actor:RouterStandby")

HEARD_S = 3 * PULSE_S


async def takeovers(repeat: int) -> list[float]:
    """Seconds from kill -9 of the leader to the next order that the venue took, `repeat` times."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(town({Kind.NATS}, speed=1.0, service="brain"))
        started = [await stack.enter_async_context(Child.actor(path, here.runtime.home)) for path in ROUTERS]
        policy = await asyncio.to_thread(load_policy, here.runtime.policy_path)
        desk = Desk(here, policy.hash, await last_price(here))
        await desk.listen()
        pulsing = asyncio.create_task(desk.pulse())
        try:
            await desk.begin()
            found = []
            for turn in range(repeat):
                await desk.arm()
                leader = turn % len(ROUTERS)
                began = time.perf_counter()
                os.kill(started[leader].pid, signal.SIGKILL)
                intent_id = await desk.rest()
                found.append(time.perf_counter() - began)
                await desk.disarm()
                await desk.ended(intent_id)
                started[leader] = await stack.enter_async_context(Child.actor(ROUTERS[leader], here.runtime.home))
                # Ready means that it follows; a standby that has lived for a moment has also heard the brain.
                await asyncio.sleep(HEARD_S)
        finally:
            pulsing.cancel()
            await asyncio.gather(pulsing, return_exceptions=True)
    return found
