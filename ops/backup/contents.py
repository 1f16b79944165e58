"""What a ledger holds, counted: the measure by which a restored one is compared with its original.

Guarantees: numbers are exact text to the last decimal; within one transaction the answer is of one moment.
"""

from __future__ import annotations

import asyncpg

from ops.backup.manifest import Contents

_TABLES = (
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"
)
_BALANCES = (
    "SELECT a.name || ' ' || a.currency AS name, sum(e.direction * e.amount)::text AS held "
    "FROM ledger_entries e JOIN ledger_accounts a USING (account_id) GROUP BY 1 ORDER BY 1"
)
_POSITIONS = (
    "SELECT venue || '/' || account || '/' || symbol AS name, "
    "quantity || ' at ' || average_price || ', pnl ' || realized_pnl || ', fees ' || fees || ', funding ' || funding "
    "AS held FROM positions ORDER BY 1"
)


async def contents_of(connection: asyncpg.Connection) -> Contents:
    """Counts and balances of a database; of one that is empty, nothing."""
    names = [row["relname"] for row in await connection.fetch(_TABLES)]
    tables = {}
    for name in names:
        tables[name] = int(await connection.fetchval(f'SELECT count(*) FROM "{name}"'))
    balances: dict[str, str] = {}
    positions: dict[str, str] = {}
    if "ledger_entries" in tables:
        balances = {row["name"]: row["held"] for row in await connection.fetch(_BALANCES)}
    if "positions" in tables:
        positions = {row["name"]: row["held"] for row in await connection.fetch(_POSITIONS)}
    return Contents(tables, balances, positions)
