"""What a backup says of itself: which files with which checksums, of which moment, and what must be found in it.

Guarantees: a manifest is written last and in one step, so a backup without one was never finished; its own text is under
a checksum; a file that is missing, cut short or changed is named. Never: a backup taken on trust.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from titan.errors import ExitCode, TitanError
from titan.files import write_private

SUFFIX = ".manifest.json"
BLOCK = 1 << 20


class Damaged(TitanError):
    """A backup is not what was written: it is never restored; take another one."""

    exit_code = ExitCode.REFUSED


class Kind(StrEnum):
    """What was backed up. DUMP: the ledger as SQL; BASE: its cluster's files; JOURNAL: the router's memory; ARCHIVE: what
    was compacted out of it, each copy once and for good."""

    DUMP = "dump"
    BASE = "base"
    JOURNAL = "journal"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class FileSum:
    """One file of a backup, by its name beside the manifest."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a ledger holds: rows by table, and money as exact text by account, position and currency."""

    tables: dict[str, int] = field(default_factory=dict)
    balances: dict[str, str] = field(default_factory=dict)
    positions: dict[str, str] = field(default_factory=dict)

    def differences(self, other: Contents) -> list[str]:
        """What `other` has otherwise, one sentence each."""
        found: list[str] = []
        for what in ("tables", "balances", "positions"):
            mine, theirs = getattr(self, what), getattr(other, what)
            found += [
                f"{what} {name}: {mine.get(name, 'absent')} became {theirs.get(name, 'absent')}"
                for name in sorted(mine.keys() | theirs.keys())
                if mine.get(name) != theirs.get(name)
            ]
        return found


@dataclass(frozen=True, slots=True)
class Manifest:
    """One backup. `taken_ms` is the wall time of its content; `stamp` orders backups and names them."""

    kind: Kind
    stamp: str
    label: str
    taken_ms: int
    files: tuple[FileSum, ...]
    database: str = ""
    server_major: int = 0
    system_id: str = ""
    contents: Contents | None = None
    last_seq: int = 0
    term: int = 0
    verified_ms: int = 0

    def write(self, path: Path) -> None:
        """Writes the manifest in one step, readable by its owner only."""
        body = asdict(self)
        text = _canonical(body)
        write_private(path, json.dumps({**body, "sha256": hashlib.sha256(text).hexdigest()}, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest at `path`. Raises Damaged when it was cut short or changed."""
        try:
            body = json.loads(path.read_text())
            claimed = body.pop("sha256")
            if hashlib.sha256(_canonical(body)).hexdigest() != claimed:
                raise Damaged(f"{path} was changed after it was written: its checksum does not fit")
            files = tuple(FileSum(**each) for each in body.pop("files"))
            contents = body.pop("contents")
            return cls(
                kind=Kind(body.pop("kind")),
                files=files,
                contents=None if contents is None else Contents(**contents),
                **body,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"{path} can't be read: {error}; this backup is not usable") from error

    def check(self, folder: Path) -> None:
        """Reads every file again. Raises Damaged for one that is missing, torn or changed."""
        for each in self.files:
            path = folder / each.name
            try:
                size = path.stat().st_size
            except OSError as error:
                raise Damaged(f"{path} is gone: {error.strerror}; this backup is not usable") from error
            if size != each.size:
                raise Damaged(f"{path} has {size} bytes, its manifest says {each.size}: the file is torn")
            if digest(path) != each.sha256:
                raise Damaged(f"{path} does not have the checksum of its manifest: the file was changed")


def _canonical(body: dict[str, object]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def sums(paths: Iterable[Path], folder: Path) -> tuple[FileSum, ...]:
    """Size and checksum of files below `folder`."""
    return tuple(FileSum(str(path.relative_to(folder)), path.stat().st_size, digest(path)) for path in paths)
