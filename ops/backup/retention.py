"""Removes backups that are older than their time.

Guarantees: the last backup of each kind stays however old it is, and so does every log segment that a kept base backup needs;
what is removed is named. Never: something without a manifest, or anything in an object store.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

from ops.backup.manifest import Damaged, Kind
from ops.backup.place import DUMP_PREFIX, Backup, Place
from ops.backup.scratch import first_segment, segments

KEEP_DAYS = {Kind.JOURNAL: 30, Kind.DUMP: 30, Kind.BASE: 7}
DAY = dt.timedelta(days=1)


def outdated(backups: list[Backup], kind: Kind, now: dt.datetime) -> list[Backup]:
    """The backups of a kind whose time is over; never the last one, nor anything of the journal's archive."""
    if kind not in KEEP_DAYS:
        return []
    limit_ms = (now - KEEP_DAYS[kind] * DAY).timestamp() * 1000
    return [each for each in backups[:-1] if each.manifest.taken_ms < limit_ms]


def prune(place: Place, archive_of: Callable[[str], Path], now: dt.datetime) -> list[str]:
    """Removes what is outdated; the names of what went. `archive_of` gives a cluster's log archive. Blocks."""
    gone = []
    for kind in Kind:
        for each in outdated(place.all(kind), kind, now):
            # The manifest first: what is half removed is no backup any more.
            each.path.unlink()
            for name in {Path(part.name).parts[0] for part in each.manifest.files}:
                path = each.folder / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            gone.append(f"{kind.value} {each.name}")
    for link in place.dumps.glob(f"{DUMP_PREFIX}*.sql"):
        if link.is_symlink() and not link.exists():
            link.unlink()
    return gone + _prune_log(place, archive_of)


def _prune_log(place: Place, archive_of: Callable[[str], Path]) -> list[str]:
    gone = []
    needed: dict[str, str] = {}
    for base in place.all(Kind.BASE):
        try:
            first = first_segment(base)
        except (Damaged, OSError, KeyError):
            continue
        system = base.manifest.system_id
        needed[system] = min(first, needed.get(system, first))
    for system, first in needed.items():
        for path in segments(archive_of(system)):
            if path.name.removesuffix(".gz") < first:
                path.unlink()
                gone.append(f"log {path.name}")
    return gone
