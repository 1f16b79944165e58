"""How much of its disk the bus uses."""

from __future__ import annotations

import nats.errors
import nats.js.errors

from titan.bus.connection import Bus
from titan.errors import Transient


async def storage(bus: Bus) -> tuple[int, int]:
    """Bytes that streams hold on disk, and the most they may hold (0 for no limit). Raises Transient."""
    try:
        info = await bus._js.account_info()
    except (nats.errors.Error, nats.js.errors.Error, OSError) as error:
        raise Transient(f"JetStream can't be asked for its storage: {error!r}") from error
    return int(info.storage), max(0, int(info.limits.max_storage))
