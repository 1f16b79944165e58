"""Backups go when their time is over, never the last one, and never a log segment that a kept base needs."""

from __future__ import annotations

import datetime as dt
import io
import tarfile
from pathlib import Path

from ops.backup.manifest import Kind, Manifest, sums
from ops.backup.place import Place, stamp_of
from ops.backup.retention import KEEP_DAYS, prune

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def add(place: Place, kind: Kind, age_days: float, segment: str = "") -> str:
    moment = NOW - dt.timedelta(days=age_days)
    stamp, folder = stamp_of(moment), place.folder(kind)
    file = folder / (f"{stamp}/base.tar.gz" if kind is Kind.BASE else f"{kind.value}-{stamp}.bin")
    file.parent.mkdir(exist_ok=True)
    if kind is Kind.BASE:
        label = f"START WAL LOCATION: 0/2000028 (file {segment})\n".encode()
        with tarfile.open(file, "w:gz") as tar:
            member = tarfile.TarInfo("backup_label")
            member.size = len(label)
            tar.addfile(member, io.BytesIO(label))
    else:
        file.write_bytes(b"x")
    manifest = Manifest(kind, stamp, "", int(moment.timestamp() * 1000), sums([file], folder), system_id="42")
    manifest.write(place.manifest_path(kind, stamp))
    return stamp


def test_what_is_over_goes_and_the_rest_stays(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    for kind in (Kind.DUMP, Kind.JOURNAL):
        stamps = [add(place, kind, days) for days in (KEEP_DAYS[kind] + 1, KEEP_DAYS[kind] - 1, 0)]
        gone = prune(place, lambda _: tmp_path / "none", NOW)
        assert gone == [f"{kind.value} {stamps[0]}"]
        assert [each.name for each in place.all(kind)] == stamps[1:]
        assert not (place.folder(kind) / f"{kind.value}-{stamps[0]}.bin").exists()


def test_the_last_backup_stays_however_old_it_is(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    stamp = add(place, Kind.DUMP, 400)
    assert prune(place, lambda _: tmp_path / "none", NOW) == []
    assert [each.name for each in place.all(Kind.DUMP)] == [stamp]


def test_log_segments_stay_as_long_as_a_kept_base_needs_them(tmp_path: Path) -> None:
    place, archive = Place.at(tmp_path / "backups"), tmp_path / "wal"
    archive.mkdir()
    names = [f"00000001000000000000000{i}" for i in range(1, 7)]
    for name in names:
        (archive / f"{name}.gz").write_bytes(b"")
    old = add(place, Kind.BASE, KEEP_DAYS[Kind.BASE] + 2, names[1])
    add(place, Kind.BASE, KEEP_DAYS[Kind.BASE] - 1, names[3])
    add(place, Kind.BASE, 0, names[4])
    gone = prune(place, lambda system: archive if system == "42" else tmp_path, NOW)
    assert f"base {old}" in gone
    assert sorted(path.name for path in archive.iterdir()) == [f"{name}.gz" for name in names[3:]]


def test_a_draft_without_a_manifest_is_left_to_a_person(tmp_path: Path) -> None:
    place = Place.at(tmp_path)
    (place.dumps / "titan_brain_2020-01-01T00-00-00.sql").write_text("half")
    prune(place, lambda _: tmp_path / "none", NOW)
    assert (place.dumps / "titan_brain_2020-01-01T00-00-00.sql").exists()
    assert place.all(Kind.DUMP) == []
