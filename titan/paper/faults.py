"""The venue's fault switches: which fault meets which request or frame, decided without sockets.

Guarantees: every fault is bounded by a count or a wall duration; the same faults, seeds and order of requests give the
same outcomes; a bad switch is refused with what was seen and what is allowed. Never: I/O, clocks, chance of its own, the
words of one exchange; `wall_ms` is monotonic wall time, handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

MAX_COUNT = 10_000
MAX_SECONDS = 600.0
MAX_DELAY_MS = 60_000
MAX_SKEW_MS = 3_600_000
_MASK = (1 << 64) - 1


class FaultKind(StrEnum):
    """What can go wrong. The sentences are in `MEANING`."""

    DELAY = "delay"
    DROP = "drop"
    LOST_ANSWER = "lost_answer"
    SERVER_ERROR = "server_error"
    RATE_LIMIT = "rate_limit"
    REJECT = "reject"
    NOT_FOUND = "not_found"
    CLOCK_SKEW = "clock_skew"
    MAINTENANCE = "maintenance"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    MISSING = "missing"
    STALL = "stall"
    STALE = "stale"
    CLOSE = "close"
    STORM = "storm"


MEANING: dict[FaultKind, str] = {
    FaultKind.DELAY: "the request is handled after delay_ms",
    FaultKind.DROP: "the request is not handled, and the connection ends after delay_ms without an answer",
    FaultKind.LOST_ANSWER: "the request is handled, and its answer is lost: the connection ends after delay_ms",
    FaultKind.SERVER_ERROR: "the request is not handled; the answer is HTTP `status`",
    FaultKind.RATE_LIMIT: "the request is not handled; the answer is HTTP 429 with Retry-After",
    FaultKind.REJECT: "the request is refused in the venue's own form",
    FaultKind.NOT_FOUND: "a look-up finds nothing, whatever is there",
    FaultKind.CLOCK_SKEW: "the venue's wall clock is skew_ms off",
    FaultKind.MAINTENANCE: "every request and connection is refused, open streams are closed",
    FaultKind.DUPLICATE: "a stream frame comes twice",
    FaultKind.REORDER: "a stream frame comes after the one that follows it",
    FaultKind.MISSING: "a stream frame never comes (a sequence gap, for books)",
    FaultKind.STALL: "sockets stay open and nothing flows",
    FaultKind.STALE: "the times in stream frames are skew_ms off",
    FaultKind.CLOSE: "open streams are closed with close code `code` (1006: without a word)",
    FaultKind.STORM: "streams are cut every delay_ms, as often as they come back",
}


class RequestKind(StrEnum):
    """What a request asks for, whatever the exchange calls it."""

    PLACE = "place"
    CANCEL = "cancel"
    LOOKUP = "lookup"
    READ = "read"
    MARKET = "market"
    CONNECT = "connect"


class FrameKind(StrEnum):
    """What a stream frame tells, whatever the exchange calls it."""

    ORDERS = "orders"
    FILLS = "fills"
    ACCOUNT = "account"
    BOOK = "book"
    TRADES = "trades"
    TICKER = "ticker"
    OTHER = "other"


PRIVATE_FRAMES = frozenset({FrameKind.ORDERS, FrameKind.FILLS, FrameKind.ACCOUNT})
ON_REQUESTS = frozenset(
    {
        FaultKind.DELAY,
        FaultKind.DROP,
        FaultKind.LOST_ANSWER,
        FaultKind.SERVER_ERROR,
        FaultKind.RATE_LIMIT,
        FaultKind.REJECT,
        FaultKind.NOT_FOUND,
    }
)
ON_FRAMES = frozenset({FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.MISSING, FaultKind.STALE})
ON_CHANNELS = frozenset({FaultKind.STALL, FaultKind.CLOSE, FaultKind.STORM})
TIMED_ONLY = frozenset({FaultKind.CLOCK_SKEW, FaultKind.MAINTENANCE, FaultKind.STALL, FaultKind.STORM})
CHANNELS = ("private", "public")
CLOSE_CODES = (1000, 1006, 1011, 1012)


class FaultError(ValueError):
    """A switch that can't be set as asked; the message says what was seen and what is allowed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One switch. `on` are request kinds, frame kinds or channels, by what the fault acts on; empty means all of them.

    `count` bounds how often it acts, `seconds` for how long (wall); 0 is no bound of that sort, one of them is always set.
    `chance` is the share of matching requests or frames that it meets, drawn from `seed`.
    """

    kind: FaultKind
    on: tuple[str, ...] = ()
    count: int = 0
    seconds: float = 0.0
    chance: float = 1.0
    seed: int = 0
    delay_ms: int = 0
    status: int = 503
    retry_after_s: int = 1
    skew_ms: int = 0
    code: int = 1006


@dataclass(slots=True)
class Standing:
    """A switch that is set: how often it acted, how many it judged, and until when it stands."""

    number: int
    fault: Fault
    until_ms: int
    acted: int = 0
    judged: int = 0

    def stands(self, wall_ms: int) -> bool:
        """Whether it still acts."""
        fault = self.fault
        return (not self.until_ms or wall_ms < self.until_ms) and (not fault.count or self.acted < fault.count)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to a request: wait, then the fault, or none. A fault of kind DELAY is only the wait."""

    delay_ms: int = 0
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """What leaves in place of a frame: copies of it, then those held before; `shift_ms` is added to the times in it."""

    copies: int = 1
    hold: bool = False
    shift_ms: int = 0


