"""Whether the watch sees: a real Prometheus over a whole Titan, first in health, then with one condition after the other.

Guarantees: a metric of the registry that nobody shows, a rule that can't be evaluated, an alert that wakes a person in health,
one that its condition does not fire, or that does not reach exactly its receivers, fails the drill; so does a condition that
trading does not get over. Never: a written sample (promtool's cases have those, and show how long each alert waits).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ops.drill.conditions import CONDITIONS, DISK_MB, ORDER_USD, Condition, Scene
from ops.drill.proof import nothing_lost
from ops.drill.report import Report
from ops.drill.stage import Broken, Stage
from ops.drill.trades import Trades
from ops.drill.watch import BY_NAME, Watch, loudest, receivers_of, waited, watching
from ops.observability.model import Severity
from ops.observability.rules import ALERTS
from titan.metrics import METRICS

CALM_S = 4.0
"""Between two trades by hand in health."""
LOUD = frozenset(alert.name for alert in ALERTS if alert.severity is Severity.CRITICAL)
OF_TRADING = frozenset({"CircuitBreakerTriggered", "HighDrawdown", "CriticalDrawdown"})
"""What trading itself may cause in health: small losses, one after the other, trip the breaker."""
TOLD_WITHIN_S = 60.0
OVER_WITHIN_S = 120.0
LINGERS_S = 360.0
"""The five minutes that rates look back, and a turn."""

__all__ = ["DISK_MB", "observability"]


def observability(minutes: float) -> Callable[[Stage, Report], None]:
    """The drill with a healthy time of so many minutes."""

    def run(stage: Stage, report: Report) -> None:
        with watching(stage.runtime, standby=True, patient=True) as watch:
            healthy(stage, report, watch, minutes)
            shown(report, watch)
        # From here on nothing waits before it fires: how long each alert waits is promtool's to show.
        with watching(stage.runtime, standby=True, patient=False) as watch:
            injected(Scene(stage, watch, Trades(stage, ORDER_USD)), report)

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


def injected(scene: Scene, report: Report, conditions: Iterable[Condition] = CONDITIONS) -> None:
    """Brings about one condition after the other, each until its alerts fire, are delivered, and it is over."""
    stage, watch = scene.stage, scene.watch
    with report.step("every listener was scraped twice: what rises from now on is seen to rise"):
        twice = f"count(count_over_time(up[5m]) >= 2) == {len(watch.targets)}"
        stage.until(lambda: watch.value(twice), "a second scrape", 60.0)
    lingering: set[str] = set()
    for condition in conditions:
        why = condition.absent(scene)
        if why:
            with report.step(f"{condition.name} is left out") as step:
                step.seen = why
            continue
        fires(scene, report, condition)
        lingering |= condition.alerts if condition.lingers else set()
        over(scene, report, condition)
    with report.step("no alert is left of any of it") as step:
        if not waited(lambda: not watch.firing() & lingering, LINGERS_S, lambda: None):
            raise Broken(f"{', '.join(sorted(watch.firing() & lingering))} fires still")
        step.seen = f"firing: {', '.join(sorted(watch.firing()))}"
    with report.step("no alert went to anybody else's receiver") as step:
        step.seen = f"{len(watch.delivered)} alerts delivered"
        if watch.misrouted():
            raise Broken(f"misrouted: {watch.misrouted()}")
    with report.step("venue, journal and ledger agree, nothing is lost or doubled") as step:
        stage.agreed()
        step.seen = str(nothing_lost(stage))


def fires(scene: Scene, report: Report, condition: Condition) -> None:
    """Brings a condition about until its alerts fired and were delivered, and mends it. Raises DrillFailed."""
    watch, names = scene.watch, condition.alerts
    told = loudest(names)
    with report.step(f"{condition.name} fires {', '.join(sorted(names))}") as step:
        # An alert that fires already would prove nothing.
        if not waited(lambda: not watch.firing() & told, OVER_WITHIN_S, lambda: None):
            raise Broken(f"{', '.join(sorted(watch.firing() & told))} fired before")
        for name in told:
            watch.delivered.pop(name, None)
        began = time.monotonic()
        fired: dict[str, float] = {}

        def all_fired() -> bool:
            for name in watch.firing() & names:
                fired.setdefault(name, time.monotonic() - began)
            return len(fired) == len(names)

        with condition.brought(scene) as turn:
            if not waited(all_fired, condition.within_s, turn):
                silent = ", ".join(sorted(names - fired.keys()))
                raise Broken(f"{silent} did not fire within {condition.within_s:.0f} s; vetoes: {scene.trades.vetoes}")
            if not waited(lambda: all(watch.told(name) for name in told), TOLD_WITHIN_S, lambda: None):
                raise Broken(f"expected {_receivers(told)}, delivered {watch.delivered}")
            delivered = time.monotonic() - began
        after = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in fired.items())
        step.seen = f"{after}; delivered after {delivered:.0f} s: {_receivers(told)}"


def over(scene: Scene, report: Report, condition: Condition) -> None:
    """Waits until nothing is left of a condition. Raises DrillFailed."""
    stage, watch, trades = scene.stage, scene.watch, scene.trades
    with report.step(f"after {condition.name} it trades again and the books agree") as step:
        began = time.monotonic()
        stage.until(stage.all_ready, "all actors ready", OVER_WITHIN_S)
        stage.until_active(OVER_WITHIN_S)
        if not waited(lambda: trades.ask(stop_share=condition.stop_share), OVER_WITHIN_S, lambda: None):
            raise Broken(f"no opening was approved; vetoes: {trades.vetoes}")
        traded = time.monotonic() - began
        ended = condition.lingers or waited(lambda: not watch.firing() & condition.alerts, OVER_WITHIN_S, lambda: None)
        if not ended:
            raise Broken(f"{', '.join(sorted(watch.firing() & condition.alerts))} fires still")
        step.seen = f"trades after {traded:.1f} s, {stage.agreed()} fills agree"


def _receivers(names: frozenset[str]) -> str:
    return "; ".join(f"{name} to {' and '.join(sorted(receivers_of(BY_NAME[name])))}" for name in sorted(names))
