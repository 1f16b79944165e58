"""What a router's health answer says, leading and following. Never: I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actors.router.state import RouterState
from titan.actor import Component

STALE_S = 15.0
FOLLOW_LAG_S = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """How old the venue's last words are, whether the journal takes rows, and what was granted to the loop's thread."""

    rest_age_s: float
    stream_age_s: float
    journal_healthy: bool
    journal_detail: str
    lease_detail: str
    affinity: Mapping[str, str]


def leading(state: RouterState, seen: Seen) -> Mapping[str, Component]:
    """Venue stream, venue REST, journal, lease, books, affinity."""
    away = state.impediments
    return {
        "websocket": Component(
            "degraded" if "venue stream" in away else "healthy",
            away.get("venue stream", ""),
            int(seen.stream_age_s * 1000),
        ),
        "broker": Component(
            "unhealthy" if "venue" in away or seen.rest_age_s > STALE_S else "healthy",
            away.get("venue", ""),
            int(seen.rest_age_s * 1000),
        ),
        "journal": Component(
            "healthy" if seen.journal_healthy else "unhealthy", away.get("journal", seen.journal_detail)
        ),
        "lease": Component("degraded" if "lease" in away else "healthy", away.get("lease", seen.lease_detail)),
        "books": Component(
            "degraded" if any(name.startswith("position ") for name in away) else "healthy",
            f"{len(state.live)} live orders, {len(state.lookups)} in doubt",
        ),
        "affinity": Component("healthy", ", ".join(f"{k} {v}" for k, v in seen.affinity.items())),
    }


def following(lag_s: float, seq: int, leader: str) -> Mapping[str, Component]:
    """How close a standby is to its leader's journal."""
    close = 0 <= lag_s <= FOLLOW_LAG_S
    detail = f"row {seq} of {leader}" if lag_s >= 0 else f"has not caught up with {leader} yet"
    return {"follow": Component("healthy" if close else "degraded", detail, int(max(0.0, lag_s) * 1000))}
