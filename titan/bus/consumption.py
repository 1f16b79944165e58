"""Whether a service does the work that came to it: what the progress of a heartbeat really means.

Guarantees: a consumer that holds one message, or leaves messages waiting, for longer than its patience is named; waiting for the
bus itself (an acknowledgement, a reply, a bucket) is held against nobody, nor is a connection that is away. Times are seconds
of one monotonic clock, handed in where a look is taken. Never: a verdict; that is the supervisor's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

HELD_S = 0.25
"""A message that a handler holds for longer is no progress: handlers of core messages compute and publish."""
ANSWER_S = 120.0
"""A handler that answers a request may ask others first."""


@dataclass(slots=True)
class Consumer:
    """One subscription or durable. `waiting` counts what came and nobody has taken yet."""

    name: str
    patience_s: float
    waiting: Callable[[], int]
    under_way: int = 0
    outside: int = 0
    since_s: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """The calling task, which is this consumer's, takes a message."""
        if self.under_way == 0:
            self.since_s = time.monotonic()
        self.under_way += 1
        _current.set(self)

    def moved(self) -> None:
        """It has shown that it goes on."""
        self.since_s = time.monotonic()

    def end(self) -> None:
        """It has handled the message."""
        self.under_way -= 1
        self.since_s = time.monotonic()


_current: ContextVar[Consumer | None] = ContextVar("consumer", default=None)


@contextmanager
def outside() -> Iterator[None]:
    """While a handler waits for somebody else, with a limit of its own."""
    consumer = _current.get()
    if consumer is None:
        yield
        return
    consumer.outside += 1
    try:
        yield
    finally:
        consumer.outside -= 1
        consumer.since_s = time.monotonic()


class Consumption:
    """All consumers of one connection."""

    def __init__(self) -> None:
        self._consumers: list[Consumer] = []

    def add(self, name: str, patience_s: float, waiting: Callable[[], int] = lambda: 0) -> Consumer:
        """Watches one more consumer."""
        consumer = Consumer(name, patience_s, waiting)
        self._consumers.append(consumer)
        return consumer

    def stalled(self, now_s: float, *, connected: bool) -> str:
        """The first consumer that has work and has done none for longer than its patience, and for how long; else nothing."""
        for consumer in self._consumers:
            idle = consumer.under_way == 0 and consumer.waiting() == 0
            if idle or consumer.outside or not connected:
                consumer.since_s = now_s
            elif now_s - consumer.since_s > consumer.patience_s:
                return f"{consumer.name} has not moved for {now_s - consumer.since_s:.1f} s"
        return ""
