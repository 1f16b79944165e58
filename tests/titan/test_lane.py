"""The fast lane: frames over a real socket, and the two ways of a message beside a real NATS server."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import trading_pb2
from tests.waiting import until
from titan import subjects
from titan.bus import Bus, Received
from titan.bus.lane import MAX_FRAME, MAX_SUBJECT, BadFrame, Frames, LaneClient, LaneServer, frame_of
from titan.bus.lanes import PATIENCE_S, LaneWatch
from titan.logs import get_logger
from titan.metrics import Metrics
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.testing import runtime_for_tests

SUBJECT = "titan.signal.submit.v1"
frames = st.lists(st.tuples(st.text("abc.é", min_size=1, max_size=20), st.binary(min_size=1, max_size=300)), max_size=6)


@given(frames, st.lists(st.integers(1, 50), max_size=40))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[tuple[str, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frame_of(subject, wire) for subject, wire in sent)
    cutter, got, at = Frames(), [], 0
    for size in [*cuts, len(stream) or 1]:
        got += cutter.feed(stream[at : at + size])
        at += size
    assert got == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_clear_error(data: bytes) -> None:
    try:
        found = Frames().feed(data)
    except BadFrame as error:
        found, said = [], str(error)
    else:
        said = ""
    assert all(subject and wire for subject, wire in found)
    assert not said or "frame" in said


@pytest.mark.parametrize(("subject", "wire"), [("", b"x"), ("s", b""), ("s" * (MAX_SUBJECT + 1), b"x")])
def test_what_no_lane_carries_is_refused_before_it_is_sent(subject: str, wire: bytes) -> None:
    with pytest.raises(BadFrame, match="at most"):
        frame_of(subject, wire)


@pytest.fixture
def folder(open_dir: Path) -> Path:
    """A folder of this test's own, with a path that is short enough for a socket."""
    return Path(tempfile.mkdtemp(dir=open_dir))


@asynccontextmanager
async def lane(path: Path) -> AsyncIterator[tuple[LaneServer, LaneClient, list[tuple[str, bytes]]]]:
    """Both ends of a lane."""
    got: list[tuple[str, bytes]] = []

    async def take(subject: str, wire: bytes) -> None:
        got.append((subject, wire))

    server, client = LaneServer(path, take, get_logger("test")), LaneClient(path)
    await server.open()
    tasks = [asyncio.create_task(server.run()), asyncio.create_task(client.run())]
    try:
        yield server, client, got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client.close()
        server.close()


async def test_messages_arrive_in_order_and_nobody_else_may_open_the_socket(folder: Path) -> None:
    path = folder / "lanes" / "a.sock"
    async with lane(path) as (_, client, got):
        await until(lambda: client.connected, "the connection")
        wanted = [(f"s.{index}", bytes([index]) * 2_000) for index in range(200)]
        assert all(client.send(*each) for each in wanted)
        await until(lambda: got == wanted, "every frame in order")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_sender_without_a_listener_neither_waits_nor_fails_and_connects_later(folder: Path) -> None:
    path = folder / "a.sock"
    client = LaneClient(path)
    running = asyncio.create_task(client.run())
    assert not client.send("s", b"lost on the lane")
    assert client.unsent == 1
    async with lane(path) as (first, _, got):
        await until(lambda: client.send("s", b"one"), "a connection")
        await until(lambda: ("s", b"one") in got, "the frame")
        first.close()
        await until(lambda: not client.connected, "the hang-up")
    async with lane(path) as (_, _, got):
        await until(lambda: client.send("s", b"two"), "another connection")
        await until(lambda: ("s", b"two") in got, "the frame")
    running.cancel()
    client.close()


async def test_nonsense_ends_its_own_connection_only(folder: Path) -> None:
    path = folder / "a.sock"
    async with lane(path) as (server, client, got):
        await until(lambda: client.connected, "the connection")
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(struct.pack(">II", 3, MAX_FRAME + 1) + b"abc")
        assert await reader.read() == b""
        writer.close()
        await until(lambda: server.peers == 1, "only the good one")
        assert client.send("s", b"still here")
        await until(lambda: got == [("s", b"still here")], "the frame")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_is_turned_away_even_where_the_socket_lets_him_in(folder: Path) -> None:
    path = folder / "a.sock"
    async with lane(path) as (server, _, got):
        folder.chmod(0o711)
        path.chmod(0o666)
        script = (
            "import os, socket, sys\n"
            "os.setuid(65534)\n"
            "line = socket.socket(socket.AF_UNIX)\n"
            "line.settimeout(20)\n"
            "line.connect(sys.argv[1])\n"
            "try:\n"
            "    line.sendall(bytes.fromhex(sys.argv[2]))\n"
            "    sys.exit(0 if line.recv(1) == b'' else 'an answer')\n"
            "except (BrokenPipeError, ConnectionResetError):\n"
            "    pass\n"
        )
        stranger = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(path), frame_of("s", b"evil").hex(), stderr=subprocess.PIPE
        )
        _, said = await asyncio.wait_for(stranger.communicate(), 60)
        assert stranger.returncode == 0, said
        await until(lambda: server.peers <= 1, "the stranger gone")
        assert got == []


