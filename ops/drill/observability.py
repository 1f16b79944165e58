"""Whether the watch sees: a real Prometheus over a whole Titan that trades in health.

Guarantees: a metric of the registry that nobody shows, a rule that can't be evaluated, or an alert that wakes a person in health
fails the drill. Never: a written sample (promtool's cases have those, and show what fires).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.drill.report import Report
from ops.drill.stage import Broken, Stage
from ops.drill.trades import Trades
from ops.drill.watch import Watch, watching
from ops.observability.model import Severity
from ops.observability.rules import ALERTS
from titan.metrics import METRICS

CALM_S = 2.0
"""Between two trades by hand in health."""
LOUD = frozenset(alert.name for alert in ALERTS if alert.severity is Severity.CRITICAL)
OF_TRADING = frozenset({"CircuitBreakerTriggered", "HighDrawdown", "CriticalDrawdown"})
"""What trading itself may cause in health: small losses, one after the other, trip the breaker."""


def observability(minutes: float) -> Callable[[Stage, Report], None]:
    """The drill with a healthy time of so many minutes."""

    def run(stage: Stage, report: Report) -> None:
        with watching(stage.runtime, standby=True, patient=True) as watch:
            healthy(stage, report, watch, minutes)
            shown(report, watch)

    return run


def healthy(stage: Stage, report: Report, watch: Watch, minutes: float) -> None:
    """Trades calmly for a while, scraped; nothing wakes a person."""
    trades = Trades(stage)
    with report.step("every listener is scraped"):
        stage.until(watch.all_up, "every listener", 60.0)
    with report.step("a backup, so that its age is no alert"):
        stage.command("backup", "drill", timeout_s=300.0)
    loud: set[str] = set()
    with report.step(f"{minutes:g} minutes of trading wake nobody but for losses") as step:
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            trades.trade(pause_s=CALM_S)
            loud |= watch.firing() & LOUD
        step.seen = f"{trades.approved} trades by hand; {', '.join(sorted(loud)) or 'silence'}"
        if loud - OF_TRADING:
            raise Broken(f"{', '.join(sorted(loud - OF_TRADING))} fired in health")
    with report.step("every alert and recording is evaluated") as step:
        ill = watch.ill()
        step.seen = f"{len(ALERTS)} alerts"
        if ill:
            raise Broken(f"not evaluated: {', '.join(sorted(ill))}")


def shown(report: Report, watch: Watch) -> None:
    """What must have been scraped at the end of health."""
    with report.step("every metric of the registry was scraped") as step:
        lacking = watch.lacking()
        step.seen = f"{len(METRICS)} metrics, {len(watch.targets)} listeners"
        if lacking:
            raise Broken(f"nobody shows {', '.join(sorted(lacking))}")
