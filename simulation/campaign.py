"""Many worlds: seeds over processes, one report.

Guarantees: the report is a function of the seeds and steps, whatever the number of processes; a failing seed is in it by
its number. Never: wall time in anything but `seconds`.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field

from simulation.defects import DEFECTS
from simulation.plan import Fault, make_plan
from simulation.world import Outcome, run
from titan.errors import TitanError
from titan.orders import TRANSITIONS
from titan.policy import RiskPolicy, parse_policy

CHUNK = 25
MAX_SHOWN = 20
POLICY: dict[str, object] = {
    "maxAccountLeverage": 10,
    "maxPositionNotional": 40_000,
    "maxDailyLoss": -2_000,
    "maxOpenOrdersPerSymbol": 5,
    "symbolWhitelist": ["BTC/USDT", "ETH/USDT"],
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed whose world broke, with the first sentences of what was off."""

    seed: int
    violations: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Report:
    """What a campaign found. `cpu_s` is the processes' own time, `seconds` the time it took."""

    seeds: int = 0
    violations: int = 0
    failures: list[Failure] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    transitions: set[tuple[str, str]] = field(default_factory=set)
    steps: int = 0
    fewest_steps: int = 0
    branches: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    fills: int = 0
    slowest_rest_ms: int = 0
    cpu_s: float = 0.0
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Counts one world."""
        self.fewest_steps = outcome.steps if self.seeds == 0 else min(self.fewest_steps, outcome.steps)
        self.seeds += 1
        self.violations += len(outcome.violations)
        if outcome.violations:
            said = tuple((each.invariant.value, each.text) for each in outcome.violations[:MAX_SHOWN])
            self.failures.append(Failure(outcome.seed, said))
        self.faults.update(outcome.faults)
        self.transitions |= outcome.transitions
        self.branches.update(outcome.branches)
        self.steps += outcome.steps
        self.orders += outcome.orders
        self.fills += outcome.fills
        self.slowest_rest_ms = max(self.slowest_rest_ms, outcome.settled_ms)

    @property
    def failing_seeds(self) -> list[int]:
        """The seeds that broke, in order."""
        return [failure.seed for failure in self.failures]

    @property
    def missing_transitions(self) -> list[tuple[str, str]]:
        """Pairs of order state and event that are legal and were not seen."""
        legal = {(state.value, kind.value) for state, kind in TRANSITIONS}
        return sorted(legal - self.transitions)

    def summary(self) -> dict[str, object]:
        """The object that `titan simulate --json` prints."""
        return {
            "seeds": self.seeds,
            "violations": self.violations,
            "failing_seeds": self.failing_seeds,
            "faults": {kind.value: self.faults[kind.value] for kind in Fault},
            "transitions_covered": len(self.transitions),
            "transitions": len(TRANSITIONS),
            "missing_transitions": [f"{state} {event}" for state, event in self.missing_transitions],
            "rare_branches": dict(sorted(self.branches.items())),
            "steps": self.steps,
            "fewest_steps": self.fewest_steps,
            "orders": self.orders,
            "fills": self.fills,
            "slowest_rest_s": self.slowest_rest_ms / 1000,
            "failures": [
                {"seed": failure.seed, "violations": [f"{i}: {text}" for i, text in failure.violations]}
                for failure in self.failures[:MAX_SHOWN]
            ],
            "cpu_s": round(self.cpu_s, 2),
            "seconds": round(self.seconds, 2),
        }


def policy() -> RiskPolicy:
    """The limits of every simulated world."""
    return parse_policy(POLICY)


def run_seed(seed: int, steps: int, limits: RiskPolicy | None = None) -> Outcome:
    """One world of the campaign."""
    return run(make_plan(seed, steps), limits or policy())


def campaign(
    seeds: Iterable[int],
    *,
    steps: int = 200,
    jobs: int = 1,
    defect: str = "",
    progress: Callable[[int, int], None] = lambda _done, _failed: None,
    stop_at_first: bool = False,
) -> Report:
    """Runs every seed; `defect` names a deliberately broken build to run them on.

    Raises ValueError for an unknown one, TitanError when a worker process is killed.
    """
    if defect and defect not in DEFECTS:
        raise ValueError(f"no defect named {defect!r}; there are {', '.join(DEFECTS)}")
    report = Report()
    began = time.perf_counter()
    wanted = list(seeds)
    chunks = [(tuple(wanted[start : start + CHUNK]), steps, defect) for start in range(0, len(wanted), CHUNK)]
    for outcomes, cpu_s in _results(chunks, jobs):
        for outcome in outcomes:
            report.add(outcome)
        report.cpu_s += cpu_s
        progress(report.seeds, len(report.failures))
        if stop_at_first and report.failures:
            break
    report.seconds = time.perf_counter() - began
    return report


Chunk = tuple[tuple[int, ...], int, str]


def _results(chunks: list[Chunk], jobs: int) -> Iterator[tuple[list[Outcome], float]]:
    if jobs <= 1:
        yield from map(_work, chunks)
        return
    # An executor and no pool: it says so when a worker is killed, where a pool waits for ever.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as workers:
        try:
            yield from workers.map(_work, chunks)
        except BrokenProcessPool:
            raise TitanError("a worker of the campaign was killed; is memory short? try fewer --jobs") from None
        finally:
            workers.shutdown(cancel_futures=True)


def _work(chunk: Chunk) -> tuple[list[Outcome], float]:
    seeds, steps, defect = chunk
    began = time.process_time()
    limits = policy()
    with ExitStack() as stack:
        if defect:
            stack.enter_context(DEFECTS[defect].planted())
        outcomes = [run_seed(seed, steps, limits) for seed in seeds]
    return outcomes, time.process_time() - began
