"""What a campaign found: runs, violations with their evidence, and the table of both.

Guarantees: percentiles are of real samples; the JSON object has the documented shape. Never: a run left out.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ops.chaos.defects import Shown
from ops.chaos.fault import ChaosFault
from titan.invariants import MEANING, Violation


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation, and the fault after which it was found."""

    number: int
    fault: str
    violation: Violation


@dataclass(slots=True)
class Run:
    """One injection. `recovery_s` is None when it never came back."""

    fault: ChaosFault
    note: str = ""
    recovery_s: float | None = None
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """Everything so far."""

    runs: list[Run] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    readings: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    revived: int = 0
    defects: list[Shown] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """All violations."""
        return [finding for run in self.runs for finding in run.findings]

    @property
    def passed(self) -> bool:
        """Whether nothing was violated, and every defect that was put in was noticed."""
        return not self.findings and all(shown.caught for shown in self.defects)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One fault's runs."""

    fault: ChaosFault
    runs: int
    violations: int
    recovery_s: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median recovery, zero without a sample."""
        return statistics.median(self.recovery_s) if self.recovery_s else 0.0

    @property
    def verdict(self) -> str:
        """Whether the median meets its target; empty where there is none, or no sample."""
        target = self.fault.target_s
        if target is None or not self.recovery_s:
            return ""
        return "met" if self.p50 <= target else "missed"


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of all do not exceed; zero without samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def table_of(result: Result) -> list[TableRow]:
    """The runs by fault, in the order of their numbers."""
    by_number: dict[int, list[Run]] = {}
    for run in result.runs:
        by_number.setdefault(run.fault.number, []).append(run)
    return [
        TableRow(
            runs[0].fault,
            len(runs),
            sum(len(run.findings) for run in runs),
            tuple(run.recovery_s for run in runs if run.recovery_s is not None),
        )
        for _, runs in sorted(by_number.items())
    ]


def as_json(result: Result, facts: Mapping[str, object]) -> dict[str, object]:
    """The object that scripts read: interfaces' shape, and what else there is to say."""
    rows: list[dict[str, object]] = []
    for row in table_of(result):
        recovery = {
            "p50": round(row.p50, 3),
            "p99": round(percentile(row.recovery_s, 0.99), 3),
            "max": round(max(row.recovery_s, default=0.0), 3),
        }
        rows.append(
            {
                "fault": row.fault.name,
                "number": row.fault.number,
                "axis": row.fault.axis.value,
                "runs": row.runs,
                "violations": row.violations,
                "recovery_s": recovery,
                "target_s": row.fault.target_s,
                "verdict": row.verdict,
            }
        )
    return {
        **facts,
        "faults": len(result.runs),
        "violations": len(result.findings),
        "table": rows,
        "axes": dict(Counter(run.fault.axis.value for run in result.runs)),
        "skipped": result.skipped,
        "revived": result.revived,
        "readings": result.readings,
        "orders": result.orders,
        "fills": result.fills,
        "decisions": result.decisions,
        "defects": [shown.as_json() for shown in result.defects],
        "details": [_detail(finding) for finding in result.findings],
    }


def _detail(finding: Finding) -> dict[str, object]:
    violation = finding.violation
    return {
        "number": finding.number,
        "fault": finding.fault,
        "invariant": violation.invariant.value,
        "means": MEANING[violation.invariant],
        "text": violation.text,
        "evidence": dict(violation.evidence),
    }
