"""Files that only their owner may read.

Guarantees: a file is replaced in one step or not at all, and is never readable by others, not even while it is written; a private
directory keeps others out of everything below it, whatever modes a library gives its own files there. Never: a wait for the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

from titan.errors import ConfigError


def write_private(path: Path, text: str | bytes) -> None:
    """Replaces a file, readable by its owner only, in one step. Raises OSError, and leaves no draft behind."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def private_dir(path: Path) -> Path:
    """The directory, made when it is missing, open to its owner only. Raises ConfigError when it is somebody else's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = path.stat()
    if seen.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} belongs to user id {seen.st_uid}, Titan runs as {os.geteuid()}: remove it, or choose another TITAN_HOME"
        )
    if seen.st_mode & 0o077:
        path.chmod(0o700)
    return path
