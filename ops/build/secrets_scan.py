"""Looks for secrets in every file that git keeps: keys, tokens, passwords in assignments and in addresses.

Guarantees: a finding names file, line and kind, never the secret itself; a line that ends in the mark is a person's decision.
Never: a network, a file that git does not keep.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARK = "not a secret"
LARGEST = 2_000_000
KINDS: dict[str, re.Pattern[str]] = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "cloud key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "token of a forge": re.compile(r"\b(?:ghp|gho|ghs|ghr|github_pat|glpat)[-_][0-9A-Za-z_]{20,}"),
    "token of a chat": re.compile(r"\bxox[abpsr]-[0-9A-Za-z-]{10,}|\b\d{8,10}:[0-9A-Za-z_-]{35}\b"),
    "web token": re.compile(r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}"),
}
ASSIGNED = re.compile(
    r"""(?i)\b[\w.-]*(?:secret|password|passwd|api_?key|token|private_?key)[\w.-]*["']?\s*[:=]\s*["']?([0-9A-Za-z+/_=-]{20,})["']?\s*(?:$|[#,;})])"""
)
ENTROPY = 3.5
"""Bits a character from which on an assigned word looks made by a machine; words of a person stay below."""


def entropy(text: str) -> float:
    """Bits a character."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def kinds_in(line: str) -> Iterator[str]:
    """What kinds of secrets a line seems to hold."""
    if MARK in line:
        return
    for kind, pattern in KINDS.items():
        if pattern.search(line):
            yield kind
    found = ASSIGNED.search(line)
    if (
        found
        and entropy(found[1]) >= ENTROPY
        and re.search(r"\d", found[1])
        and not re.search(r"__|[a-z]{6,}_[a-z]", found[1])
    ):
        yield "assigned secret"


def scan(paths: list[Path], root: Path = ROOT) -> list[str]:
    """One sentence a finding."""
    findings = []
    for path in paths:
        if not path.is_file() or path.stat().st_size > LARGEST or path.suffix in {".lock", ".parquet", ".png"}:
            continue
        text = path.read_text(errors="ignore")
        for number, line in enumerate(text.splitlines(), start=1):
            findings += [f"{path.relative_to(root)}:{number}: {kind}" for kind in kinds_in(line)]
    return findings


def kept_files(root: Path = ROOT) -> list[Path]:
    """The files that git keeps or is about to."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    return [root / name for name in listed.split("\0") if name]


def main() -> int:
    """Exit code 1 when something was found."""
    findings = scan(kept_files())
    for finding in findings:
        print(finding)
    if findings:
        print(f"take the secret out and change it; a line that is none ends in: {MARK}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
