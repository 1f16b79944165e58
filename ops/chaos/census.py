"""Everybody who lives for a home: memory, descriptors, zombies, orphans, and how large the journal is.

Guarantees: a reading is of one moment, from /proc and the journal's files; a process that ends meanwhile is left out.
Never: a change to anything.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

from ops.bench.memory import label
from supervisors.processes import marked
from supervisors.ray_node import family_of

MB = 1e6
# Several processes at a time that come and go: what counts is all of them together, shared pages counted in part.
TOGETHER = frozenset({"postgres", "ray: IDLE"})


@dataclass(frozen=True, slots=True)
class Person:
    """One process, or one herd of them: `born_s` (wall) names the life, `held` is resident memory in MB."""

    role: str
    pid: int
    born_s: float
    held_mb: float
    descriptors: int


@dataclass(frozen=True, slots=True)
class Census:
    """One reading. `workers` are the pids of Ray workers that carry an actor's title, by role."""

    at_s: float
    people: tuple[Person, ...]
    zombies: tuple[str, ...]
    workers: dict[int, str]
    journal_mb: float


def _pss_mb(process: psutil.Process) -> float:
    return float(getattr(process.memory_full_info(), "pss", 0)) / MB


def _descriptors(process: psutil.Process) -> int:
    try:
        return int(process.num_fds())
    except psutil.AccessDenied:
        return 0


def take(home: Path, guardian_pid: int) -> Census:
    """Counts everybody: the guardian, all below it, all that carry the mark of the home."""
    found: dict[int, psutil.Process] = {}
    try:
        guardian = psutil.Process(guardian_pid)
        found = {each.pid: each for each in (guardian, *guardian.children(recursive=True))}
    except psutil.NoSuchProcess:
        pass
    for identity in {*family_of(home), *marked(home)}:
        if identity.pid not in found:
            try:
                found[identity.pid] = psutil.Process(identity.pid)
            except psutil.NoSuchProcess:
                continue
    people: list[Person] = []
    zombies: list[str] = []
    workers: dict[int, str] = {}
    herds: dict[str, list[Person]] = defaultdict(list)
    for pid, process in found.items():
        try:
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE:
                    zombies.append(f"{process.name()} ({pid})")
                    continue
                # A worker shows the method that it runs behind its name.
                role = label(process.cmdline()).partition(".")[0]
                held = _pss_mb(process) if role in TOGETHER else process.memory_info().rss / MB
                person = Person(role, pid, process.create_time(), held, _descriptors(process))
        except (psutil.Error, OSError):
            continue  # it has just ended
        if role.startswith("actor: "):
            workers[pid] = role.removeprefix("actor: ")
        (herds[role] if role in TOGETHER else people).append(person)
    for role, herd in herds.items():
        oldest = min(herd, key=lambda person: person.born_s)
        held = sum(person.held_mb for person in herd)
        descriptors = sum(person.descriptors for person in herd)
        people.append(Person(role, oldest.pid, oldest.born_s, held, descriptors))
    return Census(time.time(), tuple(people), tuple(zombies), workers, _size_mb(home / "journal"))


def _size_mb(folder: Path) -> float:
    size = 0
    for path in folder.glob("*"):
        try:
            size += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return size / MB
