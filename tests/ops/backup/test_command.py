"""The verbs and the scripts that timers call: one backup, one restore, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli.verbs import app
from tests.ops.backup.books import AMOUNT, open_home, post, posted, running, write_journal
from titan.errors import TitanError

ROOT = Path(__file__).resolve().parents[3]


def call(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TITAN_")}
    env = {**kept, "TITAN_HOME": str(home)}
    return subprocess.run(
        command, cwd="/", env=env, capture_output=True, text=True, timeout=110, check=False, stdin=subprocess.DEVNULL
    )


def last(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with open_home() as path:

        async def prepare() -> None:
            async with running(path) as pool:
                await post(pool, 1, 2)

        asyncio.run(prepare())
        write_journal(path, 3)
        yield path


def test_the_scripts_at_the_documented_paths_back_up_and_restore(home: Path) -> None:
    made = last(call(home, str(ROOT / "scripts/ops/backup_db.sh"), "verification_snapshot", "--verify", "--json"))
    kinds = {row["kind"]: row for row in made["backups"]}  # type: ignore[attr-defined]
    assert set(kinds) == {"dump", "base", "journal"}
    assert kinds["dump"]["verified"] is True
    assert "verification_snapshot" in kinds["dump"]["file"]
    status = json.loads((home / "run" / "backups.json").read_text())
    assert min(status["dump_ms"], status["base_ms"], status["journal_ms"]) > 0
    listed = last(call(home, str(ROOT / "scripts/restore_db.sh"), "--list", "--json"))
    assert len(listed["backups"]) == 3  # type: ignore[arg-type]
    done = last(call(home, str(ROOT / "scripts/restore_db.sh"), "latest", "--json"))
    assert done["dry_run"] is False

    async def look() -> None:
        async with running(home) as pool:
            assert await posted(pool) == (2, 2 * AMOUNT)

    asyncio.run(look())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("restore",), 4, "say which moment"),
        (("restore", "2026-01-31", "--latest"), 4, "say which moment"),
        (("restore", "2001-01-01T00:00:00"), 2, "nothing leads to"),
        (("restore", "--latest", "--from-s3"), 4, "TITAN_BACKUP_S3"),
        (("backup", "--what", "nothing"), 4, "there are all, ledger, dump, journal"),
        (("backup", "a/b"), 4, "letters, digits"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_a_code(
    home: Path, arguments: tuple[str, ...], code: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TITAN_")]:
        monkeypatch.delenv(name)
    done = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    assert isinstance(done.exception, TitanError), done.output
    assert done.exception.exit_code == code
    assert words in str(done.exception)
