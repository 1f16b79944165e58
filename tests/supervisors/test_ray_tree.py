"""The tree on a real Ray with tiny actors: one head for all these tests."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from protos import system_pb2 as pb
from supervisors.ray_node import RayNode, family_of
from tests.supervisors.fixtures.actors import inbox_of
from tests.supervisors.live import PATIENCE_S, Seen, actors, call, gone, left_of, notes, until_actor, until_all_ready
from tests.waiting import eventually
from titan import subjects
from titan.bus import Received, open_bus
from titan.runtime import Runtime
from titan.servers import Addresses
from titan.testing import runtime_for_tests

pytestmark = pytest.mark.e2e
# A busy machine looks late; what is asserted is that the limits are those of the table.
SLACK_S = 2.0
GROUPS = "tests.supervisors.fixtures.groups:GROUPS"
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.fixture(scope="module")
def node(open_dir: Path, nats_server: Addresses) -> Iterator[RayNode]:
    home = open_dir / "tree"
    home.mkdir()
    runtime_for_tests(
        home,
        nats_url=nats_server.nats_url,
        nats_user=nats_server.nats_user,
        nats_password=nats_server.nats_password,
        memory_warn_mb=350,
        memory_recycle_mb=380,
        spares=1,
    )
    made = RayNode(home, dashboard=False, groups=GROUPS)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(made.start())
        yield made
        runner.run(made.stop())
    assert made.family() == []
    assert left_of(home) == []


@pytest.fixture(scope="module")
def started(node: RayNode) -> RayNode:
    """The tree, up."""
    answer = call(node.home, "up", timeout_s=60.0)
    assert answer == {"ready": True, "problems": {}}
    return node


@pytest.fixture
def home(started: RayNode) -> Path:
    """The home of a tree in which every actor is Ready and nobody is told to misbehave."""
    for told in ("crashes", "stalls", "hangs", "eats", "busy"):
        for path in started.home.glob(f"*.{told}"):
            path.unlink()
    for name, seen in actors(started.home).items():
        if seen.state == "QUARANTINED":
            call(started.home, "restart", name=name, reason="next test")
    until_all_ready(started.home)
    return started.home


def test_each_actor_is_ready_before_the_next_begins(home: Path) -> None:
    first_life = [note for note in notes(home) if note[1] in {"starting", "ready"}][:6]
    assert first_life == [
        ("alpha", "starting"),
        ("alpha", "ready"),
        ("beta", "starting"),
        ("beta", "ready"),
        ("gamma", "starting"),
        ("gamma", "ready"),
    ]


def test_every_socket_of_ray_and_its_actors_is_loopback(started: RayNode, home: Path) -> None:
    pids = {process.pid for process in started.family()}
    assert len(pids) >= 7, "head, raylet, two agents, root and the actors"
    listening = {
        (connection.pid, connection.laddr.ip)
        for connection in psutil.net_connections("inet")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN and connection.laddr
    }
    assert {pid for pid, _ in listening} >= {actor.pid for actor in actors(home).values()}
    assert {ip for _, ip in listening} <= LOOPBACK


def test_ray_asks_for_the_token_of_the_home(started: RayNode) -> None:
    assert stat.S_IMODE(started.token_path.stat().st_mode) == 0o600
    environment = Path(f"/proc/{started.booted.raylet_pid}/environ").read_bytes().split(b"\0")  # type: ignore[union-attr]
    assert b"RAY_AUTH_MODE=token" in environment
    assert f"RAY_AUTH_TOKEN_PATH={started.token_path}".encode() in environment
    assert b"RAY_memory_monitor_refresh_ms=0" in environment, "nobody but the supervisor decides who eats too much"


def test_workers_run_at_the_niceness_of_everybody_and_say_who_they_are(home: Path) -> None:
    alpha = psutil.Process(actors(home)["alpha"].pid)
    assert alpha.nice() == psutil.Process().nice()
    eventually(lambda: alpha.cmdline()[0].startswith("ray::Alpha"), "also one that was a spare has its actor's name")


def test_the_node_says_that_it_is_healthy(started: RayNode) -> None:
    assert asyncio.run(started.healthy()) == ""


def test_a_killed_actor_is_back_with_a_higher_incarnation(home: Path) -> None:
    before = actors(home)["alpha"]
    os.kill(before.pid, signal.SIGKILL)
    after = until_actor(
        home, "alpha", lambda seen: seen.ready and seen.restarts == before.restarts + 1, "is back after a kill"
    )
    assert after.incarnation == before.incarnation + 1
    assert after.pid != before.pid
    assert after.last_exit == f"process {before.pid} was killed or ended"


def test_a_terminated_actor_drains_stops_and_comes_back(home: Path) -> None:
    before = actors(home)["alpha"]
    stops = notes(home).count(("alpha", "stopped"))
    os.kill(before.pid, signal.SIGTERM)
    after = until_actor(home, "alpha", lambda seen: seen.ready and seen.pid != before.pid, "is back after a SIGTERM")
    assert after.last_exit == "stopped"
    assert notes(home).count(("alpha", "stopped")) == stops + 1


def test_a_restart_takes_the_spare_and_makes_another(home: Path) -> None:
    def spare() -> int:
        return next((each.pid for each in family_of(home) if title(each.pid).startswith("ray::Spare")), 0)

    waiting = eventually(spare, "a spare waits")
    before = actors(home)["alpha"]
    os.kill(before.pid, signal.SIGKILL)
    after = until_actor(home, "alpha", lambda seen: seen.ready and seen.pid != before.pid, "is back")
    assert after.pid == waiting
    assert eventually(lambda: spare() not in (0, waiting), "another spare")


def title(pid: int) -> str:
    try:
        return (psutil.Process(pid).cmdline() or [""])[0]
    except psutil.Error:
        return ""


def silence_of(seen: Seen) -> float:
    """For how long the last life had been silent when it was killed."""
    found = re.match(r"silent for (\d+\.\d) s", seen.last_exit)
    assert found is not None, seen.last_exit
    return float(found[1])


def test_a_stopped_process_is_silent_and_replaced(home: Path) -> None:
    before = actors(home)["alpha"]
    os.kill(before.pid, signal.SIGSTOP)
    after = until_actor(
        home, "alpha", lambda seen: seen.ready and seen.restarts == before.restarts + 1, "is back after a stop"
    )
    assert after.last_exit.startswith("silent for ")
    assert gone(before.pid)


@pytest.mark.parametrize(("name", "within_s"), [("alpha", 1.0), ("gamma", 3.0)])
def test_a_loop_that_hangs_is_found_and_replaced(home: Path, name: str, within_s: float) -> None:
    before = actors(home)[name]
    (home / f"{name}.hangs").touch()
    eventually(lambda: gone(before.pid), f"{name} is dead", PATIENCE_S)
    (home / f"{name}.hangs").unlink()
    after = until_actor(home, name, lambda seen: seen.ready and seen.pid != before.pid, "is back after a hang")
    assert silence_of(after) < within_s + SLACK_S
    assert after.restarts == before.restarts + 1


def tell(home: Path, name: str) -> None:
    """A message for a tiny actor."""

    async def publish() -> None:
        async with open_bus(Runtime.load(home), "gateway") as bus:
            await bus.publish(inbox_of(name), pb.Alert(code="TOLD"))

    asyncio.run(publish())


# Another phase than above: two deaths within a minute are one too many for the same.
@pytest.mark.parametrize(("name", "within_s"), [("alpha", 1.0), ("beta", 3.0)])
def test_a_consumer_that_stopped_consuming_is_found_although_its_loop_runs(
    home: Path, name: str, within_s: float
) -> None:
    before = actors(home)[name]
    (home / f"{name}.stalls").touch()
    tell(home, name)
    eventually(lambda: gone(before.pid), f"{name} is dead", PATIENCE_S)
    (home / f"{name}.stalls").unlink()
    after = until_actor(home, name, lambda seen: seen.ready and seen.pid != before.pid, "is back after a stall")
    assert silence_of(after) < within_s + SLACK_S
    assert f": {inbox_of(name)} has not moved for " in after.last_exit


def test_a_process_that_was_stopped_never_wakes_beside_its_successor(home: Path) -> None:
    before = actors(home)["alpha"]
    os.kill(before.pid, signal.SIGSTOP)
    os.kill(int(str(call(home, "hello")["pid"])), signal.SIGKILL)
    after = until_actor(home, "alpha", lambda seen: seen.ready and seen.pid != before.pid, "is replaced")
    assert gone(before.pid), f"{before.pid} is still there beside {after.pid}"


def test_an_actor_that_eats_too_much_is_recycled_once_nothing_is_in_flight(home: Path) -> None:
    before = actors(home)["gamma"]
    stopped = notes(home).count(("gamma", "stopped"))
    (home / "gamma.busy").touch()
    until_actor(home, "gamma", lambda seen: seen.busy, "says that an order is in flight")
    (home / "gamma.eats").touch()
    until_actor(home, "gamma", lambda seen: seen.resident_bytes > 380_000_000, "has eaten")
    assert actors(home)["gamma"].pid == before.pid
    (home / "gamma.busy").unlink()
    after = until_actor(home, "gamma", lambda seen: seen.ready and seen.recycles == before.recycles + 1, "is recycled")
    assert after.pid != before.pid
    assert (after.restarts, after.graceful_restarts) == (before.restarts, before.graceful_restarts)
    assert notes(home).count(("gamma", "stopped")) == stopped + 1, "it was drained and stopped, not killed"


def test_a_graceful_restart_drains_and_is_counted_apart(home: Path) -> None:
    before = actors(home)["gamma"]
    count = notes(home).count(("gamma", "stopped"))
    assert call(home, "restart", name="gamma", reason="test") == {"accepted": True, "detail": ""}
    after = until_actor(
        home,
        "gamma",
        lambda seen: seen.ready and seen.incarnation == before.incarnation + 1,
        "is back after a graceful restart",
    )
    assert notes(home).count(("gamma", "stopped")) == count + 1
    assert (after.restarts, after.graceful_restarts) == (before.restarts, before.graceful_restarts + 1)


def test_a_crash_loop_is_quarantined_while_the_others_live(home: Path) -> None:
    before = actors(home)
    (home / "beta.crashes").touch()
    seen = until_actor(home, "beta", lambda seen: seen.state == "QUARANTINED", "is quarantined")
    assert seen.last_exit == "ValueError: beta is told to crash"
    now = actors(home)
    assert {name: now[name].pid for name in ("alpha", "gamma")} == {
        name: before[name].pid for name in ("alpha", "gamma")
    }


def test_a_killed_root_comes_back_and_restarts_nobody(home: Path) -> None:
    before = actors(home)
    root_pid = int(str(call(home, "hello")["pid"]))
    os.kill(root_pid, signal.SIGKILL)
    eventually(lambda: bool(actors(home)), "the root answers again", PATIENCE_S)
    after = until_all_ready(home)
    assert call(home, "hello")["pid"] != root_pid
    identity = {name: (seen.pid, seen.incarnation, seen.restarts) for name, seen in before.items()}
    assert {name: (seen.pid, seen.incarnation, seen.restarts) for name, seen in after.items()} == identity


def test_an_actor_killed_together_with_the_root_is_started_and_counted(home: Path) -> None:
    before = actors(home)
    os.kill(int(str(call(home, "hello")["pid"])), signal.SIGKILL)
    os.kill(before["alpha"].pid, signal.SIGKILL)
    after = until_actor(home, "alpha", lambda seen: seen.ready and seen.pid != before["alpha"].pid, "is back")
    assert after.restarts == before["alpha"].restarts + 1
    assert actors(home)["gamma"].pid == before["gamma"].pid


def test_an_unknown_actor_is_refused_with_the_names_that_are(home: Path) -> None:
    assert call(home, "restart", name="zeta", reason="test") == {
        "error": "there is no actor 'zeta'; there are: alpha, beta, gamma"
    }


async def test_the_bus_hears_of_actors_and_restarts_and_can_ask_for_both(home: Path) -> None:
    restarted: asyncio.Queue[pb.ActorRestarted] = asyncio.Queue()
    shown: asyncio.Queue[pb.ActorsSnapshot] = asyncio.Queue()

    async def on_restarted(received: Received[pb.ActorRestarted]) -> None:
        restarted.put_nowait(received.message)

    async def on_shown(received: Received[pb.ActorsSnapshot]) -> None:
        shown.put_nowait(received.message)

    async with open_bus(Runtime.load(home), "gateway") as bus, asyncio.timeout(60):
        await bus.subscribe(subjects.ACTOR_RESTARTED, pb.ActorRestarted, on_restarted)
        await bus.subscribe(subjects.ACTORS, pb.ActorsSnapshot, on_shown)
        snapshot = await bus.request(subjects.RPC_ACTORS, pb.ActorsRequest(), pb.ActorsSnapshot, 30)
        assert [actor.name for actor in snapshot.actors] == ["alpha", "beta", "gamma"]
        assert all(list(actor.cpus) for actor in snapshot.actors)
        reply = await bus.request(
            subjects.RPC_RESTART,
            pb.RestartActorRequest(name="gamma", reason="by bus", operator_id="tester"),
            pb.RestartActorReply,
        )
        assert reply.accepted
        # News of the tests before may still be on the way.
        while (event := await restarted.get()).name != "gamma" or not event.graceful:
            continue
        assert (event.name, event.reason, event.graceful) == ("gamma", "tester: by bus", True)
        unknown = await bus.request(subjects.RPC_RESTART, pb.RestartActorRequest(name="zeta"), pb.RestartActorReply)
        assert (unknown.accepted, unknown.code) == (False, "NOT_FOUND")
        assert (await shown.get()).actors[0].supervisor == "money"


def test_the_tree_stops_from_right_to_left_and_starts_again(home: Path) -> None:
    (home / "notes.jsonl").unlink()
    assert call(home, "down", timeout_s=30.0) == {"clean": True}
    assert notes(home) == [("gamma", "stopped"), ("beta", "stopped"), ("alpha", "stopped")]
    assert {seen.state for seen in actors(home).values()} == {"STOPPED"}
    assert call(home, "up", timeout_s=60.0) == {"ready": True, "problems": {}}
