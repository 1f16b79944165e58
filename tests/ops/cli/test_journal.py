"""titan journal verify and show, on real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli import verbs
from tests.titan.journal.files import edit, writer, written
from titan.errors import ExitCode
from titan.journal import Journal, Row
from titan.journal.archive import archive


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "titan_execution.db"


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["titan", *words])
    return verbs.run()


def test_a_whole_journal_is_told_by_exit_0_also_while_it_is_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with writer(path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert run("journal", "verify", "--home", str(tmp_path), monkeypatch=monkeypatch) == ExitCode.OK
    assert "whole" in capsys.readouterr().out
    assert run("journal", "verify", str(path), "--json", monkeypatch=monkeypatch) == ExitCode.OK
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["whole"] is True
    assert said["files"][0]["rows"] == said["files"][0]["last_seq"] > 0


def test_a_damaged_row_is_named_by_exit_1(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(path, 6)
    edit(path, "UPDATE journal SET payload = ? WHERE seq = 5", b"{}")
    assert run("journal", "verify", str(path), monkeypatch=monkeypatch) == ExitCode.FAILED
    assert "after row 4: row 5 (order) does not match its hash" in capsys.readouterr().err.replace("\n", " ")


def test_a_damaged_copy_in_the_archive_is_found_too(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(path, 6)
    copy = archive(path, 6).path
    edit(copy, "DELETE FROM journal WHERE seq = 2")
    assert run("journal", "verify", "--home", str(tmp_path), monkeypatch=monkeypatch) == ExitCode.FAILED
    seen = capsys.readouterr()
    assert "row 3 follows row 1" in seen.err
    assert "whole, 6 rows" in seen.out.replace("\n", " ")


def test_a_journal_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("journal", "verify", str(tmp_path / "none.db"), monkeypatch=monkeypatch) == ExitCode.FAILED
    assert "there is no such file" in capsys.readouterr().err.replace("\n", " ")


def test_the_last_rows_are_shown_for_people_and_for_machines(path: Path) -> None:
    journal = Journal.open(path)
    journal.append(
        [Row(seq, "wallet", b'{"currency":"USDT","wallet":"%d"}' % (seq * 100), 1_700_000_000_000) for seq in (1, 2, 3)]
    )
    journal.close()
    shown = CliRunner().invoke(verbs.app, ["journal", "show", str(path), "-n", "2"])
    assert shown.exit_code == 0
    assert "USDT 300" in shown.stdout
    assert "USDT 100" not in shown.stdout
    plain = CliRunner().invoke(verbs.app, ["journal", "show", str(path), "-n", "2", "--json"])
    rows = json.loads(plain.stdout.splitlines()[-1])["rows"]
    assert [(row["seq"], row["payload"]["wallet"]) for row in rows] == [(2, "200"), (3, "300")]
