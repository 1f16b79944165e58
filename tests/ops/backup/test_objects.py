"""Copies in an object store: uploaded, read back, fetched on another machine; a wrong key or a spoilt upload is an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.backup.manifest import Damaged, Kind, Manifest, sums
from ops.backup.objects import ObjectStore, StoreFailed
from ops.backup.place import Backup, Place
from tests.ops.backup.books import settings
from tests.ops.backup.objectstore import Store, object_store
from titan.errors import ConfigError
from titan.settings import Settings

KEY = "AKIDTEST"


@pytest.fixture
def store() -> Iterator[Store]:
    with object_store(KEY) as made:
        yield made


def access(store: Store, key: str = KEY) -> Settings:
    return settings(
        TITAN_BACKUP_S3="s3://titan-backups/prod",
        TITAN_BACKUP_S3_ENDPOINT=store.endpoint,
        TITAN_BACKUP_S3_KEY=key,
        TITAN_BACKUP_S3_SECRET="secret",
    )


def quiet(_: str) -> None:
    return


def a_backup(root: Path, kind: Kind, stamp: str, content: bytes) -> tuple[Place, Backup]:
    place = Place.at(root)
    folder = place.folder(kind)
    file = folder / (f"{stamp}/base.tar.gz" if kind is Kind.BASE else f"{kind.value}-{stamp}.bin")
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    Manifest(kind, stamp, "", 1, sums([file], folder)).write(place.manifest_path(kind, stamp))
    return place, place.all(kind)[-1]


@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_uploaded_comes_back_the_same(store: Store, tmp_path: Path, kind: Kind) -> None:
    content = bytes(range(256)) * 30_000
    place, backup = a_backup(tmp_path / "here", kind, "2026-01-31T02-00-00", content)
    objects = ObjectStore(access(store))
    objects.put(backup, place, quiet)
    assert objects.stamps(kind) == ["2026-01-31T02-00-00"]
    there = Place.at(tmp_path / "there")
    fetched = objects.fetch(kind, "2026-01-31T02-00-00", there)
    fetched.check()
    assert fetched.file.read_bytes() == content
    assert there.newest(kind) == fetched


def test_an_upload_that_arrived_otherwise_is_an_error(store: Store, tmp_path: Path) -> None:
    place, backup = a_backup(tmp_path, Kind.DUMP, "2026-01-31T02-00-00", b"SELECT 1;" * 100)
    objects = ObjectStore(access(store))
    store.spoil = True
    with pytest.raises(Damaged, match="not what was uploaded"):
        objects.put(backup, place, quiet)
    assert objects.stamps(Kind.DUMP) == [], "without its manifest it is no backup"


def test_a_copy_that_was_changed_there_is_refused(store: Store, tmp_path: Path) -> None:
    place, backup = a_backup(tmp_path / "here", Kind.DUMP, "2026-01-31T02-00-00", b"SELECT 1;" * 100)
    objects = ObjectStore(access(store))
    objects.put(backup, place, quiet)
    path = next(each for each in store.objects if each.endswith(".bin"))
    store.objects[path] = store.objects[path].replace(b"1", b"2")
    there = Place.at(tmp_path / "there")
    with pytest.raises(Damaged, match="checksum"):
        objects.fetch(Kind.DUMP, "2026-01-31T02-00-00", there)
    assert there.all(Kind.DUMP) == []


def test_a_wrong_key_is_said_so(store: Store, tmp_path: Path) -> None:
    place, backup = a_backup(tmp_path, Kind.DUMP, "2026-01-31T02-00-00", b"SELECT 1;")
    with pytest.raises(StoreFailed, match="can't be copied"):
        ObjectStore(access(store, "AKIDOTHER")).put(backup, place, quiet)


def test_without_a_bucket_there_is_no_store() -> None:
    with pytest.raises(ConfigError, match="TITAN_BACKUP_S3"):
        ObjectStore(settings())
