"""What a campaign makes of the routers that led: who may still send, and who has a dead one's pid."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import orjson
import psutil
import pytest

from ops.chaos.eyes import _leaders
from titan.journal import StoredRow


@pytest.fixture
def router() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", "router"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def start(term: int, pid: int, at_ms: int) -> StoredRow:
    return StoredRow(term, term, "start", orjson.dumps({"pid": pid}), b"", at_ms)


def test_a_living_router_may_still_send(router: subprocess.Popen[bytes]) -> None:
    born_ms = int(psutil.Process(router.pid).create_time() * 1000)
    first, second = _leaders((start(1, router.pid, born_ms + 5_000), start(2, os.getpid(), born_ms + 9_000)))
    assert (first.ended_ms, second.ended_ms) == (None, born_ms + 9_000), "the second's pid is no router"


def test_who_was_born_later_is_another_with_the_same_pid(router: subprocess.Popen[bytes]) -> None:
    born_ms = int(psutil.Process(router.pid).create_time() * 1000)
    first, _ = _leaders((start(1, router.pid, born_ms - 5_000), start(2, os.getpid(), born_ms - 1_000)))
    assert first.ended_ms == born_ms - 1_000


def test_a_router_that_leads_again_has_one_reign(router: subprocess.Popen[bytes]) -> None:
    born_ms = int(psutil.Process(router.pid).create_time() * 1000)
    first, second = _leaders((start(1, router.pid, born_ms + 1_000), start(2, router.pid, born_ms + 2_000)))
    assert (first.ended_ms, second.ended_ms) == (born_ms + 2_000, None)
