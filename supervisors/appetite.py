"""How much a child eats, and when that asks for a planned restart.

Guarantees: a person is warned once for each time a limit is crossed; a recycling is named only for a child that has nothing
under way by its own last word, and not again within `again_ms`: what a restart does not mend is a person's. Times are
milliseconds of one monotonic clock, memory is resident bytes. Never: a restart of its own, a process, a clock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from titan.effects import RaiseAlert

MB = 1_000_000
# A warning is given again only after a child has been this far below the limit.
CALM = 0.9
# A child's own word about its memory and its orders is good for so long.
FRESH_MS = 1_500


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use. A `recycle_bytes` of 0 never recycles; `descriptors` is a share of the process's own limit."""

    warn_bytes: int = 400 * MB
    recycle_bytes: int = 500 * MB
    descriptors: float = 0.8
    again_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What a child says that it uses; `busy` while something is under way that must not be cut short."""

    resident_bytes: int = 0
    descriptors: int = 0
    descriptor_limit: int = 0
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Recycle:
    """This child should be restarted in order, for this reason."""

    child: str
    reason: str


@dataclass(slots=True)
class _Eater:
    incarnation: int
    usage: Usage
    seen_ms: int
    warned: set[str]


class Appetite:
    """The last word of every Ready child about what it uses."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._eaters: dict[str, _Eater] = {}
        self._recycled_ms: dict[str, int] = {}

    def seen(self, child: str, incarnation: int, usage: Usage, now_ms: int) -> list[RaiseAlert]:
        """Takes a child's word; what a person should know of it."""
        eater = self._eaters.get(child)
        if eater is None or eater.incarnation < incarnation:
            eater = self._eaters[child] = _Eater(incarnation, usage, now_ms, set())
        elif eater.incarnation > incarnation:
            return []
        if not usage.descriptor_limit:
            # Descriptors are counted on some beats only.
            usage = Usage(usage.resident_bytes, eater.usage.descriptors, eater.usage.descriptor_limit, busy=usage.busy)
        eater.usage, eater.seen_ms = usage, now_ms
        return [
            *self._crossed(
                child,
                "ACTOR_MEMORY_HIGH",
                usage.resident_bytes,
                self._limits.warn_bytes,
                f"{child} holds {usage.resident_bytes / MB:.0f} MB, the warning stands at "
                f"{self._limits.warn_bytes / MB:.0f} MB",
            ),
            *self._crossed(
                child,
                "ACTOR_DESCRIPTORS_HIGH",
                usage.descriptors,
                int(usage.descriptor_limit * self._limits.descriptors),
                f"{child} has {usage.descriptors} of {usage.descriptor_limit} descriptors open",
            ),
            *self._insatiable(child, usage, now_ms),
        ]

    def forget(self, child: str) -> None:
        """Its process is gone."""
        self._eaters.pop(child, None)

    def usage(self, child: str) -> Usage:
        """The last word of a living child, zeros before it spoke."""
        eater = self._eaters.get(child)
        return Usage() if eater is None else eater.usage

    def due(self, ready: Collection[str], now_ms: int) -> Recycle | None:
        """The hungriest of the Ready children that should be recycled now."""
        limit = self._limits.recycle_bytes
        hungry = [
            (eater.usage.resident_bytes, child)
            for child, eater in self._eaters.items()
            if child in ready
            and 0 < limit <= eater.usage.resident_bytes
            and not eater.usage.busy
            and now_ms - eater.seen_ms <= FRESH_MS
            and not self._lately(child, now_ms)
        ]
        if not hungry:
            return None
        held, child = max(hungry)
        self._recycled_ms[child] = now_ms
        return Recycle(child, f"memory: {held / MB:.0f} MB resident, recycled from {limit / MB:.0f} MB on")

    def _lately(self, child: str, now_ms: int) -> bool:
        last = self._recycled_ms.get(child)
        return last is not None and now_ms - last < self._limits.again_ms

    def _crossed(self, child: str, code: str, value: int, limit: int, text: str) -> list[RaiseAlert]:
        warned = self._eaters[child].warned
        if limit <= 0 or value < limit * CALM:
            warned.discard(code)
        if limit <= 0 or value < limit or code in warned:
            return []
        warned.add(code)
        return [RaiseAlert(code, "WARNING", text, {"actor": child})]

    def _insatiable(self, child: str, usage: Usage, now_ms: int) -> list[RaiseAlert]:
        """Above the limit again so soon after a recycling."""
        if not self._lately(child, now_ms) or now_ms == self._recycled_ms[child]:
            return []
        text = (
            f"{child} holds {usage.resident_bytes / MB:.0f} MB again {(now_ms - self._recycled_ms[child]) / 1000:.0f} s after "
            "it was recycled: a restart does not mend it"
        )
        return self._crossed(child, "ACTOR_MEMORY_STUCK", usage.resident_bytes, self._limits.recycle_bytes, text)
