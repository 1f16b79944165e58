"""Keeps the ledger's schema, roles, rights and monthly parts as the registries say: the guardian is the only one with the owner's login.

Guarantees: done anew whenever PostgreSQL came (back), and twice a day; every service finds its password under run/secrets before it starts;
what fails is said and, when it may pass, tried again. Never: a reason for anything to wait or to stop (orders need no ledger).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt

import asyncpg

from titan.errors import TitanError, Transient
from titan.ledger_access import LOGINS, secret_name
from titan.logs import Log
from titan.servers import Layout
from titan.store import set_up

RETRY_S = 1.0
AGAIN_S = 12 * 3600.0
"""The parts of the coming months are made long before they begin."""


class LedgerKeeper:
    """Sets the ledger up in the background. `tell` it whenever its server was started."""

    def __init__(self, layout: Layout, log: Log) -> None:
        self._log = log
        self._layout = layout
        # Before any service asks for its own.
        self._passwords()
        self._dsn = ""
        self._told = asyncio.Event()

    def _passwords(self) -> dict[str, str]:
        """As they are now: a rotation changes them while this runs."""
        return {login: self._layout.secret(secret_name(login))[0] for login in LOGINS}

    def tell(self, dsn: str) -> None:
        """The server at `dsn` (the owner's login) answers, or will."""
        self._dsn = dsn
        self._told.set()

    async def run(self) -> None:
        """Serves for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), AGAIN_S)
            self._told.clear()
            if not self._dsn:
                continue
            try:
                done = await set_up(self._dsn, self._passwords(), dt.datetime.now(dt.UTC))
            except Transient as error:
                self._log.warning("ledger not set up yet", reason=str(error))
                await asyncio.sleep(RETRY_S)
                self._told.set()
            except (TitanError, asyncpg.PostgresError) as error:
                # What a person must mend: the services say the same in their health.
                self._log.error("ledger can't be set up", reason=str(error))
            else:
                applied = [f"{each.version:04}_{each.name}" for each in done.migrations]
                self._log.info(
                    "ledger set up", migrations=applied, roles=done.roles, rights=done.rights, parts=done.parts
                )
