"""Where injections happen: the system, its eyes, a trader, and the moment to strike.

Guarantees: every draw comes from the campaign's seed. Never: a wait without a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import urlsplit

from ops.chaos.books import read_ledger
from ops.chaos.eyes import Eyes, Memory, wall_ms
from ops.chaos.fault import Skip
from ops.chaos.story import said
from ops.chaos.system import ActorSeen, System, gone
from ops.chaos.trader import Trader
from protos.trading_pb2 import OperatorReceipt
from supervisors.tree import GROUPS_WITH_STANDBY
from titan.errors import Transient
from titan.journal import JournalCorrupt, JournalFailed, StoredRow
from titan.logs import configure
from titan.model import OrderState, OrderType

PHASES = ("before the journal", "sent, no ack", "acked", "partly filled", "filled")
CANCEL = "cancel in flight"
# What is under way of a cancel when the blow falls: it was sent, the venue has not answered.
CANCEL_S = 0.06
MOMENT_WITHIN_S = 2.5
SLOW_ACK_MS = 400
PARTLY_USD = 2_700
# A limit so far from the price that it rests.
FAR = Decimal("0.97")


def _partly(row: StoredRow) -> bool:
    return row.kind == "order" and said(row, "state") == OrderState.PARTIALLY_FILLED.value


def _resting(row: StoredRow) -> bool:
    return row.kind == "order" and said(row, "event") == "ACK" and said(row, "order_type") == OrderType.LIMIT.value


class Arena:
    """One campaign's hands. `reopen` after the system was started anew."""

    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.draw = random.Random(seed)
        self.memory = Memory()
        self.eyes: Eyes
        self.trader: Trader
        self._trading: asyncio.Task[None] | None = None
        self._disarming: asyncio.Task[OperatorReceipt | None] | None = None
        # A second router that a defect put beside the first.
        self.usurper: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Opens eyes and starts to trade. Raises Transient."""
        configure("chaos", self.system.runtime.log_dir, "WARNING")
        self.eyes = await Eyes.open(self.system, self.memory)
        self.trader = Trader(self.eyes)
        self._trading = asyncio.create_task(self.trader.run(), name="trader")

    async def rest(self) -> None:
        """Stops trading, and goes on looking."""
        if self._trading is not None:
            self._trading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._trading

    async def close(self) -> None:
        """Stops trading and looking."""
        if self._disarming is not None:
            self._disarming.cancel()
        if self._trading is not None:
            await self.rest()
            self._trading = None
            await self.eyes.close()

    # who is who

    async def actor(self, name: str) -> ActorSeen:
        """A ready actor. Raises Skip."""
        found = (await self.system.actors()).get(name)
        if found is None or not found.ready or not found.pid:
            raise Skip(f"{name} is not ready")
        return found

    def server_pid(self, name: str) -> int:
        """A server's pid. Raises Skip."""
        found = self.system.server(name)
        if found is None:
            raise Skip(f"{name} does not run")
        return found.pid

    async def reachable(self, name: str) -> bool:
        """Whether a server answers."""
        runtime = self.eyes.runtime
        if name == "paper_venue":
            return await self.eyes.venue.answers()
        if name == "postgres":
            try:
                await read_ledger(runtime.ledger("reader").url)
            except Transient:
                return False
            return True
        address = urlsplit(runtime.nats_url if name == "nats" else runtime.redis_url)
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(address.hostname, address.port), 1.0)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    def budget(self, group: str) -> int:
        """How many restarts a supervisor may still make without escalating: by what was heard, and by its own count.

        What was heard alone does not do: each failed start of a crash loop counts, and the whole is told as one restart.
        """
        limit = next((each for each in GROUPS_WITH_STANDBY if each.name == group), None)
        if limit is None:
            return 100
        since = wall_ms() - limit.period_s * 1000 - 2_000
        recent = sum(1 for each in self.memory.restarts if each.supervisor == group and each.at_ms >= since)
        return min(limit.max_restarts - recent, self.memory.left.get(group, limit.max_restarts))

    # moments

    async def moment(self, *, cancels: bool = False) -> str:
        """Waits for a phase of an order's life, drawn by seed; gives its name. The next line strikes in it.

        `cancels`: a cancel in flight may be drawn, too; that leaves the system disarmed.
        """
        phase = self.draw.choice((*PHASES, CANCEL) if cancels else PHASES)
        self.look_forward()
        if phase == CANCEL:
            return phase if await self._cancelling() else "any"
        if phase == "partly filled":
            found = await self.trader.signal(limit=Decimal(1), size_usd=PARTLY_USD) and await self.row(
                _partly, MOMENT_WITHIN_S
            )
            return phase if found else "any"
        if phase == "sent, no ack":
            with contextlib.suppress(Transient):
                await self.eyes.venue.switch("delay", on="place", count=1, seconds=5, delay_ms=SLOW_ACK_MS)
        if not await self.trader.signal() or phase == "before the journal":
            return "any" if phase != "before the journal" else phase
        wanted: dict[str, Callable[[StoredRow], bool]] = {
            "sent, no ack": lambda row: row.kind == "order" and said(row, "event") == "NEW",
            "acked": lambda row: row.kind == "order" and said(row, "event") == "ACK",
            "filled": lambda row: row.kind == "fill",
        }
        return phase if await self.row(wanted[phase], MOMENT_WITHIN_S) else "any"

    def look_forward(self) -> None:
        """Takes in what the journal says up to now."""
        with contextlib.suppress(JournalFailed, JournalCorrupt):
            self.eyes.follow()

    async def _cancelling(self) -> bool:
        """A resting order whose cancel has been sent and is answered late; the system is disarmed by it."""
        if not await self.trader.signal(limit=FAR) or not await self.row(_resting, MOMENT_WITHIN_S):
            return False
        with contextlib.suppress(Transient):
            await self.eyes.venue.switch("delay", on="cancel", count=1, seconds=5, delay_ms=SLOW_ACK_MS)
        self._disarming = asyncio.create_task(self.trader.command("disarm", "chaos: a cancel in flight"))
        await asyncio.sleep(CANCEL_S)
        return True

    async def row(self, wanted: Callable[[StoredRow], bool], within_s: float) -> bool:
        """Waits for a new journal row."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(JournalFailed, JournalCorrupt):
                if any(wanted(row) for row in self.eyes.follow()):
                    return True
            await asyncio.sleep(0.003)
        return False

    async def until(self, probe: Callable[[], bool], within_s: float) -> bool:
        """Waits for a condition."""
        deadline = time.monotonic() + within_s
        while not probe():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def signals(self, seconds: float, every_s: float = 0.4) -> None:
        """Keeps proposing for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await self.trader.signal()
            await asyncio.sleep(every_s)

    # blows

    @staticmethod
    def strike(pid: int, number: signal.Signals, *, group: bool = False) -> float:
        """Sends a signal; gives the monotonic instant. Raises Skip when there is nobody any more."""
        try:
            (os.killpg if group else os.kill)(pid, number)
        except ProcessLookupError:
            raise Skip(f"process {pid} is gone already") from None
        return time.monotonic()

    async def freeze(self, pid: int, seconds: float, *, group: bool = False) -> tuple[float, float]:
        """Stops a process for a while, then lets a zombie wake; the instants of both. It may be replaced meanwhile."""
        began = self.strike(pid, signal.SIGSTOP, group=group)
        try:
            await gone(pid, seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(pid, signal.SIGCONT)
        return began, time.monotonic()
