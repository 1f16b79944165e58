"""Cores, sockets, state, table: the small parts around the machine."""

from __future__ import annotations

import asyncio
import errno
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import supervisors.state
from protos import system_pb2 as pb
from supervisors.control import Answer, ControlServer, Fields, ask
from supervisors.cores import plan_cores
from supervisors.launch import LaunchPlan
from supervisors.processes import Death, Reaper, bury, cpus_of, kill_all, mark_of, marked, pss_bytes
from supervisors.pulse import PulseSocket, check_socket_path
from supervisors.ray_node import LONGEST_TEMP_DIR, RayNode, ray_environment, temp_dir_of
from supervisors.ray_stack import _failure
from supervisors.server_life import venue_arguments
from supervisors.spec import Escalation
from supervisors.state import Lock, Stage, StateFile, read_state, stop
from supervisors.tree import GROUPS, GROUPS_WITH_STANDBY, actors_of, load_groups, needed_of, tree_of
from tests.waiting import eventually
from titan.actor import load_actor
from titan.errors import ConfigError, ExitCode, NotRunning, TimedOut
from titan.runtime import ApiTokens, HmacKey
from titan.servers.identity import ProcessId

FOUR = frozenset({0, 1, 2, 3})


def sleeper(home: Path | None = None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **(mark_of(home) if home is not None else {})}
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=environment)


# Cores


def test_from_four_cores_up_the_router_has_the_last_one_for_itself() -> None:
    plan = plan_cores("auto", FOUR)
    assert (plan.router, plan.others, plan.setting) == (3, frozenset({0, 1, 2}), "3")


def test_on_fewer_cores_the_routers_core_is_shared() -> None:
    plan = plan_cores("auto", frozenset({0, 1}))
    assert (plan.router, plan.others) == (1, frozenset({0, 1}))


def test_a_named_core_is_kept_free_on_any_machine_that_has_another() -> None:
    assert plan_cores("1", frozenset({0, 1})).others == {0}
    assert plan_cores("0", frozenset({0})).others == {0}


def test_off_pins_nobody() -> None:
    plan = plan_cores("off", FOUR)
    assert (plan.router, plan.others, plan.setting) == (None, FOUR, "off")


@pytest.mark.parametrize("setting", ["9", "-1", "last", ""])
def test_a_core_that_is_not_there_is_refused_with_those_that_are(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a core of this machine: use auto, off or one of 0, 1, 2, 3"):
        plan_cores(setting, FOUR)


# The table


def test_every_actor_of_the_table_exists() -> None:
    for actor in actors_of(GROUPS_WITH_STANDBY).values():
        assert load_actor(actor.path).name == actor.name
        assert actor.ray_name == f"titan.{actor.name}"


def test_money_halts_phases_are_quarantined_edge_degrades() -> None:
    assert {group.name: group.escalation for group in GROUPS} == {
        "money": Escalation.HALT,
        "phases": Escalation.QUARANTINE,
        "edge": Escalation.DEGRADE,
    }
    assert needed_of() == ("router", "execution", "brain")
    assert needed_of(GROUPS_WITH_STANDBY) == needed_of()


def test_the_router_may_be_silent_for_one_second_and_others_for_three() -> None:
    assert {
        actor.name: actor.silence_ms for actor in actors_of(GROUPS_WITH_STANDBY).values() if actor.silence_ms != 3_000
    } == {
        "router": 1_000,
        "router_standby": 1_000,
    }


def test_the_start_order_is_money_phases_edge() -> None:
    order = ("router", "execution", "brain", "market_data", "scavenger", "gateway")
    assert tree_of().workers() == order
    assert tree_of(GROUPS_WITH_STANDBY).workers() == ("router", "router_standby", *order[1:])


def test_a_table_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no table of groups at 'supervisors.tree:NOTHING'"):
        load_groups("supervisors.tree:NOTHING")


def test_the_guardian_and_its_parts_never_import_ray() -> None:
    code = "import supervisors.guardian, sys; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Sockets


async def test_heartbeats_arrive_and_garbage_is_counted(tmp_path: Path) -> None:
    seen: list[pb.Heartbeat] = []
    path = tmp_path / "h.sock"
    pulse = PulseSocket(path, seen.append)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"\xff\xff", str(path))
        sender.sendto(pb.Heartbeat(service="brain", progress=4).SerializeToString(), str(path))
    async with asyncio.timeout(10):
        while not seen:
            await asyncio.sleep(0.005)
    assert (seen[0].service, seen[0].progress, pulse.undecodable) == ("brain", 4, 1)
    pulse.close()
    assert not path.exists()


def test_a_home_too_long_for_sockets_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigError, match="TITAN_HOME is too long"):
        check_socket_path(Path("/") / ("x" * 120))


