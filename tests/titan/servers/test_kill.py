"""A server killed without warning comes back with everything it had acknowledged; leftovers of a dead owner are cleared."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import nats as nats_client
import psutil
import pytest
from redis.asyncio import Redis

from tests.waiting import until
from titan.errors import TimedOut
from titan.servers import (
    AlreadyRunning,
    Layout,
    PortBook,
    ServerFailed,
    ServerProcess,
    is_free,
    nats,
    postgres,
    redis,
)
from titan.servers.identity import ProcessId, ServerRecord, argv_hash, own_id


@pytest.fixture
def home(open_dir: Path) -> Path:
    return open_dir / uuid4().hex[:8]


async def kill(process: ServerProcess) -> None:
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    assert not process.stopping


def family(pid: int) -> list[psutil.Process]:
    server = psutil.Process(pid)
    return [server, *server.children(recursive=True)]


async def test_a_jetstream_message_survives_a_kill_of_nats(home: Path) -> None:
    layout = Layout.of(home)
    server = nats.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(server.spec)
    client = await nats_client.connect(server.url, user=server.user, password=server.password)
    await client.jetstream().add_stream(name="KEEP", subjects=["keep.>"])
    ack = await client.jetstream().publish("keep.a", b"payload")
    await client.close()
    await kill(process)

    again = nats.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(again.spec)
    try:
        assert again.url == server.url
        client = await nats_client.connect(again.url, user=again.user, password=again.password)
        assert (await client.jetstream().get_msg("KEEP", ack.seq)).data == b"payload"
        await client.close()
    finally:
        await process.stop()


async def test_postgres_starts_although_the_one_before_was_killed_and_is_not_collected_yet(home: Path) -> None:
    layout = Layout.of(home)
    process = await ServerProcess.start(postgres.build(layout, PortBook(layout.run)).spec)
    mark = process.spec.data_dir / "postmaster.pid"
    left = mark.read_text().splitlines()
    await kill(process)
    # A child that has ended and that nobody waits for still answers to signals, as its name in the mark does.
    dead = subprocess.Popen(["/bin/true"], user=process.spec.uid, group=process.spec.gid)
    await until(lambda: psutil.Process(dead.pid).status() == psutil.STATUS_ZOMBIE, "the child has ended")
    mark.write_text("\n".join([str(dead.pid), *left[1:]]) + "\n")
    again = await ServerProcess.start(postgres.build(layout, PortBook(layout.run)).spec)
    await again.stop()
    assert dead.wait() == 0


async def test_a_committed_row_survives_a_kill_of_postgres(home: Path) -> None:
    layout = Layout.of(home)
    server = postgres.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(server.spec)
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("CREATE TABLE t (v text); INSERT INTO t VALUES ('kept')")
    await kill(process)
    connection.terminate()

    again = postgres.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(again.spec)
    try:
        connection = await asyncpg.connect(again.dsn)
        assert await connection.fetchval("SELECT v FROM t") == "kept"
        await connection.close()
    finally:
        await process.stop()


async def test_a_written_key_survives_a_kill_of_redis(home: Path) -> None:
    layout = Layout.of(home)
    server = redis.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(server.spec)
    client = Redis.from_url(server.url)
    await client.set("k", "kept")
    await client.aclose()
    await kill(process)

    again = redis.build(layout, PortBook(layout.run))
    process = await ServerProcess.start(again.spec)
    try:
        client = Redis.from_url(again.url)
        assert await client.get("k") == b"kept"
        await client.aclose()
    finally:
        await process.stop()


@pytest.mark.parametrize("room", [nats, postgres, redis], ids=lambda room: room.__name__.rpartition(".")[2])
async def test_stop_leaves_no_process_and_no_port(home: Path, room: object) -> None:
    layout = Layout.of(home)
    spec = room.build(layout, PortBook(layout.run)).spec  # type: ignore[attr-defined]
    process = await ServerProcess.start(spec)
    members = family(process.pid)

    code = await process.stop()

    assert code == 0
    assert [member for member in members if member.is_running()] == []
    assert all(is_free(port) for port in spec.ports)
    assert ServerRecord.read(layout.run / f"{spec.name}.pid.json") is None


OWNER = """
import asyncio, sys
from titan.servers import Layout, PortBook, ServerProcess, {room}

async def main():
    layout = Layout.of(sys.argv[1])
    process = await ServerProcess.start({room}.build(layout, PortBook(layout.run)).spec, outlive_owner={outlive})
    print(process.pid, flush=True)
    await process.wait()

