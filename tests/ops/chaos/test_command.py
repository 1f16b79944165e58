"""The verb: what it lists, what it refuses before anything is started, how it prints a result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.chaos.catalogue import FAULTS
from ops.chaos.result import Finding, Result, Run
from ops.cli import chaos
from ops.cli.verbs import app
from titan.errors import ConfigError, TitanError
from titan.invariants import Invariant, Violation


def test_the_list_names_every_fault_once() -> None:
    shown = CliRunner().invoke(app, ["chaos", "--list", "--json"])
    assert shown.exit_code == 0
    rows = json.loads(shown.stdout.splitlines()[-1])["faults"]
    assert [row["number"] for row in rows] == [fault.number for fault in FAULTS]
    assert {"number", "axis", "fault", "does", "target_s"} == set(rows[0])


def test_the_list_of_an_axis_is_a_table() -> None:
    shown = CliRunner().invoke(app, ["chaos", "--list", "--only", "bus"])
    assert "redelivery" in shown.stdout
    assert "router-kill" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["--only", "weather"], TitanError, "no fault 'weather'; the axes are"),
        (["--fault", "9999"], TitanError, "no fault number 9999"),
        (["--fault", "100", "--only", "bus"], ConfigError, "exclude each other"),
        (["--report", "/nowhere/at/all.json"], ConfigError, "the folder /nowhere/at does not exist"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_starts(
    arguments: list[str], error: type[TitanError], says: str
) -> None:
    refused = CliRunner().invoke(app, ["chaos", *arguments])
    assert isinstance(refused.exception, error)
    assert says in str(refused.exception)


def test_a_result_shows_its_violations_with_their_evidence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fault = FAULTS[0]
    violation = Violation(Invariant.ONE_ORDER, "k", "sent twice", {"venue_order_ids": "a, b"})
    run = Run(fault, recovery_s=1.25, findings=[Finding(fault.number, fault.name, violation)])
    chaos.render(Result([run], {"disk-full": "needs root"}))
    printed = capsys.readouterr().out
    for word in (fault.name, "1.25", "I1", "sent twice", "venue_order_ids: a, b", "skipped disk-full: needs root"):
        assert word in printed
