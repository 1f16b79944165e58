"""Conditions that alerts exist for, brought about on a running Titan on paper: nothing is pretended to the watch.

Guarantees: what is broken is mended when the block ends, by itself or the way its runbook says; what can't be brought about
here says why. Never: a real venue.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal

from ops.drill.rotation import expect
from ops.drill.stage import ACTIVE, PASSING, STOP_SHARE, SYMBOL, Broken, Stage
from ops.drill.trades import Trades
from ops.drill.watch import Watch, waited
from protos import trading_pb2
from supervisors.control import ask
from supervisors.state import read_state

ORDER_USD = 1_000
"""Of an order by hand: what is left when the brain, made cautious, halves it twice is more than the venue's smallest order."""
DISK_MB = 1024
FREE_SHARE = 0.05
"""Of the disk, left free when it is full for the alerts."""
PAUSE_S = 0.6
"""How long the brain is held: well above an alert's 0.2 s, well below the 3 s after which it counts as silent."""
SLOW_MS, SLOW_S = 1_500, 120.0
FAR = 0.97
"""Of the price: where an order to buy rests."""
AT_ONCE = 3
"""Orders that rest at once: fewer than the policy allows a symbol."""
FILLED_AGAIN, FILLS_WITHIN_S = 0.81, 420.0
"""The rate counts every order of the account, so it takes the more of them the longer it has traded."""
STALL_S = 120.0
STAKE_SHARE, STAKE_USD, STAKE_STOP = 0.22, 10_000, 0.7
"""Of equity, held when the market falls to half: most of its stops are further away than that."""
FALL, RISE = Decimal("0.5"), Decimal(2)
WITHIN_S = 120.0

Turn = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a condition is brought about on."""

    stage: Stage
    watch: Watch
    trades: Trades


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: the alerts that it must fire, and what brings it about for the length of a block.

    The block gets what is to be done between two looks, for at most `within_s`. `lingers` says that its alerts look at the last
    five minutes and end only with those; `stop_share` how far a stop must stand after it; `absent` why it can't be brought about.
    """

    name: str
    alerts: frozenset[str]
    brought: Callable[[Scene], AbstractContextManager[Turn]]
    lingers: bool = False
    within_s: float = WITHIN_S
    stop_share: float = STOP_SHARE
    absent: Callable[[Scene], str] = lambda _: ""


def _nothing() -> None:
    """Nothing is to be done meanwhile."""


@contextmanager
def _forged(scene: Scene) -> Iterator[Turn]:
    """Somebody with a login of the bus, and without its key, speaks to brain and router."""
    expect(scene.stage.runtime, {})
    yield _nothing


@contextmanager
def _slow_brain(scene: Scene) -> Iterator[Turn]:
    """The brain is held while signals arrive."""

    def turn() -> None:
        pid = scene.stage.actor_pid("brain")
        waking = threading.Timer(PAUSE_S, os.kill, (pid, signal.SIGCONT))
        os.kill(pid, signal.SIGSTOP)
        waking.start()
        scene.trades.trade()
        waking.join()

    yield turn


@contextmanager
def _slow_venue(scene: Scene) -> Iterator[Turn]:
    """The venue takes its time over orders."""
    venue = scene.stage.venue
    asyncio.run(venue.switch("delay", on=["place"], delay_ms=SLOW_MS, seconds=SLOW_S))
    try:
        yield scene.trades.trade
    finally:
        asyncio.run(venue.clear())


@contextmanager
def _unfilled_orders(scene: Scene) -> Iterator[Turn]:
    """Orders rest far from the price and are cancelled; afterwards others are filled.

    Not by a venue that refuses them: the brain stops openings long before the fill rate is low.
    """
    stage = scene.stage

    def turn() -> None:
        with suppress(*PASSING, OSError):
            for _ in range(AT_ONCE):
                scene.trades.ask(limit=stage.price() * FAR)
            stage.cancel_limits()

    yield turn
    if not waited(
        lambda: bool(scene.watch.value(f"titan_order_fill_rate > {FILLED_AGAIN}")),
        FILLS_WITHIN_S,
        lambda: scene.trades.trade(AT_ONCE),
    ):
        raise Broken(f"the fill rate did not rise again; vetoes: {scene.trades.vetoes}")


@contextmanager
def _full_disk(scene: Scene) -> Iterator[Turn]:
    """The home's disk is full to the last twentieth."""
    home = scene.stage.home
    ballast, room = home / "ballast", os.statvfs(home)
    size = int(room.f_bavail * room.f_frsize - FREE_SHARE * room.f_blocks * room.f_frsize)
    try:
        with ballast.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(size, 1))
        yield _nothing
    finally:
        ballast.unlink(missing_ok=True)


def _no_disk(scene: Scene) -> str:
    return "" if scene.stage.home.is_mount() else "a disk of the stage's own needs root"


@contextmanager
def _silent_stream(scene: Scene) -> Iterator[Turn]:
    """The venue's public sockets stay open and nothing flows."""
    venue = scene.stage.venue
    asyncio.run(venue.switch("stall", on=["public"], seconds=STALL_S))
    try:
        yield _nothing
    finally:
        asyncio.run(venue.clear())


