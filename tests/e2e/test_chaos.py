"""A campaign of faults against a whole Titan: several axes are struck, nothing is lost or doubled, and a broken promise is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.chaos.defects import DEFECTS
from tests.e2e.running import ROOT, environment, last_json

pytestmark = pytest.mark.e2e
MINUTES = 3
SEED = "11"
# The others cost a start of Ray or of everything: campaigns by hand have the time for them.
AXES = "process,venue,stream,bus,operator"
LIVE_DEFECTS = "TITAN_TEST_LIVE_DEFECTS"


def campaign(home: Path, *arguments: str, timeout_s: float) -> tuple[int, dict[str, Any], str]:
    """One campaign: exit code, report, what it complained of."""
    report = home / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli.app", "chaos", *arguments, "--json", "--report", report],
        cwd=ROOT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.stdout, done.stderr
    shown = last_json(done.stdout)
    assert json.loads(report.read_text()) == shown
    return done.returncode, shown, done.stderr


@pytest.mark.timeout(620)
def test_three_minutes_hit_several_axes_and_break_nothing(tmp_path: Path) -> None:
    code, shown, said = campaign(tmp_path, "--minutes", str(MINUTES), "--seed", SEED, "--only", AXES, timeout_s=600)
    assert shown["violations"] == 0, json.dumps(shown["details"], indent=1)
    assert code == 0, said
    assert shown["faults"] == sum(row["runs"] for row in shown["table"])
    assert shown["faults"] >= 6
    assert len(shown["axes"]) >= 3
    assert shown["readings"] >= shown["faults"]
    assert shown["orders"] > 0


@pytest.mark.timeout(920)
@pytest.mark.skipif(not os.environ.get(LIVE_DEFECTS), reason=f"takes minutes: set {LIVE_DEFECTS}=1")
def test_a_live_system_that_breaks_a_promise_is_noticed_each_time(tmp_path: Path) -> None:
    code, shown, said = campaign(
        tmp_path, "--minutes", "1", "--limit", "1", "--only", "venue", "--defects", timeout_s=900
    )
    assert [row["defect"] for row in shown["defects"]] == [defect.name for defect in DEFECTS]
    assert [row for row in shown["defects"] if not row["caught"]] == []
    assert all(set(row["breaks"]) & set(row["found"]) for row in shown["defects"])
    assert code == 0, said