asyncio.run(main())
"""


def start_owner(home: Path, room: str, outlive: bool) -> tuple[subprocess.Popen[str], int]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(room=room, outlive=outlive), str(home)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def kill_owner(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()
    assert owner.stdout is not None
    owner.stdout.close()


@pytest.mark.parametrize("room", ["nats", "postgres", "redis"])
def test_a_server_stops_when_its_owner_is_killed(home: Path, room: str) -> None:
    owner, pid = start_owner(home, room, outlive=False)
    members = family(pid)

    kill_owner(owner)

    _, alive = psutil.wait_procs(members, timeout=20)
    assert alive == []


async def test_a_leftover_of_a_dead_owner_is_stopped_before_the_next_start(home: Path) -> None:
    owner, left_pid = start_owner(home, "nats", outlive=True)
    leftover = ProcessId.of(left_pid)
    kill_owner(owner)
    assert leftover is not None
    assert leftover.lives()

    layout = Layout.of(home)
    process = await ServerProcess.start(nats.build(layout, PortBook(layout.run)).spec)
    try:
        assert not leftover.lives()
        assert process.pid != left_pid
    finally:
        await process.stop()


async def test_a_command_line_that_the_system_shows_empty_at_exec_does_not_spoil_the_record(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.of(home)
    seen: list[int] = []
    truly = ProcessId.of

    def early(pid: int) -> ProcessId | None:
        found = truly(pid)
        if found is None or pid == os.getpid():
            return found
        seen.append(pid)
        return replace(found, argv_sha256=argv_hash([])) if len(seen) == 1 else found

    monkeypatch.setattr(ProcessId, "of", early)
    records: list[bool] = []

    async def ready() -> bool:
        record = ServerRecord.read(layout.run / "redis.pid.json")
        records.append(record is not None and truly(record.server.pid) == record.server)
        return await spec.ready()

    spec = redis.build(layout, PortBook(layout.run)).spec
    process = await ServerProcess.start(replace(spec, ready=ready))
    try:
        assert all(records)
        record = ServerRecord.read(layout.run / "redis.pid.json")
        assert record is not None
        assert record.server == truly(process.pid)
    finally:
        await process.stop()


async def test_a_server_of_a_living_owner_is_left_alone(home: Path) -> None:
    owner, pid = start_owner(home, "redis", outlive=False)
    try:
        layout = Layout.of(home)
        with pytest.raises(AlreadyRunning, match=rf"runs already \(pid {pid}\) for pid {owner.pid}"):
            await ServerProcess.start(redis.build(layout, PortBook(layout.run)).spec)
        assert psutil.pid_exists(pid)
    finally:
        kill_owner(owner)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)


async def test_a_stranger_with_the_pid_of_a_stale_record_is_never_signalled(home: Path) -> None:
    layout = Layout.of(home)
    spec = redis.build(layout, PortBook(layout.run)).spec
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        living = ProcessId.of(stranger.pid)
        assert living is not None
        reused = ProcessId(living.pid, living.start - 1, living.argv_sha256)
        ServerRecord(reused, ProcessId(own_id().pid, 1, "gone")).write(layout.run / "redis.pid.json")

        process = await ServerProcess.start(spec)
        await process.stop()

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_server_that_ends_during_its_start_says_why_and_leaves_nothing(home: Path) -> None:
    layout = Layout.of(home)
    spec = redis.build(layout, PortBook(layout.run)).spec
    (layout.run / "redis.conf").write_text("no-such-directive yes\n")

    with pytest.raises(ServerFailed, match=r"redis ended during its start with exit code 1.*no-such-directive"):
        await ServerProcess.start(spec)

    assert ServerRecord.read(layout.run / "redis.pid.json") is None


async def test_a_start_that_is_cancelled_leaves_no_process(home: Path) -> None:
    layout = Layout.of(home)
    built = redis.build(layout, PortBook(layout.run)).spec
    asked = asyncio.Event()

    async def never() -> bool:
        asked.set()
        return False

    spec = replace(built, ready=never)
    starting = asyncio.create_task(ServerProcess.start(spec))
    await asked.wait()
    record = ServerRecord.read(layout.run / "redis.pid.json")
    assert record is not None

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert not record.server.lives()
    assert all(is_free(port) for port in spec.ports)


async def test_a_full_disk_is_named_as_such(home: Path) -> None:
    layout = Layout.of(home)
    built = redis.build(layout, PortBook(layout.run)).spec
    spec = replace(built, argv=("/bin/sh", "-c", "echo 'write: No space left on device' >&2; exit 1"))

    with pytest.raises(ServerFailed, match=f"redis found no space left on the disk of {spec.data_dir}: free some"):
        await ServerProcess.start(spec)


async def test_a_server_that_never_answers_is_stopped_and_reported_with_its_log(home: Path) -> None:
    layout = Layout.of(home)
    built = redis.build(layout, PortBook(layout.run)).spec

    async def never() -> bool:
        return False

    with pytest.raises(TimedOut, match=r"redis is not ready after 0\.2 s; .*redis\.log ends with: "):
        await ServerProcess.start(replace(built, ready=never, start_timeout_s=0.2))

    assert all(is_free(port) for port in built.ports)


async def test_a_postgres_that_shuts_down_and_waits_for_its_clients_complains_and_is_stopped_in_order(
    home: Path,
) -> None:
    layout = Layout.of(home)
    server = postgres.build(layout, PortBook(layout.run), durable=False)
    process = await ServerProcess.start(server.spec)
    assert server.spec.alive is not None
    assert server.spec.trouble is not None
    assert await server.spec.alive()
    assert await server.spec.trouble() == ""
    staying = await asyncpg.connect(server.dsn)
    # A smart shutdown: nobody gets in, whoever is in stays for as long as it likes.
    os.kill(process.pid, signal.SIGTERM)

    async def complains() -> str:
        assert server.spec.alive is not None
        assert server.spec.trouble is not None
        assert await server.spec.alive(), "a server that says no is no silent one"
        return await server.spec.trouble()

    assert "shutting down" in await until(complains)
    assert await staying.fetchval("SELECT 1") == 1
    await process.stop()
    assert not process.running
    staying.terminate()
