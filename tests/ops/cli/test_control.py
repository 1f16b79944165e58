"""Lowering risk from the command: what it does when the gateway is away or hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.cli import control
from ops.cli.client import NotFound
from ops.cli.output import PIPE_COLUMNS, console, fail
from ops.cli.verbs import run
from protos import trading_pb2
from supervisors.control import Answer, Fields
from titan.errors import ExitCode, NotRunning, TimedOut, TitanError, Transient
from titan.testing import runtime_for_tests

ROOT = Path(__file__).resolve().parents[3]
HALTED = trading_pb2.OperatorReceipt(accepted=True, new_state=trading_pb2.TRADING_STATE_HALTED)


class Gateway:
    """A gateway that answers every call with one error."""

    def __init__(self, error: TitanError) -> None:
        self.error = error

    def __getattr__(self, name: str) -> object:
        if name == "stub":
            return self
        return name

    def call(self, *_: object) -> object:
        raise self.error


@pytest.fixture
def home(tmp_path: Path) -> Path:
    runtime_for_tests(tmp_path, nats_url="nats://127.0.0.1:1").save()
    return tmp_path


def broken_gateway(monkeypatch: pytest.MonkeyPatch, error: TitanError) -> None:
    @contextmanager
    def connect(_: Path | None) -> Iterator[Gateway]:
        yield Gateway(error)

    monkeypatch.setattr(control, "connect", connect)


@pytest.mark.parametrize("error", [NotRunning("no gateway answers"), TimedOut("no answer in time")])
@pytest.mark.parametrize("verb", ["halt", "disarm", "flatten"])
def test_lowering_risk_goes_over_the_bus_when_the_gateway_is_away_or_hangs(
    monkeypatch: pytest.MonkeyPatch, home: Path, error: TitanError, verb: str
) -> None:
    asked: list[tuple[str, str]] = []

    async def over_the_bus(_: object, action: str, reason: str) -> trading_pb2.OperatorReceipt:
        asked.append((action, reason))
        return HALTED

    broken_gateway(monkeypatch, error)
    monkeypatch.setattr(control, "_over_the_bus", over_the_bus)
    getattr(control, verb)("odd fills", home)
    assert asked == [(verb, "odd fills")]


def test_what_raises_risk_has_no_second_way(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    broken_gateway(monkeypatch, TimedOut("no answer in time"))
    with pytest.raises(TimedOut):
        control.arm("morning check done", home)


def test_when_the_router_is_silent_too_both_ways_are_named_and_the_exit_code_stays(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    async def over_the_bus(*_: object) -> trading_pb2.OperatorReceipt:
        raise Transient("nothing answers at 127.0.0.1:1")

    broken_gateway(monkeypatch, TimedOut("no answer from the gateway in time"))
    monkeypatch.setattr(control, "_over_the_bus", over_the_bus)
    with pytest.raises(TimedOut, match="no answer from the gateway in time; nor over the bus: nothing answers"):
        control.disarm("odd fills", home)


def test_an_error_with_brackets_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    fail("cannot connect [Errno 111] to [/]")
    assert capsys.readouterr().err == "error: cannot connect [Errno 111] to [/]\n"


def test_a_pipe_gets_no_column_cut_off() -> None:
    assert console.width == PIPE_COLUMNS or console.is_terminal


def test_what_the_machine_refuses_is_one_sentence_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "file"
    home.write_text("no directory")
    monkeypatch.setattr("sys.argv", ["titan", "up", "--halt", "--home", str(home)])
    assert run() == ExitCode.FAILED
    said = capsys.readouterr().err
    assert str(home) in said
    assert "Traceback" not in said


@pytest.mark.parametrize("extra", [(), ("--json",)], ids=["text", "json"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, extra: tuple[str, ...]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    line = json.dumps({"ts": "2026-01-01T00:00:00Z", "level": "info", "actor": "router", "event": "x" * 400})
    (folder / "router.jsonl").write_text(f"{line}\n" * 5_000)
    command = f"{sys.executable} -m ops.cli.app logs -n 5000 {' '.join(extra)} --home {tmp_path} | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_ctrl_c_in_the_making_of_a_data_class_is_an_exit_code_and_no_signal(tmp_path: Path) -> None:
    (tmp_path / "pressed.py").write_text(
        "import sys, types\n"
        "verbs = types.ModuleType('ops.cli.verbs')\n"
        "verbs.run = lambda: exec('raise KeyboardInterrupt')\n"
        "sys.modules['ops.cli.verbs'] = verbs\n"
        "from ops.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pressed"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "error: interrupted\n")


def root_says(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> list[Fields]:
    asked: list[Fields] = []

    async def ask(_: Path, verb: str, __: float, **fields: str | float) -> Answer:
        asked.append({"verb": verb, **fields})
        return answer

    monkeypatch.setattr(control, "ask", ask)
    return asked


def test_the_gateway_itself_is_restarted_by_the_root_and_the_answer_says_how_long_it_took(
    monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = root_says(
        monkeypatch,
        {"accepted": True, "code": "DONE", "detail": "gateway: Ready again after 0.80 s", "recovery_s": 0.8},
    )
    control.restart("gateway", "leak", home, as_json=True)
    assert asked == [{"verb": "restart", "name": "gateway", "reason": "command: leak", "wait": 1}]
    assert json.loads(capsys.readouterr().out)["recovery_s"] == 0.8


@pytest.mark.parametrize(
    ("code", "error", "exit_code"),
    [("NOT_FOUND", NotFound, ExitCode.NOT_FOUND), ("NOT_READY", TitanError, ExitCode.FAILED)],
)
def test_a_restart_that_did_not_work_says_why(
    monkeypatch: pytest.MonkeyPatch, home: Path, code: str, error: type[TitanError], exit_code: ExitCode
) -> None:
    root_says(monkeypatch, {"accepted": False, "code": code, "detail": "gateway is quarantined"})
    with pytest.raises(error, match="gateway is quarantined") as caught:
        control.restart("gateway", "leak", home, as_json=True)
    assert caught.value.exit_code is exit_code
