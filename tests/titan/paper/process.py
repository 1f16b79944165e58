"""The venue as its own process: start, kill, and what it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from titan.paper.protocol.auth import Credentials, load_credentials

ROOT = Path(__file__).resolve().parents[3]


def launch(home: Path, *arguments: str, feed: str = "synthetic:7") -> subprocess.Popen[str]:
    """Starts `python -m titan.paper` without waiting for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "titan.paper", "--feed", feed, "--home", str(home), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


@dataclass
class RunningVenue:
    """A venue process that said it is ready."""

    process: subprocess.Popen[str]
    home: Path
    port: int
    admin_port: int

    def admin(self, path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=10) as answer:
            return json.load(answer)

    @property
    def key(self) -> Credentials:
        return load_credentials(self.home / "run" / "paper_credentials.json")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Sends a signal; returns exit code, the rest of standard output, and standard error."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def start(home: Path, *arguments: str, feed: str = "synthetic:7") -> RunningVenue:
    """Starts a venue and waits until it is ready."""
    process = launch(home, *arguments, feed=feed)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, err = process.communicate(timeout=20)
        raise AssertionError(f"the venue did not start: {err}")
    ready = json.loads(line)
    assert ready["ready"] is True
    return RunningVenue(process, home, ready["port"], ready["admin_port"])
