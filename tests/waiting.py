"""Waiting on conditions: the only way a test waits."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

POLL_S = 0.01


async def until(probe: Callable[[], Any], what: str = "", timeout_s: float = 20.0) -> Any:
    """The first true value of `probe`, which may be a coroutine function; fails naming what never came."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(_never(probe, what, timeout_s))
        await asyncio.sleep(POLL_S)


def eventually(probe: Callable[[], T | None], what: str = "", timeout_s: float = 30.0) -> T:
    """The same without an event loop."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(_never(probe, what, timeout_s))
        time.sleep(5 * POLL_S)


def _never(probe: Callable[[], object], what: str, timeout_s: float) -> str:
    return f"not within {timeout_s:g} s: {what or getattr(probe, '__name__', 'the condition')}"