@contextmanager
def _losses(scene: Scene) -> Iterator[Turn]:
    """Small losses, one after the other, until the breaker pauses openings; its owner resets it."""
    stage, sell = scene.stage, False

    def turn() -> None:
        nonlocal sell
        with suppress(*PASSING, OSError):
            if stage.opening(ORDER_USD, sell=sell)[0]:
                sell = not sell

    yield turn
    stage.reset("reset-circuit-breaker")


@contextmanager
def _dead_ledger(scene: Scene) -> Iterator[Turn]:
    """PostgreSQL is killed, and nobody starts it again."""
    with held(guardian_of(scene.stage)):
        kill(scene.stage.server_pid("postgres"))
        yield _nothing


@contextmanager
def _dead_brain(scene: Scene) -> Iterator[Turn]:
    """The brain is killed, and nobody starts it again."""
    stage = scene.stage
    root = int(str(asyncio.run(ask(stage.home / "run", "hello", 5.0))["pid"]))
    brain = stage.actor_pid("brain")
    # The guardian looks for the root as soon as it wakes: the root wakes first.
    with held(guardian_of(stage), root):
        kill(brain)
        yield _nothing


@contextmanager
def _crash(scene: Scene) -> Iterator[Turn]:
    """The market falls to half against a position; when it is back, the owner resets the breaker, and a person arms again."""
    stage, trades = scene.stage, scene.trades
    wanted = STAKE_SHARE * float(stage.status().equity.equity)

    def enough() -> bool:
        return _held_usd(stage) >= wanted

    if not waited(enough, WITHIN_S, lambda: void(trades.ask(STAKE_USD, stop_share=STAKE_STOP))):
        raise Broken(f"{_held_usd(stage):.0f} of {wanted:.0f} USD are at stake; vetoes: {trades.vetoes}")
    asyncio.run(stage.venue.jump(SYMBOL, FALL))
    try:
        yield _nothing
    finally:
        asyncio.run(stage.venue.jump(SYMBOL, RISE))
    # Flattened or reset earlier, the loss would be real, and the ladder of the day's loss would stand.
    stage.until(lambda: scene.watch.value("titan_drawdown_percent < 3"), "the equity of before", 60.0)
    stage.order("flatten", "drill")
    stage.until(
        lambda: not any(Decimal(row.quantity) for row in stage.status().positions), "every position closed", 60.0
    )
    stage.reset("reset-circuit-breaker")
    arm_again(stage)


def arm_again(stage: Stage) -> None:
    """Takes the breaker and its halt back as their owner would, and arms. Raises TimedOut."""

    def armed() -> bool:
        now = stage.status().trading_state
        if now == ACTIVE:
            return True
        stage.reset("reset-circuit-breaker")
        stage.reset("mode/normal")
        if now == trading_pb2.TRADING_STATE_HALTED:
            stage.order("resume", "drill over")
        stage.order("arm", "drill over")
        return False

    stage.until(armed, "trading state ACTIVE", 90.0)


def _held_usd(stage: Stage) -> float:
    """What is long of the stage's symbol, in USD; negative for a short position."""
    rows = [row for row in stage.status().positions if row.symbol == SYMBOL]
    return sum(float(row.quantity) * float(row.mark_price or 0) for row in rows)


def guardian_of(stage: Stage) -> int:
    """The process that starts servers again. Raises Broken."""
    found = read_state(stage.home)
    if found is None:
        raise Broken("the guardian has no state")
    return found.pid


@contextmanager
def held(*pids: int) -> Iterator[None]:
    """Stops processes for the length of a block; the last one wakes first."""
    stopped: list[int] = []
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        yield
    finally:
        for pid in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """Ends a process at once. Raises Broken without one."""
    if not pid:
        raise Broken("there is no process to kill")
    os.kill(pid, signal.SIGKILL)


def void(_: object) -> None:
    """Nobody wants the answer."""


CONDITIONS = (
    Condition("a forged command", frozenset({"UnsignedCommandSeen", "DeadLetters"}), _forged, lingers=True),
    Condition(
        "unfilled orders",
        frozenset({"LowOrderFillRate", "CriticalOrderFillRate"}),
        _unfilled_orders,
        within_s=FILLS_WITHIN_S,
    ),
    Condition("a slow brain", frozenset({"HighSignalLatency"}), _slow_brain, lingers=True),
    Condition("a slow venue", frozenset({"HighOrderLatency", "CriticalOrderLatency"}), _slow_venue, lingers=True),
    Condition("a full disk", frozenset({"LowDiskSpace", "CriticalDiskSpace"}), _full_disk, absent=_no_disk),
    Condition("a silent stream", frozenset({"MarketDataStale", "WebSocketDisconnected"}), _silent_stream),
    Condition("losses, one after the other", frozenset({"CircuitBreakerTriggered"}), _losses),
    Condition("a dead ledger", frozenset({"DatabaseFailure"}), _dead_ledger),
    Condition("a dead brain that nobody restarts", frozenset({"SystemDown", "ServiceDown"}), _dead_brain),
    Condition(
        "a market that halves against a position",
        frozenset({"DrawdownNotice", "HighDrawdown", "CriticalDrawdown", "KillSwitchActive"}),
        _crash,
        # A market that has just halved moves too much for a closer one: the brain would veto it.
        stop_share=STAKE_STOP,
    ),
)
