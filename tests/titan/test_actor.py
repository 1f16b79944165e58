"""The common shell, as a real process against a real NATS server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from protos import system_pb2
from titan.actor import load_actor
from titan.bus import open_bus
from titan.errors import ConfigError, Transient
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.testing import runtime_for_tests

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def runtime(nats_server: Addresses, tmp_path: Path) -> Runtime:
    return runtime_for_tests(
        tmp_path,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
    )


async def spawn(runtime: Runtime, actor: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "titan.process",
        actor,
        "--home",
        str(runtime.home),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def silence(listener: socket.socket) -> None:
    """Reads what is queued, until nothing comes for eight beats."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError):
        while True:
            await asyncio.wait_for(loop.sock_recv(listener, 65_536), 0.4)


@pytest.fixture
async def toy(runtime: Runtime) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await spawn(runtime, "tests.titan.toy:Toy")
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    assert json.loads(line)["ready"] is True
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_an_actor_answers_once_it_is_ready(runtime: Runtime, toy: asyncio.subprocess.Process) -> None:
    async with open_bus(runtime, "tester") as bus:
        reply = await bus.request("titan.rpc.toy.v1", system_pb2.ActorsRequest(requested_by="me"), system_pb2.Alert)
    assert reply.message == "me"


async def test_health_names_every_part_and_its_age(runtime: Runtime, toy: asyncio.subprocess.Process) -> None:
    base = f"http://127.0.0.1:{runtime.ports['brain_http']}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base}/health") as answer:
            body = await answer.json()
            assert answer.status == 200
        async with session.get(f"{base}/health/ready") as answer:
            assert answer.status == 200
        async with session.get(f"{base}/metrics") as answer:
            text = await answer.text()
    assert body["status"] == "degraded"
    assert body["components"]["toy"] == {"status": "degraded", "age_ms": 3, "detail": "plays"}
    assert body["components"]["bus"]["status"] == "healthy"
    assert 'titan_process_resident_memory_bytes{actor="toy"}' in text


async def test_sigterm_stops_in_order_and_exits_zero(runtime: Runtime, toy: asyncio.subprocess.Process) -> None:
    toy.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(toy.wait(), 10) == 0
    assert (runtime.home / "stopped").exists()


async def test_a_background_task_that_fails_is_the_death_of_the_actor(
    runtime: Runtime, toy: asyncio.subprocess.Process
) -> None:
    async with open_bus(runtime, "tester") as bus:
        with contextlib.suppress(Transient):  # it may die before it answers
            await bus.request("titan.rpc.toy.v1", system_pb2.ActorsRequest(requested_by="die"), system_pb2.Alert, 1.0)
    assert await asyncio.wait_for(toy.wait(), 10) == 1
    assert not (runtime.home / "stopped").exists()
    assert "told to die" in (runtime.log_dir / "toy.jsonl").read_text()


async def test_an_actor_that_fails_in_its_start_never_becomes_ready(runtime: Runtime) -> None:
    process = await spawn(runtime, "tests.titan.toy:Stillborn")
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert out == b""


async def test_heartbeats_come_from_the_loop_and_their_progress_rises(runtime: Runtime) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(runtime.heartbeat_socket))
    listener.setblocking(False)
    process = await spawn(runtime, "tests.titan.toy:Toy")
    try:
        loop = asyncio.get_running_loop()
        beats = [
            system_pb2.Heartbeat.FromString(await asyncio.wait_for(loop.sock_recv(listener, 65_536), 20))
            for _ in range(30)
        ]
    finally:
        process.kill()
        await process.wait()
        listener.close()
    assert {beat.service for beat in beats} == {"toy"}
    assert beats[-1].pid == process.pid
    assert beats[-1].state == system_pb2.ACTOR_STATE_READY
    progress = [beat.progress for beat in beats]
    assert progress == sorted(set(progress))


async def test_a_stopped_process_sends_no_heartbeat(runtime: Runtime) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(runtime.heartbeat_socket))
    listener.setblocking(False)
    process = await spawn(runtime, "tests.titan.toy:Toy")
    loop = asyncio.get_running_loop()
    try:
        await asyncio.wait_for(loop.sock_recv(listener, 65_536), 20)
        process.send_signal(signal.SIGSTOP)
        await silence(listener)
        process.send_signal(signal.SIGCONT)
        await asyncio.wait_for(loop.sock_recv(listener, 65_536), 10)
    finally:
        process.kill()
        await process.wait()
        listener.close()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("tests.titan.nowhere:Toy", "no actor at"),
        ("tests.titan.toy:Nothing", "no actor at"),
        ("tests.titan.toy:Component", "is not an Actor class"),
    ],
)
def test_a_path_that_names_no_actor_is_refused(path: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_actor(path)
