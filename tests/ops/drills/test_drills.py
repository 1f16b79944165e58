"""A drill's report is signed, a failed step fails it, a changed one is found; timers call verbs that exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ops.cli.verbs import app
from ops.drill.drills import DRILLS
from ops.drill.report import DrillFailed, Report, keep, kept, now_text
from ops.drill.stage import Broken
from titan.errors import TimedOut
from titan.policy import load_policy
from titan.runtime import HmacKey

ROOT = Path(__file__).resolve().parents[3]
UNITS = ROOT / "ops" / "systemd"
MINE = sorted(path for path in UNITS.glob("titan-*.timer") if re.match(r"titan-(backup|drill|retention)", path.name))
KEY = HmacKey(key_id="k1", secret="secret")


def ended(report: Report) -> Report:
    report.end(time.monotonic())
    return report


def test_a_drill_passes_only_when_every_step_did() -> None:
    report = Report("x", now_text())
    assert not ended(report).passed, "a drill without a step shows nothing"
    with report.step("works") as step:
        step.seen = "yes"
    assert ended(report).passed
    with pytest.raises(DrillFailed, match="x: breaks: never came"), report.step("breaks"):
        raise TimedOut("never came")
    assert not ended(report).passed
    assert [(step.passed, step.seen) for step in report.steps] == [(True, "yes"), (False, "never came")]


def test_a_report_that_was_changed_or_signed_by_another_is_no_proof(tmp_path: Path) -> None:
    report = Report("kill-switch", now_text())
    with report.step("works"):
        pass
    path = keep(ended(report), tmp_path, KEY)
    assert [each.genuine for each in kept(tmp_path, (KEY,))] == [True]
    assert [each.genuine for each in kept(tmp_path, (HmacKey(key_id="k1", secret="other"),))] == [False]
    assert [each.genuine for each in kept(tmp_path, ())] == [False]
    path.write_text(path.read_text().replace('"passed": true', '"passed": false', 1))
    assert [each.genuine for each in kept(tmp_path, (KEY,))] == [False]
    path.write_text("{")
    assert [each.genuine for each in kept(tmp_path, (KEY,))] == [False]


def test_the_list_shows_every_drill_and_its_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = CliRunner().invoke(app, ["drill", "--list", "--json", "--home", str(tmp_path)])
    rows = json.loads(first.output.strip().splitlines()[-1])["drills"]
    assert {row["name"] for row in rows} >= {"breaker", "restore", "kill-switch", "nats-outage", "postgres-outage"}
    assert {row["last"] for row in rows} == {None}
    unknown = CliRunner().invoke(app, ["drill", "fire", "--home", str(tmp_path)])
    assert unknown.exception is not None
    assert "there are breaker" in str(unknown.exception)


def test_a_drill_says_what_its_stage_needs(tmp_path: Path) -> None:
    assert DRILLS["observability"].settings(tmp_path) == {"TITAN_ROUTER_STANDBY": "true"}
    other = CliRunner().invoke(app, ["drill", "restore", "--minutes", "1", "--home", str(tmp_path)])
    assert "--minutes is for the drill observability" in str(other.exception)


def test_a_drill_with_another_policy_writes_one_that_loads(tmp_path: Path) -> None:
    assert DRILLS["restore"].settings(tmp_path) == {}
    named = DRILLS["breaker"].settings(tmp_path)["TITAN_POLICY"]
    assert load_policy(Path(named)).min_equity == 150_000


def test_a_server_that_does_not_run_breaks_its_drill(tmp_path: Path) -> None:
    from ops.drill.stage import Stage

    (tmp_path / "run").mkdir()
    stage = Stage(tmp_path, {})
    assert stage.server_pid("nats") == 0
    report = Report("nats-outage", now_text())
    with pytest.raises(DrillFailed, match="does not run"):
        DRILLS["nats-outage"].run(stage, report)
    assert issubclass(Broken, Exception)


def verb_of(command: str) -> list[str]:
    """The titan command in a unit's or a crontab's line."""
    words = shlex.split(command)
    program = Path(words[0]).name
    script = ROOT / "ops" / "scripts" / program
    assert script.exists(), f"{command}: there is no {script}"
    given = words[1:]
    return {"backup_db.sh": ["backup", *given], "restore_db.sh": ["restore", *given]}.get(program, given)


def parses(arguments: list[str]) -> None:
    """Whether the command line is one that the command takes; nothing is run."""
    group = typer.main.get_command(app)
    with group.make_context("titan", list(arguments), resilient_parsing=False) as context:
        name, command, rest = group.resolve_command(context, list(arguments))  # type: ignore[attr-defined]
        command.make_context(name, rest, parent=context).close()


@pytest.mark.parametrize("timer", MINE, ids=lambda path: path.stem)
def test_every_timer_has_a_service_that_calls_a_verb_that_exists(timer: Path) -> None:
    service = timer.with_suffix(".service").read_text()
    command = re.search(r"^ExecStart=/opt/titan/(\S+ .*)$", service, re.MULTILINE)
    assert command is not None
    parses(verb_of(command[1]))
    assert "Persistent=true" in timer.read_text()


def test_every_drill_has_its_timer_and_its_rhythm() -> None:
    for drill in DRILLS.values():
        timer = UNITS / f"titan-drill-{drill.name}.timer"
        if drill.name.startswith("rotat") or drill.every == "release":
            continue
        when = re.search(r"OnCalendar=(.*)", timer.read_text())
        assert when is not None
        assert ("Sun" in when[1]) == (drill.every == "weekly"), drill.name


def test_the_crontab_appends_and_calls_the_documented_script() -> None:
    lines = [line for line in (UNITS / "cron.d-titan-backup").read_text().splitlines() if " root " in line]
    assert lines[0].startswith("0 2 * * * root /opt/titan/scripts/ops/backup_db.sh")
    for line in lines:
        command, _, target = line.split(" root ", 1)[1].partition(" >> ")
        assert target == "/var/log/titan-backup.log 2>&1"
        assert (ROOT / command.split()[0].removeprefix("/opt/titan/")).exists()
        parses(verb_of(command))


def test_systemd_takes_the_timers(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    for timer in MINE:
        when = re.search(r"OnCalendar=(.*)", timer.read_text())
        assert when is not None
        done = subprocess.run([program, "calendar", when[1]], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, f"{timer.name}: {done.stderr}"
