"""Two routers of one account as processes, the leader killed, stopped or cut off where it hurts.

The venue's own ledger is the oracle: an intent is one order there, whoever sent it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from actors.router.lease import Record
from actors.router.tenure import BUCKET
from protos import trading_pb2 as pb
from tests.actors.router.live import World, world
from tests.actors.router.test_router_process import agree, sent_entries
from tests.processes import Process
from tests.waiting import until
from titan.model import Action, Side

STANDBY = "actors.router.actor:RouterStandby"
LEADER = "actors.router.actor:Router"
KEY = "router.bybit.main"


@dataclass
class Pair:
    """A world with a leader and a standby."""

    here: World
    started: list[Process] = field(default_factory=list)

    async def start(self, path: str) -> Process:
        process = await Process.start("titan.process", path, "--home", str(self.here.home))
        self.started.append(process)
        await self.here.told()
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


async def test_a_standby_that_dies_costs_nothing_and_comes_back_whole(open_dir: Path) -> None:
    async with pair(open_dir) as two:
        await two.traded()
        await two.started[0].kill()
        await two.traded(Side.SELL, action=Action.CLOSE, stop_price=None)
        assert await two.leads("router_http")
        await two.start(STANDBY)
        assert (await two.health("router_standby_http"))["components"]["follow"]["status"] == "healthy"
        # A leader that is asked to stop hands over in order.
        assert two.here.router is not None
        assert await two.here.router.stop() == 0
        await until(lambda: two.leads("router_standby_http"), "the standby leads")
        await two.traded()
        await agree(two.here)


async def test_a_stopped_leader_is_killed_before_its_standby_sends(open_dir: Path) -> None:
    async with pair(open_dir) as two:
        here = two.here
        await two.traded()
        assert here.router is not None
        here.router.process.send_signal(signal.SIGSTOP)
        closing = await here.intent(Side.SELL, action=Action.CLOSE, stop_price=None, ttl_ms=3_600_000)
        await here.order(closing)
        assert (await here.settled(closing.intent_id)).state == pb.ORDER_STATE_FILLED
        assert await here.router.process.wait() == -signal.SIGKILL
        await agree(here)
        assert len(await sent_entries(here)) == 2


@pytest.mark.parametrize(
    ("crash", "state", "sent"),
    [("DiesBeforeSend", pb.ORDER_STATE_REJECTED, 0), ("DiesBeforeAck", pb.ORDER_STATE_FILLED, 1)],
)
async def test_an_order_under_way_at_the_leaders_death_is_looked_up_by_the_standby_and_never_resent(
    open_dir: Path, crash: str, state: int, sent: int
) -> None:
    async with pair(open_dir, f"tests.actors.router.crashing:{crash}") as two:
        here = two.here
        entry = await here.intent()
        await here.order(entry)
        assert (await here.settled(entry.intent_id)).state == state
        await here.order(entry)
        await two.traded(usd="500")
        await agree(here)
        assert len(await sent_entries(here)) == sent + 1
        assert here.proxy.creates == sent + 1


async def test_two_routers_never_lead_whatever_the_lease_or_the_bus_does(open_dir: Path) -> None:
    async with pair(open_dir) as two:
        here = two.here
        await two.traded(usd="500")
        bucket = await here.bus.kv(BUCKET)

        # The key is gone and a third router, told to trade, starts: the journal's lock says who leads.
        await bucket.purge(KEY)
        await two.started[0].stop()
        await two.start(STANDBY)
        assert (await two.health("router_standby_http"))["mode"] == "standby"
        await until(lambda: _holder(bucket), "the leader makes its key again")
        assert await two.leads("router_http")

        # The bus stands still for longer than the lease: openings stop, nobody takes over, and trading resumes by itself.
        server = psutil.Process(_nats_pid(here.home))
        server.suspend()
        try:
            await until(lambda: _component(two, "lease", "degraded"), "a lapsed lease")
        finally:
            server.resume()
        await until(lambda: _component(two, "lease", "healthy"), "a lease that is held again")
        await until(lambda: two.leads("router_http"), "openings are possible again")
        await two.traded(usd="500")
        assert (await two.health("router_standby_http"))["mode"] == "standby"
        assert {each.term for each in here.orders} == {1}

        # Somebody elsewhere leads: the old leader ends at once, and nobody here sends.
        held = Record.decode((await bucket.get(KEY)).value or b"")
        other = replace(held, term=held.term + 1, holder=replace(held.holder, place="elsewhere"))
        await bucket.put(KEY, other.encode())
        assert here.router is not None
        assert await asyncio.wait_for(here.router.process.wait(), 20) != 0
        before = here.proxy.creates
        await here.order(await here.intent(usd="500"))
        assert two.started[-1].process.returncode is None

        async def noticed() -> bool:
            follow = (await two.health("router_standby_http"))["components"]["follow"]
            return f"term {other.term}" in follow["detail"]

        await until(noticed, "the standby sees who leads")
        assert (await two.health("router_standby_http"))["mode"] == "standby"
        assert here.proxy.creates == before


async def _holder(bucket: KeyValue) -> str:
    try:
        return Record.decode((await bucket.get(KEY)).value or b"").holder.name
    except KeyNotFoundError:
        return ""


async def _component(two: Pair, name: str, status: str) -> bool:
    found = (await two.health("router_http")).get("components", {}).get(name, {})
    return bool(found.get("status") == status)


def _nats_pid(home: Path) -> int:
    for process in psutil.process_iter(["name", "cmdline"]):
        if "nats-server" in (process.info["name"] or "") and str(home) in " ".join(process.info["cmdline"] or []):
            return int(process.pid)
    raise AssertionError("no NATS server runs under this home")
