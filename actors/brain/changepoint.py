"""Whether the benchmark's returns have just changed their character: Bayesian online change-point detection.

Guarantees: each run length keeps its own sufficient statistics, so the change score moves with the evidence instead of
resting at the hazard rate. Source: Adams and MacKay 2007, Normal-inverse-gamma model with the new run judged by its
prior; reference/brain.md section 2.6 for window, hazard and classification.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from actors.brain.regime import Regime

HAZARD = 0.01
MAX_RUN = 100
PRIOR_KAPPA, PRIOR_ALPHA, PRIOR_BETA = 0.1, 1.0, 1e-5


@dataclass(frozen=True, slots=True)
class _Run:
    """One hypothesis: how long the present run is, its probability, and its Normal-inverse-gamma statistics."""

    probability: float
    length: int
    mean: float
    kappa: float
    alpha: float
    beta: float

    def density(self, x: float) -> float:
        """Student-t predictive density of the next return."""
        degrees = 2.0 * self.alpha
        scale2 = self.beta * (self.kappa + 1.0) / (self.alpha * self.kappa)
        squared = (x - self.mean) ** 2 / (degrees * scale2)
        log = (
            math.lgamma((degrees + 1.0) / 2.0) - math.lgamma(degrees / 2.0) - 0.5 * math.log(degrees * math.pi * scale2)
        )
        return math.exp(log - (degrees + 1.0) / 2.0 * math.log1p(squared))

    def after(self, x: float, probability: float) -> _Run:
        """The same run one return later."""
        kappa = self.kappa + 1.0
        beta = self.beta + self.kappa * (x - self.mean) ** 2 / (2.0 * kappa)
        mean = (self.kappa * self.mean + x) / kappa
        return _Run(probability, self.length + 1, mean, kappa, self.alpha + 0.5, beta)


def _new_run(probability: float) -> _Run:
    return _Run(probability, 0, 0.0, PRIOR_KAPPA, PRIOR_ALPHA, PRIOR_BETA)


class ChangePoint:
    """The detector's state over one series of returns."""

    def __init__(self, hazard: float = HAZARD) -> None:
        self.hazard = hazard
        self.score = 0.0
        self._runs: list[_Run] = []
        self._returns: deque[float] = deque(maxlen=MAX_RUN)

    @property
    def run_length(self) -> int:
        """The most probable length of the present run, in returns."""
        return max(self._runs, key=lambda run: run.probability).length if self._runs else 0

    def observe(self, x: float) -> float:
        """Takes a simple return; the probability that it began a new run."""
        self._returns.append(x)
        if not self._runs:
            self._runs = [_new_run(1.0).after(x, 1.0)]
            self.score = 0.0
            return self.score
        fresh = _new_run(1.0)
        begun = self.hazard * fresh.density(x) * sum(run.probability for run in self._runs)
        grown = [run.probability * run.density(x) * (1.0 - self.hazard) for run in self._runs]
        total = begun + sum(grown)
        if total <= 0.0:
            self._runs = [fresh.after(x, 1.0)]
            self.score = 1.0
            return self.score
        runs = [run.after(x, weight / total) for run, weight in zip(self._runs, grown, strict=True)]
        self._runs = [fresh.after(x, begun / total), *(run for run in runs if run.length <= MAX_RUN)]
        self.score = begun / total
        return self.score

    def regime(self) -> Regime:
        """The kind of market that the last returns and the score imply."""
        if len(self._returns) < 2:
            return Regime.STABLE
        last, recent = self._returns[-1], list(self._returns)[-20:]
        mean = sum(recent) / len(recent)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in recent) / (len(recent) - 1))
        if last < -0.02 or deviation > 0.02:
            return Regime.CRASH
        if self.run_length < 5 and self.score > 0.3:
            return Regime.VOLATILE_BREAKOUT if abs(last) > 0.005 else Regime.MEAN_REVERSION
        if deviation > 0.005:
            trending = abs(sum(list(self._returns)[-10:])) > 0.01
            return Regime.VOLATILE_BREAKOUT if trending else Regime.MEAN_REVERSION
        return Regime.STABLE
