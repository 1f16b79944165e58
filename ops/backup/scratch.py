"""A throwaway PostgreSQL server made from a base backup and the archived log: the ledger as it stood at any second.

Guarantees: it listens on no network, only its starter's own user gets in (the kernel tells who knocks); a log with a hole or
a torn segment is refused before anything is replayed; nothing of it is left at the end. Never: a change of the backup,
the archive or the running ledger.
"""

from __future__ import annotations

import datetime as dt
import gzip
import os
import pwd
import re
import shlex
import shutil
import signal
import tarfile
import tempfile
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from ops.backup.manifest import BLOCK, Damaged
from ops.backup.place import Backup
from ops.backup.postgres import Server
from titan.errors import ConfigError, TitanError
from titan.servers import Kind, Layout, ServerFailed, ServerProcess, ServerSpec, find_binary
from titan.servers.postgres import USER
from titan.servers.spec import bare_env
from titan.servers.unprivileged import User, reachable_data_dir, reachable_program, server_user

SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.gz)?")
RECOVERY_TIMEOUT_S = 4 * 3600.0
TOO_LATE = "recovery ended before configured recovery target was reached"


class NoWayBack(TitanError):
    """The archive does not lead to the wanted moment."""


def segments(archive: Path) -> list[Path]:
    """The archived log segments, oldest first."""
    if not archive.is_dir():
        return []
    return sorted(path for path in archive.iterdir() if SEGMENT.fullmatch(path.name))


def check_archive(archive: Path, first: str) -> int:
    """Reads every segment from `first` on; how many there are. Raises Damaged for a hole or a torn one."""
    found = [path for path in segments(archive) if path.name.removesuffix(".gz") >= first]
    size = 0
    previous: tuple[str, int] | None = None
    for path in found:
        length = _length(path)
        size = size or length
        if length != size:
            raise Damaged(f"{path} holds {length} bytes of log, the others {size}: the segment is torn")
        match = SEGMENT.fullmatch(path.name)
        assert match is not None
        timeline, number = match[1], int(match[2], 16) * (1 << 32) // size + int(match[3], 16)
        if previous is not None and previous[0] == timeline and number != previous[1] + 1:
            raise Damaged(f"the archive {archive} has a hole before {path.name}: it leads to no moment after that")
        previous = (timeline, number)
    if found and found[0].name.removesuffix(".gz") != first:
        raise Damaged(f"the archive {archive} begins at {found[0].name}; the base backup needs {first}")
    return len(found)


def _length(path: Path) -> int:
    if path.suffix != ".gz":
        return path.stat().st_size
    try:
        with gzip.open(path) as stream:
            total = 0
            while block := stream.read(BLOCK):
                total += len(block)
            return total
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(f"{path} can't be unpacked: {error}; the segment is torn") from error


def first_segment(base: Backup) -> str:
    """The log segment that a base backup needs first. Raises Damaged."""
    with tarfile.open(base.folder / base.manifest.files[0].name) as tar:
        label = tar.extractfile("backup_label")
        text = "" if label is None else label.read().decode()
    found = re.search(r"\(file ([0-9A-F]{24})\)", text)
    if found is None:
        raise Damaged(f"{base.file} has no backup_label: it is no base backup")
    return found[1]


@asynccontextmanager
async def recovered(
    home: Path, base: Backup, archive: Path, until: dt.datetime | None, database: str
) -> AsyncIterator[Server]:
    """The cluster of `base`, replayed through `archive` up to `until` (None: to its end), for the length of a block.

    Raises NoWayBack when the archive ends before `until`, Damaged, ServerFailed.
    """
    binary = find_binary(Kind.POSTGRES)
    if binary.version[0] != base.manifest.server_major:
        raise ConfigError(
            f"{base.file} was made by PostgreSQL {base.manifest.server_major}, {binary.path} is {binary.version_text}: "
            f"put PostgreSQL {base.manifest.server_major} on the PATH"
        )
    check_archive(archive, first_segment(base))
    layout, user = Layout.of(home), server_user()
    program = reachable_program(binary, layout.home, user)
    link = layout.data / f"postgres_scratch_{os.getpid()}"
    data_dir = reachable_data_dir(link, layout.home, user)
    sockets = Path(tempfile.mkdtemp(prefix="titan-pg-"))
    try:
        _unpack(base, data_dir, sockets, user)
        spec = _spec(layout, program, data_dir, sockets, user, archive, until)
        process = await _started(spec, until)
        try:
            yield Server(str(sockets), 5432, USER, "", database)
        finally:
            await process.stop()
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
        if link.is_symlink():
            link.unlink()
        shutil.rmtree(sockets, ignore_errors=True)


