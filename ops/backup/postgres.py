"""PostgreSQL's own tools, of the server's major version, and where a server is.

Guarantees: the password travels in the environment, never on a command line; a tool of another major version is not used
(a newer pg_dump writes settings that an older server refuses). Never: a shell.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from titan.errors import ConfigError, MissingServer, TitanError
from titan.servers import Kind, find_binary
from titan.servers.spec import bare_env
from titan.store import database_errors

TOOL_TIMEOUT_S = 4 * 3600.0
MAJORS = range(19, 14, -1)


class ToolFailed(TitanError):
    """One of PostgreSQL's tools gave up; its last words are in the message."""


@dataclass(frozen=True, slots=True)
class Server:
    """How to reach one database. A host that begins with / is a directory of Unix sockets."""

    host: str
    port: int
    user: str
    password: str
    database: str

    @classmethod
    def of(cls, dsn: str) -> Server:
        """From a postgresql:// address. Raises ConfigError."""
        parts = urlsplit(dsn)
        if parts.scheme not in ("postgresql", "postgres"):
            raise ConfigError("the ledger's address does not begin with postgresql://")
        host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
        return cls(
            host,
            parts.port or 5432,
            unquote(parts.username or "titan"),
            unquote(parts.password or ""),
            parts.path.lstrip("/") or "titan",
        )

    def at(self, database: str) -> Server:
        """Another database of the same server."""
        return replace(self, database=database)

    @property
    def env(self) -> dict[str, str]:
        """What the tools read instead of arguments."""
        return {
            **bare_env(),
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGCONNECT_TIMEOUT": "10",
        }

    async def connect(self) -> asyncpg.Connection:
        """One connection. Raises Transient while the server is away."""
        with database_errors("be reached"):
            return await asyncpg.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=self.password or None,
                database=self.database,
                timeout=10,
                server_settings={"application_name": "titan-backup", "timezone": "UTC"},
            )


def _candidates() -> Iterator[Path]:
    with suppress(MissingServer):
        yield find_binary(Kind.POSTGRES).path.parent
    on_path = shutil.which("pg_dump")
    if on_path:
        yield Path(on_path).resolve().parent
    for major in MAJORS:
        yield Path(f"/usr/lib/postgresql/{major}/bin")


@lru_cache(maxsize=16)
def _major(program: Path) -> int:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    found = re.search(r"(\d+)\.", done.stdout)
    return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of one directory."""

    folder: Path

    @classmethod
    def for_major(cls, major: int) -> Tools:
        """Tools that fit a server. Raises MissingServer naming what was found."""
        seen = []
        for folder in dict.fromkeys(_candidates()):
            program = folder / "pg_dump"
            if program.exists():
                if _major(program) == major:
                    return cls(folder)
                seen.append(f"{program} is {_major(program)}")
        raise MissingServer(
            f"no pg_dump of version {major}, the server's: {'; '.join(seen) or 'none was found'}. "
            f"Install postgresql-client-{major}"
        )

    def run(self, tool: str, *arguments: str, server: Server, timeout_s: float = TOOL_TIMEOUT_S) -> str:
        """Runs a tool to its end; what it printed. Blocks. Raises ToolFailed."""
        try:
            done = subprocess.run(
                [str(self.folder / tool), *arguments],
                env=server.env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                umask=0o077,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolFailed(f"{tool} did not run: {error}") from error
        if done.returncode != 0:
            words = " | ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
            raise ToolFailed(f"{tool} ended with exit code {done.returncode}: {words}")
        return done.stdout

    def load(self, dump: Path, server: Server) -> None:
        """Runs a dump into an empty database, whole or not at all. Blocks. Raises ToolFailed."""
        self.run(
            "psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--file={dump}",
            "--output=/dev/null", server=server,
        )  # fmt: skip

    def dump(self, server: Server, target: Path, *, snapshot: str = "") -> None:
        """Writes a database as SQL, without rights: those come from the registry. Blocks. Raises ToolFailed."""
        wanted = [f"--snapshot={snapshot}"] if snapshot else []
        self.run(
            "pg_dump", "--no-owner", "--no-privileges", "--format=plain", f"--file={target}", *wanted, server=server
        )
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
