"""Tasks that are told to end do end."""

from __future__ import annotations

import asyncio

from titan.tasks import end_all


async def test_a_task_that_swallows_its_first_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 1:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await end_all([task])
    assert task.cancelled()
    assert swallowed == 2


async def test_tasks_that_have_ended_are_left_alone() -> None:
    async def short() -> None:
        return None

    task = asyncio.create_task(short())
    await task
    await end_all([task])
    assert not task.cancelled()
