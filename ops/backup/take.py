"""Takes backups: the ledger as SQL, its cluster's files, and the router's journal, each with a manifest.

Guarantees: the ledger is dumped and counted in one snapshot; the journal is copied after the ledger, so a pair restored
together never has a ledger that knows more than the journal; files are on disk before the manifest names them; nothing
that runs is stopped or locked. Never: a half-made backup under a finished one's name.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ops.backup.contents import contents_of
from ops.backup.journal import unpack_journal
from ops.backup.ledger import Ledger, open_ledger
from ops.backup.manifest import BLOCK, Damaged, Kind, Manifest, sums
from ops.backup.place import DUMP_PREFIX, JOURNAL_PREFIX, Backup, Place, checked_label, stamp_of
from titan.backups import Status, read_status, write_status
from titan.journal import backup as copy_journal
from titan.journal import verify_file
from titan.journal.archive import archive_directory
from titan.settings import Settings

ALL = (Kind.DUMP, Kind.BASE, Kind.JOURNAL)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to back up, and where."""

    home: Path
    place: Place
    settings: Settings
    label: str = ""
    kinds: tuple[Kind, ...] = ALL
    verify: bool = False


async def take(wish: Wish, say: Say) -> list[Backup]:
    """Takes every wanted backup; the manifests of what was made. Raises TitanError; what was finished before stays."""
    checked_label(wish.label)
    stamp = _free_stamp(wish)
    made: list[Backup] = []
    if {Kind.DUMP, Kind.BASE} & set(wish.kinds):
        async with open_ledger(wish.home, wish.settings, "backup") as ledger:
            if Kind.DUMP in wish.kinds:
                say("dumping the ledger")
                made.append(await _dump(wish, stamp, ledger))
                if wish.verify:
                    say("restoring the dump into a scratch database")
                    made[-1] = await verify_dump(made[-1], ledger)
            if Kind.BASE in wish.kinds:
                say("copying the ledger's cluster")
                made.append(await asyncio.to_thread(_base, wish, stamp, ledger))
    journal = wish.home / "journal" / "titan_execution.db"
    if Kind.JOURNAL in wish.kinds and journal.exists():
        say("copying the journal")
        made.append(await asyncio.to_thread(_journal, wish, stamp, journal))
        # After the journal: a compaction in between leaves its rows in one of them.
        made += await asyncio.to_thread(_archive, wish, journal)
    if wish.verify:
        for each in made:
            await asyncio.to_thread(check_backup, each)
    _note(wish.home, made)
    return made


def _free_stamp(wish: Wish) -> str:
    moment = dt.datetime.now(dt.UTC)
    while any(wish.place.manifest_path(kind, stamp_of(moment)).exists() for kind in Kind):
        moment += dt.timedelta(seconds=1)
    return stamp_of(moment)


async def _dump(wish: Wish, stamp: str, ledger: Ledger) -> Backup:
    folder = wish.place.dumps
    tail = f"_{wish.label}" if wish.label else ""
    target = folder / f"{DUMP_PREFIX}{stamp}{tail}.sql"
    draft = target.with_suffix(".partial")
    connection = await ledger.server.connect()
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            taken_ms = _wall_ms()
            snapshot = str(await connection.fetchval("SELECT pg_export_snapshot()"))
            contents = await contents_of(connection)
            await asyncio.to_thread(ledger.tools.dump, ledger.server, draft, snapshot=snapshot)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        await connection.close()
    _finish([(draft, target)])
    manifest = Manifest(
        Kind.DUMP,
        stamp,
        wish.label,
        taken_ms,
        sums([target], folder),
        database=ledger.server.database,
        server_major=ledger.major,
        system_id=ledger.system_id,
        contents=contents,
    )
    made = _written(wish.place, manifest)
    _link_of_the_day(target, stamp)
    return made


def _link_of_the_day(target: Path, stamp: str) -> None:
    """`titan_brain_2026-01-31.sql`, the name that runbooks type."""
    link = target.with_name(f"{DUMP_PREFIX}{stamp[:10]}.sql")
    draft = link.with_suffix(".link")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target.name)
    draft.replace(link)


def _base(wish: Wish, stamp: str, ledger: Ledger) -> Backup:
    folder = wish.place.bases
    target, draft = folder / stamp, folder / f"{stamp}.partial"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        ledger.tools.run(
            "pg_basebackup", f"--pgdata={draft}", "--format=tar", "--gzip", "--checkpoint=fast", "--wal-method=stream",
            "--no-password", f"--label=titan {stamp}", server=ledger.server,
        )  # fmt: skip
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _finish([(draft, target)])
    files = sorted(target.glob("*.tar.gz"), key=lambda path: path.name != "base.tar.gz")
    manifest = Manifest(
        Kind.BASE,
        stamp,
        wish.label,
        # A base leads to moments after its end only.
        _wall_ms(),
        sums([*files, target / "backup_manifest"], folder),
        database=ledger.server.database,
        server_major=ledger.major,
        system_id=ledger.system_id,
    )
    return _written(wish.place, manifest)


