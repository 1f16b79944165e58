"""Makes a failing plan smaller: fewer faults, fewer signals, the same violation.

Guarantees: the result still breaks the same invariant; no single act can be left out of it (unless the budget of runs ended
first). Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002 (ddmin). Never: a change of
an act.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from simulation.plan import Act, Plan
from simulation.world import Outcome, run
from titan.policy import RiskPolicy

MAX_RUNS = 400


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smaller plan, what it breaks, and how many runs that took."""

    plan: Plan
    outcome: Outcome
    runs: int


def shrink(plan: Plan, limits: RiskPolicy, max_runs: int = MAX_RUNS) -> Shrunk:
    """The smallest plan found that breaks an invariant the given one breaks. Raises ValueError when it breaks none."""
    first = run(plan, limits)
    broken = {each.invariant for each in first.violations}
    if not broken:
        raise ValueError(f"seed {plan.seed} breaks nothing: there is nothing to make smaller")
    best = first
    runs = 1

    def still_broken(acts: tuple[Act, ...]) -> bool:
        nonlocal best, runs
        runs += 1
        outcome = run(replace(plan, acts=acts), limits)
        if broken & {each.invariant for each in outcome.violations}:
            best = outcome
            return True
        return False

    acts = minimal(plan.acts, still_broken, lambda: runs < max_runs)
    return Shrunk(replace(plan, acts=acts), best, runs)


def minimal(
    acts: tuple[Act, ...], still_broken: Callable[[tuple[Act, ...]], bool], may_go_on: Callable[[], bool]
) -> tuple[Act, ...]:
    """ddmin over a list of acts, kept in their order."""
    parts = 2
    while len(acts) >= 2 and may_go_on():
        size = max(1, len(acts) // parts)
        for start in range(0, len(acts), size):
            rest = acts[:start] + acts[start + size :]
            if may_go_on() and still_broken(rest):
                acts = rest
                parts = max(parts - 1, 2)
                break
        else:
            if size == 1:
                return acts
            parts = min(parts * 2, len(acts))
    return acts