async def _started(spec: ServerSpec, until: dt.datetime | None) -> ServerProcess:
    try:
        return await ServerProcess.start(spec)
    except ServerFailed as error:
        if TOO_LATE in spec.log_file.read_text(errors="replace"):
            raise NoWayBack(
                f"the archived log ends before {until}: choose an earlier moment, or --latest for the last one it has"
            ) from error
        raise


def _unpack(base: Backup, data_dir: Path, sockets: Path, user: User) -> None:
    data_dir.mkdir(mode=0o700)
    for each in base.manifest.files:
        path = base.folder / each.name
        if path.name.endswith(".tar.gz"):
            target = data_dir / "pg_wal" if path.name.startswith("pg_wal") else data_dir
            with tarfile.open(path) as tar:
                tar.extractall(target, filter="data")
    # Its own configuration: the original's may name files, libraries and addresses that are not here.
    for name in ("postgresql.conf", "postgresql.auto.conf"):
        (data_dir / name).write_text("")
    me = pwd.getpwuid(os.geteuid()).pw_name
    (data_dir / "pg_hba.conf").write_text("local all all peer map=restore\n")
    (data_dir / "pg_ident.conf").write_text(f'restore "{me}" {USER}\n')
    (data_dir / "recovery.signal").touch()
    data_dir.chmod(0o700)
    sockets.chmod(0o711)
    if user.uid is not None and user.gid is not None:
        for folder, folders, files in os.walk(data_dir):
            for name in (*folders, *files):
                os.chown(Path(folder, name), user.uid, user.gid, follow_symlinks=False)
        for made in (data_dir, sockets):
            os.chown(made, user.uid, user.gid)


def _spec(
    layout: Layout, program: Path, data_dir: Path, sockets: Path, user: User, archive: Path, until: dt.datetime | None
) -> ServerSpec:
    folder = shlex.quote(str(archive)).replace("%", "%%")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "port": "5432",
        "archive_mode": "off",
        "hot_standby": "off",
        "fsync": "off",
        "max_connections": "20",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # A segment that is there and can't be unpacked ends the recovery with an error, not as if it were the last one.
        "restore_command": (
            f'if [ -f {folder}/%f.gz ]; then gzip -dc {folder}/%f.gz > "%p" || exit 255; '
            f'elif [ -f {folder}/%f ]; then cp {folder}/%f "%p" || exit 255; else exit 1; fi'
        ),
        "recovery_target_action": "promote",
        "recovery_target_timeline": "latest",
    }
    if until is not None:
        settings["recovery_target_time"] = until.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    log_file = layout.log_file("postgres_scratch")
    log_file.write_text("")

    async def ready() -> bool:
        try:
            connection = await asyncpg.connect(host=str(sockets), port=5432, user=USER, database="postgres", timeout=5)
        except (asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError, FileNotFoundError, ConnectionError):
            return False
        try:
            return not await connection.fetchval("SELECT pg_is_in_recovery()")
        finally:
            await connection.close()

    return ServerSpec(
        name="postgres_scratch",
        argv=(str(program), "-D", str(data_dir), *(p for k, v in settings.items() for p in ("-c", f"{k}={v}"))),
        env=bare_env(),
        cwd=data_dir,
        data_dir=data_dir,
        log_file=log_file,
        run_dir=layout.run,
        ready=ready,
        uid=user.uid,
        gid=user.gid,
        stop_signal=signal.SIGINT,
        stop_timeout_s=20.0,
        start_timeout_s=RECOVERY_TIMEOUT_S,
    )