def _journal(wish: Wish, stamp: str, journal: Path) -> Backup:
    target = wish.place.root / f"{JOURNAL_PREFIX}{stamp}.db.gz"
    plain, draft = target.with_suffix(".copy"), target.with_suffix(".partial")
    taken_ms = _wall_ms()
    try:
        copied = copy_journal(journal, plain)
        with plain.open("rb") as source, gzip.open(draft, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(source, packed, BLOCK)
        draft.chmod(0o600)
        _finish([(draft, target)])
    finally:
        plain.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
    manifest = Manifest(
        Kind.JOURNAL,
        stamp,
        wish.label,
        taken_ms,
        sums([target], wish.place.root),
        last_seq=copied.last_seq,
        term=copied.term,
    )
    return _written(wish.place, manifest)


def _archive(wish: Wish, journal: Path) -> list[Backup]:
    """The copies that were set aside when the journal was compacted, and are in no backup yet."""
    made = []
    for copy in sorted(archive_directory(journal).glob(f"{journal.stem}-*.db")):
        if wish.place.manifest_path(Kind.ARCHIVE, copy.stem).exists():
            continue
        target = wish.place.archive / f"{copy.name}.gz"
        draft = target.with_suffix(".partial")
        try:
            with copy.open("rb") as source, gzip.open(draft, "wb", compresslevel=6) as packed:
                shutil.copyfileobj(source, packed, BLOCK)
            draft.chmod(0o600)
            _finish([(draft, target)])
        finally:
            draft.unlink(missing_ok=True)
        verdict = verify_file(copy)
        made.append(
            _written(
                wish.place,
                Manifest(
                    Kind.ARCHIVE,
                    copy.stem,
                    wish.label,
                    _wall_ms(),
                    sums([target], wish.place.archive),
                    last_seq=verdict.last_seq,
                    term=verdict.term,
                ),
            )
        )
    return made


def _finish(moves: Iterable[tuple[Path, Path]]) -> None:
    """Makes files durable, then gives them their names."""
    for draft, target in moves:
        for path in (draft.rglob("*"), [draft])[draft.is_file()]:
            _sync(path)
        draft.replace(target)
        _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written(place: Place, manifest: Manifest) -> Backup:
    path = place.manifest_path(manifest.kind, manifest.stamp)
    manifest.write(path)
    _sync(path)
    _sync(path.parent)
    return Backup(manifest, path.parent, path)


async def verify_dump(backup: Backup, ledger: Ledger) -> Backup:
    """Restores a dump into a scratch database and compares what is in it. Raises Damaged, ToolFailed."""
    backup.check()
    async with scratch_database(ledger) as name:
        scratch = ledger.server.at(name)
        await asyncio.to_thread(ledger.tools.load, backup.file, scratch)
        connection = await scratch.connect()
        try:
            found = await contents_of(connection)
        finally:
            await connection.close()
    expected = backup.manifest.contents
    wrong = expected.differences(found) if expected is not None else ["its manifest says nothing of its contents"]
    if wrong:
        raise Damaged(f"{backup.file} does not give back what was in the ledger: {'; '.join(wrong[:5])}")
    manifest = replace(backup.manifest, verified_ms=_wall_ms())
    manifest.write(backup.path)
    return replace(backup, manifest=manifest)


def check_backup(backup: Backup) -> None:
    """Reads a backup's files again, and a journal's chain. Blocks. Raises Damaged."""
    backup.check()
    if backup.manifest.kind in (Kind.JOURNAL, Kind.ARCHIVE):
        with unpack_journal(backup):
            pass


@asynccontextmanager
async def scratch_database(ledger: Ledger) -> AsyncIterator[str]:
    """An empty database on the ledger's server for the length of a block; gone afterwards."""
    name = f"titan_scratch_{os.getpid()}"
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    connection = await ledger.server.connect()
    try:
        await connection.execute(drop)
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield name
        finally:
            await connection.execute(drop)
    finally:
        await connection.close()


def _note(home: Path, made: list[Backup]) -> None:
    """Tells the running Titan how old its backups are."""
    known = read_status(home)
    for each in made:
        if each.manifest.kind is Kind.ARCHIVE:
            continue
        known = Status(**{**known.as_dict(), f"{each.manifest.kind.value}_ms": each.manifest.taken_ms})
    write_status(home, known)


def _wall_ms() -> int:
    return int(dt.datetime.now(dt.UTC).timestamp() * 1000)