async def test_the_control_socket_answers_and_survives_nonsense(tmp_path: Path) -> None:
    async def handler(verb: str, fields: Fields) -> Answer:
        if verb != "hello":
            raise ValueError(f"unknown verb {verb!r}")
        return {"name": fields["name"]}

    server = ControlServer(tmp_path / "root.sock", handler)
    await server.start()
    assert await ask(tmp_path, "hello", 5, name="me") == {"name": "me"}
    assert await ask(tmp_path, "dance", 5) == {"error": "unknown verb 'dance'"}
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "root.sock"))
    writer.write(b"[1]\n")
    assert "error" in json.loads(await reader.readline())
    writer.close()
    assert (tmp_path / "root.sock").stat().st_mode & 0o777 == 0o600
    server.close()


async def test_a_root_that_is_not_there_or_does_not_answer_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="does not listen"):
        await ask(tmp_path, "hello", 5)

    async def silent(_verb: str, _fields: Fields) -> Answer:
        await asyncio.Event().wait()
        return {}

    server = ControlServer(tmp_path / "root.sock", silent)
    await server.start()
    with pytest.raises(TimedOut, match=r"did not answer 'hello' within 0.05 s"):
        await ask(tmp_path, "hello", 0.05)
    server.close()


# Processes


async def test_a_death_is_proven_by_the_kernel() -> None:
    process = sleeper()
    death = Death(process.pid)
    assert not death.proven
    death.kill()
    async with asyncio.timeout(10):
        await death.wait()
    death.kill()
    death.close()
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        Death(process.pid)


async def test_a_death_is_noticed_within_50_ms() -> None:
    took_ms = []
    for _ in range(10):
        process = sleeper()
        death = Death(process.pid)
        began = time.monotonic()
        process.kill()
        await asyncio.wait_for(death.wait(), 20)
        took_ms.append((time.monotonic() - began) * 1000)
        death.close()
        process.wait()
    # The best of ten: a busy machine may be late, a supervisor that polls would always be.
    assert min(took_ms) < 50


def test_what_carries_the_mark_of_a_home_is_found_and_killed(tmp_path: Path) -> None:
    ours, other = sleeper(tmp_path), sleeper(tmp_path / "other")
    try:
        found: list[ProcessId] = []
        while not found:
            found = marked(tmp_path)
        assert [process.pid for process in found] == [ours.pid]
        assert pss_bytes(ours.pid) > 0
        assert cpus_of(ours.pid) == sorted(os.sched_getaffinity(0))
        assert kill_all(found, 10) == []
        assert ours.wait() == -signal.SIGKILL
        assert other.poll() is None
    finally:
        ours.kill()
        other.kill()
        ours.wait()
        other.wait()
    assert (cpus_of(ours.pid), pss_bytes(ours.pid)) == ([], 0)


# State


def test_the_state_says_who_where_and_what_went_wrong(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert read_state(tmp_path) is None
    file = StateFile(tmp_path / "run")
    file.know(dashboard_url="http://127.0.0.1:1", router_cpu=3)
    file.say(Stage.FAILED, "failed", error="no room", exit_code=4)
    state = read_state(tmp_path)
    assert state is not None
    assert (state.pid, state.alive, state.state, state.error, state.exit_code) == (
        os.getpid(),
        True,
        "failed",
        "no room",
        4,
    )
    assert (state.dashboard_url, state.router_cpu) == ("http://127.0.0.1:1", 3)


def test_a_full_disk_does_not_end_a_guardian_that_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    file = StateFile(tmp_path / "run")
    file.say(Stage.UP, "up")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(supervisors.state, "write_private", full)
        file.say(Stage.RECOVERING, "paper_venue: ended")
        with pytest.raises(OSError, match="No space"):
            StateFile(tmp_path / "run").say(Stage.STARTING, "reading the plan")
    assert file.last.state == "recovering"
    file.say(Stage.UP, "up again")
    state = read_state(tmp_path)
    assert state is not None
    assert state.step == "up again"


def test_a_home_without_a_guardian_can_not_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="start it with `titan up`"):
        stop(tmp_path, 1)


def test_a_guardian_that_does_not_stop_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    StateFile(tmp_path / "run").say(Stage.UP, "up")
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        raw = json.loads((tmp_path / "run" / "guardian.json").read_text())
        identity = ProcessId.of(process.pid)
        assert identity is not None
        raw["process"] = {"pid": identity.pid, "start": identity.start, "argv_sha256": identity.argv_sha256}
        (tmp_path / "run" / "guardian.json").write_text(json.dumps(raw))
        with pytest.raises(TimedOut, match=f"pid {process.pid}"):
            stop(tmp_path, 0.1)
    finally:
        process.kill()
        process.wait()


