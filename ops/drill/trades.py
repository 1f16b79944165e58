"""Small trades by hand that go on while a drill breaks things, and what the brain said to each of them.

Guarantees: every trade goes the production way, through gateway, brain and router. Never: an order of its own at the venue.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ops.drill.stage import STOP_SHARE, Stage
from titan.errors import TitanError

PAUSE_S = 0.25
SIZE_USD = 200
RESETS = {"BREAKER_ACTIVE": "reset-circuit-breaker", "GOVERNANCE_LOCKDOWN": "mode/normal"}
"""What its risk owner would take back: small losses, one after the other, trip the breaker of themselves."""


class Trades:
    """Openings by hand, to and fro, of `size_usd` each."""

    def __init__(self, stage: Stage, size_usd: int = SIZE_USD) -> None:
        self._stage = stage
        self._size_usd = size_usd
        self._sell = False
        self._approved_s: list[float] = []
        self.vetoes: dict[str, int] = {}
        """How often each code refused one."""

    @property
    def approved(self) -> int:
        """How many were approved."""
        return len(self._approved_s)

    def trade(self, count: int = 1, pause_s: float = 0.0) -> None:
        """Asks for openings, each on the other side than the one approved before; a refusal is an answer, too."""
        for _ in range(count):
            if self.ask(sell=self._sell):
                self._sell = not self._sell
            time.sleep(pause_s)

    def ask(self, size_usd: int = 0, *, sell: bool = False, limit: float = 0.0, stop_share: float = STOP_SHARE) -> bool:
        """Asks for one opening, of another size where one is given; whether it was approved.

        What vetoed it is reset as its owner would.
        """
        with suppress(TitanError, OSError):
            approved, code = self._stage.opening(
                size_usd or self._size_usd, sell=sell, limit=limit, stop_share=stop_share
            )
            if approved:
                self._approved_s.append(time.monotonic())
                return True
            self.vetoes[code] = self.vetoes.get(code, 0) + 1
            if code in RESETS:
                self._stage.reset(RESETS[code])
        return False

    def without_s(self, began_s: float, ended_s: float) -> float:
        """The longest time between two approvals within two moments of the monotonic clock, the moments included."""
        return longest_gap(self._approved_s, began_s, ended_s)


def longest_gap(moments_s: list[float], began_s: float, ended_s: float) -> float:
    """The longest stretch of [began_s, ended_s] without a moment, in seconds to the millisecond."""
    inside = [began_s, *(moment for moment in moments_s if began_s < moment < ended_s), ended_s]
    return round(max(later - earlier for earlier, later in itertools.pairwise(inside)), 3)


@contextmanager
def trading(stage: Stage) -> Iterator[Trades]:
    """Trades by hand go on while the block lasts."""
    trades, over = Trades(stage), threading.Event()

    def go_on() -> None:
        while not over.wait(PAUSE_S):
            trades.trade()

    thread = threading.Thread(target=go_on, name="trades")
    thread.start()
    try:
        yield trades
    finally:
        over.set()
        thread.join()