@dataclass(slots=True)
class FaultBoard:
    """All switches of one venue."""

    standing: list[Standing] = field(default_factory=list)
    injected: dict[str, int] = field(default_factory=dict)
    _numbers: int = 0

    def set(self, fault: Fault, wall_ms: int) -> Standing:
        """Adds a switch that stands from now on."""
        self._numbers += 1
        until = wall_ms + int(fault.seconds * 1000) if fault.seconds else 0
        standing = Standing(self._numbers, fault, until)
        self.standing.append(standing)
        return standing

    def clear(self, number: int | None = None) -> int:
        """Removes one switch, or all of them; returns how many there were."""
        kept = [] if number is None else [each for each in self.standing if each.number != number]
        removed = len(self.standing) - len(kept)
        self.standing = kept
        return removed

    def sweep(self, wall_ms: int) -> None:
        """Forgets switches that have run out."""
        self.standing = [each for each in self.standing if each.stands(wall_ms)]

    def on_request(self, kind: RequestKind, wall_ms: int) -> Verdict:
        """What happens to a request of that kind; the first switch that meets it decides, waits add up."""
        if not self.standing:
            return Verdict()
        delay = 0
        for each in self.standing:
            fault = each.fault
            if fault.kind is FaultKind.MAINTENANCE and each.stands(wall_ms):
                self._act(each)
                return Verdict(delay, fault)
            if fault.kind not in ON_REQUESTS or kind is RequestKind.CONNECT:
                continue
            if fault.kind is FaultKind.NOT_FOUND and kind is not RequestKind.LOOKUP:
                continue
            if not self._meets(each, kind.value, wall_ms):
                continue
            if fault.kind is FaultKind.DELAY:
                delay += fault.delay_ms
                continue
            return Verdict(delay, fault)
        return Verdict(delay)

    def on_frame(self, kind: FrameKind, wall_ms: int) -> Frames:
        """What leaves in place of a frame of that kind."""
        copies, hold, shift = 1, False, 0
        for each in self.standing:
            fault = each.fault
            if fault.kind is FaultKind.STALL and self._covers(each, channel_of(kind), wall_ms):
                self._act(each)
                return Frames(0)
            if fault.kind not in ON_FRAMES or not self._meets(each, kind.value, wall_ms):
                continue
            if fault.kind is FaultKind.MISSING:
                return Frames(0)
            copies += fault.kind is FaultKind.DUPLICATE
            hold = hold or fault.kind is FaultKind.REORDER
            shift += fault.skew_ms if fault.kind is FaultKind.STALE else 0
        return Frames(copies, hold, shift)

    def stalled(self, channel: str, wall_ms: int) -> bool:
        """Whether nothing may flow on a channel."""
        return any(
            each.fault.kind is FaultKind.STALL and self._covers(each, channel, wall_ms) for each in self.standing
        )

    def closing(self, channel: str, wall_ms: int) -> int | None:
        """The close code that a channel's open streams get now; None when they stay. Asked once a cut."""
        for each in self.standing:
            fault = each.fault
            if not self._covers(each, channel, wall_ms):
                continue
            if fault.kind in (FaultKind.CLOSE, FaultKind.STORM):
                self._act(each)
                return fault.code
            if fault.kind is FaultKind.MAINTENANCE:
                return 1012
        return None

    def skew_ms(self, wall_ms: int) -> int:
        """How far the venue's wall clock is off."""
        if not self.standing:
            return 0
        skew = 0
        for each in self.standing:
            if each.fault.kind is FaultKind.CLOCK_SKEW and each.stands(wall_ms):
                self._act(each)
                skew += each.fault.skew_ms
        return skew

    def _covers(self, each: Standing, name: str, wall_ms: int) -> bool:
        return (not each.fault.on or name in each.fault.on) and each.stands(wall_ms)

    def _meets(self, each: Standing, name: str, wall_ms: int) -> bool:
        if not self._covers(each, name, wall_ms):
            return False
        each.judged += 1
        if each.fault.chance < 1.0 and _draw(each.fault.seed, each.judged) >= each.fault.chance:
            return False
        self._act(each)
        return True

    def _act(self, each: Standing) -> None:
        each.acted += 1
        name = each.fault.kind.value
        self.injected[name] = self.injected.get(name, 0) + 1


