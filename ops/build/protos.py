"""Generates the Python modules of the contracts, or with `--check` says which of them are not what the contracts say.

Guarantees: the same contracts give the same bytes (both generators are pinned); a contract that is gone takes its modules
along. gRPC stubs are made for files with a service only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def main(arguments: list[str]) -> int:
    """Writes into `protos/`; `--check` compares with a fresh generation instead (exit code 1 when they differ)."""
    if arguments not in ([], ["--check"]):
        print(f"protos.py knows --check only, not {' '.join(arguments)}", file=sys.stderr)
        return 4
    with tempfile.TemporaryDirectory(prefix="titan-protos-") as scratch:
        fresh = Path(scratch)
        if not generate(fresh):
            return 1
        return check(fresh) if arguments else install(fresh)


def generate(target: Path) -> bool:
    """Generates every module below `target`; False when the compiler refuses a contract (it says why)."""
    files = sorted(path.relative_to(ROOT) for path in (ROOT / "protos").glob("*.proto"))
    services = [path for path in files if "\nservice " in (ROOT / path).read_text()]
    messages_done = _protoc(files, [f"--python_out={target}", f"--mypy_out={target}"])
    return messages_done and _protoc(services, [f"--grpc_python_out={target}", f"--mypy_grpc_out={target}"])


def _protoc(files: list[Path], outputs: list[str]) -> bool:
    # The compiler looks for the mypy plugin on the PATH: it is installed beside this Python.
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
    return done.returncode == 0


def _modules(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for pattern in PATTERNS for path in folder.glob(pattern)}


def check(fresh: Path) -> int:
    """Compares the generated modules in the tree with fresh ones."""
    wanted, there = _modules(fresh / "protos"), _modules(ROOT / "protos")
    wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if wrong:
        print(f"not what the contracts say: {', '.join(wrong)}. Run: make proto", file=sys.stderr)
    return 1 if wrong else 0


def install(fresh: Path) -> int:
    """Replaces the generated modules in the tree; files that are right already are left alone."""
    wanted, there = _modules(fresh / "protos"), _modules(ROOT / "protos")
    for name in there.keys() - wanted.keys():
        (ROOT / "protos" / name).unlink()
    changed = sorted(name for name, content in wanted.items() if there.get(name) != content)
    for name in changed:
        (ROOT / "protos" / name).write_bytes(wanted[name])
    print(f"{len(wanted)} modules, {len(changed)} written" + (f": {', '.join(changed)}" if changed else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
