"""status and logs: one look, and what the actors wrote down."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.client import NotFound, connect, home_of
from ops.cli.control import Home, Json
from ops.cli.output import console, emit, show
from ops.cli.view import render, status_dict
from titan.errors import ConfigError, NotRunning
from titan.runtime import Runtime

LEVELS = ("debug", "info", "warning", "error", "critical")
TAIL_BYTES = 4_000_000


def status(home: Home = None, as_json: Json = False) -> None:
    """Trading state, equity, actors, streams and backlog in one look. Example: titan status --json."""
    with connect(home) as client:
        answer = client.status()
    if as_json:
        emit(status_dict(answer))
    else:
        show(render(answer))


def logs(
    actor: Annotated[str, typer.Argument(help="an actor's or server's name; empty for all actors")] = "",
    lines: Annotated[int, typer.Option("-n", min=1, max=100_000, help="lines at most")] = 50,
    level: Annotated[str, typer.Option("--level", help="at least this level: debug, info, warning, error")] = "debug",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until Ctrl-C")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What the actors wrote down, in order of time. Example: titan logs router -n 100 --level warning."""
    if level.lower() not in LEVELS:
        raise ConfigError(f"unknown level {level!r}; known: {', '.join(LEVELS)}")
    folder = home_of(home) / "logs"
    if not folder.is_dir():
        raise NotRunning(f"{folder} is absent: Titan has never run there")
    paths = sorted(folder.glob(f"{actor or '*'}.jsonl")) or (sorted(folder.glob(f"{actor}.log")) if actor else [])
    if not paths:
        known = ", ".join(sorted({path.name.split(".")[0] for path in folder.iterdir()}))
        raise NotFound(f"no log of {actor!r}; known: {known or 'none'}")
    wanted = LEVELS.index(level.lower())
    entries = sorted(entry for path in paths for entry in _entries(_tail(path), wanted))[-lines:]
    for _, line in entries:
        _print(line, as_json)
    if follow:
        try:
            for line in _follow(paths, wanted):
                _print(line, as_json)
        except KeyboardInterrupt:
            return


def _tail(path: Path) -> list[str]:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return stream.read().decode(errors="replace").splitlines()


def _entries(lines: list[str], wanted: int) -> Iterator[tuple[str, str]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            yield "", line
            continue
        if not isinstance(entry, dict):
            yield "", line
        elif LEVELS.index(str(entry.get("level", "info"))) >= wanted:
            yield str(entry.get("ts", "")), line


def _print(line: str, as_json: bool) -> None:
    if as_json or not line.startswith("{"):
        console.print(line, markup=False, soft_wrap=True)
        return
    entry = json.loads(line)
    head = f"{entry.pop('ts', '')} {entry.pop('level', ''):8} {entry.pop('actor', ''):12} {entry.pop('event', '')}"
    entry.pop("logger", None)
    rest = " ".join(f"{key}={value}" for key, value in entry.items())
    console.print(f"{head} {rest}".rstrip(), markup=False, soft_wrap=True)


def _follow(paths: list[Path], wanted: int) -> Iterator[str]:
    places = {path: path.stat().st_size for path in paths}
    while True:
        for path, place in places.items():
            size = path.stat().st_size if path.exists() else 0
            if size < place:
                places[path] = place = 0
            if size > place:
                with path.open("rb") as stream:
                    stream.seek(place)
                    chunk = stream.read()
                complete = chunk.rfind(b"\n") + 1
                places[path] = place + complete
                for _, line in _entries(chunk[:complete].decode(errors="replace").splitlines(), wanted):
                    yield line
        time.sleep(0.2)


def running(home: Path | None) -> Runtime | None:
    """The recorded run under a home, if any."""
    try:
        return Runtime.load(home_of(home))
    except NotRunning:
        return None