def channel_of(kind: FrameKind) -> str:
    """The channel on which frames of a kind travel."""
    return "private" if kind in PRIVATE_FRAMES else "public"


def _draw(seed: int, turn: int) -> float:
    """A number in [0, 1), a pure function of seed and turn (SplitMix64)."""
    z = (seed * 0x9E3779B97F4A7C15 + turn * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) / (1 << 64)


_LIMITS: dict[str, tuple[float, float]] = {
    "count": (1, MAX_COUNT),
    "seconds": (0.01, MAX_SECONDS),
    "chance": (0.0, 1.0),
    "seed": (0, 2**63),
    "delay_ms": (0, MAX_DELAY_MS),
    "status": (500, 599),
    "retry_after_s": (0, 60),
    "skew_ms": (-MAX_SKEW_MS, MAX_SKEW_MS),
    "code": (min(CLOSE_CODES), max(CLOSE_CODES)),
}
_WHOLE = frozenset({"count", "seed", "delay_ms", "status", "retry_after_s", "skew_ms", "code"})
_NEEDS: dict[FaultKind, str] = {
    FaultKind.DELAY: "delay_ms",
    FaultKind.STORM: "delay_ms",
    FaultKind.CLOCK_SKEW: "skew_ms",
    FaultKind.STALE: "skew_ms",
}


def targets_of(kind: FaultKind) -> tuple[str, ...]:
    """What a fault's `on` may name; empty when it acts on everything."""
    if kind is FaultKind.NOT_FOUND:
        return (RequestKind.LOOKUP.value,)
    if kind in ON_REQUESTS:
        return tuple(each.value for each in RequestKind if each is not RequestKind.CONNECT)
    if kind in ON_FRAMES:
        return tuple(each.value for each in FrameKind)
    return CHANNELS if kind in ON_CHANNELS else ()


def parse_fault(given: Mapping[str, object]) -> Fault:
    """A switch from its fields. Raises FaultError with what was seen and what is allowed."""
    known = ("kind", "on", *_LIMITS)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise FaultError(f"unknown field {unknown[0]!r}; known: {', '.join(known)}")
    try:
        kind = FaultKind(str(given.get("kind", "")))
    except ValueError:
        raise FaultError(
            f"unknown kind {given.get('kind')!r}; known: {', '.join(each.value for each in FaultKind)}"
        ) from None
    values = {name: _number(name, given[name]) for name in _LIMITS if name in given}
    needed = _NEEDS.get(kind)
    if needed is not None and not values.get(needed):
        raise FaultError(f"{kind.value} needs {needed}, other than 0")
    if "code" in values and values["code"] not in CLOSE_CODES:
        raise FaultError(f"code {given['code']!r} is not one of {', '.join(map(str, CLOSE_CODES))}")
    if not values.get("count") and not values.get("seconds"):
        raise FaultError(f"{kind.value} has no bound; send count (1 to {MAX_COUNT}) or seconds (up to {MAX_SECONDS:g})")
    if kind in TIMED_ONLY and not values.get("seconds"):
        raise FaultError(f"{kind.value} is a state, not an event: bound it with seconds (up to {MAX_SECONDS:g})")
    whole = {name: int(value) for name, value in values.items() if name in _WHOLE}
    return Fault(
        kind=kind,
        on=_targets(kind, given.get("on", ())),
        count=whole.get("count", 0),
        seconds=values.get("seconds", 0.0),
        chance=values.get("chance", 1.0),
        seed=whole.get("seed", 0),
        delay_ms=whole.get("delay_ms", 0),
        status=whole.get("status", 503),
        retry_after_s=whole.get("retry_after_s", 1),
        skew_ms=whole.get("skew_ms", 0),
        code=whole.get("code", 1006),
    )


def _targets(kind: FaultKind, given: object) -> tuple[str, ...]:
    named: Sequence[object] = (
        [given] if isinstance(given, str) else given if isinstance(given, list | tuple) else [given]
    )
    allowed = targets_of(kind)
    for each in named:
        if each not in allowed:
            words = f"one of {', '.join(allowed)}" if allowed else "left out: it acts on everything"
            raise FaultError(f"on {each!r} does not fit {kind.value}; it must be {words}")
    return tuple(str(each) for each in named)


def _number(name: str, value: object) -> float:
    low, high = _LIMITS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise FaultError(f"{name} {value!r} must be a number from {low:g} to {high:g}")
    if name in _WHOLE and value != int(value):
        raise FaultError(f"{name} {value!r} must be a whole number")
    return float(value)
