"""PostgreSQL: the ledger and the history.

Guarantees: loopback only, a password on every connection, a cluster directory that is either absent or complete (it is made
beside its place and moved there), the database `titan` in it; a durable server archives its write-ahead log, so that the
ledger can be brought back to any second. Works with version 15 and later. As root it runs as `nobody`.
Never: a Unix socket, the wheel's own manager, a statement on the hot path.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from titan.errors import ConfigError, TitanError
from titan.servers.alive import PostgresProbe
from titan.servers.binaries import Kind, ServerBinary, find_binary
from titan.servers.layout import Layout
from titan.servers.ports import LOOPBACK, PortBook
from titan.servers.process import ServerFailed
from titan.servers.spec import ServerSpec, bare_env
from titan.servers.unprivileged import User, reachable_data_dir, reachable_program, server_user

USER = "titan"
DATABASE = "titan"
OWNER_PASSWORD = "postgres_password"
_INIT_TIMEOUT_S = 120.0
_IO_METHOD_SINCE = (18,)
# The second line lets a base backup be taken.
_HBA = f"host all all {LOOPBACK}/32 scram-sha-256\nhost replication all {LOOPBACK}/32 scram-sha-256\n"
ARCHIVE_TIMEOUT_S = 60
# A copy that stands is only ever found equal: the server asks again when it died before it could note the success.
ARCHIVE = (
    'set -e; t={folder}/%f.gz; if [ -f "$t" ]; then gzip -dc "$t" | cmp -s - "%p"; '
    'else gzip -1nc "%p" > "$t.tmp"; sync "$t.tmp"; mv "$t.tmp" "$t"; fi'
)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A PostgreSQL server to run; the DSN carries the password."""

    spec: ServerSpec
    dsn: str


def wal_archive(layout: Layout, user: User, system_id: int) -> Path:
    """Where the write-ahead log of a home's cluster is kept, made when it is missing; the server's user owns it.

    One folder a cluster: a new cluster counts its segments from one again.
    """
    folder = reachable_data_dir(layout.data / "postgres_wal", layout.home, user)
    for made in (folder, folder / str(system_id)):
        if not made.exists():
            made.mkdir(mode=0o700)
            if user.uid is not None and user.gid is not None:
                os.chown(made, user.uid, user.gid)
    return folder / str(system_id)


def build(layout: Layout, book: PortBook, *, port: int | None = None, durable: bool = True) -> PostgresServer:
    """The PostgreSQL server of a home; makes its cluster on the first call (about a second, blocking).

    `durable=False` turns fsync and the archive off: for tests, where a lost power supply costs nothing.
    Errors: `MissingServer`, `PortTaken`, `ConfigError`, `ServerFailed`.
    """
    binary = find_binary(Kind.POSTGRES)
    chosen = book.claim("postgres", port)
    user = server_user()
    program = reachable_program(binary, layout.home, user)
    data_dir = reachable_data_dir(layout.data / "postgres", layout.home, user)
    password, new = layout.secret(OWNER_PASSWORD)
    cluster = _Cluster(program, data_dir, user, binary)
    if not cluster.exists:
        cluster.create(password)
    else:
        cluster.check_version()
        cluster.allow_base_backups()
        if new:
            cluster.single(f"ALTER ROLE {USER} PASSWORD '{password}'")
    dsn = f"postgresql://{USER}:{password}@{LOOPBACK}:{chosen}/{DATABASE}"

    async def ready() -> bool:
        try:
            connection = await asyncpg.connect(dsn, timeout=2)
        except asyncpg.CannotConnectNowError:
            return False
        try:
            return bool(await connection.fetchval("SELECT NOT pg_is_in_recovery()"))
        finally:
            await connection.close()

    probe = PostgresProbe(dsn)
    archive = wal_archive(layout, user, cluster.system_id) if durable else None
    spec = ServerSpec(
        name=Kind.POSTGRES.value,
        argv=(str(program), "-D", str(data_dir), *_options(binary, chosen, archive)),
        env=bare_env(),
        cwd=data_dir,
        data_dir=data_dir,
        log_file=layout.log_file("postgres"),
        run_dir=layout.run,
        ready=ready,
        alive=probe.answers,
        trouble=probe.trouble,
        ports=(chosen,),
        uid=user.uid,
        gid=user.gid,
        # Fast shutdown: rolls back what is open and writes a checkpoint.
        stop_signal=signal.SIGINT,
        stop_timeout_s=20.0,
        # Recovery after a crash replays the write-ahead log first.
        start_timeout_s=60.0,
        # It takes one that was killed and not collected yet for one that lives.
        stale=(data_dir / "postmaster.pid",),
    )
    return PostgresServer(spec, dsn)


