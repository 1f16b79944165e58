"""Whether a service does the work that came to it: what the progress of a heartbeat really means.

Guarantees: a consumer that has work and finishes nothing, look after look, for longer than its patience is named; one that is
slow but moves is not, however busy the machine; waiting for the bus itself (an acknowledgement, a reply, a bucket) is held
against nobody, nor is a connection that is away. Times are seconds of one monotonic clock, handed in where a look is taken.
Never: a verdict; that is the supervisor's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

HELD_S = 0.25
"""Between two looks so far apart a handler of core messages finishes something: it computes and publishes."""
ANSWER_S = 120.0
"""A handler that answers a request may ask others first."""


@dataclass(slots=True)
class Consumer:
    """One subscription or durable. `waiting` counts what came and nobody has taken yet; times are of the looks."""

    name: str
    patience_s: float
    waiting: Callable[[], int]
    under_way: int = 0
    outside: int = 0
    finished: int = 0
    seen: int = 0
    since_s: float | None = None

    def begin(self) -> None:
        """The calling task, which is this consumer's, takes a message."""
        self.under_way += 1
        _current.set(self)

    def end(self) -> None:
        """It has handled the message."""
        self.under_way -= 1
        self.finished += 1

    def moved(self) -> None:
        """It has shown that it goes on."""
        self.finished += 1

    def look(self, now_s: float, *, connected: bool) -> float:
        """For how long it has had work, look after look, and finished none."""
        idle = self.under_way == 0 and self.waiting() == 0
        if idle or self.finished != self.seen or self.outside or not connected:
            self.seen, self.since_s = self.finished, None
            return 0.0
        if self.since_s is None:
            self.since_s = now_s
        return now_s - self.since_s


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
        consumer.moved()


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
        said = ""
        for consumer in self._consumers:
            stuck_s = consumer.look(now_s, connected=connected)
            if stuck_s > consumer.patience_s and not said:
                said = f"{consumer.name} has not moved for {stuck_s:.1f} s"
        return said
