"""Every command of the operations pages is run against a living Titan (TITAN_RUNBOOKS=1), or stands here with the reason why not."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import urllib.request
from pathlib import Path

import pytest

from ops.cli import verbs
from ops.cli.client import connect
from protos import trading_pb2
from tests.e2e.running import Running, environment
from tests.ops.test_runbooks import BLOCK, FOLDER, SPAN
from tests.waiting import eventually
from titan.errors import ExitCode

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page for page in FOLDER.rglob("*.md") if page.name != "requirements.md")
PROGRAMS = ("titan ", "curl ", "docker ", "nats ", "psql ", "sudo ", "ops/scripts/", "scripts/")
IN_CORE = "docker exec titan-core "
PORTS = {"3100": "brain_http", "3002": "execution_http", "8080": "execution_loopback", "8081": "scavenger_http"}

_ENGINE = "needs an engine and root: tests/ops/deploy run the scripts against a stand-in for the engine"
NOT_RUN = {
    r"titan drill (?!--list)": "each starts a Titan of its own: test_day_two.py runs what they do, timers run them whole",
    r"titan (down|up|restore (--latest|2026))|titan restore$": "ends what other tests look at: the drill `restore` runs them",
    r"titan restart (router|execution|brain)": "test_kill_actors.py and test_operator.py restart the money's actors",
    r"titan retention --apply": "removes rows: test_forget.py and test_partitions.py run it",
    r"titan ledger rotate": "tests/ops/backup/test_passwords.py runs what it does, the drill `rotate-database` all of it",
    r"titan \w+$": "speaks of the verb, whose whole form stands elsewhere",
    r"titan logs scavenger": "the same shape as the other logs",
    r"docker (compose|exec titan-(nats|postgres))": "needs an engine: `lint.py compose` resolves the file and its names",
    r"sudo ops/scripts/": _ENGINE,
    r"sudo apt": "changes the machine",
    r"ops/scripts/(compose|deploy_prod|rotate_db_password)": _ENGINE,
    r"ops/scripts/make_tls": "tests/titan/servers/test_tls.py makes its certificates with it",
    r"ops/scripts/(incident|clean_disk)": "tests/ops/deploy/test_small_scripts.py runs it",
    r"titan simulate": "tests/simulation/test_command.py runs it",
    r"curl -X POST": "with a token, in the tests of brain and execution; flatten is run as the verb",
    r"nats pub": "test_operator.py publishes the same plain text with the login of people",
    r"psql": "tests/ops/backup/test_way_back.py loads dumps with these options",
}
_SIMPLE = ("status", "doctor", "positions", "orders", "equity", "decisions", "reconcile", "backup", "retention")
STOPPING = ("halt", "reduce", "disarm", "flatten")
"""What is tried on a Titan that trades."""


def commands() -> dict[str, str]:
    """Every command of the pages, and where it first stands."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text()
        lines = [
            line.strip().partition(" #")[0].strip() for block in BLOCK.findall(text) for line in block.splitlines()
        ]
        lines += SPAN.findall(text)
        for line in lines:
            if line.startswith(PROGRAMS):
                found.setdefault(line, str(page.relative_to(FOLDER)))
    return found


def reason(command: str) -> str:
    """Why a command is not run here; empty for one that is."""
    words = command.removeprefix(IN_CORE)
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, words) and not _simple(words)), "")


def _simple(words: str) -> bool:
    """A verb that needs no more words."""
    return words.removeprefix("titan ") in _SIMPLE


def shape(command: str) -> str:
    """The command without what changes from page to page: reasons, labels, counts and levels."""
    command = re.sub(r"(titan backup) (?!-)\w+", r"\1 label", command)
    return re.sub(r"\"[^\"]*\"|\b\d+\b|\b(brain|router|execution|guardian|market_data)\b|error|warning", "_", command)


def test_what_is_not_run_has_a_reason_that_something_still_needs() -> None:
    found = [command.removeprefix(IN_CORE) for command in commands()]
    for pattern in NOT_RUN:
        assert any(re.match(pattern, words) for words in found), f"no page says {pattern}"
    assert len(found) > 60


def run(home: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """One titan command in this process: thirty interpreters would take a minute."""
    for name, value in environment(home).items():
        if name.startswith("TITAN_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["titan", *words])
    return verbs.run()


@pytest.mark.skipif(
    not os.environ.get("TITAN_RUNBOOKS"), reason="two minutes and a Titan of its own: TITAN_RUNBOOKS=1 runs it"
)
@pytest.mark.timeout(600)
def test_every_other_command_does_what_it_says(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: set[str] = set()
    failed: list[str] = []
    # A switch of these tests is no setting of Titan.
    monkeypatch.delenv("TITAN_RUNBOOKS")
    for command, page in commands().items():
        words = command.removeprefix(IN_CORE)
        if reason(command) or shape(words) in done:
            continue
        done.add(shape(words))
        if words.startswith("curl "):
            fault = _get(running, words)
        elif words.startswith(("ops/scripts/", "scripts/")):
            fault = _script(running, words)
        else:
            fault = _verb(running, words, monkeypatch, capsys)
        if fault:
            failed.append(f"{page}: {command}: {fault}")
    _trading(running, monkeypatch)
    assert failed == []
    assert len(done) > 25, sorted(done)


def _script(running: Running, words: str) -> str:
    env = environment(running.home, PATH=f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    ended = subprocess.run(
        shlex.split(words), cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return "" if ended.returncode == 0 else f"ended with {ended.returncode}: {ended.stderr}{ended.stdout}"


def _verb(running: Running, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    verb = shlex.split(words)[1]
    if verb in STOPPING:
        _trading(running, monkeypatch)
    capsys.readouterr()
    code = run(running.home, shlex.split(words)[1:], monkeypatch)
    said = capsys.readouterr()
    # A finding is an answer; what fails is a command that can't be given.
    fine = (ExitCode.OK, ExitCode.FAILED) if verb == "doctor" else (ExitCode.OK,)
    if code not in fine:
        return f"ended with {code}: {said.err}{said.out}"
    # A quiet night has no warnings.
    return "" if said.out.strip() or verb == "logs" else "said nothing"


def _trading(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brings it back to ACTIVE, as a person would."""

    def active() -> bool:
        with connect(running.home) as client:
            state = client.status().trading_state
        if state == trading_pb2.TRADING_STATE_HALTED:
            run(running.home, ["resume", "runbook"], monkeypatch)
        elif state != trading_pb2.TRADING_STATE_ACTIVE:
            run(running.home, ["arm", "runbook"], monkeypatch)
        return bool(state == trading_pb2.TRADING_STATE_ACTIVE)

    eventually(active, "trading again", 60)


def _get(running: Running, words: str) -> str:
    url = shlex.split(words)[-1]
    port = re.search(r":(\d+)/", url)
    assert port is not None
    if port[1] == "8222":
        own = running.runtime.run_dir / "ports.json"
        url = url.replace(port[1], str(json.loads(own.read_text())["nats_monitor"]))
    else:
        url = url.replace(port[1], str(running.runtime.ports[PORTS[port[1]]]))
    try:
        with urllib.request.urlopen(url.replace("localhost", "127.0.0.1"), timeout=10) as answer:
            return "" if answer.status == 200 else f"answered with {answer.status}"
    except OSError as error:
        return str(error)
