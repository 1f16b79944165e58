"""titan ledger rebuild, on a real PostgreSQL and a real journal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import asyncpg
import pytest

from ops.cli import verbs
from tests.actors.router.story import Story
from titan.errors import ExitCode
from titan.journal import Journal
from titan.runtime import VenueAddress
from titan.testing import runtime_for_tests

NOWHERE = "nats://127.0.0.1:9"
VENUE = VenueAddress(name="bybit", account="main")


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["titan", *words])
    return verbs.run()


@pytest.fixture
def home(tmp_path: Path, pg_dsn: str) -> Path:
    runtime = runtime_for_tests(tmp_path, nats_url=NOWHERE, postgres_dsn=pg_dsn, venues=(VENUE,))
    runtime.save()
    journal = Journal.open(runtime.journal_path)
    journal.append(Story(2).more(300))
    journal.close()
    return tmp_path


def test_an_empty_ledger_is_filled_and_then_found_equal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ledger", "rebuild", "--home", str(home), "--json", monkeypatch=monkeypatch) == ExitCode.OK
    filled = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert filled["fills"] > 20
    assert run("ledger", "rebuild", "--check", "--home", str(home), "--json", monkeypatch=monkeypatch) == ExitCode.OK
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["unequal"], said["upto_seq"], said["rows"]["fills"]) == ([], filled["last_seq"], filled["fills"])


def test_a_ledger_that_differs_is_told_by_exit_1(
    home: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("ledger", "rebuild", "--home", str(home), monkeypatch=monkeypatch)

    async def tamper() -> None:
        connection = await asyncpg.connect(pg_dsn)
        await connection.execute("UPDATE positions SET fees = fees + 1")
        await connection.close()

    asyncio.run(tamper())
    capsys.readouterr()
    assert run("ledger", "rebuild", "--check", "--home", str(home), monkeypatch=monkeypatch) == ExitCode.FAILED
    assert "positions" in capsys.readouterr().out


def test_without_a_database_it_says_what_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime_for_tests(
        tmp_path, nats_url=NOWHERE, postgres_dsn="postgresql://titan@127.0.0.1:9/none", venues=(VENUE,)
    ).save()
    assert run("ledger", "rebuild", "--check", "--home", str(tmp_path), monkeypatch=monkeypatch) == ExitCode.NOT_RUNNING
    assert "titan up" in capsys.readouterr().err.replace("\n", " ")
