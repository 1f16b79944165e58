"""backup and restore: what a person and a timer call.

Guarantees: `restore` is refused while anything writes, and leaves a hard halt behind, so that the books are compared with the
venue before anything is opened.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.backup import restore as way_back
from ops.backup import take as taking
from ops.backup.forget import Forgotten, forget, forget_logs
from ops.backup.ledger import open_ledger
from ops.backup.manifest import Kind
from ops.backup.objects import ObjectStore
from ops.backup.place import Backup, Place, checked_label
from ops.backup.restore import wal_folder
from ops.backup.retention import prune
from ops.cli.client import home_of
from ops.cli.control import Home, Json
from ops.cli.output import console, emit, seconds_text, show, table
from titan.errors import ConfigError
from titan.settings import Settings, load_settings

WHAT = {"all": taking.ALL, "ledger": (Kind.DUMP, Kind.BASE), "dump": (Kind.DUMP,), "journal": (Kind.JOURNAL,)}


def _place(home: Path, settings: Settings) -> Place:
    return Place.at(Path(settings.backup_dir) if settings.backup_dir else home / "backups")


def _row(backup: Backup) -> dict[str, Any]:
    held = backup.manifest
    return {
        "name": backup.name,
        "kind": held.kind.value,
        "label": held.label,
        "file": str(backup.file),
        "bytes": sum(each.size for each in held.files),
        "taken_ms": held.taken_ms,
        "verified": bool(held.verified_ms),
        "rows": sum(held.contents.tables.values()) if held.contents is not None else held.last_seq,
    }


def backup(
    label: Annotated[str, typer.Argument(help="part of the file's name, like pre_deploy")] = "",
    verify: Annotated[bool, typer.Option("--verify", help="restore it into a scratch database and compare")] = False,
    what: Annotated[str, typer.Option("--what", help="all, ledger, dump or journal")] = "all",
    no_upload: Annotated[bool, typer.Option("--no-upload", help="leave the object store alone")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Back up ledger and journal while Titan runs, remove what is out of date. Example: titan backup pre_deploy --verify."""
    if what not in WHAT:
        raise ConfigError(f"--what {what!r} is unknown; there are {', '.join(WHAT)}")
    where, settings = home_of(home), load_settings()
    place = _place(where, settings)
    # Before the first minute of work: a wrong address of the store should not cost one.
    store = ObjectStore(settings) if settings.backup_s3 and not no_upload else None

    def say(words: str) -> None:
        if not as_json:
            console.print(f"[dim]{words}[/dim]")

    wish = taking.Wish(where, place, settings, checked_label(label), WHAT[what], verify)
    made = asyncio.run(taking.take(wish, say))
    if store is not None:
        for each in made:
            store.put(each, place, say)
    gone = prune(place, lambda system: wal_folder(where, settings, system), dt.datetime.now(dt.UTC))
    if as_json:
        emit({"backups": [_row(each) for each in made], "removed": gone, "uploaded": store is not None})
        return
    for each in made:
        row = _row(each)
        checked = ", verified" if verify else ""
        console.print(f"{row['kind']:<8} {row['file']}  {row['bytes']:,} bytes, {row['rows']:,} rows{checked}")
    if gone:
        console.print(f"removed {len(gone)} that are out of date")


def restore(
    moment: Annotated[str, typer.Argument(help="a backup's name, or any second: 2026-01-31T02:00:00 (UTC)")] = "",
    latest: Annotated[bool, typer.Option("--latest", help="the last moment that backups and log lead to")] = False,
    listing: Annotated[bool, typer.Option("--list", help="show what there is and stop")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check the way back, change nothing")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="replace the router's journal, too, though it is whole")
    ] = False,
    from_s3: Annotated[
        bool, typer.Option("--from-s3", help="fetch the last backups from the object store first")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Bring the ledger back to a moment; Titan must be down, and is HALTED afterwards. Example: titan restore --latest."""
    where, settings = home_of(home), load_settings()
    place = _place(where, settings)
    if from_s3:
        store = ObjectStore(settings)
        for kind in Kind:
            # Of the archive every copy: together with the journal they are its whole history.
            for stamp in store.stamps(kind)[0 if kind is Kind.ARCHIVE else -1 :]:
                store.fetch(kind, stamp, place)
    if listing:
        _list(place, as_json)
        return
    if bool(moment) == latest:
        raise ConfigError("say which moment: a timestamp, a backup's name, or --latest (and not two of them)")

    def say(words: str) -> None:
        if not as_json:
            console.print(f"[dim]{words}[/dim]")

    wanted = way_back.Wanted(where, place, settings, way_back.LATEST if latest else moment, journal, dry_run)
    done = asyncio.run(way_back.restore(wanted, say))
    if as_json:
        emit(
            {
                "source": done.source,
                "rows": sum(done.contents.tables.values()),
                "journal": done.journal,
                "set_aside": list(done.set_aside),
                "seconds": done.seconds,
                "steps": [{"step": words, "at_s": at_s} for words, at_s in done.steps],
                "dry_run": dry_run,
            }
        )
        return
    if dry_run:
        console.print(f"{done.source} leads back; nothing was changed ({seconds_text(done.seconds)})")
        return
    console.print(
        f"restored from {done.source} in {seconds_text(done.seconds)}; set aside: {', '.join(done.set_aside)}"
    )
    console.print('next: titan up --detach, titan reconcile, titan resume "restored", titan arm "restored"')


def _list(place: Place, as_json: bool) -> None:
    found = [each for kind in Kind for each in place.all(kind)]
    found.sort(key=lambda each: (each.manifest.stamp, each.manifest.kind.value))
    damaged = place.damaged()
    if as_json:
        emit({"backups": [_row(each) for each in found], "damaged": damaged})
        return
    now_ms = dt.datetime.now(dt.UTC).timestamp() * 1000
    rows = []
    for each in found:
        row = _row(each)
        age = seconds_text(max(0.0, (now_ms - each.manifest.taken_ms) / 1000))
        rows.append((each.name, row["kind"], row["label"], age, f"{row['bytes']:,}", "yes" if row["verified"] else "-"))
    show(table(f"Backups in {place.root}", ("name", "kind", "label", "age", "bytes#", "verified"), rows))
    for words in damaged:
        console.print(f"[red]damaged[/red] {words}")


def retention(
    apply: Annotated[bool, typer.Option("--apply", help="remove; without it only what would go is counted")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Remove what the retention table lets go; the books stay. Example: titan retention --apply."""
    where, settings = home_of(home), load_settings()
    now = dt.datetime.now(dt.UTC)

    async def run() -> list[Forgotten]:
        async with open_ledger(where, settings) as ledger:
            connection = await ledger.server.connect()
            try:
                return await forget(connection, now, apply=apply)
            finally:
                await connection.close()

    done = [*asyncio.run(run()), forget_logs(where / "logs", now, apply=apply)]
    if as_json:
        emit({"applied": apply, "removed": {each.what: each.rows for each in done}})
        return
    rows = [(each.what, f"{each.days:.0f}", f"{each.rows:,}") for each in done]
    show(table("Removed" if apply else "Would be removed", ("what", "older than, days#", "number#"), rows))
