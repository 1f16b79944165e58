"""What fails the drill of the watch: noise in health, a rule that is not evaluated, a metric that nobody shows, a silent alert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from ops.drill import observability
from ops.drill.conditions import CONDITIONS, Condition, Scene, Turn, held
from ops.drill.observability import healthy, injected, shown
from ops.drill.report import DrillFailed, Report, now_text
from ops.drill.stage import Stage
from ops.drill.trades import Trades
from ops.drill.watch import BY_NAME, Watch, loudest, receivers_of, waited
from ops.observability.model import Severity


class Calm(Stage):
    """A stage that does what it is told."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"), {})

    def command(self, *arguments: str, timeout_s: float = 120.0) -> dict[str, Any]:
        return {}

    def opening(
        self, size_usd: int = 200, *, sell: bool = False, limit: float = 0.0, stop_share: float = 0.05
    ) -> tuple[bool, str]:
        return True, "APPROVED"

    def all_ready(self) -> bool:
        return True

    def until_active(self, within_s: float = 120.0) -> None:
        pass

    def agreed(self) -> int:
        return 3


class Told(Watch):
    """A watch that says what a test tells it."""

    def __init__(self, *fire: str, ill: str = "", lacking: str = "") -> None:
        super().__init__(0, {})
        self._told = (set(fire), {ill} - {""}, {lacking} - {""})
        self.broken: set[str] = set()
        self.silent: set[str] = set()

    def all_up(self) -> bool:
        return True

    def firing(self) -> set[str]:
        for name in self.broken - self.silent:
            self.delivered.setdefault(name, set()).update(receivers_of(BY_NAME[name]))
        return self._told[0] | self.broken

    def value(self, expr: str) -> list[Any]:
        return [1]

    def ill(self) -> set[str]:
        return self._told[1]

    def lacking(self) -> set[str]:
        return self._told[2]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(observability, "CALM_S", 0.001)
    for name in ("TOLD_WITHIN_S", "OVER_WITHIN_S", "LINGERS_S"):
        monkeypatch.setattr(observability, name, 0.3)
    monkeypatch.setattr("ops.drill.observability.nothing_lost", lambda _: "whole")
    return Report("observability", now_text())


@pytest.mark.parametrize(
    ("watch", "sentence"),
    [
        (Told("RouterDown", "CircuitBreakerTriggered"), "RouterDown fired in health"),
        (Told(ill="RouterDown"), "not evaluated: RouterDown"),
    ],
    ids=["noise", "ill"],
)
def test_what_is_wrong_in_health_fails_it(report: Report, watch: Watch, sentence: str) -> None:
    with pytest.raises(DrillFailed, match=sentence):
        healthy(Calm(), report, watch, 0.0005)


def test_losses_of_trading_and_what_wakes_nobody_do_not_fail_it(report: Report) -> None:
    healthy(Calm(), report, Told("Watchdog", "CircuitBreakerTriggered", "EquityBelowInitial"), 0.0005)
    assert all(step.passed for step in report.steps)


def test_a_metric_that_nobody_shows_fails_it(report: Report) -> None:
    with pytest.raises(DrillFailed, match="nobody shows titan_equity_usd"):
        shown(report, Told(lacking="titan_equity_usd"))


DISK, FALL = frozenset({"LowDiskSpace", "CriticalDiskSpace"}), frozenset({"SystemDown", "ServiceDown"})


def breaks(*alerts: str, after: str = "") -> Callable[[Scene], AbstractContextManager[Turn]]:
    """Has a told watch see some alerts as long as the block lasts, and one of them afterwards, too."""

    @contextmanager
    def brought(scene: Scene) -> Iterator[Turn]:
        assert isinstance(scene.watch, Told)
        scene.watch.broken |= set(alerts)
        yield lambda: None
        scene.watch.broken = {after} - {""}

    return brought


def scene_of(watch: Watch) -> Scene:
    calm = Calm()
    return Scene(calm, watch, Trades(calm))


