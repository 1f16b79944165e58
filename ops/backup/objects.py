"""Copies of backups in object storage that speaks S3, through Arrow's client.

Guarantees: a backup's manifest is uploaded last, so what lies there without one was never finished; what was uploaded is
read back and compared before it counts; what is fetched passes the same checks as a local backup. Never: a deletion (the
bucket's own rules expire copies).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ops.backup.manifest import BLOCK, SUFFIX, Damaged, Kind, Manifest, digest
from ops.backup.place import Backup, Place
from titan.errors import ConfigError, TitanError
from titan.settings import Settings


class StoreFailed(TitanError):
    """The object store refused or did not answer."""


class ObjectStore:
    """One bucket and prefix."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError when none is set."""
        if not settings.backup_s3:
            raise ConfigError(
                "no object store is set: TITAN_BACKUP_S3 names bucket and prefix, like titan-backups/prod"
            )
        from pyarrow.fs import S3FileSystem  # takes 0.3 s to import; most runs have no object store

        endpoint = settings.backup_s3_endpoint
        scheme, _, host = endpoint.rpartition("://")
        self.prefix = settings.backup_s3.removeprefix("s3://").strip("/")
        self._files = S3FileSystem(
            access_key=settings.backup_s3_key.get_secret_value() or None,
            secret_key=settings.backup_s3_secret.get_secret_value() or None,
            region=settings.backup_s3_region or "us-east-1",
            endpoint_override=host or None,
            scheme=scheme or "https",
            connect_timeout=10,
            request_timeout=120,
        )

    def _key(self, path: Path, place: Place) -> str:
        return f"{self.prefix}/{path.relative_to(place.root)}"

    def put(self, backup: Backup, place: Place, say: Callable[[str], None]) -> None:
        """Uploads a backup, manifest last. Blocks. Raises StoreFailed, Damaged when what lies there is not the same."""
        for each in backup.manifest.files:
            say(f"uploading {each.name}")
            self._upload(backup.folder / each.name, self._key(backup.folder / each.name, place), each.sha256)
        self._upload(backup.path, self._key(backup.path, place), digest(backup.path))

    def _upload(self, path: Path, key: str, sha256: str) -> None:
        try:
            with path.open("rb") as source, self._files.open_output_stream(key) as target:
                while block := source.read(BLOCK):
                    target.write(block)
            found = hashlib.sha256()
            with self._files.open_input_stream(key) as stream:
                while block := stream.read(BLOCK):
                    found.update(block)
        except OSError as error:
            raise StoreFailed(f"{path.name} can't be copied to {key}: {error}") from error
        if found.hexdigest() != sha256:
            raise Damaged(f"{key} is not what was uploaded: its checksum differs")

    def stamps(self, kind: Kind) -> list[str]:
        """The finished backups of a kind that lie there, oldest first. Raises StoreFailed."""
        folder = {Kind.DUMP: "db", Kind.BASE: "base", Kind.JOURNAL: "", Kind.ARCHIVE: "archive"}[kind]
        from pyarrow.fs import FileSelector

        try:
            found = self._files.get_file_info(
                FileSelector(f"{self.prefix}/{folder}".rstrip("/"), allow_not_found=True, recursive=False)
            )
        except OSError as error:
            raise StoreFailed(f"{self.prefix} can't be listed: {error}") from error
        head = f"{kind.value}-"
        names = [info.base_name for info in found]
        return sorted(
            n.removeprefix(head).removesuffix(SUFFIX) for n in names if n.startswith(head) and n.endswith(SUFFIX)
        )

    def fetch(self, kind: Kind, stamp: str, place: Place) -> Backup:
        """Brings a backup into `place`, checked. Blocks. Raises StoreFailed, Damaged."""
        path = place.manifest_path(kind, stamp)
        draft = path.with_suffix(".fetched")
        try:
            self._download(self._key(path, place), draft)
            manifest = Manifest.read(draft)
            for each in manifest.files:
                target = path.parent / each.name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._download(self._key(target, place), target)
            manifest.check(path.parent)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return Backup(manifest, path.parent, path)

    def _download(self, key: str, target: Path) -> None:
        try:
            with self._files.open_input_stream(key) as source, target.open("wb") as stream:
                target.chmod(0o600)
                while block := source.read(BLOCK):
                    stream.write(block)
        except OSError as error:
            raise StoreFailed(f"{key} can't be fetched: {error}") from error
