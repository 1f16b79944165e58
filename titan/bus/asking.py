"""One question on the bus, asked again while nobody listens yet.

Never: a wait without a limit.
"""

from __future__ import annotations

import asyncio
import time

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from titan.errors import Transient

ASK_AGAIN_S = 0.05


async def ask(client: Client, subject: str, wire: bytes, deadline: float) -> Msg:
    """The answer, until `deadline` (monotonic seconds). Raises Transient when none comes."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Transient(f"no answer on {subject} in time")
        try:
            return await client.request(subject, wire, timeout=left)
        except nats.errors.NoRespondersError:
            await asyncio.sleep(min(ASK_AGAIN_S, left))
        except (TimeoutError, nats.errors.TimeoutError):
            raise Transient(f"no answer on {subject} in time") from None
        except nats.errors.Error as error:
            raise Transient(f"asking {subject} failed: {error!r}") from error
