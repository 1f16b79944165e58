"""journal verify and show: whether the router's journal is whole, and what its last rows say.

Guarantees: read-only, so both may run beside a router; verify's exit code is 1 when a row is not what was written, and names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer

from ops.cli.client import home_of
from ops.cli.control import Home, Json
from ops.cli.output import console, emit, fail, show, table
from titan.errors import ExitCode
from titan.journal import JournalCorrupt, StoredRow, Verdict, last_rows, verify_file
from titan.journal.archive import archive_directory
from titan.journal.format import decode
from titan.journal.rows import content_of

app = typer.Typer(help="The router's journal: check it, read it.", no_args_is_help=True)
At = Annotated[Path | None, typer.Argument(help="a journal file; the one of TITAN_HOME by default", show_default=False)]
WORDS = (
    "state",
    "event",
    "symbol",
    "side",
    "quantity",
    "price",
    "filled",
    "fee",
    "paid",
    "wallet",
    "current",
    "reason",
)


def journal_of(home: Path) -> Path:
    """Where a run keeps its journal."""
    return home / "journal" / "titan_execution.db"


@app.command("verify")
def verify_journal(path: At = None, home: Home = None, as_json: Json = False) -> None:
    """Recompute every row's hash, of the archived copies too. Exit 1 names the row. Example: titan journal verify."""
    file = journal_of(home_of(home)) if path is None else path
    files = [file] if path is not None else [*sorted(archive_directory(file).glob(f"{file.stem}-*.db")), file]
    verdicts = [(each, verify_file(each)) for each in files]
    whole = not any(verdict.error for _, verdict in verdicts)
    if as_json:
        emit({"whole": whole, "files": [_verdict(each, verdict) for each, verdict in verdicts]})
    for each, verdict in verdicts:
        if verdict.error:
            fail(f"{each}: after row {verdict.last_seq}: {verdict.error}")
        elif not as_json:
            console.print(
                f"{each}: whole, {verdict.rows} rows from {verdict.first_seq} to {verdict.last_seq}, term {verdict.term}"
            )
    if not whole:
        raise typer.Exit(ExitCode.FAILED)


@app.command("show")
def show_journal(
    path: At = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=10_000, help="rows at most")] = 20,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """The last rows of the journal, oldest first. Example: titan journal show -n 50."""
    file = journal_of(home_of(home)) if path is None else path
    rows = last_rows(file, count)
    if as_json:
        emit({"file": str(file), "rows": [_row(row) for row in rows]})
        return
    lines = [
        (
            str(row.seq),
            str(row.term),
            datetime.fromtimestamp(row.ts_ms / 1000, UTC).strftime("%m-%d %H:%M:%S.%f")[:-3],
            row.kind,
            _said(row),
        )
        for row in rows
    ]
    show(table("Journal", ("row#", "term#", "written", "kind", "what"), lines, f"{file}; times UTC"))


def _verdict(path: Path, verdict: Verdict) -> dict[str, object]:
    return {
        "file": str(path),
        "whole": not verdict.error,
        "error": verdict.error,
        "first_seq": verdict.first_seq,
        "last_seq": verdict.last_seq,
        "rows": verdict.rows,
        "term": verdict.term,
    }


def _fields(row: StoredRow) -> dict[str, object]:
    try:
        return dict(decode(content_of(row)))
    except orjson.JSONDecodeError as error:
        raise JournalCorrupt(f"row {row.seq} ({row.kind}) is no JSON: {error}; run: titan journal verify") from error


def _row(row: StoredRow) -> dict[str, object]:
    plain = {"seq": row.seq, "term": row.term, "kind": row.kind, "ts_ms": row.ts_ms, "hash": row.hash.hex()}
    return {**plain, "payload": _fields(row)}


def _said(row: StoredRow) -> str:
    fields = _fields(row)
    name = fields.get("client_order_id") or fields.get("intent_id") or fields.get("day") or fields.get("currency") or ""
    return " ".join(str(each) for each in (name, *(fields.get(word, "") for word in WORDS)) if each != "")
