"""Shows that a campaign would notice: breaks a running Titan on purpose, one promise after the other, and judges it as ever.

Guarantees: what judges is the campaign's own reading and `titan.invariants.check`; a defect counts as caught only when an
invariant that it breaks is named, by something that no reading before the defect had found. Never: part of a campaign's verdict.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import reduce

from ops.chaos.arena import Arena
from ops.chaos.fault import Skip
from ops.chaos.hooked import ARMED, FORGETFUL_GROUP, USURP, order
from ops.chaos.sabotage import DUPLICATE, LOSE, SKIP, UNFENCE
from ops.chaos.system import gone
from ops.cli.plan import ROOT
from supervisors.tree import GROUPS
from titan.errors import Transient
from titan.invariants import Invariant, Violation, check, persisting

CAUGHT_WITHIN_S = 45.0
READ_EVERY_S = 1.0
# A reading may meet something that is only on its way.
STAYS = 3
BACK_WITHIN_S = 30.0
OBEYED_WITHIN_S = 15.0

Break = Callable[[Arena], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Defect:
    """One broken promise: `breaks` are the invariants of which one must be named."""

    name: str
    does: str
    breaks: frozenset[Invariant]
    make: Break


@dataclass(slots=True)
class Shown:
    """What came of it."""

    defect: Defect
    found: list[Violation] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""

    @property
    def caught(self) -> bool:
        """Whether the right invariant was named."""
        return any(each.invariant in self.defect.breaks for each in self.found)

    def as_json(self) -> dict[str, object]:
        """One row of the report."""
        named = [each for each in self.found if each.invariant in self.defect.breaks]
        return {
            "defect": self.defect.name,
            "does": self.defect.does,
            "breaks": sorted(each.value for each in self.defect.breaks),
            "found": sorted({each.invariant.value for each in self.found}),
            "caught": self.caught,
            "seconds": round(self.seconds, 1),
            "text": named[0].text if named else self.skipped,
        }


def _router(what: str) -> Break:
    async def make(arena: Arena) -> None:
        await _told(arena, what)

    return make


async def _told(arena: Arena, what: str) -> None:
    path = order(arena.system.home, "router", what)
    if not await arena.until(lambda: not path.exists(), OBEYED_WITHIN_S):
        path.unlink(missing_ok=True)
        raise Skip("the router did not take the order")


async def _usurped(arena: Arena) -> None:
    """A second router leads beside the first, which takes no notice."""
    await _told(arena, UNFENCE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TITAN_")}
    arena.usurper = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "titan.process",
        "ops.chaos.hooked:router_standby",
        "--home",
        str(arena.system.home),
        cwd=ROOT,
        env={**kept, "TITAN_HOME": str(arena.system.home), ARMED: "1", USURP: "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _looped(arena: Arena) -> None:
    """The actors of one supervisor die more often than it may restart them."""
    group = next(each for each in GROUPS if each.name == FORGETFUL_GROUP)
    killed = 0
    while killed <= group.max_restarts:
        struck = [await arena.actor(spec.name) for spec in group.actors]
        for each in struck:
            arena.strike(each.pid, signal.SIGKILL)
        killed += len(struck)
        old = {each.pid for each in struck} | {0}
        deadline = time.monotonic() + BACK_WITHIN_S
        while time.monotonic() < deadline:
            seen = await arena.system.actors()
            if all((found := seen.get(each.name)) and found.ready and found.pid not in old for each in struck):
                break
            await asyncio.sleep(0.02)


DEFECTS: tuple[Defect, ...] = (
    Defect(
        "forgets-intensity",
        "a supervisor that restarts for ever",
        frozenset({Invariant.LOOPS_STAY_ALONE}),
        _looped,
    ),
    Defect("duplicate-send", "an order is sent twice", frozenset({Invariant.ONE_ORDER}), _router(DUPLICATE)),
    Defect("lost-fill", "a fill is never booked", frozenset({Invariant.FILLS_ONCE}), _router(LOSE)),
    Defect(
        "skipped-row",
        "an order leaves without its row",
        frozenset({Invariant.APPROVED, Invariant.JOURNAL_WHOLE}),
        _router(SKIP),
    ),
    Defect("stale-leader", "a router leads on beside its successor", frozenset({Invariant.ONE_ROUTER}), _usurped),
)


async def show(arena: Arena, defect: Defect, known: set[tuple[Invariant, str]]) -> Shown:
    """Breaks one promise and reads until it is noticed, or for 45 s; the broken router is killed afterwards."""
    shown = Shown(defect)
    began = time.monotonic()
    try:
        await defect.make(arena)
        deadline = time.monotonic() + CAUGHT_WITHIN_S
        readings: deque[tuple[Violation, ...]] = deque(maxlen=STAYS)
        while not shown.caught and time.monotonic() < deadline:
            await arena.trader.signal()
            await arena.trader.reset()
            await asyncio.sleep(READ_EVERY_S)
            with contextlib.suppress(Transient):
                found = check(await arena.eyes.world())
                readings.append(tuple(each for each in found if (each.invariant, each.key) not in known))
                shown.found = list(reduce(persisting, readings)) if len(readings) == STAYS else []
    except Skip as why:
        shown.skipped = str(why)
    finally:
        await _mend(arena)
    shown.seconds = time.monotonic() - began
    known |= {(each.invariant, each.key) for each in shown.found}
    return shown


async def _mend(arena: Arena) -> None:
    if arena.usurper is not None:
        with contextlib.suppress(ProcessLookupError):
            arena.usurper.kill()
        await arena.usurper.wait()
        arena.usurper = None
    with contextlib.suppress(Skip):
        router = await arena.actor("router")
        arena.strike(router.pid, signal.SIGKILL)
        await gone(router.pid, 5.0)
