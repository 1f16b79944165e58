"""The way back: a ledger of a wanted moment in a fresh database, compared with its source, then put in the old one's place.

Guarantees: refused while a router, an actor or any other client works on the books; a torn or changed backup is refused before
anything is touched; the old database and the old journal are set aside, not removed; afterwards the home stands under a hard
halt, so that nothing is opened before a person has reconciled with the venue. Never: a journal younger than the ledger
(`pair`), a plain `psql` into live tables.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from ops.backup.contents import contents_of
from ops.backup.journal import compacted_up_to, journal_lock, place_archive, place_journal, unpack_journal, usable
from ops.backup.ledger import Ledger, open_ledger
from ops.backup.manifest import Contents, Damaged, Kind
from ops.backup.place import Backup, Place, parse_moment, stamp_of
from ops.backup.scratch import recovered, segments
from ops.cli.world import mark_open
from supervisors.state import Stage, read_state
from titan.errors import ExitCode, Rejected, TitanError, Transient
from titan.halt import write_halt
from titan.servers import Layout
from titan.servers.unprivileged import reachable_data_dir, server_user
from titan.settings import Settings
from titan.store import give_rights

ARCHIVE_PATIENCE_S = 30.0
ARCHIVE_POLL_S = 0.05
LATEST = "latest"
CURSOR = "journal_seq"
Say = Callable[[str], None]


class NotFound(TitanError):
    """There is no such backup."""

    exit_code = ExitCode.NOT_FOUND


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to bring back. `moment` is a backup's name, a timestamp, or `latest`; `journal` forces the journal, too."""

    home: Path
    place: Place
    settings: Settings
    moment: str = LATEST
    journal: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where the ledger comes from: a dump, or a base backup with the log up to `until` (None: to the log's end)."""

    backup: Backup
    archive: Path | None = None
    until: dt.datetime | None = None

    @property
    def words(self) -> str:
        """For a person."""
        if self.archive is None:
            return f"dump {self.backup.name}"
        return (
            f"base {self.backup.name} and the log up to {'its end' if self.until is None else self.until.isoformat()}"
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. `seconds` is the whole way; `set_aside` names the old database and journal."""

    source: str
    contents: Contents
    journal: str
    set_aside: tuple[str, ...]
    seconds: float
    steps: tuple[tuple[str, float], ...] = ()


def refuse_while_writers_run(home: Path) -> None:
    """Raises Rejected while Titan's actors run under a home."""
    state = read_state(home)
    if state is not None and state.alive and state.state != Stage.SERVERS:
        raise Rejected(
            "WRITERS_RUN", f"Titan runs under {home} (pid {state.pid}, {state.state}): stop it first, with `titan down`"
        )


def wal_folder(home: Path, settings: Settings, system_id: str) -> Path:
    """Where the archived log of a cluster lies."""
    if settings.wal_archive:
        # Compose keeps one folder a cluster in it; an archive that somebody else keeps may be of one cluster only.
        kept = Path(settings.wal_archive)
        return kept / system_id if (kept / system_id).is_dir() else kept
    layout = Layout.of(home)
    return reachable_data_dir(layout.data / "postgres_wal", layout.home, server_user()) / system_id


def choose(wanted: Wanted) -> Source:
    """The source for a moment. Raises NotFound, ConfigError."""
    place = wanted.place
    dumps = place.all(Kind.DUMP)
    named = [each for each in dumps if wanted.moment in (each.name, each.file.name, str(each.file))]
    if named:
        return Source(named[-1])
    until = None if wanted.moment == LATEST else parse_moment(wanted.moment)
    until_ms = None if until is None else int(until.timestamp() * 1000)
    for base in reversed(place.all(Kind.BASE)):
        archive = wal_folder(wanted.home, wanted.settings, base.manifest.system_id)
        if (until_ms is None or base.manifest.taken_ms <= until_ms) and segments(archive):
            newest_dump = dumps[-1] if dumps else None
            log_ms = segments(archive)[-1].stat().st_mtime * 1000
            if until is None and newest_dump is not None and newest_dump.manifest.taken_ms > log_ms:
                break
            return Source(base, archive, until)
    if until is None and dumps:
        return Source(dumps[-1])
    known = ", ".join(each.name for each in dumps[-3:]) or "none"
    raise NotFound(
        f"nothing leads to {wanted.moment}: no base backup with archived log before it, and no dump of that name "
        f"(last dumps: {known}); see `titan restore --list`"
    )


async def restore(wanted: Wanted, say: Say) -> Restored:
    """Brings ledger, and journal where needed, back. Raises TitanError; what stood before still stands then."""
    began = time.monotonic()
    steps: list[tuple[str, float]] = []

    def step(words: str) -> None:
        steps.append((words, time.monotonic() - began))
        say(words)

    refuse_while_writers_run(wanted.home)
    journal = wanted.home / "journal" / "titan_execution.db"
    with journal_lock(journal):
        fault = usable(journal)
        snapshot = _journal_for(wanted, fault)
        async with open_ledger(wanted.home, wanted.settings) as ledger:
            await _alone(ledger)
            step("flushing the log of the running ledger into its archive")
            await _flush_archive(ledger)
            source = choose(_paired(wanted, snapshot))
            step(f"checking {source.words}")
            await asyncio.to_thread(source.backup.check)
            fresh = f"{ledger.server.database}_restore_{os.getpid()}"
            try:
                async with _as_sql(wanted, source, ledger) as (dump, expected):
                    if wanted.dry_run:
                        return Restored(source.words, expected, "", (), time.monotonic() - began, tuple(steps))
                    step("loading it into a fresh database")
                    contents = await _load(ledger, dump, fresh, expected)
                stamp = stamp_of(dt.datetime.now(dt.UTC))
                aside = []
                placed = ""
                if snapshot is not None:
                    step(f"putting journal {snapshot.name} in its place")
                    with unpack_journal(snapshot) as plain:
                        term = await _rewound(ledger, fresh, compacted_up_to(plain))
                        old = await asyncio.to_thread(place_journal, plain, journal, term, stamp)
                    aside += [str(old)] if old is not None else []
                    placed = snapshot.name
                back = await asyncio.to_thread(place_archive, wanted.place.all(Kind.ARCHIVE), journal)
                if back:
                    step(f"putting {len(back)} copies of the compacted journal back")
                step("putting the fresh database in the old one's place")
                mark_open(wanted.home)
                write_halt(
                    wanted.home,
                    f"restored from {source.words}: compare with the venue (`titan reconcile`), then `titan resume`",
                )
                aside.append(await _swap(ledger, fresh, f"{ledger.server.database}_before_{stamp.replace('-', '_')}"))
            except BaseException:
                await _drop(ledger, fresh)
                raise
    done = Restored(source.words, contents, placed, tuple(aside), time.monotonic() - began, tuple(steps))
    _record(wanted.place, done)
    return done


def _journal_for(wanted: Wanted, fault: str) -> Backup | None:
    """The journal to bring back: only when it was asked for, or when the one that stands can't be used."""
    if not (fault or wanted.journal):
        return None
    found = wanted.place.all(Kind.JOURNAL)
    if wanted.moment != LATEST:
        limit = int(parse_moment(wanted.moment).timestamp() * 1000) + 60_000
        found = [each for each in found if each.manifest.taken_ms <= limit] or found
    if not found:
        # The first start of a home: the router makes a journal and asks the venue for everything.
        return None
    found[-1].check()
    return found[-1]


def _paired(wanted: Wanted, snapshot: Backup | None) -> Wanted:
    """With an older journal the ledger may not be younger than it: what it knew more would never be told again."""
    if snapshot is None or wanted.moment != LATEST:
        return wanted
    at = dt.datetime.fromtimestamp(snapshot.manifest.taken_ms / 1000, dt.UTC)
    pair = [each for each in wanted.place.all(Kind.DUMP) if each.manifest.taken_ms <= snapshot.manifest.taken_ms]
    moment = pair[-1].name if pair and pair[-1].name == snapshot.name else at.isoformat()
    return Wanted(wanted.home, wanted.place, wanted.settings, moment, wanted.journal, wanted.dry_run)


async def _alone(ledger: Ledger) -> None:
    """Raises Rejected while somebody else works on the database."""
    connection = await ledger.server.connect()
    try:
        others = await connection.fetch(
            "SELECT DISTINCT coalesce(nullif(application_name, ''), 'a client without a name') AS name "
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
    finally:
        await connection.close()
    if others:
        names = ", ".join(row["name"] for row in others)
        raise Rejected("WRITERS_RUN", f"{names} still works on the ledger: stop every client of it first")


async def _flush_archive(ledger: Ledger) -> None:
    """Lets the archive take everything committed so far. A server without an archive has nothing to take."""
    connection = await ledger.server.connect()
    try:
        if await connection.fetchval("SELECT current_setting('archive_mode')") == "off":
            return
        name = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
        deadline = time.monotonic() + ARCHIVE_PATIENCE_S
        while (await connection.fetchval("SELECT last_archived_wal FROM pg_stat_archiver") or "") < name:
            if time.monotonic() > deadline:
                raise Transient(
                    f"the log segment {name} was not archived within {ARCHIVE_PATIENCE_S:.0f} s: see its log"
                )
            await asyncio.sleep(ARCHIVE_POLL_S)
    finally:
        await connection.close()


@asynccontextmanager
async def _as_sql(wanted: Wanted, source: Source, ledger: Ledger) -> AsyncIterator[tuple[Path, Contents]]:
    """The source as a file of SQL and what must be in it. Raises Damaged, NoWayBack."""
    if source.archive is None:
        expected = source.backup.manifest.contents
        if expected is None:
            raise Damaged(f"{source.backup.path} says nothing of its contents")
        yield source.backup.file, expected
        return
    database = source.backup.manifest.database
    draft = wanted.place.root / f"recovered-{os.getpid()}.sql"
    try:
        async with recovered(wanted.home, source.backup, source.archive, source.until, database) as scratch:
            connection = await scratch.connect()
            try:
                expected = await contents_of(connection)
            finally:
                await connection.close()
            await asyncio.to_thread(ledger.tools.dump, scratch, draft)
        yield draft, expected
    finally:
        draft.unlink(missing_ok=True)


async def _load(ledger: Ledger, dump: Path, fresh: str, expected: Contents) -> Contents:
    await _drop(ledger, fresh)
    await _administer(ledger, f'CREATE DATABASE "{fresh}" TEMPLATE template0')
    server = ledger.server.at(fresh)
    await asyncio.to_thread(ledger.tools.load, dump, server)
    connection = await server.connect()
    try:
        found = await contents_of(connection)
        # A dump carries no rights: they come from the registry, as everywhere.
        await give_rights(connection)
    finally:
        await connection.close()
    wrong = expected.differences(found)
    if wrong:
        raise Damaged(f"what was restored is not what was backed up: {'; '.join(wrong[:5])}")
    return found


async def _rewound(ledger: Ledger, database: str, first_seq: int) -> int:
    """Has the books read the journal anew from its first row (after `first_seq`); the highest term they know."""
    connection = await ledger.server.at(database).connect()
    try:
        if await connection.fetchval("SELECT to_regclass('order_events')") is None:
            return 0
        await connection.execute("UPDATE books_state SET value = least(value, $2) WHERE key = $1", CURSOR, first_seq)
        found = await connection.fetchval(
            "SELECT greatest((SELECT max(term) FROM order_events), (SELECT max(term) FROM fills), 0)"
        )
        return int(found)
    finally:
        await connection.close()


_GRANTS = (
    "SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS who, a.privilege_type AS what "
    "FROM pg_database d CROSS JOIN aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee "
    "WHERE d.datname = $1"
)


async def _swap(ledger: Ledger, fresh: str, aside: str) -> str:
    """Renames the old database away and the fresh one into its place, with the same rights on it."""
    name = ledger.server.database
    admin = await ledger.server.at("postgres").connect()
    try:
        grants = await admin.fetch(_GRANTS, name)
        statements = [f'REVOKE ALL ON DATABASE "{fresh}" FROM PUBLIC'] if grants else []
        statements += [f'GRANT {row["what"]} ON DATABASE "{fresh}" TO {row["who"]}' for row in grants]
        for statement in statements:
            await admin.execute(statement)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY($1) AND pid <> pg_backend_pid()",
            [name, fresh],
        )
        async with admin.transaction():
            await admin.execute(f'ALTER DATABASE "{name}" RENAME TO "{aside}"')
            await admin.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{name}"')
    finally:
        await admin.close()
    return aside


async def _drop(ledger: Ledger, name: str) -> None:
    await _administer(ledger, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _administer(ledger: Ledger, statement: str) -> None:
    connection: asyncpg.Connection = await ledger.server.at("postgres").connect()
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _record(place: Place, done: Restored) -> None:
    """Keeps every restore that was ever done."""
    line = {
        "ts": dt.datetime.now(dt.UTC).isoformat(),
        "source": done.source,
        "journal": done.journal,
        "set_aside": done.set_aside,
        "seconds": round(done.seconds, 3),
        "rows": sum(done.contents.tables.values()),
    }
    with (place.root / "restores.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
