"""Asks an advisory service for known weaknesses of exactly what the locks hold, through pip-audit in an environment of its own.

Guarantees: a known weakness fails; a package that the service does not know fails, too, instead of passing unseen; a service that
does not answer is said in one line (`skipped`), and fails with `--must`, as the workflow asks. Never: an advisory list of our own,
which would go stale.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv" / "audit"
LOCK = ROOT / "requirements" / "audit.lock"
AUDITED = ("run.lock", "nats.lock")
"""What the image holds."""
WITHIN_S = 300.0
ANSWER_WITHIN_S = "10"
Outcome = tuple[bool, str]


def fetch() -> str:
    """Makes the auditor's environment unless it stands; what went wrong, or nothing."""
    wanted, stamp = hashlib.sha256(LOCK.read_bytes()).hexdigest(), HOME / "lock.sha256"
    if stamp.exists() and stamp.read_text() == wanted:
        return ""
    venv.create(HOME, with_pip=True, clear=True)
    command: list[str | Path] = [
        HOME / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--only-binary=:all:",
    ]
    done = subprocess.run(
        [*command, "-r", LOCK], capture_output=True, text=True, check=False, timeout=WITHIN_S, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        return str((done.stderr.strip().splitlines() or ["pip failed"])[-1])
    stamp.write_text(wanted)
    return ""


def audit(locks: list[Path], *, must: bool = False, service: str = "") -> Outcome:
    """The verdict on some lock files; `service` is another address of the OSV interface."""
    problem = fetch()
    if problem:
        return not must, f"skipped: the auditor is not to be had: {problem}"
    command: list[str | Path] = [
        HOME / "bin" / "pip-audit",
        "--disable-pip",
        "--require-hashes",
        "--strict",
        "-s",
        "osv",
    ]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", ANSWER_WITHIN_S]
    command += ["--osv-url", service] if service else []
    for lock in locks:
        command += ["-r", lock]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=WITHIN_S, stdin=subprocess.DEVNULL
    )
    try:
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return not must, f"skipped: nothing was audited, the advisory service does not answer ({words[:200]})"
    found = [
        f"{row['name']} {row['version']}: {weakness['id']}, mended in {', '.join(weakness['fix_versions']) or 'no version'}"
        for row in rows
        for weakness in row.get("vulns", [])
    ]
    if found or done.returncode != 0:
        return False, "\n".join(found) or done.stderr.strip()
    return True, f"{len(rows)} packages, no known weakness"


def main(arguments: list[str]) -> int:
    """Audits the image's locks, or those that are named; exit code 1 for a weakness."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("locks", nargs="*", type=Path, help="lock files; the image's when none is named")
    parser.add_argument("--must", action="store_true", help="fail when the service does not answer")
    parser.add_argument("--service", default="", help="another address of the OSV interface")
    given = parser.parse_args(arguments)
    locks = given.locks or [ROOT / "requirements" / name for name in AUDITED]
    passed, words = audit(locks, must=given.must, service=given.service)
    print(words)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
