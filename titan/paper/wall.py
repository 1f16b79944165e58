"""The machine's wall clock, in milliseconds: what exchanges judge signatures by."""

from __future__ import annotations

import time


def wall_clock_ms() -> int:
    """Wall time now."""
    return time.time_ns() // 1_000_000