async def test_a_listener_that_does_not_read_costs_its_sender_nothing(folder: Path) -> None:
    path = folder / "a.sock"
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(str(path))
    deaf.listen(1)
    client = LaneClient(path)
    running = asyncio.create_task(client.run())
    await until(lambda: client.connected, "the connection")
    await until(lambda: not client.send("s", b"x" * MAX_FRAME), "a full line")
    assert client.unsent == 1
    running.cancel()
    client.close()
    deaf.close()


def test_two_copies_are_one_message_and_the_first_is_told() -> None:
    watch = LaneWatch()
    assert watch.came("lane", b"a", 0.0)
    assert not watch.came("bus", b"a", 0.001)
    assert watch.came("bus", b"b", 0.002)
    assert not watch.came("lane", b"b", 0.003)
    health = watch.health(10.0, peers=1)
    assert (health.healthy, watch.missed["lane"], watch.missed["bus"]) == (True, 0, 0)
    assert health.age_s == pytest.approx(9.997)


@pytest.mark.parametrize(("way", "other"), [("lane", "bus"), ("bus", "lane")])
def test_a_way_that_brings_nothing_is_noticed_and_forgiven_when_it_does_again(way: str, other: str) -> None:
    watch = LaneWatch()
    watch.came(way, b"a", 0.0)  # type: ignore[arg-type]  # one of the two
    assert watch.health(PATIENCE_S - 0.1, peers=1).healthy
    late = watch.health(PATIENCE_S + 0.1, peers=1)
    assert not late.healthy
    assert f"did not come on the {other}" in late.detail
    for each in (way, other):
        watch.came(each, b"b", 5.0)  # type: ignore[arg-type]  # one of the two
    again = watch.health(6.0, peers=1)
    assert (again.healthy, again.detail) == (True, "1 messages came on one way only")


def test_without_a_sender_the_lane_is_not_healthy() -> None:
    assert LaneWatch().health(0.0, peers=0).detail == "no sender is connected: the bus carries alone"


@pytest.fixture
def runtime(nats_server: Addresses, folder: Path) -> Runtime:
    return runtime_for_tests(
        folder,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
    )


def signal(name: str) -> trading_pb2.Signal:
    return trading_pb2.Signal(signal_id=name)


async def test_a_signal_comes_once_whichever_ways_it_took(runtime: Runtime) -> None:
    metrics = Metrics()
    brain, phase = await Bus.connect(runtime, "brain", metrics), await Bus.connect(runtime, "scavenger")
    seen: list[str] = []

    async def handler(received: Received[trading_pb2.Signal]) -> None:
        seen.append(received.message.signal_id)

    await brain.subscribe(subjects.SIGNAL_SUBMIT, trading_pb2.Signal, handler)
    assert brain.lane is not None

    def both() -> bool:
        return brain.lane is not None and brain.lane.healthy

    await until(both, "the phase on the lane")
    for index in range(20):
        await phase.publish(subjects.SIGNAL_SUBMIT, signal(f"s{index}"))
    duplicates = metrics.counter("titan_bus_duplicates_total").labels("brain")
    await until(lambda: duplicates._value.get() == 20, "the second copies")
    assert seen == [f"s{index}" for index in range(20)]

    # The bus is away: the lane carries alone, and what the bus kept for later is known when it comes.
    await phase.client.close()
    with pytest.raises(Exception, match=r"(?i)closed"):
        await phase.publish(subjects.SIGNAL_SUBMIT, signal("by lane"))
    await until(lambda: seen[-1] == "by lane", "the message by lane")
    await phase.close()

    # The lane is away: the bus carries alone.
    await until(lambda: not both(), "a lane without senders")
    other = await Bus.connect(runtime.model_copy(update={"fast_lane": False}), "scavenger")
    await other.publish(subjects.SIGNAL_SUBMIT, signal("by bus"))
    await until(lambda: seen[-1] == "by bus", "the message by bus")
    assert len(seen) == 22
    await other.close()
    await brain.close()


async def test_a_lane_that_can_not_be_opened_leaves_the_bus_alone(runtime: Runtime) -> None:
    runtime.run_dir.mkdir(parents=True, exist_ok=True)
    runtime.lane_dir.write_text("a file where the folder should be")
    brain, phase = await Bus.connect(runtime, "brain"), await Bus.connect(runtime, "scavenger")
    seen: list[str] = []

    async def handler(received: Received[trading_pb2.Signal]) -> None:
        seen.append(received.message.signal_id)

    await brain.subscribe(subjects.SIGNAL_SUBMIT, trading_pb2.Signal, handler)
    await phase.publish(subjects.SIGNAL_SUBMIT, signal("one"))
    await until(lambda: seen == ["one"], "the message by bus")
    assert brain.lane is not None
    assert not brain.lane.healthy
    assert "can't be opened" in brain.lane.detail
    await phase.close()
    await brain.close()
