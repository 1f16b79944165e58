"""What it takes to run one server: a value that says everything and does nothing."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ReadyCheck = Callable[[], Awaitable[bool]]
"""True once the server does its real work; False while it does not yet. Asked again and again until the start timeout."""

TroubleCheck = Callable[[], Awaitable[str]]
"""What a server that answers complains of itself; empty when all is well."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One server process; `alive` is what it is asked once it was ready, again and again.

    `stale` are marks that a server which was killed leaves behind; they are removed before a start, once it is certain that none of
    its processes lives. The environment is exactly `env`: Titan's own variables hold keys that servers must not see.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    data_dir: Path
    log_file: Path
    run_dir: Path
    ready: ReadyCheck
    ports: tuple[int, ...] = ()
    uid: int | None = None
    gid: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0
    start_timeout_s: float = 30.0
    alive: ReadyCheck | None = None
    trouble: TroubleCheck | None = None
    stale: tuple[Path, ...] = ()


def bare_env() -> dict[str, str]:
    """The smallest environment a server runs in: no secret of Titan, one locale, UTC."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
