"""One campaign: draws faults by seed, injects them one after the other, waits, measures, and holds everything against the
invariants.

Guarantees: the same seed draws the same faults in the same order, as far as the system's own limits on restarts allow; a
violation is kept with its evidence and the campaign goes on. Never: a fault while the last one is not over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ops.chaos.arena import Arena
from ops.chaos.books import read_decisions
from ops.chaos.defects import Defect, show
from ops.chaos.eyes import Sight
from ops.chaos.fault import Axis, ChaosFault, Injected, Skip, is_active
from ops.chaos.result import Finding, Result, Run
from titan.codes import TradingState
from titan.errors import Fatal, TimedOut, TitanError, Transient
from titan.invariants import Invariant, Recovery, Violation, check, persisting

ACTIVE_WITHIN_S = 240.0
SETTLE_WITHIN_S = 18.0
READ_EVERY_S = 0.8
LOOK_EVERY_S = 0.03
INJECT_WITHIN_S = 300.0
ASK_AGAIN_S = 2.0
BUDGET_EVERY_S = 0.5

Tell = Callable[[str], None]


class Lost(TimedOut):
    """The system could not be brought back."""


class Campaign:
    """One run over one arena."""

    def __init__(self, arena: Arena, faults: Sequence[ChaosFault], tell: Tell, every_s: float = 0.0) -> None:
        """`every_s` paces the faults; without it one follows as soon as the system is back and judged."""
        self._arena = arena
        self._faults = tuple(faults)
        self._tell = tell
        self._every_s = every_s
        self.spared: Callable[[ChaosFault], bool] = lambda _: False
        self.by_axis = True
        """Whether each axis gets its turn, however few faults it has; else each fault gets as many turns as any other."""
        self._known: set[tuple[Invariant, str]] = set()
        self.result = Result()

    async def run(self, until_s: float, limit: int = 0) -> None:
        """Injects faults until a monotonic instant, or `limit` of them when that comes first. Raises Lost."""
        await self._active()
        due = time.monotonic()
        for fault in self._draw():
            due = max(due + self._every_s, time.monotonic())
            await asyncio.sleep(max(0.0, min(due, until_s) - time.monotonic()))
            if time.monotonic() >= until_s or (limit and len(self.result.runs) + len(self.result.skipped) >= limit):
                return
            await self._one(fault)

    async def sum_up(self) -> None:
        """Notes what was traded meanwhile."""
        eyes = self._arena.eyes
        with contextlib.suppress(Transient):
            truth = await eyes.venue.truth()
            self.result.orders, self.result.fills = len(truth.orders), len(truth.fills)
            self.result.decisions = await read_decisions(eyes.runtime.ledger("reader").url)

    async def show(self, defects: Sequence[Defect]) -> None:
        """Breaks promises on purpose, each once, and notes whether that was noticed. Raises Lost."""
        for defect in defects:
            # The last one ended with a kill of the router: what it said before that proves nothing.
            await self._active(time.monotonic())
            shown = await show(self._arena, defect, self._known)
            self.result.defects.append(shown)
            word = "noticed" if shown.caught else "NOT NOTICED"
            named = ", ".join(sorted({each.invariant.value for each in shown.found})) or shown.skipped or "nothing"
            self._tell(f"defect {defect.name}: {word} after {shown.seconds:.1f} s: {named}")

    # drawing

    def _draw(self) -> Iterator[ChaosFault]:
        """Axis after axis, the faults of each in an order drawn by seed, all of them before any comes again."""
        draw = self._arena.draw
        axes: list[Axis | None] = [axis for axis in Axis if any(fault.axis is axis for fault in self._faults)]
        if not self.by_axis:
            axes = [None]
        waiting: dict[Axis | None, deque[ChaosFault]] = {axis: deque() for axis in axes}
        while True:
            draw.shuffle(axes)
            drawn = False
            for axis in axes:
                if not any(not self.spared(fault) for fault in waiting[axis]):
                    own = [fault for fault in self._faults if axis is None or fault.axis is axis]
                    draw.shuffle(own)
                    waiting[axis].extend(fault for fault in own if fault not in waiting[axis])
                fault = self._affordable(waiting[axis])
                if fault is not None:
                    drawn = True
                    yield fault
            if not drawn:
                # Nobody can be afforded now: one waits for its supervisor.
                queue = waiting[axes[0]]
                fault = next((each for each in queue if not self.spared(each)), queue[0])
                queue.remove(fault)
                yield fault

    def _affordable(self, waiting: deque[ChaosFault]) -> ChaosFault | None:
        """The first fault that no supervisor must answer by giving up; what it costs too much now keeps its place."""
        for fault in waiting:
            if not self.spared(fault) and self._arena.budget(fault.group) > fault.restarts:
                waiting.remove(fault)
                return fault
        return None

    # one fault

    async def _one(self, fault: ChaosFault) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(INJECT_WITHIN_S):
                while self._arena.budget(fault.group) <= fault.restarts:
                    await asyncio.sleep(BUDGET_EVERY_S)
                    await self._arena.eyes.look()
                injected = await fault.inject(self._arena)
        except (Skip, Transient) as why:
            self.result.skipped[fault.name] = str(why)
            self._tell(f"{fault.number} {fault.name}: skipped, {why}")
            # It may have struck before it gave up: only what is said from now on counts.
            await self._active(time.monotonic())
            return
        run = Run(fault, note=injected.note)
        self.result.runs.append(run)
        run.recovery_s = await self._recovery(fault, injected)
        if run.recovery_s is None:
            recovery = Recovery(fault.name, None, fault.within_s)
            self._found(
                run,
                (
                    Violation(
                        Invariant.RECOVERS,
                        f"never:{len(self.result.runs)}",
                        f"{recovery.what}: not back "
                        f"within {fault.within_s:g} s: {(await self._arena.eyes.look()).missing()}",
                    ),
                ),
            )
        await self._active()
        wrong = injected.broken(await self._arena.eyes.look())
        if wrong:
            self._found(run, (Violation(Invariant.LOOPS_STAY_ALONE, f"broken:{len(self.result.runs)}", wrong),))
        self._found(run, await self._settled())
        run.seconds = time.monotonic() - began
        took = "never" if run.recovery_s is None else f"{run.recovery_s:.2f} s"
        self._tell(f"{fault.number} {fault.name}: back after {took}, {len(run.findings)} violations; {run.note}")

    def _found(self, run: Run, violations: tuple[Violation, ...]) -> None:
        for each in violations:
            if (each.invariant, each.key) in self._known:
                continue
            self._known.add((each.invariant, each.key))
            finding = Finding(run.fault.number, run.fault.name, each)
            run.findings.append(finding)
            self._tell(f"  VIOLATION {each.invariant.value}: {each.text} {dict(each.evidence)}")

    async def _recovery(self, fault: ChaosFault, injected: Injected) -> float | None:
        deadline = time.monotonic() + fault.within_s
        while True:
            sight = await self._arena.eyes.look()
            # What was said before the fault proves nothing; the router speaks at least once a second.
            heard = injected.back is not is_active or sight.heard_s >= injected.since_s
            if heard and injected.back(sight):
                return max(0.0, time.monotonic() - injected.since_s)
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(LOOK_EVERY_S)

    # between faults

    async def _active(self, since_s: float = 0.0) -> Sight:
        """Waits until the system trades again, with the operator's help where a halt or disarm stands. Raises Lost.

        A word that the router said before `since_s` (monotonic) proves nothing.
        """
        missing = ""
        for attempt in range(2):
            deadline = time.monotonic() + ACTIVE_WITHIN_S
            asked = 0.0
            while time.monotonic() < deadline:
                sight = await self._arena.eyes.look()
                if sight.active and sight.heard_s >= since_s:
                    return sight
                if time.monotonic() - asked > ASK_AGAIN_S and await self._help(sight):
                    asked = time.monotonic()
                await asyncio.sleep(LOOK_EVERY_S)
            missing = (await self._arena.eyes.look()).missing()
            if attempt == 0:
                self._tell(f"  not trading after {ACTIVE_WITHIN_S:g} s ({missing}): the whole is started anew")
                self.result.revived += 1
                await self._anew()
        raise Lost(f"the system could not be brought back: {missing}")

    async def _help(self, sight: Sight) -> bool:
        """Lifts what an operator must lift."""
        if not sight.ready or not sight.speaking:
            return False
        if sight.trading is TradingState.HALTED:
            await self._arena.trader.command("resume", "chaos: the fault is over")
        elif sight.trading is TradingState.DISARMED:
            await self._arena.trader.command("arm", "chaos: the fault is over")
        else:
            return False
        return True

    async def _anew(self) -> None:
        arena = self._arena
        with contextlib.suppress(TitanError):
            await arena.close()
        try:
            await asyncio.to_thread(arena.system.end)
            await arena.system.start_again()
            await arena.open()
        except (Fatal, TimedOut, Transient) as error:
            raise Lost(f"the system could not be brought back: {error}") from error

    async def _settled(self) -> tuple[Violation, ...]:
        """What is off in every reading from now on; nothing as soon as one reading is clean."""
        left: tuple[Violation, ...] | None = None
        deadline = time.monotonic() + SETTLE_WITHIN_S
        unread = ""
        while time.monotonic() < deadline:
            try:
                found = check(await self._arena.eyes.world())
            except Transient as error:
                unread = str(error)
            else:
                unread = ""
                self.result.readings += 1
                fresh = tuple(each for each in found if (each.invariant, each.key) not in self._known)
                left = fresh if left is None else persisting(left, fresh)
                if not left:
                    return ()
            await asyncio.sleep(READ_EVERY_S)
        if unread:
            return (Violation(Invariant.RECOVERS, f"unread:{len(self.result.runs)}", unread),)
        return left or ()
