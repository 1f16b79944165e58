"""What fails the drill of the watch: noise in health, a rule that is not evaluated, a metric that nobody shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.drill import observability
from ops.drill.observability import healthy, shown
from ops.drill.report import DrillFailed, Report, now_text
from ops.drill.stage import Stage
from ops.drill.watch import Watch


class Calm(Stage):
    """A stage that does what it is told."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"), {})

    def command(self, *arguments: str, timeout_s: float = 120.0) -> dict[str, Any]:
        return {}

    def opening(self, size_usd: int = 200, *, sell: bool = False) -> tuple[bool, str]:
        return True, "APPROVED"


class Told(Watch):
    """A watch that says what a test tells it."""

    def __init__(self, *fire: str, ill: str = "", lacking: str = "") -> None:
        super().__init__(0, {})
        self._told = (set(fire), {ill} - {""}, {lacking} - {""})

    def all_up(self) -> bool:
        return True

    def firing(self) -> set[str]:
        return self._told[0]

    def ill(self) -> set[str]:
        return self._told[1]

    def lacking(self) -> set[str]:
        return self._told[2]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(observability, "CALM_S", 0.001)
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
