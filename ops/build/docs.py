"""Writes the reference pages of `docs/` from the code, or with `--check` says which of them are not what the code says."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def stale(pages: dict[str, str], folder: Path = DOCS) -> list[str]:
    """The names of the pages that stand otherwise in `folder`, or not at all."""
    return [name for name, text in pages.items() if not (folder / name).exists() or (folder / name).read_text() != text]


def main(arguments: list[str]) -> int:
    """Writes into `docs/`; `--check` compares instead (exit code 1 when a page is stale)."""
    if arguments not in ([], ["--check"]):
        print(f"docs.py knows --check only, not {' '.join(arguments)}", file=sys.stderr)
        return 4
    # The checkout instead of this folder, whose `protos.py` would hide the contracts.
    sys.path[0] = str(ROOT)
    from ops.build.pages import Undocumented, render

    try:
        pages = render()
    except Undocumented as error:
        print(error, file=sys.stderr)
        return 1
    wrong = stale(pages)
    if arguments:
        if wrong:
            print(f"stale: {', '.join(wrong)}. Run: .venv/bin/python ops/build/docs.py", file=sys.stderr)
        return 1 if wrong else 0
    for name in wrong:
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_text(pages[name])
    print(f"{len(pages)} pages, {len(wrong)} written" + (f": {', '.join(wrong)}" if wrong else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
