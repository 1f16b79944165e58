"""Servers are asked whether they work: silence, complaints, and when a complaint is answered by a restart."""

from __future__ import annotations

import asyncio
import os
import resource
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import nats.errors
import nats.js.errors
import pytest

from supervisors.child import Status
from supervisors.events import Command, Effect, Event, Verb
from supervisors.launch import LaunchPlan
from supervisors.nested import TreeMachine
from supervisors.remedy import MB, Patience, Remedy
from supervisors.runner import Life, Runner
from supervisors.server_life import NATS, SERVERS, SILENCE_MS, ServerLauncher
from supervisors.server_watch import ServerWatch
from supervisors.spec import ChildSpec, Escalation, Intensity, SupervisorSpec
from tests.waiting import until
from titan.logs import get_logger
from titan.runtime import ApiTokens, HmacKey
from titan.servers import Layout, alive
from titan.servers.ports import free_port
from titan.testing import POLICY

ROOM = 64 * MB


def test_a_complaint_that_lasts_is_answered_once_there_is_room() -> None:
    remedy = Remedy(Patience(lasting_ms=3_000, room_bytes=ROOM, again_ms=30_000))
    assert remedy.heard("nats", "write error", ROOM, 0) == ""
    assert remedy.heard("nats", "write error", ROOM - 1, 5_000) == "", "the disk is still full"
    assert remedy.complaint("nats") == "write error"
    why = remedy.heard("nats", "write error", ROOM, 6_000)
    assert why == "it refuses work although 64 MB are free: write error"


def test_a_complaint_that_goes_by_itself_is_forgotten() -> None:
    remedy = Remedy(Patience(lasting_ms=3_000))
    assert remedy.heard("nats", "recovering", ROOM, 0) == ""
    assert remedy.heard("nats", "", ROOM, 2_000) == ""
    assert remedy.heard("nats", "recovering", ROOM, 3_500) == "", "its time begins anew"


def test_a_restart_that_did_not_help_is_not_repeated_at_once() -> None:
    remedy = Remedy(Patience(lasting_ms=0, room_bytes=0, again_ms=30_000))
    assert remedy.heard("nats", "broken", 0, 0) != ""
    assert remedy.heard("nats", "broken", 0, 29_999) == ""
    assert remedy.heard("nats", "broken", 0, 30_000) != ""


def test_every_server_has_a_limit() -> None:
    assert set(SILENCE_MS) == set(SERVERS)


async def test_a_port_that_takes_connections_and_says_nothing_is_no_answer() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    probes = (
        alive.nats_answers(port, "u", "p"),
        alive.redis_answers(port, "p"),
        alive.PostgresProbe(f"postgresql://u:p@127.0.0.1:{port}/titan").answers(),
        alive.http_answers(port, "/health"),
    )
    for probe in probes:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await probe
    server.close()


async def test_a_port_where_nobody_listens_is_no_answer() -> None:
    port = free_port()
    for probe in (alive.redis_answers(port, "p"), alive.http_answers(port, "/health")):
        with pytest.raises(OSError, match="Connect"):
            await probe


class Nats:
    """A guardian of one server only."""

    def __init__(self, home: Path) -> None:
        plan = LaunchPlan(
            home=home,
            feed="synthetic:1",
            speed=1,
            ports={},
            hmac_key=HmacKey(key_id="test", secret=secrets.token_hex(32)),
            api_tokens=ApiTokens(),
            policy_path=POLICY,
        )
        self.launcher = ServerLauncher(plan)
        self.free = 0
        spec = SupervisorSpec(
            "servers", (ChildSpec(NATS),), intensity=Intensity(5, 60_000), escalation=Escalation.DEGRADE
        )
        self.watch = ServerWatch(
            lambda: self.runner, get_logger("guardian"), Patience(lasting_ms=500), lambda _: self.free
        )
        self.runner = Runner(TreeMachine(spec), self, self)

    async def launch(self, child: str, incarnation: int) -> Life:
        return await self.launcher.launch(child)

    def heard(self, event: Event, effects: list[Effect]) -> None:
        self.watch.heard(event, effects)

    @property
    def ready(self) -> bool:
        return self.runner.views()[0].status is Status.READY

    def row(self) -> dict[str, object]:
        return self.watch.rows()[0]


@asynccontextmanager
async def running_nats(home: Path) -> AsyncIterator[Nats]:
    home.mkdir()
    guardian = Nats(home)
    watch = asyncio.get_running_loop().create_task(guardian.watch.run())
    guardian.runner.post(Command(Verb.START))
    try:
        await until(lambda: guardian.ready, "NATS is up")
        yield guardian
    finally:
        await guardian.runner.stop()
        watch.cancel()
        await guardian.runner.close()


async def test_a_bus_that_was_stopped_is_found_silent_killed_and_serves_again(open_dir: Path) -> None:
    async with running_nats(open_dir / "silent") as guardian:
        before = guardian.runner.views()[0]
        await until(lambda: guardian.row()["answer_age_s"] != -1.0, "it is asked")
        os.kill(before.pid, signal.SIGSTOP)
        await until(lambda: guardian.ready and guardian.runner.views()[0].pid != before.pid, "another one serves")
        after = guardian.runner.views()[0]
        assert after.last_exit.startswith("silent for ")
        assert (after.restarts, after.graceful_restarts) == (1, 0)


async def test_a_bus_that_refuses_writes_after_a_full_disk_is_restarted_once_there_is_room(open_dir: Path) -> None:
    home = open_dir / "refusing"
    async with running_nats(home) as guardian:
        pid = guardian.runner.views()[0].pid
        client = await nats.connect(
            guardian.launcher.addresses.nats_url,
            user="titan",
            password=Layout.of(home).secret("nats_password")[0],
            reconnect_time_wait=0.1,
            max_reconnect_attempts=-1,
        )
        stream = client.jetstream(timeout=1)
        await stream.add_stream(name="KEPT", subjects=["kept.>"])
        await stream.publish("kept.first", b"1")
        # A file may not grow any more: to the server the same as a full disk.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))
        with pytest.raises(nats.errors.TimeoutError):
            await stream.publish("kept.second", b"x" * 1_000)
        await until(lambda: "write error" in str(guardian.row()["trouble"]), "the guardian knows of it")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with pytest.raises(nats.errors.TimeoutError):
            await stream.publish("kept.third", b"3")
        assert guardian.runner.views()[0].pid == pid, "without room on the disk a restart would not help"

        guardian.free = 1_000 * MB
        await until(lambda: guardian.ready and guardian.runner.views()[0].pid != pid, "it is started anew")

        async def takes() -> bool:
            try:
                await stream.publish("kept.fourth", b"4")
            except (nats.errors.Error, nats.js.errors.Error):
                return False
            return True

        await until(takes, "writes are taken again")
        assert (await stream.get_msg("KEPT", 1)).data == b"1", "what was acknowledged is still there"
        view = guardian.runner.views()[0]
        assert (view.restarts, view.graceful_restarts) == (0, 1)
        await client.close()
