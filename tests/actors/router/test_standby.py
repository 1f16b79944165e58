"""Two routers of one account as processes, the leader killed, stopped or cut off where it hurts.

The venue's own ledger is the oracle: an intent is one order there, whoever sent it.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protos import trading_pb2 as pb
from tests.actors.router.live import World, world
from tests.actors.router.test_router_process import agree, sent_entries
from tests.processes import Process
from tests.waiting import until
from titan.model import Action, Side

STANDBY = "actors.router.actor:RouterStandby"
LEADER = "actors.router.actor:Router"


@dataclass
class Pair:
    """A world with a leader and a standby."""

    here: World
    started: list[Process] = field(default_factory=list)

    async def start(self, path: str) -> Process:
        process = await Process.start("titan.process", path, "--home", str(self.here.home))
        self.started.append(process)
        return process

    async def health(self, port: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.here.runtime.ports[port]}/health"
        with contextlib.suppress(OSError):
            async with self.here.http.get(url) as answer:
                found: dict[str, Any] = await answer.json()
                return found
        return {}

    async def leads(self, port: str) -> bool:
        found = await self.health(port)
        return found.get("mode") == "active" and found.get("trading_state") == "ACTIVE"

    async def traded(self, side: Side = Side.BUY, **overrides: Any) -> str:
        """Orders an intent and waits for its fill; gives its id."""
        wanted = await self.here.intent(side, **overrides)
        await self.here.order(wanted)
        ended = await self.here.settled(wanted.intent_id)
        assert ended.state == pb.ORDER_STATE_FILLED, ended
        return wanted.intent_id


@contextlib.asynccontextmanager
async def pair(open_dir: Path, leader: str = LEADER, **overrides: Any) -> AsyncIterator[Pair]:
    async with world(open_dir, **overrides) as here:
        two = Pair(here)
        try:
            await here.start_router(leader)
            await two.start(STANDBY)
            yield two
        finally:
            for process in two.started:
                if process.process.returncode is None:
                    process.process.send_signal(signal.SIGCONT)
                    await process.stop()


async def test_a_killed_leader_is_followed_by_its_standby_and_an_intent_is_one_order(open_dir: Path) -> None:
    async with pair(open_dir) as two:
        here = two.here
        first = await two.traded()
        assert (await two.health("router_standby_http"))["mode"] == "standby"
        closing = await here.intent(Side.SELL, action=Action.CLOSE, stop_price=None)
        await here.kill_router()
        await here.order(closing)
        assert (await here.settled(closing.intent_id)).state == pb.ORDER_STATE_FILLED
        await until(lambda: two.leads("router_standby_http"), "the standby leads")
        again = await here.intent(name=first)
        await here.order(again)
        second = await two.traded()
        await agree(here)
        sent = await sent_entries(here)
        assert len(sent) == 3, sent
        terms = {name: min(each.term for each in here.orders if each.intent_id == name) for name in (first, second)}
        assert terms == {first: 1, second: 2}
        # The first comes back, as its supervisor starts it, and follows.
        await here.start_router()
        assert (await two.health("router_http"))["mode"] == "standby"
        assert await two.leads("router_standby_http")
