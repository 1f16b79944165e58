"""Nodes of a drill: where a process stands, and that a killed node takes everything on it along."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from ops.drill import nodes
from ops.drill.nodes import HEAD, Nodes
from ops.drill.stage import Stage
from tests.waiting import eventually


def test_a_killed_node_takes_everything_below_it_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: object, **__: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["/bin/sh", "-c", "sleep 60 & wait"])
        started.append(process)
        return process

    monkeypatch.setattr(nodes, "start_process", start)
    made = Nodes(Stage(tmp_path, {}))
    try:
        for name in nodes.NODES:
            made.start(name)
        one, two = (eventually(lambda at=at: psutil.Process(at.pid).children(), "an actor")[0].pid for at in started)  # type: ignore[misc]
        assert [made.where(pid) for pid in (one, two, 1)] == ["one", "two", HEAD]
        made.kill("one")
        assert [made.where(pid) for pid in (one, two)] == [HEAD, "two"]
        assert not psutil.pid_exists(one) or psutil.Process(one).status() == psutil.STATUS_ZOMBIE
        assert psutil.pid_exists(two)
    finally:
        for name in nodes.NODES:
            made.kill(name)


def test_a_node_has_joined_when_it_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, {})
    made = Nodes(stage)
    stage.log("node-one").write_text("")
    assert not made.joined("one")
    stage.log("node-one").write_text('{"joined": true, "roles": ["brain"], "raylet_pid": 1}\n')
    assert made.joined("one")
