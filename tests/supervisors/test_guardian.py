"""The guardian as a process: real servers, real Ray, tiny actors; whatever happens, nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from supervisors.control import ask_guardian
from supervisors.guardian import guardian_tree, read_state, stop
from supervisors.processes import cpus_of, pss_bytes
from supervisors.ray_node import family_of
from supervisors.server_life import SERVERS
from supervisors.state import Stage
from tests.supervisors.guarded import GROUPS, ROOT, STOP_S, make_home, spawn, stage, until_stage
from tests.supervisors.live import PATIENCE_S, actors, call, commands_below, gone, left_of, notes, until_all_ready
from tests.waiting import eventually
from titan.errors import ExitCode, NotRunning
from titan.ledger_access import LOGINS
from titan.runtime import Runtime
from titan.store import rights_missing

pytestmark = pytest.mark.e2e
Make = Callable[..., Path]


def below(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def listening(pids: set[int]) -> set[tuple[str, int]]:
    return {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.net_connections("inet")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN and connection.laddr
    }


@pytest.fixture(scope="module")
def running(open_dir: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A whole Titan of tiny actors."""
    home = make_home(open_dir / "guard", core=max(os.sched_getaffinity(0)))
    process = spawn(home)
    until_stage(home, process, Stage.UP)
    yield home, process
    if process.poll() is None:
        stop(home, STOP_S)
    assert left_of(home) == []


def test_everything_is_up_and_the_runtime_says_where(running: tuple[Path, subprocess.Popen[str]]) -> None:
    home, process = running
    runtime = Runtime.load(home)
    assert runtime.venue.paper
    assert runtime.venue.rest_url.startswith("http://127.0.0.1:")
    assert all((runtime.nats_url, runtime.postgres_dsn, runtime.redis_url))
    state = read_state(home)
    assert state is not None
    assert (state.pid, state.alive) == (process.pid, True)
    assert all(seen.ready for seen in actors(home).values())


def test_the_ledger_is_set_up_and_every_service_has_a_login_of_its_own(
    running: tuple[Path, subprocess.Popen[str]],
) -> None:
    home, _ = running
    runtime = Runtime.load(home)
    assert urlsplit(runtime.postgres_dsn).username is None

    async def who(login: str) -> tuple[str, tuple[str, ...]]:
        connection = await asyncpg.connect(runtime.ledger(login).url)
        try:
            return await connection.fetchval("SELECT current_user"), await rights_missing(connection)
        finally:
            await connection.close()

    eventually(lambda: "ledger set up" in (home / "logs" / "guardian.jsonl").read_text(), timeout_s=PATIENCE_S)
    for login in LOGINS:
        assert asyncio.run(who(login)) == (f"titan_{login}", ())


def test_every_socket_of_titan_is_loopback(running: tuple[Path, subprocess.Popen[str]]) -> None:
    _, process = running
    found = {ip for ip, _ in listening(below(process.pid))}
    assert found
    assert found <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_no_process_shows_a_secret_and_nobody_else_may_read_one(running: tuple[Path, subprocess.Popen[str]]) -> None:
    home, process = running
    runtime = Runtime.load(home)
    hidden = {runtime.hmac_key.secret, runtime.venue.api_key, runtime.venue.api_secret}
    hidden.add(urlsplit(runtime.redis_url).password or "")
    hidden |= {path.read_text().strip() for path in (home / "run" / "secrets").iterdir()}
    assert all(len(secret) >= 16 for secret in hidden), "a secret is missing from the runtime"
    for pid in below(process.pid):
        shown = b"".join(Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "environ")).decode()
        assert [secret[:4] for secret in hidden if secret in shown] == [], shown[:200]
    holding = [path for path in home.rglob("*.*") if path.is_file() and "data" not in path.parts]
    told = [path for path in holding if any(secret.encode() in path.read_bytes() for secret in hidden)]
    assert {path.stat().st_mode & 0o077 for path in told} == {0}
    assert {(home / name).stat().st_mode & 0o777 for name in ("run", "run/secrets", "logs")} == {0o700}


def test_every_thread_of_titan_keeps_off_the_routers_core(running: tuple[Path, subprocess.Popen[str]]) -> None:
    home, process = running
    allowed = os.sched_getaffinity(0)
    if len(allowed) == 1:
        pytest.skip("a machine of one core has none to keep free")
    state = read_state(home)
    assert state is not None
    assert state.router_cpu == max(allowed)
    used = {core for pid in below(process.pid) | {process.pid} for core in cpus_of(pid)}
    assert used == allowed - {state.router_cpu}
    assert Runtime.load(home).router_cpu == str(state.router_cpu)


def test_the_guardian_stays_small(running: tuple[Path, subprocess.Popen[str]]) -> None:
    _, process = running
    assert pss_bytes(process.pid) < 80_000_000


