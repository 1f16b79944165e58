"""top: one frame or many, and what it does while nobody answers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ops.cli import top
from ops.cli.client import Client
from ops.cli.verbs import app
from protos import control_pb2 as pb
from protos import system_pb2, trading_pb2
from titan.errors import NotRunning, TitanError


def status(restarts: int = 0, **actor: object) -> pb.GetStatusResponse:
    row = system_pb2.ActorStatus(name="brain", restarts=restarts, state=system_pb2.ACTOR_STATE_READY, **actor)  # type: ignore[arg-type]
    return pb.GetStatusResponse(trading_state=trading_pb2.TRADING_STATE_ACTIVE, actors=[row], ts_ms=1_000)


class Answers:
    """A gateway that answers what a test has prepared."""

    def __init__(self, *answers: pb.GetStatusResponse | TitanError) -> None:
        self._answers = list(answers)

    def status(self, timeout_s: float = 0) -> pb.GetStatusResponse:
        answer = self._answers.pop(0)
        if isinstance(answer, TitanError):
            raise answer
        return answer


def text_of(screen: top.Screen) -> str:
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(screen.frame())
    return console.export_text()


@pytest.mark.parametrize("arguments", [("--once",), ()], ids=["once", "without a terminal"])
def test_one_frame_is_printed_once_or_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    @contextmanager
    def connect(_: Path | None) -> Iterator[Answers]:
        yield Answers(status())

    shown = Console(width=140, file=io.StringIO(), record=True)
    monkeypatch.setattr(top, "connect", connect)
    monkeypatch.setattr(top, "console", shown)
    monkeypatch.setattr(top, "show", shown.print)
    done = CliRunner().invoke(app, ["top", *arguments, "--home", str(tmp_path)])
    assert done.exit_code == 0, done.output
    text = shown.export_text()
    assert text.count("Actors") == 1
    assert "brain" in text
    assert "\x1b[" not in text


def test_without_a_run_it_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["top", "--once", "--home", str(tmp_path)])
    assert isinstance(done.exception, NotRunning)


def test_a_restart_between_two_looks_is_told_with_its_reason() -> None:
    screen = top.Screen()
    gateway = cast("Client", Answers(status(), status(1, last_exit="silent for 3.1 s", last_recovery_s=0.75)))
    top.look(gateway, screen)
    assert "again" not in text_of(screen)
    top.look(gateway, screen)
    assert "00:00:01 brain ready again: silent for 3.1 s, back after 0.75 s" in text_of(screen)


def test_a_gateway_that_is_away_leaves_the_last_look_and_says_that_it_is_old() -> None:
    screen = top.Screen()
    gateway = cast("Client", Answers(status(), NotRunning("no gateway answers at x"), status()))
    top.look(gateway, screen)
    top.look(gateway, screen)
    assert "no gateway answers at x; what is shown is old" in text_of(screen)
    assert "brain" in text_of(screen)
    top.look(gateway, screen)
    assert "old" not in text_of(screen)
