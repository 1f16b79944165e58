"""How long to wait before a restart: a pure function of the child, the attempt and the seed.

Guarantees: the first restart is immediate; later delays lie within [floor, cap], never shrink from one attempt to the next
before the cap, and are the same whenever the same seed is asked. Never: a random source, a clock.
"""

from __future__ import annotations

import hashlib

from supervisors.spec import Backoff

_MAX_DOUBLINGS = 32


def jitter(seed: int, child: str, attempt: int) -> float:
    """A number in [0, 1) that looks random and is not: the SHA-256 of its arguments."""
    digest = hashlib.sha256(f"{seed}\x1f{child}\x1f{attempt}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def delay_ms(backoff: Backoff, child: str, attempt: int) -> int:
    """Milliseconds to wait before restart number `attempt` (from 0) since the child was last stable."""
    if attempt <= 0:
        return 0
    low = backoff.floor_ms << min(attempt - 1, _MAX_DOUBLINGS)
    spread = low + int(jitter(backoff.seed, child, attempt) * low)
    return min(spread, backoff.cap_ms)
