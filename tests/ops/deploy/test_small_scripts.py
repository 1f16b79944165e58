"""The small scripts of operators: what they ask for, what they refuse, what they leave behind."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.ops.drills.test_drills import parses

SCRIPTS = Path(__file__).resolve().parents[3] / "ops" / "scripts"


def program(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f'#!/bin/sh\necho "$*" >> {folder}/calls\n{text}\n')
    path.chmod(0o755)
    return str(path)


def ran(script: str, folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPTS / script, *words], cwd=folder, env={"PATH": os.environ["PATH"], **env},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_a_clean_up_never_names_a_volume(tmp_path: Path) -> None:
    docker = program(tmp_path, 'case "$1" in ps) echo "titan-postgres running";; esac')
    assert ran("clean_disk.sh", tmp_path, TITAN_DOCKER=docker).returncode == 0
    calls = (tmp_path / "calls").read_text()
    assert "image prune" in calls
    assert "builder prune" in calls
    assert "volume" not in calls
    assert "system" not in calls


def test_a_clean_up_is_refused_while_something_with_data_is_down(tmp_path: Path) -> None:
    docker = program(tmp_path, 'case "$1" in ps) echo "titan-nats running"; echo "titan-postgres exited";; esac')
    done = ran("clean_disk.sh", tmp_path, TITAN_DOCKER=docker)
    assert done.returncode == 4
    assert "titan-postgres" in done.stderr
    assert "prune" not in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(("open_now", "code"), [("[]", 0), ('[{"symbol": "BTC/USDT:USDT"}]', 1)])
def test_an_incident_closes_all_and_keeps_what_was_seen(tmp_path: Path, open_now: str, code: int) -> None:
    titan = program(
        tmp_path, f'case "$1" in positions) echo \'{{"positions": {open_now}}}\';; logs) echo a line of the log;; esac'
    )
    done = ran("incident.sh", tmp_path, "stops in doubt", TITAN_DO=titan)
    assert done.returncode == code, done.stderr
    (file,) = tmp_path.glob("incident-*.txt")
    assert re.fullmatch(r"incident-\d{8}-\d{6}\.txt", file.name)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "stops in doubt" in file.read_text()
    assert "a line of the log" in file.read_text()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "flatten stops in doubt"
    assert "logs -n 1000" in calls
    for call in {line.split()[0]: line for line in calls}.values():
        parses(call.replace("stops in doubt", "x").split())


def test_an_incident_without_a_reason_does_nothing(tmp_path: Path) -> None:
    assert ran("incident.sh", tmp_path).returncode == 4
    assert list(tmp_path.iterdir()) == []


def test_every_alias_is_a_command_that_exists(tmp_path: Path) -> None:
    found = dict(re.findall(r"alias (titan-\w+)='\$titan_do ([^']+)'", (SCRIPTS / "aliases.sh").read_text()))
    wanted = ("status", "positions", "equity", "logs", "restart", "stop", "start", "flatten", "backup")
    assert set(found) == {f"titan-{name}" for name in wanted}
    for words in found.values():
        more = {"restart": ["router"], "flatten": ["reason"]}.get(words, [])
        parses([*words.split(), *more])
    done = subprocess.run(
        ["bash", "-c", f"shopt -s expand_aliases; . {SCRIPTS}/aliases.sh\ntitan-logs"],
        env={"PATH": os.environ["PATH"], "TITAN_DO": program(tmp_path, "")}, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / "calls").read_text() == "logs -n 100\n"
