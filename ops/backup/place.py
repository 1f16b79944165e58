"""Where backups lie, and what they are called.

`<root>/backup-2026-01-31T02-00-00.db.gz` journal · `<root>/db/titan_brain_2026-01-31T02-00-00_label.sql` dump, and
`titan_brain_2026-01-31.sql`, a link to the last dump of that day · `<root>/base/2026-01-31T02-00-00/` cluster ·
`<root>/archive/titan_execution-000000012345.db.gz` the journal as it was when it was compacted at that row.
Each has a manifest beside it. Guarantees: the names sort by time. Never: a name without its time.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path

from ops.backup.manifest import SUFFIX, Damaged, Kind, Manifest
from titan.errors import ConfigError
from titan.files import private_dir

STAMP = "%Y-%m-%dT%H-%M-%S"
DUMP_PREFIX = "titan_brain_"
JOURNAL_PREFIX = "backup-"
LABEL = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup that has a manifest: its manifest, and the folder its files are named from."""

    manifest: Manifest
    folder: Path
    path: Path

    @property
    def name(self) -> str:
        """What a person types to have it back."""
        return self.manifest.stamp

    @property
    def file(self) -> Path:
        """Its first file."""
        return self.folder / self.manifest.files[0].name

    def check(self) -> None:
        """Raises Damaged unless every file is what was written."""
        self.manifest.check(self.folder)


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of all backups of one Titan."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> Place:
        """The place, made when it is missing, open to its owner only."""
        place = cls(root.expanduser().absolute())
        for folder in (place.root, place.dumps, place.bases, place.archive):
            private_dir(folder)
        return place

    @property
    def dumps(self) -> Path:
        """The ledger as SQL."""
        return self.root / "db"

    @property
    def bases(self) -> Path:
        """The ledger's cluster as files: with the archived log it leads to any second."""
        return self.root / "base"

    @property
    def archive(self) -> Path:
        """What was compacted out of the journal."""
        return self.root / "archive"

    def folder(self, kind: Kind) -> Path:
        """Where the manifests of a kind lie."""
        return {Kind.DUMP: self.dumps, Kind.BASE: self.bases, Kind.JOURNAL: self.root, Kind.ARCHIVE: self.archive}[kind]

    def manifest_path(self, kind: Kind, stamp: str) -> Path:
        """The manifest of one backup."""
        return self.folder(kind) / f"{kind.value}-{stamp}{SUFFIX}"

    def all(self, kind: Kind) -> list[Backup]:
        """Every finished backup of a kind, oldest first; one whose manifest is damaged is left out (`damaged` names it)."""
        found = []
        for path in sorted(self.folder(kind).glob(f"{kind.value}-*{SUFFIX}")):
            try:
                manifest = Manifest.read(path)
            except Damaged:
                continue
            found.append(Backup(manifest, path.parent, path))
        return found

    def damaged(self) -> list[str]:
        """A sentence for each manifest that can't be trusted."""
        found = []
        for kind in Kind:
            for path in sorted(self.folder(kind).glob(f"{kind.value}-*{SUFFIX}")):
                try:
                    Manifest.read(path)
                except Damaged as error:
                    found.append(str(error))
        return found

    def newest(self, kind: Kind) -> Backup | None:
        """The last finished backup of a kind."""
        found = self.all(kind)
        return found[-1] if found else None


def stamp_of(moment: dt.datetime) -> str:
    """A moment as part of a name, in UTC."""
    return moment.astimezone(dt.UTC).strftime(STAMP)


def parse_moment(text: str) -> dt.datetime:
    """The moment of a timestamp: `2026-01-31T02-00-00` (a backup's name) or ISO 8601, UTC unless it says otherwise.

    Raises ConfigError.
    """
    try:
        return dt.datetime.strptime(text, STAMP).replace(tzinfo=dt.UTC)
    except ValueError:
        pass
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no timestamp: write 2026-01-31T02:00:00, or a name that `titan restore --list` shows"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def checked_label(label: str) -> str:
    """The label, when it can be part of a file's name. Raises ConfigError."""
    if label and not LABEL.fullmatch(label):
        raise ConfigError(f"label {label!r} holds more than letters, digits, - and _ (at most 40 of them)")
    return label
