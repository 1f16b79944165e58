"""Every linter of the house, by name: `lint.py` runs all, `lint.py ruff mypy` some. The same for CI, make and pre-commit.

Guarantees: one line a check with its time, the words of a check only when it fails, all checks run before the verdict.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PYTHON = sys.executable
DOCS = ROOT / "ops" / "build" / "docs.py"

Outcome = tuple[bool, str]


def _run(*command: str | Path, cwd: Path = ROOT) -> Outcome:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def _ruff() -> Outcome:
    return _run(BIN / "ruff", "check", "--no-fix", "--output-format=concise", ".")


def _format() -> Outcome:
    return _run(BIN / "ruff", "format", "--check", ".")


def _mypy() -> Outcome:
    return _run(BIN / "mypy")


def _imports() -> Outcome:
    return _run(BIN / "lint-imports", "--no-logo")


def _buf() -> Outcome:
    return _run(BIN / "buf", "lint")


def _breaking() -> Outcome:
    """Compares the contracts with the last committed ones that differ in time: HEAD for an edited tree, else its parent."""
    clean, _ = _run("git", "diff", "--quiet", "HEAD", "--", "protos")
    base = "HEAD~1" if clean else "HEAD"
    known, _ = _run("git", "rev-parse", "--verify", "--quiet", f"{base}:protos")
    if not known:
        return True, f"skipped: {base} has no contracts here (first commit or shallow clone)"
    with tempfile.TemporaryDirectory(prefix="titan-breaking-") as scratch:
        archive = Path(scratch) / "base.tar"
        packed, words = _run("git", "archive", f"--output={archive}", base, "protos", "buf.yaml")
        if not packed:
            return False, words
        unpacked, words = _run("tar", "-xf", archive, cwd=Path(scratch))
        if not unpacked:
            return False, words
        archive.unlink()
        return _run(BIN / "buf", "breaking", "--against", scratch)


def _protos() -> Outcome:
    return _run(PYTHON, ROOT / "ops" / "build" / "protos.py", "--check")


def _docs() -> Outcome:
    if not DOCS.exists():
        return True, "skipped: there are no generated docs yet"
    return _run(PYTHON, DOCS, "--check")


def _observability() -> Outcome:
    return _run(PYTHON, ROOT / "ops" / "build" / "observability.py", "--check")


def _deployment(check: str) -> Callable[[], Outcome]:
    """A check of the deployment files; its tool may be lacking, then it says `skipped`."""
    return lambda: _run(PYTHON, "-m", "ops.build.deployment", check)


def _secrets() -> Outcome:
    return _run(PYTHON, ROOT / "ops" / "build" / "secrets_scan.py")


def _sbom() -> Outcome:
    return _run(PYTHON, ROOT / "ops" / "build" / "sbom.py")


def _audit() -> Outcome:
    return _run(PYTHON, ROOT / "ops" / "build" / "audit.py")


DEPLOYMENT = ("compose", "images", "scripts", "units", "bus", "cluster", "traefik", "workflow")

CHECKS: dict[str, Callable[[], Outcome]] = {
    "ruff": _ruff,
    "format": _format,
    "mypy": _mypy,
    "imports": _imports,
    "buf": _buf,
    "breaking": _breaking,
    "protos": _protos,
    "docs": _docs,
    "observability": _observability,
    "secrets": _secrets,
    "sbom": _sbom,
    "audit": _audit,
    **{check: _deployment(check) for check in DEPLOYMENT},
}


def main(names: list[str]) -> int:
    """Runs the named checks, or all; exit code 1 when one fails, 4 for an unknown name."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"no check named {', '.join(unknown)}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 4
    failed = []
    for name in names or CHECKS:
        began = time.monotonic()
        passed, words = CHECKS[name]()
        remark = f" ({words})" if passed and words.startswith("skipped") else ""
        print(f"{name:<13} {'ok' if passed else 'FAILED'} {time.monotonic() - began:5.1f} s{remark}", flush=True)
        if not passed:
            failed.append(name)
            print(words, flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
