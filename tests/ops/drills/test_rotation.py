"""What a rotation believes at each of its steps, asked of the bus itself: real NATS, the judges that brain and router use."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ops.drill.rotation import SIGNED, expect
from ops.drill.stage import Broken
from protos import trading_pb2
from titan import subjects
from titan.bus import Bus, Received
from titan.codes import DeadLetterReason
from titan.runtime import HmacKey, Runtime, VenueAddress
from titan.servers import Kind, embedded
from titan.testing import runtime_for_tests

OLD, NEW = HmacKey(key_id="default", secret="o" * 32), HmacKey(key_id="rotated", secret="n" * 32)
FORGOTTEN = DeadLetterReason.UNKNOWN_KEY


@asynccontextmanager
async def judged(current: HmacKey, other: HmacKey | None) -> AsyncIterator[Runtime]:
    """A bus on which brain and router listen with these keys."""
    with tempfile.TemporaryDirectory(prefix="titan-rotation-") as scratch:
        home = Path(scratch)
        async with embedded(home, {Kind.NATS}) as addresses:
            made = runtime_for_tests(home, nats_url=addresses.nats_url, venues=(VenueAddress(name="bybit"),))
            runtime = made.model_copy(update={"hmac_key": current, "hmac_key_next": other, "fast_lane": False})
            brain, router = await Bus.connect(runtime, "brain"), await Bus.connect(runtime, "router")

            async def taken(_: Received[trading_pb2.Signal] | Received[trading_pb2.Intent]) -> None:
                raise AssertionError("a message of no known type was taken")

            await brain.subscribe(subjects.SIGNAL_SUBMIT, trading_pb2.Signal, taken)
            await router.subscribe(subjects.INTENT_PLACE_ALL, trading_pb2.Intent, taken)
            for bus in (brain, router):
                await bus.client.flush()
            yield runtime
            await brain.close()
            await router.close()


@pytest.mark.parametrize(
    ("current", "other", "expected"),
    [
        (OLD, None, {OLD: SIGNED, NEW: FORGOTTEN}),
        (NEW, OLD, {OLD: SIGNED, NEW: SIGNED}),
        (NEW, None, {OLD: FORGOTTEN, NEW: SIGNED}),
    ],
    ids=["before", "begun", "ended"],
)
async def test_at_every_step_only_live_keys_are_believed_and_nothing_unsigned_or_forged(
    current: HmacKey, other: HmacKey | None, expected: dict[HmacKey, DeadLetterReason]
) -> None:
    async with judged(current, other) as runtime:
        await asyncio.to_thread(expect, runtime, expected)


async def test_a_key_that_should_be_forgotten_and_is_not_breaks_the_drill() -> None:
    async with judged(NEW, OLD) as runtime:
        with pytest.raises(Broken, match="expected"):
            await asyncio.to_thread(expect, runtime, {OLD: FORGOTTEN, NEW: SIGNED})
