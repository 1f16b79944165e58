"""memory: what the whole system holds while it trades: PSS, in which a page that several processes share is split among them.

Counted are the guardian and everything below it: actors, Ray, NATS, PostgreSQL, Redis and the paper venue, without Ray's
dashboard. Source: /proc/PID/smaps_rollup.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import psutil

from ops.bench.result import Options, Report, Target, row
from ops.bench.tree import processes, whole_titan
from supervisors.processes import pss_bytes

TARGET = Target(p50=1600.0)
MB = 1e6
EVERY_S = 1.0
MODULES = {"supervisors.guardian": "guardian", "titan.paper": "paper venue"}
PROGRAMS = {
    "nats-server": "nats",
    "postgres": "postgres",
    "postgres:": "postgres",
    "valkey-server": "redis",
    "redis-server": "redis",
    "gcs_server": "ray: gcs",
    "raylet": "ray: raylet",
}
RAY_OWN = ("DashboardAgent", "RuntimeEnvAgent", "IDLE")


def label(command: Sequence[str]) -> str:
    """What a process is, by its command line: for the table."""
    words = " ".join(command).split()
    if not words:
        return "other"
    if words[0].startswith("ray::"):
        name = words[0].removeprefix("ray::")
        return f"ray: {name}" if name in RAY_OWN else f"actor: {name}"
    if "-m" in words[:-1]:
        module = words[words.index("-m") + 1]
        return MODULES.get(module, f"python: {module}")
    program = Path(words[0]).name
    return PROGRAMS.get(program, f"other: {program}")


def run(options: Options) -> Report:
    """A whole Titan of its own, sampled once a second while the market flows."""
    with whole_titan() as home:
        return measure(home, options.seconds)


def measure(home: Path, seconds: float) -> Report:
    """Samples the Titan that runs under `home`."""
    total: list[float] = []
    parts: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, int] = {}
    deadline = time.monotonic() + seconds
    while not total or time.monotonic() < deadline:
        sample: dict[str, float] = defaultdict(float)
        counts = defaultdict(int)
        for process in processes(home):
            held = pss_bytes(process.pid)
            try:
                name = label(process.cmdline())
            except psutil.Error:
                continue  # it has just ended
            sample[name] += held / MB
            counts[name] += 1
        total.append(sum(sample.values()))
        for name, value in sample.items():
            parts[name].append(value)
        time.sleep(EVERY_S)
    rows = [row("whole system, PSS", "MB", total, TARGET)]
    for name, values in sorted(parts.items(), key=lambda item: -max(item[1])):
        several = f" ({counts[name]} processes)" if counts.get(name, 0) > 1 else ""
        rows.append(row(f"{name}{several}", "MB", values))
    return Report("memory", tuple(rows))
