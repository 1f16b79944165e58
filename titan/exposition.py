"""Several processes' metrics as one exposition in Prometheus' text format.

Guarantees: a family's HELP and TYPE stand once with all its samples behind; the same sample of two processes is added
up where it counts something, else the first process's stands. Never: a family renamed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_ADDED = ("counter", "histogram")


@dataclass(slots=True)
class _Family:
    head: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    samples: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: str) -> None:
        held = self.samples.get(name)
        if held is None:
            self.samples[name] = value
        elif self.kind in _ADDED:
            self.samples[name] = repr(float(held) + float(value))


def merged(expositions: Iterable[bytes]) -> bytes:
    """One exposition with the families of all, in order of first appearance."""
    families: dict[str, _Family] = {}
    for exposition in expositions:
        family = _Family()
        for line in exposition.decode().splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                _, what, name, said = (*line.split(" ", 3), "")[:4]
                family = families.setdefault(name, _Family())
                family.head.setdefault(what, line)
                if what == "TYPE":
                    family.kind = said
            elif line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                family.add(name, value)
    lines = [
        line
        for family in families.values()
        for line in (*family.head.values(), *(f"{name} {value}" for name, value in family.samples.items()))
    ]
    return ("\n".join(lines) + "\n").encode() if lines else b""
