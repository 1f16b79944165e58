"""Puts the registry of roles into a PostgreSQL server, and holds a database against it.

Guarantees: what is right already is not written again; a change is one transaction, so that no service ever meets half of it;
a password goes to the server as its verifier, never in plain text (no log and no statement view can show it).
Never: a role or a right that the registry does not name, or a row changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from titan.errors import ConfigError
from titan.ledger_access import FORBIDDEN, ROLES, TABLES, VERBS, Role, grant_statements, role_statements
from titan.store.migrations import LOCK_KEY, MIGRATIONS, Migration, Migrator, load_migrations
from titan.store.partitions import make_parts
from titan.store.pool import connect, database_errors

ITERATIONS = 4096
_TABLES_THERE = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
_RIGHTS = (
    "SELECT r.rolname AS role, c.relname AS table, verb, has_table_privilege(r.oid, c.oid, verb) AS may "
    "FROM pg_roles r CROSS JOIN pg_class c CROSS JOIN unnest($2::text[]) AS verb "
    "WHERE r.rolname = ANY($1) AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
)
_ROLES = (
    "SELECT rolname, rolcanlogin AND NOT rolsuper AND NOT rolcreaterole AS plain, rolreplication, rolbypassrls, rolcreatedb, "
    "EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setrole = r.oid AND 'default_transaction_read_only=on' = ANY(s.setconfig)) "
    "AS read_only, ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid) "
    "AS groups FROM pg_roles r WHERE rolname = ANY($1)"
)
_DATABASE = (
    "SELECT r.rolname AS role, has_database_privilege(r.oid, d.oid, 'CONNECT') AS connect, "
    "has_database_privilege(r.oid, d.oid, 'CREATE') OR has_database_privilege(r.oid, d.oid, 'TEMPORARY') "
    "OR has_schema_privilege(r.oid, 'public', 'CREATE') AS make, has_schema_privilege(r.oid, 'public', 'USAGE') AS enter "
    "FROM pg_roles r, pg_database d WHERE d.datname = current_database() AND r.rolname = ANY($1)"
)
_NAMES = [role.name for role in ROLES]


@dataclass(frozen=True, slots=True)
class Done:
    """What a set-up changed."""

    migrations: tuple[Migration, ...] = ()
    roles: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


async def set_up(dsn: str, passwords: Mapping[str, str], now: dt.datetime) -> Done:
    """Schema, roles, rights and the coming months' parts of a ledger, as its owner; what is there already stays.

    `passwords` are by login.

    Raises Transient while the server is away, ConfigError for a foreign schema or an owner that may not make roles.
    """
    pool = await connect(dsn, application="titan-set-up", max_size=2)
    try:
        applied = await Migrator(pool, load_migrations(MIGRATIONS)).run()
        with database_errors("be given its roles"):
            async with pool.acquire() as connection:
                roles = await make_roles(connection, passwords)
                rights = await give_rights(connection)
                return Done(applied, roles, rights, await make_parts(connection, now))
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            f"the ledger's owner may not make its roles ({error}): let TITAN_DB_URL name a superuser"
        ) from error
    finally:
        await pool.close()


async def make_roles(connection: asyncpg.Connection, passwords: Mapping[str, str]) -> tuple[str, ...]:
    """Makes the roles that lack and changes those that differ, passwords included; their names."""
    changed = []
    async with connection.transaction():
        # Roles belong to the server: two databases of it may be set up at once.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
        known = {row["rolname"]: row for row in await connection.fetch(_ROLES, _NAMES)}
        kept = await connection.fetch("SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY($1)", _NAMES)
        verifiers = {row["rolname"]: row["rolpassword"] or "" for row in kept}
        for role in ROLES:
            statements: list[str] = []
            if role.name not in known:
                statements = [f"CREATE ROLE {role.name}", *role_statements(role)]
            elif not _is(role, known[role.name]):
                statements = list(role_statements(role))
            password = passwords.get(role.login)
            if password is not None and not proves(password, verifiers.get(role.name, "")):
                statements.append(f"ALTER ROLE {role.name} PASSWORD '{verifier(password, os.urandom(16))}'")
            for statement in statements:
                await connection.execute(statement)
            if statements:
                changed.append(role.name)
    return tuple(changed)


def _is(role: Role, row: Mapping[str, object]) -> bool:
    flags = {"REPLICATION": row["rolreplication"], "BYPASSRLS": row["rolbypassrls"], "CREATEDB": row["rolcreatedb"]}
    return bool(
        row["plain"]
        and {name for name, on in flags.items() if on} == set(role.attributes)
        and row["read_only"] == role.read_only
        and set(role.groups) <= set(row["groups"])  # type: ignore[call-overload]
    )


async def give_rights(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Gives the roles their rights in this database when any differs; what differed."""
    wrong = await rights_missing(connection)
    if wrong:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
            there = [row["relname"] for row in await connection.fetch(_TABLES_THERE)]
            database = await connection.fetchval("SELECT current_database()")
            for statement in grant_statements(database, there):
                await connection.execute(statement)
    return wrong


async def rights_missing(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Each right that the database and the registry disagree on, as a sentence. Roles that are not there are not asked."""
    wrong = []
    for row in await connection.fetch(_RIGHTS, _NAMES, [*VERBS, *FORBIDDEN]):
        role = next(each for each in ROLES if each.name == row["role"])
        # Whoever reads all data of the server reads the partitions and a stranger's table too.
        wanted = role.may(row["verb"], row["table"]) or (row["verb"] == "SELECT" and "pg_read_all_data" in role.groups)
        if wanted != row["may"]:
            wrong.append(f"{row['role']} {'lacks' if wanted else 'has'} {row['verb']} on {row['table']}")
    for row in await connection.fetch(_DATABASE, _NAMES):
        if row["make"]:
            wrong.append(f"{row['role']} may make tables")
        if not (row["connect"] and row["enter"]):
            wrong.append(f"{row['role']} may not enter")
    return tuple(wrong)


async def unknown_tables(connection: asyncpg.Connection) -> tuple[str, ...]:
    """Tables that the registry does not name."""
    return tuple(sorted({row["relname"] for row in await connection.fetch(_TABLES_THERE)} - set(TABLES)))


def verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL keeps of a password (RFC 5803): enough to check it, not enough to log in."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    served = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(served)}"


def proves(password: str, kept: str) -> bool:
    """Whether a kept verifier is that password's."""
    parts = kept.split("$")
    if len(parts) != 3 or not parts[1].startswith(f"{ITERATIONS}:"):
        return False
    salt = b64decode(parts[1].partition(":")[2])
    return hmac.compare_digest(verifier(password, salt), kept)


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
