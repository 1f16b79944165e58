"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def machine() -> str:
    """Processor, cores, memory, kernel and Python in one line."""
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / 1024**3
    return (
        f"{_processor()}, {cores} cores, {memory:.0f} GB, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def load() -> float:
    """Processes that want to run, averaged over the last minute: what else the machine is doing."""
    return os.getloadavg()[0]


def commit() -> str:
    """The short name of the commit, empty outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
