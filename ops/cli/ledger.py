"""ledger rebuild: the double-entry books made again from the journal, to compare or to fill an empty database.

Guarantees: `--check` changes nothing of the ledger in use; without it only what is missing is booked, and nothing is changed
or removed. Both read the journal's whole history, archived copies included.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from actors.execution.rebuild import Compared, book_history, check
from ops.backup.ledger import owner_dsn
from ops.backup.passwords import rotate
from ops.cli.client import home_of
from ops.cli.control import Home, Json
from ops.cli.output import console, emit, show, table
from titan.errors import ExitCode, NotRunning, TitanError, Transient
from titan.journal.archive import history
from titan.money import text_of
from titan.runtime import Runtime
from titan.settings import load_settings
from titan.store import MIGRATIONS, Migrator, connect, load_migrations

app = typer.Typer(help="The double-entry books in PostgreSQL.", no_args_is_help=True)


@app.command("rebuild")
def rebuild_ledger(
    only_check: Annotated[bool, typer.Option("--check", help="only compare, in a scratch schema")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Book the journal's whole history again, or compare with it. Exit 1 when they differ. Example: titan ledger rebuild --check."""
    runtime = Runtime.load(home_of(home))
    try:
        if only_check:
            _show(asyncio.run(_check(runtime)), as_json)
        else:
            last, fills = asyncio.run(_rebuild(runtime))
            if as_json:
                emit({"last_seq": last, "fills": fills})
            else:
                console.print(f"the ledger has every journal row up to {last}, and {fills} fills")
    except Transient as error:
        raise NotRunning(f"{error}; start it with: titan up") from error
    except ValueError as error:
        raise TitanError(str(error)) from error


@app.command("rotate")
def rotate_passwords(home: Home = None, as_json: Json = False) -> None:
    """Give every role of the ledger a new password while everything runs; no order waits for it. Example: titan ledger rotate."""
    runtime = Runtime.load(home_of(home))
    try:
        roles, ended = asyncio.run(rotate(owner_dsn(runtime, load_settings()), runtime.run_dir / "secrets"))
    except Transient as error:
        raise NotRunning(f"{error}; nothing was changed") from error
    if as_json:
        emit({"roles": roles, "sessions_ended": ended})
    else:
        console.print(
            f"{len(roles)} roles have new passwords ({', '.join(roles)}); {ended} sessions of the old ones were ended"
        )


async def _check(runtime: Runtime) -> Compared:
    venue = runtime.venue
    return await check(owner_dsn(runtime, load_settings()), venue.name, venue.account, history(runtime.journal_path))


async def _rebuild(runtime: Runtime) -> tuple[int, int]:
    pool = await connect(owner_dsn(runtime, load_settings()), application="titan-rebuild", max_size=2)
    try:
        await Migrator(pool, load_migrations(MIGRATIONS)).run()
        venue = runtime.venue
        last = await book_history(pool, venue.name, venue.account, history(runtime.journal_path))
        return last, int(await pool.fetchval("SELECT count(*) FROM fills"))
    finally:
        await pool.close()


def _show(found: Compared, as_json: bool) -> None:
    if as_json:
        unequal = [
            {"table": each.table, "key": each.key, "ledger": each.ledger, "journal": each.journal}
            for each in found.unequal
        ]
        totals = {name: text_of(value) for name, value in found.totals.items()}
        emit({"upto_seq": found.upto_seq, "rows": found.rows, "totals": totals, "unequal": unequal})
    else:
        shown = [(name, text_of(value)) for name, value in found.totals.items()]
        rows = ", ".join(f"{count} {name}" for name, count in found.rows.items())
        caption = f"compared up to journal row {found.upto_seq}: {rows}"
        show(table("What the journal alone makes", ("account", "total#"), shown, caption))
        if found.unequal:
            lines = [
                (each.table, each.key, each.ledger or "nothing", each.journal or "nothing") for each in found.unequal
            ]
            show(table("Differences", ("table", "key", "ledger", "journal"), lines))
        else:
            console.print("the ledger is what the journal makes, to the last decimal")
    if found.unequal:
        raise typer.Exit(ExitCode.FAILED)
