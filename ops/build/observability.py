"""Writes ops/observability's generated files from the registry of metrics, or with `--check` says which are out of date."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ops" / "observability"


def stale(files: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """The names of the files that stand otherwise in `folder`, or not at all."""
    return [name for name, text in files.items() if not (folder / name).exists() or (folder / name).read_text() != text]


def main(arguments: list[str]) -> int:
    """Writes the files; `--check` compares instead (exit code 1 when one is stale)."""
    if arguments not in ([], ["--check"]):
        print(f"observability.py knows --check only, not {' '.join(arguments)}", file=sys.stderr)
        return 4
    # The checkout instead of this folder, whose `protos.py` would hide the contracts.
    sys.path[0] = str(ROOT)
    from ops.observability.render import Unknown, render

    try:
        files = render()
    except Unknown as error:
        print(error, file=sys.stderr)
        return 1
    wrong = stale(files)
    if arguments:
        if wrong:
            print(f"stale: {', '.join(wrong)}. Run: .venv/bin/python ops/build/observability.py", file=sys.stderr)
        return 1 if wrong else 0
    for name in wrong:
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(files[name])
    print(f"{len(files)} files, {len(wrong)} written" + (f": {', '.join(wrong)}" if wrong else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