def test_one_guardian_a_home(tmp_path: Path) -> None:
    first = Lock(tmp_path)
    first.take(tmp_path, 0.1)
    with pytest.raises(ConfigError, match="a Titan runs under"):
        Lock(tmp_path).take(tmp_path, 0.1)


# Ray and the venue, as they are told to be


def test_rays_folder_moves_to_tmp_when_sockets_would_not_fit() -> None:
    assert temp_dir_of(Path("/srv/me/.titan")) == Path("/srv/me/.titan/run/ray")
    far = temp_dir_of(Path("/srv/somebody/projects/trading/titan/.titan"))
    assert (far.parent.parent, far.name) == (Path("/tmp"), "ray")
    assert len(str(far)) <= LONGEST_TEMP_DIR


def test_secrets_of_the_environment_do_not_reach_rays_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HMAC_SECRET", "BYBIT_API_SECRET", "TITAN_DB_PASSWORD", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "secret")
    environment = RayNode(tmp_path, dashboard=False).environment()
    assert "secret" not in environment.values()
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert ray_environment(tmp_path, tmp_path / "token", "s")["TITAN_HOME"] == str(tmp_path)


def test_the_venue_is_told_everything_that_was_planned(tmp_path: Path) -> None:
    plan = LaunchPlan(
        home=tmp_path,
        feed="replay:/data/t.parquet",
        speed=60,
        symbols=("BTC/USDT:USDT",),
        warmup_file=Path("/data/c.parquet"),
        ports={},
        hmac_key=HmacKey(key_id="k", secret="s"),
        api_tokens=ApiTokens(),
        policy_path=tmp_path,
    )
    text = " ".join(venue_arguments(plan, 1234, 1235))
    assert text == (
        f"--feed replay:/data/t.parquet --home {tmp_path} --speed 60 --port 1234 --admin-port 1235 --balance 100000 "
        "--speaks bybit --warmup-file /data/c.parquet --symbols BTC/USDT:USDT"
    )


def test_a_failed_start_says_whose_and_why_with_the_exit_code_of_its_error() -> None:
    bad = _failure({"router": "ConfigError: no such policy"})
    assert (str(bad), bad.exit_code) == ("router does not start: no such policy", ExitCode.BAD_CONFIG)
    taken = _failure({"brain": "OSError: [Errno 98] error while attempting to bind on address ('127.0.0.1', 3100)"})
    assert taken.exit_code is ExitCode.BAD_CONFIG
    assert "its port is taken" in str(taken)
    assert "3100" in str(taken)
    other = _failure({"router": "KeyError: 'x'"})
    assert (str(other), other.exit_code) == ("router does not start: KeyError: 'x'", ExitCode.FAILED)


def test_the_rooms_public_modules_import_alone() -> None:
    for name in ("launch", "state", "control", "tree"):
        importlib.import_module(f"supervisors.{name}")


def test_only_a_worker_of_the_home_is_buried(tmp_path: Path) -> None:
    home, sleep = tmp_path / "home", "import time; time.sleep(600)"
    ours = subprocess.Popen(
        ["ray::Router", "-c", sleep], executable=sys.executable, env={**os.environ, **mark_of(home)}
    )
    strangers = [
        subprocess.Popen(["ray::Router", "-c", sleep], executable=sys.executable),
        subprocess.Popen([sys.executable, "-c", sleep], env={**os.environ, **mark_of(home)}),
    ]
    try:
        for each in (ours, strangers[0]):
            eventually(lambda pid=each.pid: psutil.Process(pid).cmdline()[:1] == ["ray::Router"], "it runs")  # type: ignore[misc]
        ours.send_signal(signal.SIGSTOP)
        assert all(bury(each.pid, home, 5.0) for each in (ours, *strangers))
        assert ours.wait(10) == -signal.SIGKILL
        assert [each.poll() for each in strangers] == [None, None]
        assert bury(ours.pid, home, 5.0), "who is gone needs no burial"
    finally:
        for each in (ours, *strangers):
            each.kill()
            each.wait()


def test_an_orphan_that_leads_a_session_of_its_own_is_collected_when_nobody_else_does() -> None:
    # A child of our own making is nobody's orphan, but once it has ended it looks like one: only time tells them apart.
    child = subprocess.Popen(["true"], start_new_session=True)
    process = psutil.Process(child.pid)
    eventually(lambda: process.status() == psutil.STATUS_ZOMBIE, "it has ended")
    patient = Reaper(60.0)
    patient.reap()
    patient.reap()
    assert process.status() == psutil.STATUS_ZOMBIE
    hasty = Reaper(0.0)
    hasty.reap()
    assert not psutil.pid_exists(child.pid)
    child.wait()
