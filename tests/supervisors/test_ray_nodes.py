"""Several Ray nodes of one home on one machine: actors stand where their role is, and move when a node dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from supervisors.ray_join import read_head, roles_of
from supervisors.ray_node import CHECKOUT, RayNode
from tests.supervisors.live import actors, call, left_of, notes, until_actor
from tests.waiting import eventually
from titan.errors import ConfigError, ExitCode
from titan.servers import Addresses
from titan.testing import runtime_for_tests

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
GROUPS = "tests.supervisors.fixtures.nodes:GROUPS"
JOIN_S = 60


class Joined:
    """One node process."""

    def __init__(self, home: Path, roles: str) -> None:
        command = [sys.executable, "-m", "supervisors.ray_join", "--home", str(home), "--roles", roles]
        self.process = subprocess.Popen(
            command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def workers(self) -> set[int]:
        """Every process below this node."""
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    def until_joined(self) -> int:
        """The raylet's pid."""
        assert self.process.stdout is not None
        return int(json.loads(self.process.stdout.readline())["raylet_pid"])

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def cluster(open_dir: Path, nats_server: Addresses) -> Iterator[tuple[Path, dict[str, Joined]]]:
    home = open_dir / "nodes"
    home.mkdir()
    to = nats_server
    runtime_for_tests(home, nats_url=to.nats_url, nats_user=to.nats_user, nats_password=to.nats_password)
    # Nodes may come before their head; both wait for each other.
    joined = {name: Joined(home, roles) for name, roles in (("a", "brain"), ("b", "brain"), ("c", "scavenger"))}
    head = RayNode(home, dashboard=False, groups=GROUPS, nodes=("brain", "scavenger"))
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(head.start())
        try:
            for node in joined.values():
                node.until_joined()
            assert call(home, "up", timeout_s=60.0) == {"ready": True, "problems": {}}
            yield home, joined
        finally:
            for node in joined.values():
                node.end()
            runner.run(head.stop())
    assert left_of(home) == []


def where(pid: int, joined: dict[str, Joined]) -> str:
    """The node that a process runs below; "head" for none of those that joined."""
    living = {name: node for name, node in joined.items() if node.process.poll() is None}
    return next((name for name, node in living.items() if pid in node.workers), "head")


def test_actors_stand_where_their_role_is(cluster: tuple[Path, dict[str, Joined]]) -> None:
    home, joined = cluster
    places = {name: where(actor.pid, joined) for name, actor in actors(home).items()}
    assert places["alpha"] in {"a", "b"}
    assert places["beta"] == "c"
    assert places["gamma"] == "head"


def test_an_actor_moves_when_its_node_is_killed_and_never_runs_twice(cluster: tuple[Path, dict[str, Joined]]) -> None:
    home, joined = cluster
    before = actors(home)
    place = where(before["alpha"].pid, joined)
    victim = joined[place]
    for pid in (victim.process.pid, *victim.workers):
        os.kill(pid, signal.SIGKILL)
    until_actor(home, "alpha", lambda seen: seen.ready and seen.incarnation > before["alpha"].incarnation, "moves")
    after = actors(home)
    assert where(after["alpha"].pid, joined) in {"a", "b"} - {place}
    assert not psutil.pid_exists(before["alpha"].pid)
    assert {name: after[name].pid for name in ("beta", "gamma")} == {
        name: before[name].pid for name in ("beta", "gamma")
    }
    incarnations = [note for note in notes(home) if note[0] == "alpha" and note[1] == "ready"]
    assert len(incarnations) == 2, "an attempt on the dead node never became an actor"


def test_a_role_without_a_node_waits_for_one(cluster: tuple[Path, dict[str, Joined]]) -> None:
    home, joined = cluster
    before = actors(home)["beta"]
    assert joined["c"].end() == ExitCode.OK
    until_actor(home, "beta", lambda seen: not seen.ready, "waits")
    joined["d"] = Joined(home, "scavenger")
    joined["d"].until_joined()
    until_actor(home, "beta", lambda seen: seen.ready and seen.pid != before.pid, "is back")
    assert where(actors(home)["beta"].pid, joined) == "d"


def test_a_node_ends_with_its_raylet(cluster: tuple[Path, dict[str, Joined]]) -> None:
    home, joined = cluster
    node = joined["e"] = Joined(home, "brain")
    os.kill(node.until_joined(), signal.SIGKILL)
    assert node.process.wait(30) == ExitCode.FAILED
    assert node.process.stderr is not None
    assert "its raylet died" in node.process.stderr.read()
    eventually(lambda: read_head(home) is not None, "the head goes on", 10)


def test_an_unknown_role_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'brian' names no roles of a node; known: brain, execution, scavenger"):
        roles_of("brian")
