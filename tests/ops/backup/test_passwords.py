"""Every role gets a new password while its service works, and a rotation that fails leaves the old ones."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import asyncpg
import pytest

from ops.backup import passwords
from tests.waiting import until
from titan.errors import Transient
from titan.ledger_access import LOGINS, LedgerLogin, secret_name, with_login
from titan.store import connect, set_up


@pytest.fixture
async def folder(tmp_path: Path, pg_dsn: str) -> Path:
    for login in LOGINS:
        (tmp_path / secret_name(login)).write_text(f"first-{login}\n")
    await set_up(pg_dsn, {login: f"first-{login}" for login in LOGINS}, dt.datetime.now(dt.UTC))
    return tmp_path


async def test_a_service_works_on_with_the_new_password_and_the_old_one_is_dead(folder: Path, pg_dsn: str) -> None:
    login = LedgerLogin(with_login(pg_dsn, "titan_execution"), folder / secret_name("execution"))
    pool = await connect(login)
    roles, ended = await passwords.rotate(pg_dsn, folder)
    assert set(roles) == {f"titan_{login}" for login in LOGINS}
    assert ended >= 1

    async def answers() -> bool:
        try:
            return bool(await pool.fetchval("SELECT current_user") == "titan_execution")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False

    await until(answers)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(with_login(pg_dsn, "titan_execution", "first-execution"))
    assert {(folder / secret_name(login)).stat().st_mode & 0o777 for login in LOGINS} == {0o600}
    await pool.close()


async def test_without_the_server_nothing_changes(folder: Path) -> None:
    with pytest.raises(Transient):
        await passwords.rotate("postgresql://titan:x@127.0.0.1:9/none", folder)
    assert all((folder / secret_name(login)).read_text() == f"first-{login}\n" for login in LOGINS)


async def test_a_change_that_the_server_did_not_keep_is_not_in_the_files(
    folder: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_once = [secret_name("reader")]

    def full(path: Path, text: str) -> None:
        if path.name in full_once:
            full_once.clear()
            raise OSError("no space left on device")
        path.write_text(text)

    monkeypatch.setattr(passwords, "write_private", full)
    with pytest.raises((Transient, OSError)):
        await passwords.rotate(pg_dsn, folder)
    monkeypatch.undo()
    for login in LOGINS:
        url = LedgerLogin(with_login(pg_dsn, f"titan_{login}"), folder / secret_name(login)).url
        connection = await asyncpg.connect(url)
        await connection.close()