def test_a_second_guardian_on_the_same_home_is_refused(running: tuple[Path, subprocess.Popen[str]]) -> None:
    home, process = running
    second = spawn(home)
    _, said = second.communicate(timeout=STOP_S)
    assert second.returncode == ExitCode.BAD_CONFIG
    assert f"a Titan runs under {home} already (pid {process.pid}, up)" in said
    state = read_state(home)
    assert state is not None
    assert state.pid == process.pid


@pytest.mark.parametrize("server", ["nats-server", "bin/postgres", "valkey-server", "titan.paper"])
def test_a_killed_server_comes_back_and_no_actor_is_restarted(
    running: tuple[Path, subprocess.Popen[str]], server: str
) -> None:
    home, process = running
    untouched = {name: (seen.pid, seen.restarts) for name, seen in actors(home).items()}
    victim = next(
        child
        for child in psutil.Process(process.pid).children()
        if not gone(child.pid) and server in " ".join(child.cmdline())
    )
    ports = listening({victim.pid})
    victim.kill()
    eventually(
        lambda: bool(ports & listening(below(process.pid) - {victim.pid})),
        f"{server} listens on {ports} again",
        PATIENCE_S,
    )
    until_stage(home, process, Stage.UP)
    assert {name: (seen.pid, seen.restarts) for name, seen in until_all_ready(home).items()} == untouched


def servers(home: Path) -> dict[str, dict[str, Any]]:
    """The guardian's children as it shows them."""
    rows: Any = asyncio.run(ask_guardian(home / "run", "servers", PATIENCE_S))["servers"]
    return {row["name"]: row for row in rows}


def test_servers_that_hang_are_found_and_replaced_and_no_actor_is_restarted(
    running: tuple[Path, subprocess.Popen[str]],
) -> None:
    home, process = running
    untouched = {name: (seen.pid, seen.restarts) for name, seen in until_all_ready(home).items()}
    before = servers(home)
    assert set(before) == {*SERVERS, "ray"}
    assert {row["state"] for row in before.values()} == {"ACTOR_STATE_READY"}
    for name in SERVERS:
        os.kill(before[name]["pid"], signal.SIGSTOP)
    eventually(lambda: all(gone(before[name]["pid"]) for name in SERVERS), "those that hang are dead", PATIENCE_S)
    until_stage(home, process, Stage.UP)
    eventually(lambda: all(row["state"] == "ACTOR_STATE_READY" for row in servers(home).values()), "all serve again")
    after = servers(home)
    assert all(after[name]["last_exit"].startswith("silent for ") for name in SERVERS)
    assert [after[name]["restarts"] for name in SERVERS] == [before[name]["restarts"] + 1 for name in SERVERS]
    assert {name: (seen.pid, seen.restarts) for name, seen in until_all_ready(home).items()} == untouched


def test_a_root_that_hangs_is_replaced_and_no_actor_is_restarted(running: tuple[Path, subprocess.Popen[str]]) -> None:
    home, _ = running
    before = {name: (seen.pid, seen.restarts) for name, seen in until_all_ready(home).items()}
    root_pid = int(str(call(home, "hello")["pid"]))
    os.kill(root_pid, signal.SIGSTOP)
    eventually(lambda: gone(root_pid), "the root that hangs is dead", PATIENCE_S)
    eventually(lambda: bool(actors(home)), "the root answers again", PATIENCE_S)
    assert {name: (seen.pid, seen.restarts) for name, seen in until_all_ready(home).items()} == before


@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_ray_is_started_again_when_its_heart_is_killed(
    running: tuple[Path, subprocess.Popen[str]], victim: str
) -> None:
    home, process = running
    before = until_all_ready(home)
    heart = next(
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if not gone(child.pid) and (child.cmdline() or [""])[0].endswith(victim)
    )
    heart.kill()
    eventually(lambda: stage(home) != Stage.UP, "the guardian notices", PATIENCE_S)
    until_stage(home, process, Stage.UP)
    after = until_all_ready(home)
    assert {seen.pid for seen in after.values()}.isdisjoint({seen.pid for seen in before.values()})
    assert all(gone(seen.pid) for seen in before.values())


def test_servers_can_be_kept_and_a_stop_ends_them(running: tuple[Path, subprocess.Popen[str]]) -> None:
    home, process = running
    (home / "notes.jsonl").unlink()
    stop(home, STOP_S, keep_servers=True)
    assert notes(home) == [("gamma", "stopped"), ("beta", "stopped"), ("alpha", "stopped")]
    names = commands_below(process.pid)
    assert any("nats-server" in name for name in names)
    assert not any("ray" in name for name in names)
    stop(home, STOP_S)
    assert process.wait(STOP_S) == ExitCode.OK
    assert left_of(home) == []
    assert stage(home) == Stage.STOPPED
    with pytest.raises(NotRunning, match="no Titan runs under"):
        stop(home, STOP_S)


