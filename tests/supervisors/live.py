"""Helpers that look at a real tree from outside: by the control socket and by the operating system."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from supervisors.control import ask
from supervisors.ray_node import family_of
from tests.waiting import eventually
from titan.errors import NotRunning, TimedOut

PATIENCE_S = 90.0
_POLL_S = 0.03


@dataclass(frozen=True, slots=True)
class Seen:
    """One actor as the root shows it."""

    name: str
    state: str
    pid: int = 0
    restarts: int = 0
    graceful_restarts: int = 0
    recycles: int = 0
    resident_bytes: int = 0
    busy: bool = False
    incarnation: int = 0
    last_exit: str = ""
    cpus: list[int] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        return self.state == "READY"


def call(home: Path, verb: str, **fields: str | float) -> dict[str, object]:
    """Asks the root."""
    return asyncio.run(ask(home / "run", verb, PATIENCE_S, **fields))


def actors(home: Path) -> dict[str, Seen]:
    """Every actor by name; nothing while the root is away."""
    try:
        answer: Any = call(home, "snapshot")
    except (NotRunning, TimedOut):
        return {}
    return {
        raw["name"]: Seen(
            raw["name"],
            raw["state"].removeprefix("ACTOR_STATE_"),
            raw.get("pid", 0),
            raw.get("restarts", 0),
            raw.get("graceful_restarts", 0),
            raw.get("recycles", 0),
            int(raw.get("resident_bytes", 0)),
            raw.get("busy", False),
            int(raw.get("incarnation", 0)),
            raw.get("last_exit", ""),
            raw.get("cpus", []),
        )
        for raw in answer["actors"]
    }


def until_actor(home: Path, name: str, condition: Callable[[Seen], bool], what: str) -> Seen:
    """Waits for an actor to be so; the actor."""
    found: list[Seen] = []

    def look() -> bool:
        seen = actors(home).get(name)
        if seen is None or not condition(seen):
            return False
        found.append(seen)
        return True

    eventually(look, f"{name} {what}, now: {actors(home).get(name)}", PATIENCE_S)
    return found[-1]


def until_all_ready(home: Path) -> dict[str, Seen]:
    """Waits for the whole tree."""
    found: dict[str, Seen] = {}

    def look() -> bool:
        found.clear()
        found.update(actors(home))
        return bool(found) and all(seen.ready for seen in found.values())

    eventually(look, f"every actor Ready, now: {actors(home)}", PATIENCE_S)
    return found


def notes(home: Path) -> list[tuple[str, str]]:
    """What the tiny actors wrote down: (actor, what), in order."""
    lines = (home / "notes.jsonl").read_text().splitlines()
    return [(entry["actor"], entry["what"]) for entry in map(json.loads, lines)]


def gone(pid: int) -> bool:
    """Whether a process has ended, collected by its parent or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def commands_below(pid: int) -> list[str]:
    """The command lines of the living direct children of a process."""
    return [" ".join(child.cmdline()) for child in psutil.Process(pid).children() if not gone(child.pid)]


def left_of(home: Path) -> list[str]:
    """Every process that has to do with a home: by its mark, its command line or its working directory."""
    found = {process.pid for process in family_of(home)}
    for process in psutil.process_iter():
        try:
            other = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
            if other and any(str(home) in part for part in process.cmdline()):
                found.add(process.pid)
        except psutil.Error:
            continue
    names = []
    for pid in found:
        try:
            names.append(f"{pid} {' '.join(psutil.Process(pid).cmdline())[:80]}")
        except psutil.Error:
            continue
    return names
