"""The words of alerts and dashboards, as values.

Guarantees: an alert can't be written without a severity, a runbook, a case in which it fires and one in which it does not.
Never: a file (`render` makes those).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LOGS = "logs"
"""The kind of a panel that shows lines: its queries are Loki's."""
STEP_S = 15
"""Between two samples of a rule's test."""
JUDGED_S = 60
"""Between two evaluations there: no case looks at a moment between minutes, and every rule of a group is evaluated each time."""


class Severity(StrEnum):
    """How loud. CRITICAL wakes a person, WARNING is read today, INFO is read some day."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Sev(StrEnum):
    """The incident's level: money is being lost, trading stands, something is worse than usual."""

    SEV1 = "SEV-1"
    SEV2 = "SEV-2"
    SEV3 = "SEV-3"


Series = Mapping[str, str]
"""Series to its samples every 15 s, in the notation of `promtool test rules`: 1x40 stays, 0+5x40 rises, _x40 is absent."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `after` is how long its expression must hold; `runbook` names a section of docs/operations/runbooks/alerts.md."""

    name: str
    group: str
    expr: str
    after: str
    severity: Severity
    sev: Sev
    summary: str
    runbook: str
    fires: Series
    quiet: Series
    at: str = "10m"
    """When the test looks."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A query kept as a series of its own."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Query:
    """One line of a panel."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `steps` are thresholds: colour from a value on."""

    title: str
    kind: str
    queries: tuple[Query, ...]
    unit: str = "short"
    steps: tuple[tuple[float | None, str], ...] = ((None, "green"),)
    width: int = 12
    text: Mapping[str, str] = field(default_factory=dict)
    """What values mean in words, by value."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page of Grafana."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    refresh: str = "5s"
