"""A simulated process: it runs handlers and conversations, can be killed between any two effects, stopped and woken.

Guarantees: a dead process does nothing more; a stopped one does what came meanwhile when it wakes, in order. Never: a
handler of a process inside another's.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from simulation.engine import Engine, Timer

Conversation = Generator["Sleep | Ask | Signal", Any, None]
"""What an asynchronous shell does, step by step: it yields what it waits for and is sent the result."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait `ms` of the process's own time."""

    ms: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Start a call with `begin(done)`; `done` takes a value to send, or an exception to throw."""

    begin: Callable[[Callable[[object], None]], None]


class Signal:
    """Wait until somebody calls `set`, at most `patience_ms`; a flag like asyncio's Event."""

    __slots__ = ("patience_ms", "up", "waiter")

    def __init__(self) -> None:
        self.up = False
        self.patience_ms = 0
        self.waiter: Callable[[], None] | None = None

    def set(self) -> None:
        """Wakes the one who waits, or the next who will."""
        self.up = True
        if self.waiter is not None:
            waiter, self.waiter = self.waiter, None
            waiter()

    def wait(self, patience_ms: int) -> Signal:
        """What to yield."""
        self.patience_ms = patience_ms
        return self


class Killed(BaseException):
    """The process died here. Not an Exception: no handler may survive it."""


class Process:
    """One incarnation of an actor. `fuse` effects from now it dies, when set."""

    def __init__(self, engine: Engine, name: str, incarnation: int, ended: Callable[[Process, str], None]) -> None:
        self.engine = engine
        self.name = name
        self.incarnation = incarnation
        self.alive = True
        self.paused = False
        self.ready = False
        self.failure = ""
        self.fuse = -1
        self._ended = ended
        self._inbox: deque[Callable[[], None]] = deque()
        self._running = False
        self._timers: dict[str, Timer] = {}

    # running

    def deliver(self, work: Callable[[], None]) -> None:
        """Does `work` in this process: now, or when it wakes; never once it is dead."""
        if not self.alive:
            return
        if self.paused or self._running:
            self._inbox.append(work)
            return
        self._running = True
        try:
            work()
            while self._inbox and self._runs():
                self._inbox.popleft()()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - the death notice of a simulated process: its supervisor and the checks see it
            self.failure = "".join(traceback.format_exception_only(error)).strip()
            self.failure += "".join(traceback.format_tb(error.__traceback__)[-2:])
            self.kill(f"raised {self.failure}")
        finally:
            self._running = False

    def _runs(self) -> bool:
        return self.alive and not self.paused

    def start(self) -> Conversation:
        """What it does when it is born, up to being Ready and beyond."""
        raise AssertionError(f"{self.name} has no start")

    def boundary(self) -> None:
        """Stands before every effect: the place where a kill can hit."""
        if self.fuse >= 0:
            self.fuse -= 1
            if self.fuse < 0:
                self.kill("killed between two effects")
                raise Killed
        if not self.alive:
            raise Killed

    def after(self, key: str, delay_ms: int, work: Callable[[], None]) -> None:
        """Sets the timer `key`; an earlier one with the key is replaced."""
        self.cancel(key)
        self._timers[key] = self.engine.after(delay_ms, lambda: self.deliver(work))

    def cancel(self, key: str) -> None:
        """Forgets a timer."""
        held = self._timers.pop(key, None)
        if held is not None:
            held.cancel()

    def spawn(self, conversation: Conversation) -> None:
        """Runs a conversation until it ends or the process does."""
        self._advance(conversation, None)

    def _advance(self, conversation: Conversation, result: object) -> None:
        if not self.alive:
            return
        try:
            if isinstance(result, Exception):  # noqa: SIM108 - one line of it can't be typed
                wanted = conversation.throw(result)
            else:
                wanted = conversation.send(result)
        except StopIteration:
            return
        match wanted:
            case Sleep(ms):
                self.engine.after(ms, lambda: self.deliver(lambda: self._advance(conversation, None)))
            case Ask(begin):
                begin(lambda answer: self.deliver(lambda: self._advance(conversation, answer)))
            case Signal():
                self._wait(conversation, wanted)

    def _wait(self, conversation: Conversation, signal: Signal) -> None:
        if signal.up:
            self.engine.after(0, lambda: self.deliver(lambda: self._advance(conversation, True)))
            return

        def timed_out() -> None:
            signal.waiter = None
            self.deliver(lambda: self._advance(conversation, False))

        timer = self.engine.after(signal.patience_ms, timed_out)

        def woken() -> None:
            timer.cancel()
            self.engine.after(0, lambda: self.deliver(lambda: self._advance(conversation, True)))

        signal.waiter = woken

    # ends and pauses

    def kill(self, reason: str) -> None:
        """Ends it at once."""
        if not self.alive:
            return
        self.alive = False
        self.ready = False
        self._inbox.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.engine.note(f"end {self.name}#{self.incarnation} {reason.splitlines()[0]}")
        self.on_death()
        self._ended(self, reason)

    def on_death(self) -> None:
        """What the operating system takes back."""

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def wake(self) -> None:
        """SIGCONT: everything that came meanwhile happens now."""
        if not self.paused:
            return
        self.paused = False
        if self._inbox:
            self.deliver(self._inbox.popleft())
