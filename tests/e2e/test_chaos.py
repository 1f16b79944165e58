"""A short campaign of faults against a whole Titan: several axes are struck, nothing is lost or doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import ROOT, environment, last_json

pytestmark = pytest.mark.e2e
FAULTS = 6
SEED = "11"
# The others cost a start of Ray or of everything: campaigns by hand have the time for them.
AXES = "process,venue,stream,bus,operator"


@pytest.mark.timeout(420)
def test_a_short_campaign_hits_several_axes_and_breaks_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ops.cli.app",
            "chaos",
            "--minutes",
            "5",
            "--limit",
            str(FAULTS),
            "--seed",
            SEED,
            "--only",
            AXES,
            "--json",
            "--report",
            report,
        ],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.stdout, done.stderr
    shown = last_json(done.stdout)
    assert shown["violations"] == 0, json.dumps(shown["details"], indent=1)
    assert done.returncode == 0, done.stderr
    assert shown["faults"] == sum(row["runs"] for row in shown["table"])
    assert shown["faults"] + len(shown["skipped"]) == FAULTS
    assert len(shown["axes"]) >= 3
    assert shown["readings"] >= shown["faults"]
    assert shown["orders"] > 0
    assert json.loads(report.read_text()) == shown
