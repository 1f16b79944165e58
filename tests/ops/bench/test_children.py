"""Processes of a bench: started at once, ended with the block, whatever happens."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
import pytest

from ops.bench.children import Child, started
from titan.errors import Fatal

PLAYER = "tests.ops.bench.player"


async def test_children_start_together_and_end_with_the_block() -> None:
    async with contextlib.AsyncExitStack() as stack:
        found = await started(stack, Child.run(PLAYER, "one"), Child.run(PLAYER, "two"))
        assert [child.ready["name"] for child in found] == ["one", "two"]
        assert all(psutil.pid_exists(child.pid) for child in found)
    assert not any(psutil.pid_exists(child.pid) for child in found)


async def test_a_child_that_does_not_start_is_an_error_with_its_last_words_and_nobody_stays(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(Fatal, match="no such part"):
        async with contextlib.AsyncExitStack() as stack:
            await started(stack, Child.run(PLAYER, "one", str(pids)), Child.run(PLAYER, "fails"))
    if pids.exists():
        assert not psutil.pid_exists(int(pids.read_text()))
