"""Resolves the lock files again: every version, every hash, no index host. `run`, `dev` and `reference` come from
`pyproject.toml`, `audit` (the auditor's own environment) from `audit.in`.

Needs uv (on the PATH, else installed into a scratch environment with pip). `nats.lock` is kept by hand.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ["servers", "tracing"]
GROUPS = {"run": RUN, "dev": [*RUN, "dev"], "reference": [*RUN, "dev", "reference"]}
FLAGS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
)


def main() -> int:
    """Writes both lock files; versions move only where `pyproject.toml` asks for it or `--upgrade` is given."""
    with tempfile.TemporaryDirectory(prefix="titan-lock-") as scratch:
        uv = shutil.which("uv") or _install_uv(Path(scratch))
        for group, extras in GROUPS.items():
            output = f"requirements/{group}.lock"
            command = [uv, "pip", "compile", *FLAGS, *(f"--extra={extra}" for extra in extras)]
            command += ["--custom-compile-command=make lock", *sys.argv[1:], "pyproject.toml", "-o", output]
            print(f"resolving {output}", flush=True)
            subprocess.run(command, cwd=ROOT, check=True)
        command = [uv, "pip", "compile", *FLAGS, "--custom-compile-command=make lock", *sys.argv[1:]]
        print("resolving requirements/audit.lock", flush=True)
        subprocess.run([*command, "requirements/audit.in", "-o", "requirements/audit.lock"], cwd=ROOT, check=True)
    return 0


def _install_uv(scratch: Path) -> str:
    print("uv is not on the PATH: installing it into a scratch environment", flush=True)
    venv.create(scratch / "venv", with_pip=True)
    subprocess.run([scratch / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    return str(scratch / "venv" / "bin" / "uv")


if __name__ == "__main__":
    sys.exit(main())
