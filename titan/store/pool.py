"""Connections to PostgreSQL, and which of its errors pass by themselves.

Guarantees: an error that another attempt may mend is a Transient, everything else is a defect and stays what it is.
Never: a query on the hot path, or an endless wait for a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from titan.errors import Transient
from titan.ledger_access import LedgerLogin

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
_PASSING: tuple[type[BaseException], ...] = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    # A role is made, or its password changed, while its service runs: the next connection reads the new one.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InsufficientResourcesError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InternalClientError,
)
_GONE = ("closed", "closing", "released", "terminated")


def is_passing(error: BaseException) -> bool:
    """Whether the database may answer a later attempt: it was away, shutting down, out of room or out of turn."""
    if isinstance(error, asyncpg.InterfaceError):
        return any(word in str(error) for word in _GONE)
    return isinstance(error, _PASSING)


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turns the database's passing errors into Transient, naming what was tried."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        if is_passing(error):
            raise Transient(f"PostgreSQL can't {what} now: {error or type(error).__name__}") from error
        raise


async def connect(
    login: str | LedgerLogin,
    *,
    application: str = "titan",
    min_size: int = 1,
    max_size: int = 4,
    read_only: bool = False,
    search_path: str = "",
) -> asyncpg.Pool:
    """Opens a pool and one connection. Raises Transient while the server is away.

    The application's name shows in pg_stat_activity. A read-only pool refuses every write at the server.
    `search_path` names the schema to work in, the database's own by default.
    """
    settings = {"application_name": application, "timezone": "UTC"}
    if search_path:
        settings["search_path"] = search_path
    if read_only:
        settings["default_transaction_read_only"] = "on"
    with database_errors("be reached"):
        found = LedgerLogin(login) if isinstance(login, str) else login
        return await asyncpg.create_pool(
            found.dsn,
            password=None if found.secret is None else found.password,
            min_size=min_size,
            max_size=max_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=settings,
        )
