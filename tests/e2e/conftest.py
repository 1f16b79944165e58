"""One running Titan for a module."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import START_TIMEOUT_S, Running, processes_of, titan
from tests.waiting import eventually


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home that PostgreSQL's own user can reach; nothing may be left running for it afterwards."""
    path = Path(tempfile.mkdtemp(prefix="titan-e2e-"))
    path.chmod(0o711)
    yield path
    for process in processes_of(path):
        process.kill()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def traces_url() -> str:
    """Where the run sends its traces; a module with a collector gives its address."""
    return ""


@pytest.fixture(scope="module")
def running(home: Path, traces_url: str) -> Iterator[Running]:
    """Titan on a synthetic market at sixty times its speed, the router's loop alone on core 1 where there is one."""
    env = {"TITAN_ROUTER_CPU": "1"} if 1 in os.sched_getaffinity(0) else {}
    if traces_url:
        env["TITAN_TRACES_URL"] = traces_url
    arguments = ("up", "--detach", "--feed", "synthetic:42", "--speed", "60")
    try:
        started = titan(home, *arguments, timeout_s=START_TIMEOUT_S, env=env)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"not up in time: {error.stdout!r} {error.stderr!r}") from error
    assert started.returncode == 0, started.stderr + started.stdout
    yield Running(home)
    stopped = titan(home, "down", timeout_s=90)
    assert stopped.returncode == 0, stopped.stderr
    eventually(lambda: not processes_of(home), "every process of the run is gone", 20)
