"""The bill of materials of the image: every package of `requirements/run.lock` with version and hashes, as CycloneDX 1.5 JSON.

Guarantees: the same lock gives the same bytes; a package without a fixed version or a hash is an error. Never: a network.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements/run.lock", "requirements/nats.lock")
PACKAGE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Unpinned(ValueError):
    """A package of a lock can't be told from another of its name."""


def components(lock: str) -> list[dict[str, object]]:
    """The packages of a lock file's text. Raises Unpinned."""
    found: list[dict[str, object]] = []
    for entry in re.split(r"\n(?=[A-Za-z0-9])", "\n" + re.sub(r"(?m)^\s*#.*$", "", lock)):
        text = entry.strip()
        if not text:
            continue
        package = PACKAGE.match(text)
        hashes = HASH.findall(text)
        if package is None or not hashes:
            raise Unpinned(f"{text.split()[0]!r} has no fixed version or no hash: run make lock")
        name, version = package[1].lower().replace("_", "-"), package[2]
        found.append(
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "hashes": [{"alg": "SHA-256", "content": content} for content in sorted(hashes)],
            }
        )
    return found


def bill(root: Path = ROOT) -> dict[str, object]:
    """The whole document."""
    parts = [part for lock in LOCKS for part in components((root / lock).read_text())]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "titan"}},
        "components": sorted(parts, key=lambda part: (str(part["name"]), str(part["version"]))),
    }


def main() -> int:
    """Prints the document; exit code 1 for a lock that leaves something open."""
    try:
        print(json.dumps(bill(), indent=1))
    except Unpinned as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