@pytest.mark.parametrize("step", ["starting postgres", "starting ray", "starting alpha"])
def test_an_interrupt_during_the_start_leaves_nothing(open_dir: Path, step: str) -> None:
    home = make_home(open_dir / f"cut{step[-3:]}")
    (home / "alpha.slow").touch()
    process = spawn(home)
    eventually(lambda: (state := read_state(home)) is not None and state.step == step, step, PATIENCE_S)
    process.send_signal(signal.SIGINT)
    assert process.wait(STOP_S) == ExitCode.OK
    assert left_of(home) == []
    assert stage(home) == Stage.STOPPED


def test_an_unreadable_feed_is_one_sentence_and_exit_code_four(open_dir: Path) -> None:
    home = make_home(open_dir / "feed", "replay:/nowhere/at/all.parquet")
    process = spawn(home)
    _, said = process.communicate(timeout=STOP_S)
    state = read_state(home)
    assert process.returncode == ExitCode.BAD_CONFIG
    assert state is not None
    assert (state.state, state.exit_code) == (Stage.FAILED, ExitCode.BAD_CONFIG)
    assert "/nowhere/at/all.parquet" in state.error
    assert said.strip().splitlines()[-1] == state.error
    assert left_of(home) == []


def test_an_actor_that_money_needs_and_that_is_misconfigured_fails_the_start(open_dir: Path) -> None:
    home = make_home(open_dir / "broken")
    (home / "alpha.breaks").touch()
    process = spawn(home)
    _, said = process.communicate(timeout=STOP_S)
    assert process.returncode == ExitCode.BAD_CONFIG
    assert said.strip().splitlines()[-1] == "alpha does not start: alpha is told to break"
    assert left_of(home) == []


def test_too_few_descriptors_are_one_sentence_before_anything_is_started(open_dir: Path) -> None:
    home = make_home(open_dir / "descriptors")
    command = f"ulimit -n 256; exec {sys.executable} -m supervisors.guardian --home {home} --groups {GROUPS}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=STOP_S, check=False
    )
    assert done.returncode == ExitCode.BAD_CONFIG
    assert "a process may open 256 files here, Ray and the servers need 1024" in done.stderr
    assert left_of(home) == []


def test_a_home_without_a_plan_is_refused(open_dir: Path) -> None:
    home = open_dir / "empty"
    home.mkdir()
    process = spawn(home)
    _, said = process.communicate(timeout=STOP_S)
    assert process.returncode == ExitCode.BAD_CONFIG
    assert "start Titan with `titan up`" in said


def test_a_killed_guardian_takes_everything_with_it(open_dir: Path) -> None:
    home = make_home(open_dir / "orphan")
    process = spawn(home)
    until_stage(home, process, Stage.UP)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    eventually(lambda: left_of(home) == [], f"nothing is left of {home}", PATIENCE_S)
    assert ("alpha", "stopped") in notes(home)


def test_a_start_ends_what_a_killed_guardian_and_a_killed_root_left_behind(open_dir: Path) -> None:
    home = make_home(open_dir / "again")
    first = spawn(home)
    until_stage(home, first, Stage.UP)
    orphans = family_of(home)
    for pid in (int(str(call(home, "hello")["pid"])), first.pid):
        os.kill(pid, signal.SIGKILL)
    first.wait()
    second = spawn(home)
    eventually(
        lambda: (state := read_state(home)) is not None and state.pid == second.pid,
        "the second guardian speaks",
        PATIENCE_S,
    )
    until_stage(home, second, Stage.UP)
    assert not any(orphan.lives() for orphan in orphans)
    assert all(seen.ready for seen in actors(home).values())
    stop(home, STOP_S)
    assert second.wait(STOP_S) == ExitCode.OK
    assert left_of(home) == []


def test_a_dashboard_that_is_killed_comes_back_and_nobody_else_notices(open_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    home = make_home(open_dir / "seen", dashboard=port)
    process = spawn(home)
    until_stage(home, process, Stage.UP)
    before = {name: (seen.pid, seen.restarts) for name, seen in until_all_ready(home).items()}

    def listener() -> int | None:
        seen = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
        pids = {each.pid for each in seen if each.laddr and each.laddr.port == port}
        return next(iter(pids), None)

    first = listener()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: listener() not in (None, first), "another dashboard serves", PATIENCE_S)
    assert stage(home) == Stage.UP
    assert {name: (seen.pid, seen.restarts) for name, seen in until_all_ready(home).items()} == before
    stop(home, STOP_S)
    assert process.wait(STOP_S) == ExitCode.OK
    assert left_of(home) == []


def test_the_live_profile_has_no_servers_of_its_own() -> None:
    assert guardian_tree(paper=False).workers() == ("ray",)
    assert guardian_tree(paper=True).workers() == ("nats", "postgres", "redis", "paper_venue", "ray")