def _options(binary: ServerBinary, port: int, archive: Path | None) -> list[str]:
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "40",
        "shared_buffers": "32MB",
        "max_wal_size": "256MB",
        "max_worker_processes": "2",
        "max_parallel_workers_per_gather": "0",
        "max_logical_replication_workers": "0",
        "autovacuum_max_workers": "1",
        "jit": "off",
        "log_checkpoints": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    if binary.version >= _IO_METHOD_SINCE:
        # Without it version 18 keeps three more processes for reads that this ledger never makes.
        settings["io_method"] = "sync"
    if archive is not None:
        settings |= {
            "archive_mode": "on",
            "archive_command": ARCHIVE.format(folder=shlex.quote(str(archive)).replace("%", "%%")),
            # What was committed longer ago than this is in the archive.
            "archive_timeout": str(ARCHIVE_TIMEOUT_S),
        }
    else:
        settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


class _Cluster:
    """The files of one PostgreSQL cluster, worked on while no server runs."""

    def __init__(self, program: Path, data_dir: Path, user: User, binary: ServerBinary) -> None:
        self._program = program
        self._data_dir = data_dir
        self._user = user
        self._binary = binary

    @property
    def exists(self) -> bool:
        return (self._data_dir / "PG_VERSION").exists()

    @property
    def system_id(self) -> int:
        """The number that PostgreSQL gave this cluster when it was made: the first field of its control file."""
        with (self._data_dir / "global" / "pg_control").open("rb") as stream:
            return int.from_bytes(stream.read(8), sys.byteorder)

    def check_version(self) -> None:
        """A cluster belongs to one major version."""
        made_by = (self._data_dir / "PG_VERSION").read_text().strip()
        if made_by != str(self._binary.version[0]):
            raise ConfigError(
                f"the data in {self._data_dir} was made by PostgreSQL {made_by}, but {self._binary.path} is "
                f"{self._binary.version_text}: put PostgreSQL {made_by} on the PATH, or set TITAN_HOME to a new directory"
            )

    def allow_base_backups(self) -> None:
        """Clusters of earlier versions took no base backups."""
        hba = self._data_dir / "pg_hba.conf"
        if "replication all" not in hba.read_text():
            hba.write_text(_HBA)

    def create(self, password: str) -> None:
        """Makes the cluster beside its place, with the database in it, and moves it there in one step."""
        draft = self._data_dir.with_name(f"{self._data_dir.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        self._make_dir(draft)
        making = _Cluster(self._program, draft, self._user, self._binary)
        making.run(
            [
                str(self._program.with_name("initdb")),
                f"--pgdata={draft}",
                f"--username={USER}",
                "--encoding=UTF8",
                "--no-locale",
                # Small segments: the archive takes one a minute, and a quiet minute should cost little.
                "--wal-segsize=4",
                # The password follows below: a file for it would have to be readable by the server's user.
                "--auth=trust",
            ]
        )
        (draft / "pg_hba.conf").write_text(_HBA)
        making.single(f"ALTER ROLE {USER} PASSWORD '{password}'", f"CREATE DATABASE {DATABASE}")
        if self._data_dir.exists():
            # An empty directory prepared by hand; one with content is a person's to decide on.
            try:
                self._data_dir.rmdir()
            except OSError as error:
                raise ConfigError(
                    f"{self._data_dir} holds files but no PostgreSQL cluster: move them away, or set TITAN_HOME to a new directory"
                ) from error
        draft.rename(self._data_dir)

    def single(self, *statements: str) -> None:
        """Runs statements in a server without clients."""
        self.run(
            [str(self._program), "--single", "-D", str(self._data_dir), "postgres"],
            stdin="".join(f"{statement}\n" for statement in statements),
        )

    def run(self, argv: list[str], stdin: str = "") -> None:
        """Runs a tool of PostgreSQL as the server's user."""
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=_INIT_TIMEOUT_S,
                check=False,
                env=bare_env(),
                cwd=self._data_dir,
                user=self._user.uid,
                group=self._user.gid,
                extra_groups=[] if self._user.uid is not None else None,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerFailed(f"PostgreSQL can't make its data directory {self._data_dir}: {error}") from error
        if done.returncode != 0 or "ERROR:" in done.stderr:
            raise self._failure(done.stderr or done.stdout)

    def _failure(self, output: str) -> TitanError:
        if "No space left on device" in output:
            return ServerFailed(
                f"no space left on the disk of {self._data_dir} for a new PostgreSQL cluster (about 50 MB): "
                "free some, or set TITAN_HOME to another disk"
            )
        last = " | ".join(line.strip() for line in output.strip().splitlines()[-4:])
        return ServerFailed(f"PostgreSQL can't work on {self._data_dir}: {last}")

    def _make_dir(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        if self._user.uid is not None and self._user.gid is not None:
            os.chown(path, self._user.uid, self._user.gid)
