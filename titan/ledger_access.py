"""Who may do what in the ledger: PostgreSQL's roles and their rights, one registry for the database and its tests.

Guarantees: each pool of Titan connects as a role of its own, which may do what its row says and nothing else; nobody but the
owner may change a table, empty it or make one. Never: a right that no code of that service uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from titan.errors import Transient

OWNER = "titan"
"""Owns every table: migrations, roles, retention, restores. No actor connects as it."""
SELECT, INSERT, UPDATE, DELETE = "SELECT", "INSERT", "UPDATE", "DELETE"
VERBS = (SELECT, INSERT, UPDATE, DELETE)
FORBIDDEN = ("TRUNCATE", "REFERENCES", "TRIGGER")
"""What a table can also grant, and nobody gets."""

_APPEND = (SELECT, INSERT)
_KEEP = (SELECT, INSERT, UPDATE)
_BOOKS = {
    "orders": _KEEP,
    "order_events": _APPEND,
    "fills": _APPEND,
    "rejects": _APPEND,
    "adoptions": _APPEND,
    "positions": _KEEP,
    # A late fill makes the round trips of its instrument anew.
    "round_trips": (SELECT, INSERT, DELETE),
    "ledger_accounts": _APPEND,
    "ledger_transactions": _APPEND,
    "ledger_entries": _APPEND,
    "brain_decisions": _APPEND,
    "alerts": _APPEND,
    "audit_events": _APPEND,
    "equity_curve": _APPEND,
    "books_state": _KEEP,
    "truth_runs": _APPEND,
    "truth_differences": _KEEP,
    "_titan_migrations": (SELECT,),
}
TABLES = tuple(_BOOKS)
"""Every table of the ledger."""
_SHOWN = ("orders", "fills", "rejects", "positions", "round_trips", "brain_decisions", "equity_curve")


@dataclass(frozen=True, slots=True)
class Role:
    """One login. `attributes` are PostgreSQL's own words; `groups` are roles of the server that it belongs to."""

    login: str
    text: str
    rights: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    read_only: bool = False

    @property
    def name(self) -> str:
        """Its name at the server."""
        return f"titan_{self.login}"

    def may(self, verb: str, table: str) -> bool:
        """Whether it may do that to some row of a table."""
        return verb in self.rights.get(table, ())


def _reads(tables: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(tables, (SELECT,))


ROLES: tuple[Role, ...] = (
    Role("execution", "keeps the books", _BOOKS),
    Role("gateway", "shows orders, trades, decisions and equity", _reads(_SHOWN), read_only=True),
    Role("brain", "asks whether the ledger answers", read_only=True),
    Role("reader", "people and tools that look; of the audit only what machines did", _reads(TABLES), read_only=True),
    Role("auditor", "people who may see what each operator did", _reads(TABLES), read_only=True),
    Role(
        "backup",
        "reads every row and copies the cluster; restores into scratch databases of its own",
        _reads(TABLES),
        attributes=("REPLICATION", "BYPASSRLS", "CREATEDB"),
        groups=("pg_read_all_data",),
    ),
)
LOGINS: tuple[str, ...] = tuple(role.login for role in ROLES)
_ATTRIBUTES = ("REPLICATION", "BYPASSRLS", "CREATEDB")


def role_of(login: str) -> Role:
    """The role of a login. Raises ValueError for an unknown one."""
    for role in ROLES:
        if role.login == login:
            return role
    raise ValueError(f"unknown login {login!r} of the ledger; known: {', '.join(LOGINS)}")


def secret_name(login: str) -> str:
    """The file in run/secrets that holds a login's password."""
    return f"postgres_{login}"


@dataclass(frozen=True, slots=True)
class LedgerLogin:
    """How one role reaches the ledger. The password is read anew for each connection, so that it can change under way."""

    dsn: str
    secret: Path | None = None

    def password(self) -> str | None:
        """Its password; None when the address carries the login. Raises Transient when the file is not there."""
        if self.secret is None:
            return None
        try:
            return self.secret.read_text().strip()
        except FileNotFoundError:
            raise Transient(f"{self.secret} is absent: the guardian makes the ledger's logins at its start") from None

    @property
    def url(self) -> str:
        """The address with the password in it, as it is now: for one connection. Raises Transient."""
        password = self.password()
        return self.dsn if password is None else with_login(self.dsn, urlsplit(self.dsn).username or "", password)


def with_login(dsn: str, user: str, password: str = "") -> str:
    """The same server and database as another user; without a user, the address alone."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    login = f"{user}:{quote(password, safe='')}" if password else user
    return urlunsplit(parts._replace(netloc=f"{login}@{host}" if login else host))


def role_statements(role: Role) -> tuple[str, ...]:
    """What makes a role that exists the one of the registry, but for its password."""
    words = [word if word in role.attributes else f"NO{word}" for word in _ATTRIBUTES]
    alter = f"ALTER ROLE {role.name} LOGIN NOSUPERUSER NOCREATEROLE INHERIT {' '.join(words)}"
    default = f"ALTER ROLE {role.name} SET default_transaction_read_only = {'on' if role.read_only else 'off'}"
    return (alter, default, *(f"GRANT {group} TO {role.name}" for group in role.groups))


def grant_statements(database: str, tables: Iterable[str]) -> tuple[str, ...]:
    """What gives every role its rights in a database, and takes all others, for the tables that are there."""
    there = [table for table in TABLES if table in set(tables)]
    names = ", ".join(role.name for role in ROLES)
    statements = [
        f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC, {names}',
        f'GRANT CONNECT ON DATABASE "{database}" TO {names}',
        f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {names}",
        f"GRANT USAGE ON SCHEMA public TO {names}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {names}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {names}",
        f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, {names}",
    ]
    for role in ROLES:
        mine = (table for table in there if table in role.rights)
        statements += [f"GRANT {', '.join(role.rights[table])} ON {table} TO {role.name}" for table in mine]
    return tuple(statements)