def test_every_condition_fires_is_delivered_and_is_over_before_the_next(report: Report) -> None:
    conditions = (
        Condition("a full disk", DISK, breaks(*DISK)),
        Condition("a dead brain", FALL, breaks(*FALL)),
        Condition("a flood", DISK, breaks(), absent=lambda _: "there is no river"),
    )
    injected(scene_of(Told()), report, conditions)
    told = {step.expected: step.seen for step in report.steps}
    assert "CriticalDiskSpace to channel and pager" in told["a full disk fires CriticalDiskSpace, LowDiskSpace"]
    assert "LowDiskSpace to" not in told["a full disk fires CriticalDiskSpace, LowDiskSpace"], (
        "the louder one speaks for it"
    )
    assert "3 fills agree" in told["after a dead brain it trades again and the books agree"]
    assert told["a flood is left out"] == "there is no river"
    assert all(step.passed for step in report.steps)


@pytest.mark.parametrize(
    ("brought", "silent", "sentence"),
    [
        (breaks("LowDiskSpace"), "", "CriticalDiskSpace did not fire"),
        (breaks(*DISK), "CriticalDiskSpace", "expected CriticalDiskSpace to channel and pager, delivered"),
        (breaks(*DISK, after="LowDiskSpace"), "", "LowDiskSpace fires still"),
    ],
    ids=["unseen", "untold", "endless"],
)
def test_what_is_missing_of_a_condition_fails_it(
    report: Report, brought: Callable[[Scene], AbstractContextManager[Turn]], silent: str, sentence: str
) -> None:
    watch = Told()
    watch.silent = {silent} - {""}
    with pytest.raises(DrillFailed, match=sentence):
        injected(scene_of(watch), report, [Condition("a full disk", DISK, brought, within_s=0.3)])


def test_an_alert_that_fires_already_proves_nothing(report: Report) -> None:
    with pytest.raises(DrillFailed, match="CriticalDiskSpace fired before"):
        injected(scene_of(Told("CriticalDiskSpace")), report, [Condition("a full disk", DISK, breaks(*DISK))])


def test_an_alert_at_somebody_elses_receiver_fails_it(report: Report) -> None:
    watch = Told()
    watch.delivered["LowDiskSpace"] = {"pager"}
    with pytest.raises(DrillFailed, match=r"misrouted: .*LowDiskSpace.*pager"):
        injected(scene_of(watch), report, ())


def test_the_eight_conditions_are_there_and_every_one_is_told_to_somebody() -> None:
    fired = frozenset(name for condition in CONDITIONS for name in condition.alerts)
    assert fired >= {
        "SystemDown", "CircuitBreakerTriggered", "DatabaseFailure", "CriticalOrderLatency", "HighSignalLatency",
        "CriticalDiskSpace", "MarketDataStale", "CriticalOrderFillRate", "CriticalDrawdown",
    }  # fmt: skip
    for condition in CONDITIONS:
        told = loudest(condition.alerts)
        assert told
        assert all(receivers_of(BY_NAME[name]) for name in told)
    assert receivers_of(BY_NAME["CriticalDrawdown"]) == {"pager", "channel"}
    assert {receivers_of(alert) for alert in BY_NAME.values() if alert.severity is Severity.INFO} == {
        frozenset({"digest"}),
        frozenset({"watchdog"}),
    }


def test_what_is_held_wakes_when_the_block_ends_the_last_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("ops.drill.conditions.os.kill", lambda pid, number: sent.append((pid, number)))
    with pytest.raises(ZeroDivisionError), held(11, 22):
        raise ZeroDivisionError
    assert sent == [(11, SIGSTOP), (22, SIGSTOP), (22, SIGCONT), (11, SIGCONT)]


def test_what_is_done_meanwhile_goes_on_until_the_condition_holds() -> None:
    done: list[int] = []
    assert waited(lambda: len(done) > 2, 5.0, lambda: done.append(1), 0.001)
    assert not waited(lambda: False, 0.01, lambda: None, 0.001)
