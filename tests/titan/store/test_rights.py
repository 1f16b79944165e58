"""The ledger lets every role do what the registry says and nothing else: a real server, every role, every table, every verb."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from titan.errors import Transient
from titan.ledger_access import DELETE, INSERT, LOGINS, OWNER, ROLES, SELECT, TABLES, UPDATE, LedgerLogin, with_login
from titan.servers import Addresses
from titan.store import MIGRATIONS, Migrator, connect, give_rights, load_migrations, make_roles, rights_missing, set_up
from titan.store.rights import proves, unknown_tables, verifier

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORDS = {login: f"k-{login}" for login in LOGINS}
TRIES = {
    SELECT: "SELECT * FROM {table} LIMIT 1",
    INSERT: "INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} WHERE false",
    UPDATE: "UPDATE {table} SET {column} = {column} WHERE false",
    DELETE: "DELETE FROM {table} WHERE false",
}
NEVER = {
    "empty": "TRUNCATE {table}",
    "change": "ALTER TABLE {table} ADD COLUMN more int",
    "drop": "DROP TABLE {table}",
    "open": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
}
AUDIT = "INSERT INTO audit_events (event_id, kind, actor, summary, detail, ts_ms) VALUES ($1, $2, $3, 's', '{}', 1)"


@dataclass
class Ledger:
    """A database that was set up."""

    dsn: str

    async def as_(self, login: str) -> asyncpg.Connection:
        """A connection of a role, which may write as far as its rights go."""
        if login == OWNER:
            return await asyncpg.connect(self.dsn)
        connection = await asyncpg.connect(with_login(self.dsn, f"titan_{login}", PASSWORDS[login]))
        # A default, which any client can lift: what counts are the rights.
        await connection.execute("SET default_transaction_read_only = off")
        return connection

    async def allowed(self, connection: asyncpg.Connection, statement: str) -> bool:
        """Whether the server lets a statement through; it is rolled back."""
        doing = connection.transaction()
        await doing.start()
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            return False
        except asyncpg.RestrictViolationError:
            # Allowed by the rights, and stopped by the table's own guard.
            return True
        finally:
            await doing.rollback()
        return True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ledger(postgres_server: Addresses) -> AsyncIterator[Ledger]:
    owner = await asyncpg.connect(postgres_server.postgres_dsn)
    await owner.execute("CREATE DATABASE test_rights TEMPLATE template0")
    dsn = f"{postgres_server.postgres_dsn.rpartition('/')[0]}/test_rights"
    try:
        await set_up(dsn, PASSWORDS, dt.datetime.now(dt.UTC))
        yield Ledger(dsn)
    finally:
        await owner.execute("DROP DATABASE test_rights WITH (FORCE)")
        await owner.close()


@pytest.mark.parametrize("login", LOGINS)
async def test_each_role_may_do_exactly_what_its_row_says(ledger: Ledger, login: str) -> None:
    role = next(each for each in ROLES if each.login == login)
    connection = await ledger.as_(login)
    expected, actual = {}, {}
    for table in TABLES:
        columns = await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND attidentity = '' LIMIT 1",
            table,
        )
        for verb, statement in TRIES.items():
            # Writing and reading in one statement needs both rights.
            expected[table, verb] = role.may(verb, table) and (verb == SELECT or role.may(SELECT, table))
            actual[table, verb] = await ledger.allowed(
                connection, statement.format(table=table, column=columns[0]["attname"])
            )
        for verb, statement in NEVER.items():
            expected[table, verb] = False
            actual[table, verb] = await ledger.allowed(connection, statement.format(table=table))
    for statement in (
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE mine (n int)",
        "CREATE ROLE mine",
        "SET ROLE titan",
    ):
        expected[statement, ""], actual[statement, ""] = False, await ledger.allowed(connection, statement)
    await connection.close()
    assert len(actual) == len(TABLES) * (len(TRIES) + len(NEVER)) + 4
    assert actual == expected


async def test_a_table_that_the_registry_does_not_name_is_found(ledger: Ledger) -> None:
    owner = await ledger.as_(OWNER)
    assert await unknown_tables(owner) == ()
    await owner.execute("CREATE TABLE stranger (n int)")
    assert await unknown_tables(owner) == ("stranger",)
    execution = await ledger.as_("execution")
    assert not await ledger.allowed(execution, "SELECT * FROM stranger")
    await execution.close()
    await owner.execute("DROP TABLE stranger")
    await owner.close()


async def test_what_somebody_granted_by_hand_is_taken_back_and_a_right_set_is_left_alone(ledger: Ledger) -> None:
    owner = await ledger.as_(OWNER)
    assert await give_rights(owner) == ()
    await owner.execute("GRANT DELETE ON fills TO titan_gateway")
    await owner.execute("REVOKE INSERT ON fills FROM titan_execution")
    wrong = await give_rights(owner)
    assert set(wrong) == {"titan_gateway has DELETE on fills", "titan_execution lacks INSERT on fills"}
    assert await rights_missing(owner) == ()
    await owner.execute("ALTER ROLE titan_reader CREATEDB")
    assert await make_roles(owner, PASSWORDS) == ("titan_reader",)
    assert await make_roles(owner, PASSWORDS) == ()
    await owner.close()


async def test_a_row_of_the_audit_is_seen_by_who_may_see_it(ledger: Ledger) -> None:
    execution = await ledger.as_("execution")
    await execution.execute(AUDIT, "a", "ACTOR_RESTARTED", "router")
    await execution.execute(AUDIT, "b", "TRADING_STATE", "router")
    await execution.execute(AUDIT, "c", "TRADING_STATE", "maria")
    await execution.execute(AUDIT, "d", "OPERATOR_COMMAND", "maria")
    seen = {}
    for login in (OWNER, "execution", "auditor", "reader", "backup"):
        connection = await ledger.as_(login)
        rows = await connection.fetch("SELECT event_id FROM audit_events ORDER BY 1")
        seen[login] = "".join(row["event_id"] for row in rows)
        await connection.close()
    assert seen == {OWNER: "abcd", "execution": "abcd", "auditor": "abcd", "reader": "ab", "backup": "abcd"}
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await execution.execute(
            "INSERT INTO audit_events (event_id, kind, actor, summary, detail, ts_ms, booked_at) "
            "VALUES ('e', 'OPERATOR_COMMAND', 'maria', 's', '{}', 1, now() - interval '1 day')"
        )
    await execution.close()


async def test_a_role_that_was_granted_more_still_meets_the_row_security(ledger: Ledger) -> None:
    owner = await ledger.as_(OWNER)
    await owner.execute(AUDIT, "x", "OPERATOR_COMMAND", "maria")
    await owner.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON audit_events TO titan_gateway")
    gateway = await ledger.as_("gateway")
    assert await gateway.fetchval("SELECT count(*) FROM audit_events") == 0
    assert await gateway.execute("DELETE FROM audit_events") == "DELETE 0"
    assert await gateway.execute("UPDATE audit_events SET actor = 'nobody'") == "UPDATE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await gateway.execute(AUDIT, "y", "OPERATOR_COMMAND", "maria")
    await gateway.close()
    await give_rights(owner)
    await owner.close()


async def test_a_password_changes_under_way_and_the_next_connection_reads_it(ledger: Ledger, tmp_path: Path) -> None:
    secret = tmp_path / "postgres_reader"
    secret.write_text(PASSWORDS["reader"] + "\n")
    pool = await connect(LedgerLogin(with_login(ledger.dsn, "titan_reader"), secret), max_size=2)
    owner = await ledger.as_(OWNER)
    async with pool.acquire() as held:
        assert await make_roles(owner, {"reader": "another"}) == ("titan_reader",)
        assert await held.fetchval("SELECT 1") == 1
        with pytest.raises(Transient):
            await connect(LedgerLogin(with_login(ledger.dsn, "titan_reader"), secret))
        secret.write_text("another\n")
        async with pool.acquire() as fresh:
            assert await fresh.fetchval("SELECT current_user") == "titan_reader"
    await pool.close()
    assert await make_roles(owner, PASSWORDS) == ("titan_reader",)
    await owner.close()


async def test_no_password_is_kept_or_said_in_plain_text(ledger: Ledger) -> None:
    owner = await ledger.as_(OWNER)
    kept = await owner.fetch("SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'titan\\_%'")
    assert len(kept) == len(LOGINS)
    assert all(proves(PASSWORDS[row["rolname"].removeprefix("titan_")], row["rolpassword"]) for row in kept)
    assert not proves("wrong", verifier("right", b"salt" * 4))
    assert not proves("right", "md5d41d8cd98f00b204e9800998ecf8427e")
    await owner.close()


async def test_a_login_that_owns_nothing_waits_for_the_schema(postgres_server: Addresses, ledger: Ledger) -> None:
    reader = await connect(with_login(ledger.dsn, "titan_reader", PASSWORDS["reader"]))
    assert await Migrator(reader, load_migrations(MIGRATIONS)).missing() == ()
    assert not await reader.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    await reader.close()
