"""The host's death link, without Ray: what it says, and that no call of it pends for ever."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from supervisors import host
from supervisors.host import Host
from supervisors.ray_life import RayLife


async def test_a_link_that_says_nothing_ends_after_its_time_so_that_a_dead_callers_connection_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "LINK_S", 0.01)
    hosted = Host()
    assert await hosted.run() == ""
    renewed = asyncio.create_task(hosted.run())
    await hosted.drain_and_stop(1.0)
    assert await hosted.run() == "stopped"
    assert await renewed in ("", "stopped")


async def test_the_supervisor_asks_again_until_there_is_a_last_word() -> None:
    words = ["", "", "stopped"]

    class Link:
        async def remote(self) -> str:
            return words.pop(0)

    class Handle:
        run = Link()

    class Silent(RayLife):
        def __init__(self) -> None:
            self._handle = cast("Any", Handle())

    assert await Silent()._follow() == "stopped"
    assert words == []
