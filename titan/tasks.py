"""Ending background tasks for certain.

Guarantees: when `end_all` returns every task has ended. Before Python 3.12 `asyncio.wait_for` swallows a cancellation that
arrives together with its result, so one `cancel()` may go unheard and its task would be awaited for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

AGAIN_S = 0.2


async def end_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancels tasks again and again until all have ended. Their outcomes are not looked at."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
